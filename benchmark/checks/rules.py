"""The rules of the contract, each a check of a method on a small problem, and all of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmark import registry, settings
from benchmark.checks.problems import (
    FORGET,
    KINDS,
    LATER,
    NOTHING,
    answer_of,
    ask,
    begun,
    every_row,
    fitted,
    head,
    kinds,
    later,
    problem_of,
    rests_on,
    same,
    start_of,
)
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError, present
from benchmark.problem.problem import Problem
from benchmark.rows import Rows

# The rules of the contract, each a check of a method on a small problem.


class RuleBroken(LetheError, AssertionError):
    """A method does not keep a rule of the contract; its text says which and what to do."""


def hold(kept: bool, text: str) -> None:
    """Go on where a rule is kept.

    Raises:
        RuleBroken: where it is not.
    """
    if not kept:
        raise RuleBroken(text)


def weights_are_sound(method: Method, kind: str) -> None:
    """Weights are finite and of the right shape, and the state holds the retained rows."""
    problem = problem_of(kind)
    request, release = answer_of(method, kind)
    members = release.predictor.members
    hold(members.shape[1] == problem.model.dimension, f"weights have shape {members.shape}")
    hold(bool(torch.isfinite(members).all()), "weights are not finite")
    predictor = release.predictor
    said = predictor.numbers if problem.target is not None else predictor.log_probabilities
    outputs = said(problem.test.x)
    hold(bool(torch.isfinite(outputs).all()), "predictions are not finite")
    hold(
        torch.equal(release.state.rows, request.retain),
        "the state's rows are not those to keep: publish by request.release",
    )


def same_seeds_give_the_same_bytes(method: Method, kind: str) -> None:
    """Same seeds, same bytes."""
    first, (second, _) = answer_of(method, kind)[1], _watched(method, kind)
    hold(same(first, second), "two runs differ: draw from request.generator(axis, ...) alone")


def noise_follows_its_seed(method: Method, kind: str) -> None:
    """Another noise seed changes the noise and nothing else."""
    problem, other = problem_of(kind), Seeds(noise=1)
    first = answer_of(method, kind)[1]
    second = ask(method, problem, seeds=other, original=begun(method, problem, other))[1]
    hold(first.claim == second.claim, "the claim changes with the seed of the noise")
    if rests_on(first.claim) != "algorithm":
        hold(
            torch.equal(first.state.weights, second.state.weights),
            "the state changes with the seed of the noise: it is kept before noise",
        )
    noisy = rests_on(first.claim) in ("distance", "algorithm")
    hold(
        same(first, second) != noisy,
        "the same is published with another seed of the noise: draw it by request.release"
        if noisy
        else "what is published changes with the seed of the noise, and no claim says so",
    )


def noise_differs_between_releases(method: Method, kind: str) -> None:
    """Two requests of a stream share no draw of noise."""
    _, first = answer_of(method, kind)
    if rests_on(first.claim) not in ("distance", "algorithm"):
        hold(
            torch.equal(first.predictor.weights, first.state.weights),
            "what is published is not the state, and no claim says why",
        )
        return
    _, second = ask(method, problem_of(kind), original=start_of(method, kind), number=1)
    if rests_on(first.claim) == "algorithm":  # between steps: tests/test_noisy_methods.py
        same_again = bool(torch.isclose(first.predictor.weights, second.predictor.weights).all())
        # a model that was trained with all the noise there is may be published twice
        hold(same_again == method.does_nothing, "two requests of a stream share their noise")
        return
    noise = first.predictor.weights - first.state.weights
    other = second.predictor.weights - second.state.weights
    hold(not torch.isclose(noise, other).any(), "two requests of a stream share their noise")


def nothing_is_mutated(method: Method, kind: str) -> None:
    """Inputs and the global random generator are left alone."""
    _, harm = _watched(method, kind)
    hold(not harm, harm)


@lru_cache(maxsize=512)
def _watched(method: Method, kind: str) -> tuple[Release, str]:
    """The usual answer once more, on a problem of its own, and what the method did to its inputs.

    The harm is "" where there is none.
    """
    problem, global_state = KINDS[kind](), torch.get_rng_state()
    original = begun(method, problem_of(kind), copy=problem)
    held = {
        "training rows": problem.train.x,
        "training labels": problem.train.y,
        "test rows": problem.test.x,
        "the original's weights": original.weights,
        "the original's row numbers": original.rows,
    }
    before = {name: tensor.clone() for name, tensor in held.items()}
    forget = FORGET.clone()
    _, release = ask(method, problem, forget, original=original)
    held["the rows to forget"], before["the rows to forget"] = forget, FORGET
    changed = [name for name, tensor in held.items() if not torch.equal(tensor, before[name])]
    if changed:
        return release, f"it changed {changed[0]} in place: work on a copy"
    if not torch.equal(torch.get_rng_state(), global_state):
        return release, "it used torch's global generator: draw from request.generator(axis, ...)"
    return release, ""


def it_does_something(method: Method, kind: str) -> None:
    """The weights change unless `does_nothing` is declared."""
    request, release = answer_of(method, kind)
    unchanged = torch.equal(release.state.weights, request.original.weights)
    hold(
        unchanged == method.does_nothing,
        "the weights are the original's: declare does_nothing = True"
        if unchanged
        else "it declares does_nothing, and the weights change",
    )


def nothing_to_forget_changes_nothing(method: Method, kind: str) -> None:
    """Forgetting nothing returns the original, up to release noise."""
    request, release = ask(method, problem_of(kind), NOTHING, original=start_of(method, kind))
    if method.role == "floor":  # another training seed is what this row is about
        hold(
            release.state.weights.shape == request.original.weights.shape,
            "weights have another shape than the original's",
        )
        return
    unchanged = torch.equal(release.state.weights, request.original.weights)
    # What definition `reference` holds it against is the same noisy algorithm on D_r, so with
    # nothing to forget it is that algorithm: its absence would tell that nothing was asked.
    claim = release.claim
    noisy = claim is not None and rests_on(claim) == "algorithm" and claim.definition == "reference"
    hold(
        unchanged != noisy,
        "with nothing to forget the noisy algorithm does not run, which tells that nothing was "
        "asked"
        if noisy
        else "with nothing to forget the state is not the original's",
    )


def an_observer_is_not_told(method: Method, kind: str) -> None:
    """What is public of a claim is the same whatever is forgotten."""
    problem = problem_of(kind, bounded=True)
    original = start_of(method, kind, bounded=True)
    made = [answer_of(method, kind, bounded=True)[1].claim] + [
        ask(method, problem, forget, original=original)[1].claim
        for forget in (torch.arange(25), NOTHING)
    ]
    claims = [claim for claim in made if claim is not None]
    if len(claims) < len(made):
        hold(not claims, "some requests are answered with a claim, some without")
        return
    if claims[0].definition == "this-pair":
        differs = claims[0].distance.sigma != claims[1].distance.sigma
        hold(differs, "its noise follows the request, which is what makes it a yardstick")
        return
    told = [claim.public() for claim in claims]
    hold(
        told[0] == told[1] == told[2],
        "Claim.public() depends on what is forgotten: let noise and constants follow from settings "
        "and from what the experiment declares",
    )


def a_second_request_goes_on(method: Method, kind: str) -> None:
    """A second request goes on from the first."""
    problem = problem_of(kind)
    _, first = answer_of(method, kind)
    request, second = ask(method, problem, LATER, original=first.state, number=1)
    hold(
        not torch.isin(torch.cat([FORGET, LATER]), second.state.rows).any(),
        "rows that were forgotten are in the state again",
    )
    left = len(problem.train) - len(FORGET) - len(LATER)
    hold(len(request.retain) == left, "the second request does not start from the first's rows")


def what_it_does_not_need_does_not_matter(method: Method, kind: str) -> None:
    """Rows that `needs` leaves out may have other features and labels, in a stream of two requests.

    Where the rows' norm is declared; without, it is that of all rows at hand.
    """
    unneeded = {"retain", "forget"} - method.needs
    if not unneeded:
        return
    problem = problem_of(kind, bounded=True)
    original = start_of(method, kind, bounded=True)
    _, first = answer_of(method, kind, bounded=True)
    plain = [first, later(method, problem, first)]
    for part in sorted(unneeded, reverse=True):
        spoilt, labels = problem.train.x.clone(), problem.train.y.clone()
        # the later request's rows are retained by the first one
        rows = every_row(problem)
        forgotten = part == "forget"
        hit = torch.isin(rows, FORGET if forgotten else torch.cat([FORGET, LATER]))
        hit = hit if forgotten else ~hit
        spoilt[hit] *= -1
        spoilt[hit, 0] = 0  # shorter too, and in fixed point as before
        labels[hit] = (labels[hit] + 1) % problem.model.classes
        other = replace(problem, train=Rows(spoilt, labels))
        _, first = ask(method, other, original=original)
        found = [first, later(method, other, first)]
        hold(
            all(map(same, found, plain)),
            f"it looked at the rows to {part}, which its needs leave out: declare '{part}'",
        )


def every_parameter_matters(method: Method, parameter: str) -> None:
    """A parameter with another value changes what is published or claimed, on some problem."""
    beside = _BESIDE.get((method.name, parameter), {})
    given = {name: getattr(method, name) for name in type(method).model_fields} | beside
    before = method.build(given)
    changed = method.build(given | {parameter: _another_value(method, parameter)})
    for kind in kinds(type(method)):
        if (rows := _ROWS.get((method.name, parameter))) is not None:
            problem = KINDS[kind](n=rows)
            plain, other = (ask(one, problem)[1] for one in (before, changed))
        else:
            plain, problem = answer_of(before, kind)[1], problem_of(kind)
            other = ask(changed, problem, original=begun(changed, problem))[1]
        if plain.predictor.members.shape != other.predictor.members.shape:
            return
        if not same(plain, other) or plain.claim != other.claim:
            return
    raise RuleBroken(f"parameter {parameter} changes nothing: leave it out")


@lru_cache(maxsize=64)
def _drawn(kind: str, seed: int) -> tuple[Problem, Tensor]:
    """A random problem, and up to five rows to forget."""
    generator = torch.Generator().manual_seed(seed)
    n = int(torch.randint(30, 120, (), generator=generator))
    sizes = {
        "n": n,
        "inputs": int(torch.randint(2, 9, (), generator=generator)),
        "classes": int(torch.randint(2, 6, (), generator=generator)),
        "ridge": 10 ** float(-3 + 2.5 * torch.rand((), generator=generator)),
    }
    problem = KINDS[kind](seed, **({} if kind == "mlp" else sizes))
    return problem, torch.randperm(len(problem.train), generator=generator)[: int(1 + seed % 5)]


def the_bound_holds(method: Method, seed: int) -> None:
    """The claimed distance is at least the measured one, on a random problem.

    Against A(D_r), where A is the method's own training if it has one.
    """
    problem, forget = _drawn(head(type(method)), seed)
    request, release = ask(method, problem, forget, original=begun(method, problem))
    if release.claim is None:
        return
    if method.does_nothing and rests_on(release.claim) == "algorithm":
        return  # all noise is in training: no weights before it, no distance that is claimed
    if method.has_own_training():
        retrained = method.train(problem, request.retain, Seeds(), Clock()).weights
    else:
        retrained = fitted(problem, tuple(forget.tolist()))
    distance = float((release.state.weights - retrained).norm())
    if rests_on(release.claim) == "construction":
        hold(distance == 0, f"it claims to be exact, and is {distance:.3g} from retraining")
        return
    reached, bound = release.claim.distance.reached, release.claim.distance.bound
    hold(
        distance <= reached <= bound,
        f"the weights are {distance:.6g} from the retrained ones, and the claim says {reached:.6g} "
        f"of {bound:.6g}",
    )
    hold(verdict(release.claim) != "none", "the claim has no verdict")


def noise_answers_the_target(method: Method, kind: str) -> None:
    """A tighter target gets a tighter guarantee, and more noise."""
    target, original = Target(epsilon=0.5, delta=1e-6), start_of(method, kind)
    loose = answer_of(method, kind)[1].claim
    tight = ask(method, problem_of(kind), target=target, original=original)[1].claim
    if loose is None or tight is None:
        return
    if rests_on(tight) == "construction":
        exact = (tight.epsilon, tight.release_sigma) == (0, 0)
        hold(exact, "an exact claim has epsilon 0 and no noise")
        return
    hold(
        0 < tight.epsilon <= 0.5 * (1 + 1e-9) and tight.delta == 1e-6,
        f"asked for (0.5, 1e-6), it claims ({tight.epsilon:.3g}, {tight.delta:.3g})",
    )
    # noise inside may answer by more steps of the same sigma
    hold(tight.guarantee.m < loose.guarantee.m, "a tighter target gets no tighter guarantee")
    hold(
        rests_on(tight) == "algorithm" or tight.release_sigma > loose.release_sigma > 0,
        "a tighter target gets no more noise",
    )


def it_claims_what_it_declares(method: Method) -> None:
    """It claims something on some problem if it declares evidence, and nowhere if it does not."""
    refusals, claims = [], []
    for kind in kinds(type(method)):
        try:
            claims.append(answer_of(method, kind)[1].claim)
        except AssumptionBroken as refusal:
            refusals.append(str(refusal))
    why = f": {refusals[0]}" if refusals else ""
    hold(bool(claims), f"it answers on no problem at all{why}")
    claimed = any(claim is not None for claim in claims)
    what = "something" if claimed else f"nothing{why}"
    hold(
        claimed == bool(method.evidence),
        f"it declares evidence = {method.evidence!r} and claims {what}",
    )


def declarations_are_complete(method: Method) -> None:
    """Docstring, title and source are there."""
    hold(bool(method.__doc__), "the class has no docstring: say in a sentence what it does")
    hold(bool(method.title), "title is empty")
    hold(bool(method.source.paper), "source.paper is empty")
    hold(method.source.url.startswith("https://"), "source.url is no https address")


#: Other parameters that a parameter needs in order to matter.
_BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("newton", "hessian_lipschitz"): {"retrain_gradient": 1.0},
    ("newton", "retrain_gradient"): {"hessian_lipschitz": 1.0},
    ("newton-lissa", "hessian_lipschitz"): {"retrain_gradient": 1.0},
    ("newton-lissa", "retrain_gradient"): {"hessian_lipschitz": 1.0},
    ("newton-lissa", "tolerance"): {"noise": "measured"},
    ("newton-lissa", "max_products"): {"noise": "measured"},
}


#: Training rows of the problem on which a parameter matters, where the usual ones are too few.
_ROWS = {("newton-kept", "reach"): 2000}


def _another_value(method: Method, parameter: str) -> object:
    """A value of the parameter that is not the method's."""
    info, given = type(method).model_fields[parameter], getattr(method, parameter)
    for example in info.examples or ():
        if example != given:
            return example
    kind = info.annotation
    united = typing.get_origin(kind) in (typing.Union, types.UnionType)
    if not united and given is not None:
        if typing.get_origin(kind) is typing.Literal:
            return next(value for value in typing.get_args(kind) if value != given)
        if kind is bool:
            return not given
        if kind is int:
            return given + 1
        if kind is float:
            return given * 2 if given else 1.0
    raise RuleBroken(f"parameter {parameter} wants another value in Field(examples=[...])")


