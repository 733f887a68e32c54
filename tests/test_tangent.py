"""Nets linearised at public weights: their Jacobians, their constants and their certificates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp

from benchmark.checks.problems import begun, fitted
from benchmark.claims.bounds import diameter
from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.curvature.tangent import TangentHessian, precondition
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments import experiment
from benchmark.experiments.build import build
from benchmark.problem.model import MLPSpec, Model, TangentSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.products import default
from benchmark.problem.tangent import PublicNet, Tangent
from benchmark.problem.training.public_net import affine, train_public
from benchmark.problem.variants import gauss_newton
from benchmark.rows import Rows
from methods.chord_newton import ChordNewton
from methods.iterated_newton import IteratedNewton
from methods.newton import Newton
from methods.tangent_newton import TangentNewton
from tests import problems
from tests.problems import FORMS

CPU = torch.device("cpu")
#: Which layers move, and by which activation.
KINDS = [(a, k) for a in ("tanh", "gelu", "relu") for k in (None, 1, 2)]
by_kind = pytest.mark.parametrize(("activation", "layers"), KINDS)


def spec_of(**more: object) -> TangentSpec:
    return TangentSpec(kind="tangent", **({"hidden": (6, 4), "clip": 3.0} | more))


def net_and_tangent(**more: object) -> tuple[Callable[[Tensor], Tensor], Tensor, Tangent, Rows]:
    """Logits of the net on some rows as a function of all weights, these, and the tangent."""
    spec, rows = spec_of(**more), problems.rows(23, 5, 3, 0, torch.float64)
    net = Model(spec.net, 5, 3)
    weights = 2 * net.initial_weights(torch.Generator().manual_seed(0))
    tangent = Tangent(spec, 5, 3, PublicNet.of(weights, rows))
    return lambda w: net(w, rows.x), weights, tangent, tangent.rows(rows)


def random(size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@by_kind
@pytest.mark.parametrize("clip", [1.0, 1e9])
def test_the_logits_are_the_nets_to_first_order(
    activation: str, layers: int | None, clip: float
) -> None:
    logits, weights, tangent, rows = net_and_tangent(
        activation=activation, layers=layers, clip=clip
    )
    v = random(tangent.dimension)
    whole = torch.cat([torch.zeros(len(weights) - len(v)).double(), v])
    at_zero, change = jvp(logits, (weights,), (whole,))
    jacobian = jacrev(logits)(weights)[:, :, -len(v) :]
    norms = torch.linalg.svdvals(jacobian)[:, :1]
    expected = (clip / norms).clamp(max=1) * (at_zero + change)
    assert torch.allclose(tangent(v, rows.x), expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(rows.x[:, -1:], norms, rtol=1e-12)
    assert torch.equal(tangent(v, rows.x).argmax(1), (at_zero + change).argmax(1))


@by_kind
def test_no_row_is_longer_than_declared(activation: str, layers: int | None) -> None:
    _, _, tangent, rows = net_and_tangent(activation=activation, layers=layers, clip=1.2)
    jacobian = jacrev(tangent)(torch.zeros(tangent.dimension).double(), rows.x)
    norms = torch.linalg.svdvals(jacobian)[:, 0]
    assert norms.max() <= 1.2 == tangent.row_norm(0.1)
    assert (norms > 1.2 * (1 - 1e-12)).any()


@pytest.mark.parametrize("form", FORMS)
@by_kind
def test_gradient_and_hessian_are_those_of_the_objective(
    activation: str, layers: int | None, form: str
) -> None:
    problem = problems.tangent(activation=activation, layers=layers)
    v, u = random(problem.model.dimension), random(problem.model.dimension, 2)
    slope = grad(lambda w: problem.loss(w, problem.train))
    expected, product = jvp(slope, (v,), (u,))
    hessian = problem.hessian(v, problem.train, **FORMS[form])
    assert torch.allclose(hessian.gradient, expected, rtol=0, atol=1e-14)
    assert torch.allclose(hessian @ u, product, rtol=0, atol=1e-14)
    assert torch.allclose(gauss_newton(problem, v, problem.train) @ u, product, atol=1e-14)
    shares = random(len(problem.train), 3).abs()
    weighted = problem.weighted_hessian(v, problem.train, shares) @ u
    by_row = sum(
        share * (problem.hessian(v, problem.train.take(torch.tensor([i]))) @ u - 0.05 * u)
        for i, share in enumerate(shares)
    )
    assert torch.allclose(weighted, by_row + 0.05 * u, atol=1e-13)


def test_known_logits_save_a_pass_and_change_nothing() -> None:
    problem = problems.tangent()
    v, u = random(problem.model.dimension), random(problem.model.dimension, 2)
    settings = {"loss": "cross_entropy", "ridge": 0.05}
    rows = problem.train.x, problem.train.y
    plain = TangentHessian(problem.model.tangent, *rows, v, **settings)
    other = TangentHessian(problem.model.tangent, *rows, v, logits=plain.logits, **settings)
    assert torch.equal(plain @ u, other @ u)
    moved = TangentHessian(problem.model.tangent, *rows, v - u, **settings)
    assert torch.allclose(plain.logits - plain.change(u), moved.logits, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_theorem_T_constants_hold(seed: int) -> None:
    problem = problems.tangent(seed, clip=2.0, ridge=0.01)
    constants = head_constants(problem)
    assert constants.strong_convexity == 0.01
    assert constants.gradient_lipschitz == 2.0**2 / 2 + 0.01
    v, step = 3 * random(problem.model.dimension, seed), random(problem.model.dimension, seed + 9)
    loss = lambda w: problem.loss(w, problem.train)  # noqa: E731
    at, after = (torch.func.hessian(loss)(w) for w in (v, v + step))
    spectrum = torch.linalg.eigvalsh(at)
    assert spectrum[0] >= 0.01 * (1 - 1e-12)
    assert spectrum[-1] <= constants.gradient_lipschitz
    change = torch.linalg.matrix_norm(after - at, 2)
    assert change <= constants.hessian_lipschitz * step.norm()
    for i in range(len(problem.train)):
        own = grad(problem.data_loss)(v, problem.train.take(torch.tensor([i])))
        assert own.norm() <= constants.sample_gradient
    u = random(problem.model.dimension, seed + 20)
    second = lambda w: jvp(grad(loss), (w,), (u,))[1].dot(u)  # noqa: E731
    curvature, third = jvp(second, (v,), (step,))
    assert third.abs() <= constants.self_concordance * step.norm() * curvature


REQUESTS = {"one": [3], "some": list(range(0, 30, 3)), "half": list(range(30)), "none": []}
METHODS = {
    "newton": Newton(),
    "newton-iterated": IteratedNewton(),
    "newton-chord": ChordNewton(),
    "tangent-newton": TangentNewton(),
    "sampled": TangentNewton(axes=2, sample=20, product_rows=25),
    "retrained": TangentNewton(retrain="kept"),
    "retrained-own": TangentNewton(retrain="own", sample=20, product_rows=20),
}


@cache
def linearised(seed: int, ridge: float, clip: float) -> Problem:
    """One for all methods, so that it is trained once."""
    return problems.tangent(seed, ridge=ridge, clip=clip, classes=3 + seed)


@pytest.mark.parametrize("rows", REQUESTS)
@pytest.mark.parametrize("ridge", [0.1, 0.001])
@pytest.mark.parametrize("name", METHODS)
def test_no_retrained_model_is_further_than_claimed(name: str, ridge: float, rows: str) -> None:
    method = METHODS[name]
    for seed, clip in ((0, 1.0), (1, 4.0), (2, 1e9)):
        problem = linearised(seed, ridge, clip)
        if problem.model.shortfall > math.sqrt(4 * math.log(problem.model.classes) / ridge):
            continue
        request = asked(method, problem, REQUESTS[rows], distance=3e-3)
        release = method.answer(request)
        retrained = fitted(problem, tuple(REQUESTS[rows]))
        evidence = release.claim.evidence
        distance = float((release.state.weights - retrained).norm())
        assert distance <= evidence.reached <= evidence.bound == 3e-3
        assert verdict(release.claim) == "proved"


def test_a_sample_stands_for_all_rows_that_it_is_drawn_from() -> None:
    problem = problems.tangent(clip=2.0)
    rows = Rows(problem.train.x.float(), problem.train.y)
    v, u = (random(problem.model.dimension, seed).float() for seed in (1, 2))
    index, logits = torch.arange(5, len(rows)), problem.model(v, rows.x)
    whole = problem.hessian(v.double(), problem.train.take(index)) @ u.double()
    method, found, kinds = TangentNewton(), [], set()
    for seed in range(300):
        sample = method.drawn(problem, rows, index, logits, Seeds.all(seed), 30)
        assert abs(len(sample.index) - 30) <= 1
        assert set(sample.index.tolist()) <= set(index.tolist())
        kinds |= set(sample.index.tolist())
        shares = sample.counts.double() / len(index)
        found.append(
            problem.weighted_hessian(v.double(), problem.train.take(sample.index), shares)
            @ u.double()
        )
    products = torch.stack(found)
    off = (products.mean(dim=0) - whole).abs()
    assert (off <= 5 * products.std(dim=0) / 300**0.5 + 1e-6).all()
    assert len(kinds) == len(index)


def test_a_request_pays_for_no_hessian_product_in_double_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where Theorem 6 might do without a step: the step and its gradient take less."""
    problem, method, seen = problems.tangent(ridge=0.01, clip=1.0), TangentNewton(), []
    request = asked(method, problem, [3], distance=1.0)
    weights = request.original.weights
    step = float((weights - problem.fit(request.retain, torch.Generator())).norm())
    plain = float(problem.gradient(weights, request.retain_rows).norm()) / 0.01
    assert step < plain / 1.2
    request = asked(method, problem, [3], distance=(step * plain) ** 0.5)
    product = TangentHessian.__matmul__

    def multiplied(self: TangentHessian, vector: Tensor) -> Tensor:
        seen.append(vector.dtype)
        return product(self, vector)

    monkeypatch.setattr(TangentHessian, "__matmul__", multiplied)
    evidence = method.answer(request).claim.evidence
    assert evidence.theorem == "thm5"
    assert set(seen) == {torch.float32}


