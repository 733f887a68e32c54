"""The contract, over every registered method: a new file is covered without an edit here."""

from __future__ import annotations

import types
import typing
from dataclasses import replace
from functools import cache

import pytest
import torch

from benchmark import registry
from benchmark.contract.claim import Claim, Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import PROBLEMS, Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from tests import problems

METHODS = registry.discover()
KINDS = {
    "softmax": problems.softmax,
    "squared": problems.squared,
    "one-vs-rest": problems.one_vs_rest,
    "tangent": problems.tangent,
    "mlp": problems.mlp,
}
#: What each of them offers of what a method may need a problem to be.
OFFERS = {
    "softmax": {"strong_convexity"},
    "squared": {"strong_convexity", "squared_loss", "exact_sums"},
    "one-vs-rest": {"strong_convexity", "one_vs_rest"},
    "tangent": {"strong_convexity", "tangent"},
    "mlp": set(),
}
#: Methods whose theorem wants the gradients of single rows to be bounded.
BOUNDED_GRADIENTS = {"descent-to-delete", "langevin", "rewind"}
#: Methods that look into a model's layers, which a tangent has none of.
LAYERS = {"dp-sgd", "l-codec", "recollection"}
FORGET = torch.tensor([3, 17, 41, 58])
LATER = torch.tensor([5, 20])
NOTHING = torch.tensor([], dtype=torch.int64)

every_method = pytest.mark.parametrize("name", METHODS)


def kinds(name: str) -> list[str]:
    """The problems that a method can run on."""
    wanted = METHODS[name].method.needs & PROBLEMS
    found = [kind for kind in KINDS if wanted <= OFFERS[kind]]
    found = [k for k in found if k != "tangent" or name not in LAYERS]
    return [k for k in found if k != "squared" or name not in BOUNDED_GRADIENTS]


def head(name: str) -> str:
    """A convex one of them."""
    return next(kind for kind in kinds(name) if kind != "mlp")


CERTIFYING = [name for name, found in METHODS.items() if found.method.evidence]
on_every_problem = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in METHODS for kind in kinds(name)]
)


def trained(method: Method, problem: Problem, seeds: Seeds) -> State:
    """What the method starts from: trained, and prepared for requests."""
    original = method.train(problem, problems.every_row(problem), seeds, Clock())
    return method.prepare(problem, original, seeds, Clock())


def ask(
    method: Method,
    problem: Problem,
    forget: torch.Tensor = FORGET,
    seeds: Seeds | None = None,
    original: State | None = None,
    **more: object,
) -> tuple[Request, Release]:
    seeds = seeds or Seeds()
    if original is None:
        original = trained(method, problem, seeds)
    request = Request.of(problem, original, forget, seeds=seeds, **more)
    return request, method.answer(request)


@cache
def problem_of(kind: str) -> Problem:
    """One for all tests."""
    return KINDS[kind]()


@cache
def start_of(method: Method, kind: str) -> State:
    """What the method starts from on the problem of a kind, trained once for all tests."""
    return trained(method, problem_of(kind), Seeds())


@cache
def answer_of(method: Method, kind: str) -> tuple[Request, Release]:
    """The usual request and its answer, computed once for all tests."""
    return ask(method, problem_of(kind), original=start_of(method, kind))


def same(a: Release, b: Release) -> bool:
    return torch.equal(a.predictor.members, b.predictor.members)


def rests_on(claim: Claim | None) -> str | None:
    """The kind of the evidence, if there is any."""
    return None if claim is None else claim.evidence.kind


@on_every_problem
def test_weights_are_finite_and_of_the_right_shape(name: str, kind: str) -> None:
    problem = problem_of(kind)
    request, release = answer_of(METHODS[name].method(), kind)
    assert release.predictor.members.shape[1] == problem.model.dimension
    assert torch.isfinite(release.predictor.members).all()
    assert torch.isfinite(release.predictor.log_probabilities(problem.test.x)).all()
    assert torch.equal(release.state.rows, request.retain)


@on_every_problem
def test_same_seeds_give_the_same_bytes(name: str, kind: str) -> None:
    method = METHODS[name].method()
    first, second = answer_of(method, kind)[1], ask(method, KINDS[kind]())[1]
    assert same(first, second)


@on_every_problem
def test_another_noise_seed_changes_the_noise_and_nothing_else(name: str, kind: str) -> None:
    method, problem = METHODS[name].method(), problem_of(kind)
    first, second = answer_of(method, kind)[1], ask(method, problem, seeds=Seeds(noise=1))[1]
    assert first.claim == second.claim
    if rests_on(first.claim) != "algorithm":
        assert torch.equal(first.state.weights, second.state.weights)
    assert same(first, second) == (rests_on(first.claim) not in ("distance", "algorithm"))