# All rules of the contract over one method.

#: Random problems on which a bound is held against the truth.
SEEDS = 5
ON_EVERY_PROBLEM = (
    weights_are_sound,
    same_seeds_give_the_same_bytes,
    noise_follows_its_seed,
    noise_differs_between_releases,
    nothing_is_mutated,
    it_does_something,
    nothing_to_forget_changes_nothing,
    what_it_does_not_need_does_not_matter,
)
OF_CLAIMS = (an_observer_is_not_told, noise_answers_the_target)


@dataclass(frozen=True)
class Outcome:
    """What one rule found.

    Attributes:
        rule: in words.
        on: what it was checked on, such as `softmax`.
        broken: what is wrong and what to do; "" where the rule is kept.
        refused: why the method gives no certificate there, which breaks no rule; "" if it does.
    """

    rule: str
    on: str
    broken: str = ""
    refused: str = ""

    @property
    def kept(self) -> bool:
        return not self.broken


def check_method(method: str | type[Method] | Method) -> list[Outcome]:
    """Hold a method against every rule of the contract, on small problems; some seconds.

    Args:
        method: its name as `lethe list` has it or its class, for the defaults of its parameters, or
            an instance of it.

    Raises:
        LetheError: if there is no such method, or it can run on none of the problems.

    Example:
        >>> all(outcome.kept for outcome in check_method("newton-chord"))
        True
    """
    if isinstance(method, str):
        method = registry.find(method).method
    made = method.build({}) if isinstance(method, type) else method
    if not kinds(type(made)):
        raise LetheError(f"{made.name} needs {', '.join(sorted(made.needs))}, which no check has")
    return [_outcome(made, rule, on, check) for rule, on, check in _checks(made)]