def asked(method: Method, problem: Problem, forget: list[int], distance: float) -> Request:
    state = begun(method, problem)
    target = Target(distance=distance)
    return Request.of(problem, state, torch.tensor(forget, dtype=torch.int64), target=target)


def test_two_minimisers_are_no_further_apart_than_doing_nothing_is_said_to_be() -> None:
    """At v = -e, the last layer taken away, all logits are 0, whatever the rows are."""
    problem = problems.tangent(ridge=1e-3)
    model = problem.model
    none = -torch.cat([part.flatten() for part in model.last_layer])
    none = torch.cat([torch.zeros(model.dimension - len(none)).double(), none])
    assert torch.allclose(model(none, problem.train.x), torch.zeros(1).double(), atol=1e-13)
    assert float(none.norm()) == pytest.approx(model.shortfall)
    other = replace(problem, train=Rows(problem.train.x, (problem.train.y + 1) % 3))
    rows = problems.every_row(problem)
    ends = [one.fit(rows, torch.Generator()) for one in (problem, other)]
    radius = math.sqrt(math.log(3) / 1e-3 + model.shortfall**2 / 4)
    for end in ends:
        assert float((end - none / 2).norm()) <= radius
    assert float((ends[0] - ends[1]).norm()) <= 2 * radius <= diameter(problem)