@on_every_problem
def test_T7_noise_differs_between_releases(name: str, kind: str) -> None:
    method, problem = METHODS[name].method(), problem_of(kind)
    _, first = answer_of(method, kind)
    _, second = ask(method, problem, original=start_of(method, kind), number=1)
    if rests_on(first.claim) not in ("distance", "algorithm"):
        assert torch.equal(first.predictor.weights, first.state.weights)
        return
    if rests_on(first.claim) == "algorithm":  # between steps: tests/test_noisy_methods.py
        same_again = torch.isclose(first.predictor.weights, second.predictor.weights).all()
        # a model that was trained with all the noise there is may be published twice
        assert same_again == method.does_nothing
        return
    noise = first.predictor.weights - first.state.weights
    other = second.predictor.weights - second.state.weights
    assert not torch.isclose(noise, other).any()


@on_every_problem
def test_inputs_and_the_global_generator_are_left_alone(name: str, kind: str) -> None:
    method, problem = METHODS[name].method(), KINDS[kind]()
    global_state = torch.get_rng_state()
    original = trained(method, problem, Seeds())
    held = [problem.train.x, problem.train.y, problem.test.x, original.weights, original.rows]
    before = [tensor.clone() for tensor in held]
    forget = FORGET.clone()
    ask(method, problem, forget, original=original)
    assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True))
    assert torch.equal(forget, FORGET)
    assert torch.equal(torch.get_rng_state(), global_state)


@on_every_problem
def test_it_does_something_unless_declared_otherwise(name: str, kind: str) -> None:
    method = METHODS[name].method()
    request, release = answer_of(method, kind)
    unchanged = torch.equal(release.state.weights, request.original.weights)
    assert unchanged == method.does_nothing


@on_every_problem
def test_T13_forgetting_nothing_returns_the_original_up_to_release_noise(
    name: str, kind: str
) -> None:
    method = METHODS[name].method()
    request, release = ask(method, problem_of(kind), NOTHING, original=start_of(method, kind))
    if method.role == "floor":  # another training seed is what this row is about
        assert release.state.weights.shape == request.original.weights.shape
        return
    unchanged = torch.equal(release.state.weights, request.original.weights)
    # What definition `reference` holds it against is the same noisy algorithm on D_r, so with
    # nothing to forget it is that algorithm: its absence would tell that nothing was asked.
    noisy = rests_on(release.claim) == "algorithm" and release.claim.definition == "reference"
    assert unchanged == (not noisy)


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in CERTIFYING for kind in kinds(name)]
)
def test_an_observer_is_not_told_what_was_forgotten(name: str, kind: str) -> None:
    method, problem = METHODS[name].method(), problems.declared(KINDS[kind](), 30)
    original = trained(method, problem, Seeds())
    claims = [
        ask(method, problem, forget, original=original)[1].claim
        for forget in (FORGET, torch.arange(25), NOTHING)
    ]
    if claims[0].definition == "this-pair":
        assert claims[0].evidence.sigma != claims[1].evidence.sigma, "what makes it a yardstick"
        return
    assert claims[0].public() == claims[1].public() == claims[2].public()


@every_method
def test_a_second_request_goes_on_from_the_first(name: str) -> None:
    kind = head(name)
    method, problem = METHODS[name].method(), problem_of(kind)
    _, first = answer_of(method, kind)
    request, second = ask(method, problem, LATER, original=first.state, number=1)
    assert not torch.isin(torch.cat([FORGET, LATER]), second.state.rows).any()
    assert len(request.retain) == len(problem.train) - len(FORGET) - len(LATER)


@on_every_problem
def test_what_it_does_not_need_does_not_matter(name: str, kind: str) -> None:
    """In a stream of two requests, answered where those rows have other features and labels.

    Where the rows' norm is declared; without, it is that of all rows at hand.
    """
    method, problem = METHODS[name].method(), KINDS[kind]()
    norm = 2 * problem.train.largest_norm(bias=False)
    problem = replace(problem, declared=replace(problem.declared, feature_norm=norm))
    original = trained(method, problem, Seeds())
    plain = stream(method, problem, original)
    for part in ("retain", "forget"):
        if part in method.needs:
            continue
        spoilt, labels = problem.train.x.clone(), problem.train.y.clone()
        # the later request's rows are retained by the first one
        rows = problems.every_row(problem)
        forgotten = part == "forget"
        hit = torch.isin(rows, FORGET if forgotten else torch.cat([FORGET, LATER]))
        hit = hit if forgotten else ~hit
        spoilt[hit] *= -2
        labels[hit] = (labels[hit] + 1) % problem.model.classes
        other = replace(problem, train=Rows(spoilt, labels))
        found = stream(method, other, original)
        assert all(map(same, found, plain)), f"{name} looked at {part}"