def _checks(method: Method) -> Iterator[tuple[Callable, str, Callable[[], None]]]:
    """Each rule, what it is checked on, and the check."""
    cls = type(method)
    yield declarations_are_complete, "", partial(declarations_are_complete, method)
    yield it_claims_what_it_declares, "", partial(it_claims_what_it_declares, method)
    claims = OF_CLAIMS if method.evidence else ()
    for kind in kinds(cls):
        yield from ((rule, kind, partial(rule, method, kind)) for rule in ON_EVERY_PROBLEM + claims)
    goes_on = a_second_request_goes_on
    yield goes_on, head(cls), partial(goes_on, method, head(cls))
    for parameter in cls.model_fields:
        matters = every_parameter_matters
        yield matters, parameter, partial(matters, method, parameter)
    if near(cls):
        holds = the_bound_holds
        for seed in range(SEEDS):
            yield holds, f"problem {seed}", partial(holds, method, seed)


def near(cls: type[Method]) -> bool:
    """Whether its weights before noise are claimed to be near those of retraining.

    The floor retrains with another seed, and definition `reference` with noise inside speaks of no
    weights before noise.
    """
    return bool(cls.evidence) and cls.role != "floor" and not cls.control


def _outcome(method: Method, rule: Callable, on: str, check: Callable[[], None]) -> Outcome:
    text = present(rule.__doc__).splitlines()[0].rstrip(".")
    try:
        with settings.kept(method.name):
            check()
    except AssumptionBroken as error:
        return Outcome(text, on, refused=str(error))
    except Exception as error:  # a method may raise anything
        kind = "" if isinstance(error, LetheError) else f"{type(error).__name__}: "
        return Outcome(text, on, f"{kind}{error}")
    return Outcome(text, on)