def test_a_last_layer_that_is_too_long_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="last layer has norm"):
        _ = problems.tangent(ridge=100.0).row_norm


def test_another_loss_is_refused() -> None:
    with pytest.raises(LetheError, match=r"objective\.loss = 'cross_entropy'"):
        replace(problems.tangent(), objective=Objective(loss="squared", ridge=0.1))


def test_a_chord_of_too_many_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.problem.tangent.LARGEST", 50)
    with pytest.raises(AssumptionBroken, match="take tangent-newton"):
        asked(ChordNewton(), problems.tangent(), [3], distance=1e-2)


@pytest.mark.parametrize("problem", [problems.softmax, problems.mlp])
def test_another_model_is_refused(problem: Callable[[], Problem]) -> None:
    with pytest.raises(AssumptionBroken, match=r"model\.kind = 'tangent'"):
        asked(TangentNewton(), problem(), [3], distance=1e-2)


def test_a_state_that_was_not_prepared_is_refused() -> None:
    problem, method = problems.tangent(), TangentNewton()
    state = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    with pytest.raises(AssumptionBroken, match="prepare the state"):
        method.answer(Request.of(problem, state, torch.tensor([3])))


@pytest.mark.parametrize("layers", [None, 1, 2])
def test_the_whole_preconditioner_is_the_inverse(layers: int | None) -> None:
    problem = problems.tangent(layers=layers)
    model, b = problem.model, random(problem.model.dimension, 5)
    v = random(model.dimension)
    hessian = problem.hessian(v, problem.train)
    p = problem.model(v, problem.train.x).softmax(dim=1)
    shares = torch.full((len(p),), 1 / len(p))
    settings = {"ridge": 0.05, "axes": model.axes}
    whole = precondition(model.tangent, problem.train.x, p, shares, leading=99, **settings)
    assert (hessian @ whole.solve(b) - b).norm() <= 1e-4 * b.norm()
    part = precondition(model.tangent, problem.train.x, p, shares, leading=2, **settings)
    inverse = torch.stack([part.solve(e) for e in torch.eye(len(b)).double()])
    assert torch.allclose(inverse, inverse.T, atol=1e-5)
    assert torch.linalg.eigvalsh(inverse)[0] > 0
    if layers is None:  # what it leaves out is not all
        left = torch.stack([hessian @ row for row in inverse]) - torch.eye(len(b))
        assert torch.linalg.eigvals(left).abs().max() < 1