def stream(method: Method, problem: Problem, original: State) -> list[Release]:
    """The answers to the usual request and a later one."""
    _, first = ask(method, problem, original=original)
    return [first, ask(method, problem, LATER, original=first.state, number=1)[1]]


def another_value(cls: type[Method], parameter: str) -> object:
    """A value of the parameter that is not its default."""
    info = cls.model_fields[parameter]
    if info.examples:
        return info.examples[0]
    kind, default = info.annotation, info.default
    if typing.get_origin(kind) in (typing.Union, types.UnionType) or default is None:
        raise AssertionError(f"{cls.name}.{parameter} wants another value in Field(examples=[...])")
    if typing.get_origin(kind) is typing.Literal:
        return next(value for value in typing.get_args(kind) if value != default)
    if kind is bool:
        return not default
    if kind is int:
        return default + 1
    if kind is float:
        return default * 2 if default else 1.0
    raise AssertionError(f"{cls.name}.{parameter} wants another value in Field(examples=[...])")


#: What a parameter wants beside it to matter.
BESIDE = {
    ("newton", "hessian_lipschitz"): {"retrain_gradient": 1.0},
    ("newton", "retrain_gradient"): {"hessian_lipschitz": 1.0},
    ("newton-lissa", "hessian_lipschitz"): {"retrain_gradient": 1.0},
    ("newton-lissa", "retrain_gradient"): {"hessian_lipschitz": 1.0},
    ("newton-lissa", "tolerance"): {"noise": "measured"},
    ("newton-lissa", "max_products"): {"noise": "measured"},
}
PARAMETERS = [(n, p) for n, found in METHODS.items() for p in found.method.model_fields]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_parameter_changes_something(name: str, parameter: str) -> None:
    cls = METHODS[name].method
    beside = BESIDE.get((name, parameter), {})
    before, changed = (
        cls.build(beside | more) for more in ({}, {parameter: another_value(cls, parameter)})
    )
    for kind in kinds(name):
        plain, other = answer_of(before, kind)[1], ask(changed, problem_of(kind))[1]
        if plain.predictor.members.shape != other.predictor.members.shape:
            return
        if not same(plain, other) or plain.claim != other.claim:
            return
    pytest.fail(f"{name}: {parameter} changes nothing")


# The floor retrains with another seed: it is another sample of A(D_r), not near the same one.
# Definition `reference` with noise inside speaks of no weights that are near A(D_r) before noise.
NEAR = [
    name
    for name in CERTIFYING
    if METHODS[name].method.role != "floor" and not METHODS[name].method.control
]


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("seed", range(20))
def test_T2_the_bound_is_at_least_the_measured_distance(name: str, seed: int) -> None:
    """Against A(D_r), where A is the method's own training if it has one."""
    generator = torch.Generator().manual_seed(seed)
    n = int(torch.randint(30, 120, (), generator=generator))
    problem = KINDS[head(name)](
        seed,
        n=n,
        inputs=int(torch.randint(2, 9, (), generator=generator)),
        classes=int(torch.randint(2, 6, (), generator=generator)),
        ridge=10 ** float(-3 + 2.5 * torch.rand((), generator=generator)),
    )
    forget = torch.randperm(n, generator=generator)[: int(1 + seed % 5)]
    method = METHODS[name].method()
    request, release = ask(method, problem, forget)
    if method.does_nothing and rests_on(release.claim) == "algorithm":
        pytest.skip("all noise is in training: no weights before it, no distance that is claimed")
    retrained = method.train(problem, request.retain, Seeds(), Clock())
    distance = float((release.state.weights - retrained.weights).norm())
    if rests_on(release.claim) == "construction":
        assert distance == 0
        return
    assert distance <= release.claim.evidence.reached <= release.claim.bound
    assert verdict(release.claim) != "none"


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in CERTIFYING for kind in kinds(name)]
)
def test_sigma_answers_the_target(name: str, kind: str) -> None:
    method, problem = METHODS[name].method(), problem_of(kind)
    loose, tight = (
        ask(method, problem, target=target, original=start_of(method, kind))[1].claim
        for target in (Target(epsilon=8, delta=1e-5), Target(epsilon=0.5, delta=1e-6))
    )
    if rests_on(tight) == "construction":
        assert (tight.epsilon, tight.release_sigma) == (0, 0)
        return
    assert 0 < tight.epsilon <= 0.5 * (1 + 1e-9)
    assert tight.delta == 1e-6
    # noise inside may answer by more steps of the same sigma
    assert tight.guarantee.m < loose.guarantee.m
    assert rests_on(tight) == "algorithm" or tight.release_sigma > loose.release_sigma > 0


@every_method
def test_declarations_are_complete(name: str) -> None:
    cls = METHODS[name].method
    assert cls.__doc__
    assert cls.title
    assert cls.source.paper
    assert cls.source.url.startswith("https://")