def test_affine_maps_are_seeded_and_keep_the_range() -> None:
    x = torch.rand(7, 6 * 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, again, other = (
        affine(x, (6, 6, 1), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert first.shape == x.shape
    assert not torch.equal(first, other)
    assert not torch.isclose(first, x).all(dim=1).any()
    assert x.min() <= first.min() <= first.max() <= x.max()
    blank = torch.full_like(x, -1.0)
    assert torch.allclose(affine(blank, (6, 6, 1), torch.Generator()), blank)


def digits(seed: int = 0) -> Problem:
    return build(experiment.load("digits-tangent").problem, Seeds.all(seed), CPU)[0]


def test_the_public_net_is_a_function_of_public_rows_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_CACHE", str(tmp_path))
    spec = experiment.load("digits-tangent").problem
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"epochs": 3})})
    first, chosen = build(spec, Seeds.all(0), CPU)
    kept = list((tmp_path / "public-nets").iterdir())
    assert len(kept) == 1
    fewer = spec.model_copy(update={"split": spec.split.model_copy(update={"train": 50})})
    other, _ = build(fewer, Seeds.all(0), CPU)
    assert [one.stat().st_mtime_ns for one in kept] == [
        one.stat().st_mtime_ns for one in (tmp_path / "public-nets").iterdir()
    ]
    assert torch.equal(first.public.x, other.public.x)
    assert torch.equal(first.test.x, other.test.x)
    kept[0].unlink()
    assert torch.equal(build(spec, Seeds.all(0), CPU)[0].train.x, first.train.x)
    apart = build(spec, Seeds(training=1), CPU)[0]
    assert torch.equal(apart.public.y, first.public.y)
    assert not torch.equal(apart.public.x, first.public.x)
    assert not torch.isin(chosen.public, chosen.train).any()


def test_a_public_net_learns_its_rows() -> None:
    rows = problems.rows(60, 5, 3, 0, torch.float64)
    spec = spec_of(epochs=60, learning_rate=0.02, batch=20)
    weights = train_public(spec, rows, (1, 5, 1), 3, torch.Generator().manual_seed(0))
    right = Model(spec.net, 5, 3)(weights, rows.x).argmax(1) == rows.y
    assert right.double().mean() > 0.9


def test_a_net_with_gelu_has_its_products_by_autograd() -> None:
    model = Model(MLPSpec(kind="mlp", hidden=(4,), activation="gelu"), 5, 3)
    problem = replace(problems.mlp(), model=model, train=problems.rows(20, 5, 3, 0, torch.float64))
    assert default(problem) == "kept-graph"
    w, u = random(model.dimension), random(model.dimension, 2)
    expected = jvp(grad(lambda w: problem.loss(w, problem.train)), (w,), (u,))[1]
    assert torch.allclose(problem.hessian(w, problem.train) @ u, expected, atol=1e-14)
    batch = problem.train.x[None], problem.train.y[None], u[None]
    found = problem.minibatch_hessians(w)(*batch)[0] + problem.objective.ridge * u
    assert torch.allclose(found, expected, atol=1e-14)
    assert gauss_newton(problem, w, problem.train).gradient.shape == w.shape


def test_digits_are_proved_and_better_than_the_public_net() -> None:
    loaded = experiment.load("digits-tangent")
    problem = digits()
    forget, method = torch.arange(0, 50, 5), TangentNewton()
    state = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    state = method.prepare(problem, state, Seeds(), Clock())
    release = method.answer(Request.of(problem, state, forget, target=loaded.target))
    assert verdict(release.claim) == "proved"

    def right(weights: Tensor) -> float:
        answers = problem.model(weights, problem.test.x).argmax(1)
        return float((answers == problem.test.y).double().mean())

    public = right(torch.zeros_like(state.weights))
    assert right(release.predictor.weights) > public + 0.01 > 0.8


TOML = (experiment.FOLDER / "digits-tangent.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("clip = 10, ", "", "declares clip, the norm that no row's Jacobian exceeds"),
        ("clip = 10", "clip = 0", "model.clip: Input should be greater than 0"),
        ("clip = 10", "clip = inf", "model.clip is inf: write a finite number"),
        ("clip = 10", "clip = 10, layers = 4", "the net has 3 layers"),
        (", public = 200", "", "set problem.split.public"),
        ('loss = "cross_entropy"', 'loss = "squared"', "certified for the cross-entropy"),
        ('precision = "float64"', 'precision = "float32"', "in float64"),
        ('features = "centred-pixels"', 'features = "pooled-pixels"', "augment is for images"),
    ],
)
def test_bad_settings_are_one_clear_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in TOML
    path = tmp_path / "bad.toml"
    path.write_text(TOML.replace(before, after), encoding="utf-8")
    with pytest.raises(LetheError, match=message) as error:
        experiment.load(str(path))
    assert "\n" not in str(error.value)
