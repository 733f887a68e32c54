"""Fidelity of the uncertified baselines that use curvature: each against a known answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.fisher_forgetting import FisherForgetting
from baselines.influence import Influence
from baselines.l_codec import LCodec
from baselines.synaptic_dampening import SynapticDampening, importance
from benchmark import registry
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature import output_loss
from benchmark.curvature.output_loss import fisher_diagonal, mean_squared_gradient
from benchmark.dependence import conditional_dependence, dependence, feature_ordering
from benchmark.errors import DidNotConverge
from benchmark.problem.model import AllCNNSpec, Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.problem.variants import Units
from benchmark.rows import Rows
from tests import problems

FORGET = torch.tensor([3, 17, 41, 58])
KINDS = [problems.softmax, problems.mlp]


def ask(method: Method, problem: Problem, forget: Tensor = FORGET) -> tuple[Request, Release]:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    request = Request.of(problem, original, forget)
    return request, method.answer(request)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_squared_gradients_are_those_of_row_by_row_autograd(kind, chunk: int) -> None:
    problem = kind()
    weights = problem.model.initial_weights(torch.Generator().manual_seed(0)).to(problem.dtype)
    rows = problem.train
    expected = torch.stack(
        [
            problem.gradient(weights, rows.take(torch.tensor([i])))
            - problem.objective.ridge * weights
            for i in range(len(rows))
        ]
    ).square()

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return problem.data_loss(w, Rows(x, y))

    found = mean_squared_gradient(loss, weights, rows.x, rows.y, chunk=chunk)
    assert torch.allclose(found, expected.mean(dim=0), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("held", [1, 1 << 25])
def test_fisher_is_the_gauss_newton_diagonal(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Fisher matrix of a linear softmax is the Hessian, whatever the labels."""
    monkeypatch.setattr(output_loss, "HELD", held)
    problem = problems.softmax(ridge=0.0, n=20)
    weights = problem.model.initial_weights(torch.Generator().manual_seed(0))
    hessian = problem.hessian(weights, problem.train)
    diagonal = torch.stack(
        [hessian @ unit for unit in torch.eye(len(weights), dtype=weights.dtype)]
    ).diagonal()
    found = fisher_diagonal(problem.model, weights, problem.train.x)
    assert torch.allclose(found, diagonal, rtol=1e-10)


def two_points() -> tuple[Problem, State]:
    """Rows (1, 0) and (0, 2), least squares without a ridge: gradients known by hand.

    The logits are W x + b with W = [[a, b'], [c, d]]; one layer of 2 x 2 weights, then 2 biases.
    """
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    rows = Rows(x, torch.tensor([0, 1]))
    problem = Problem(
        model=Model(SoftmaxSpec(), 2, 2),
        objective=Objective(loss="squared"),
        training=NewtonTraining(),
        train=rows,
        negatives=rows,
        test=rows,
    )
    weights = torch.tensor([0.5, 1.0, 0.25, 0.75, 0.0, 0.0], dtype=torch.float64)
    return problem, State(weights, torch.arange(2))


def test_dampening_by_hand_computed_fisher() -> None:
    problem, original = two_points()
    # Residuals: row 0 gives (0.5 - 1, 0.25 - 0), row 1 (2 - 0, 1.5 - 1).
    # Squared gradients over (W00, W01, W10, W11, b0, b1):
    first = torch.tensor([0.25, 0, 0.0625, 0, 0.25, 0.0625], dtype=torch.float64)
    second = torch.tensor([0, 16, 0, 1, 4, 0.25], dtype=torch.float64)
    assert torch.allclose(
        importance(problem, original.weights, problem.train), (first + second) / 2
    )
    method = SynapticDampening(alpha=1.5, strength=0.4)
    original = method.prepare(problem, original, Seeds(), Clock())
    release = method.answer(Request.of(problem, original, torch.tensor([1])))
    # Of row 1: W01 and W11 have 2 x their importance in training, b0 32 / 17 x, b1 1.6 x; the
    # factors are strength over that ratio. W00 and W10 have none there and stay.
    expected = torch.tensor([0.5, 0.2 * 1.0, 0.25, 0.2 * 0.75, 0, 0], dtype=torch.float64)
    assert torch.allclose(release.state.weights, expected)
    assert torch.equal(release.state.memory, original.memory)


def test_dampening_never_enlarges_a_weight() -> None:
    problem = problems.mlp()
    request, release = ask(SynapticDampening(alpha=1.0, strength=100.0), problem)
    assert torch.equal(release.state.weights, request.original.weights), "beta is capped at 1"
    request, release = ask(SynapticDampening(alpha=1.0, strength=0.1), problem)
    assert (release.state.weights.abs() <= request.original.weights.abs()).all()


@pytest.mark.parametrize("solver", ["cg", "minres", "cg-nystroem", "chebyshev"])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_influence_is_exact_on_ridge_least_squares(solver: str, count: int) -> None:
    problem = problems.softmax(loss="squared", ridge=0.1)
    method = Influence(solver=solver, damping=0, tolerance=1e-12, products=500)
    request, release = ask(method, problem, torch.arange(count))
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert float((request.original.weights - retrained).norm()) > 1e-4
    assert torch.allclose(release.state.weights, retrained, atol=1e-9)


def test_influence_is_retraining_to_first_order() -> None:
    """Four times the rows: doing nothing is 4 times nearer, the update 16 times; means of seeds."""
    errors, moves = {}, {}
    for n in (200, 800):
        for seed in range(8):
            problem = problems.softmax(seed, n=n)
            method = Influence(damping=0, tolerance=1e-12, products=500)
            request, release = ask(method, problem, torch.arange(4))
            retrained = problem.fit(request.retain, Seeds().generator("training"))
            error, move = release.state.weights - retrained, request.original.weights - retrained
            errors[n] = errors.get(n, 0) + float(error.norm())
            moves[n] = moves.get(n, 0) + float(move.norm())
    assert 2 < moves[200] / moves[800] < 8
    assert 8 < errors[200] / errors[800] < 32


def test_influence_refuses_an_indefinite_hessian() -> None:
    with pytest.raises(DidNotConverge, match="raise damping"):
        ask(Influence(damping=0), problems.mlp())


@pytest.mark.parametrize("kind", KINDS)
def test_fisher_forgetting_noise_has_the_fisher_spread(kind) -> None:
    """(w' - w) F^(1/4) / scale is standard normal; 5 standard deviations over 60 requests."""
    problem = kind()
    if problem.training.radius is not None:  # without a ball nothing is cut off
        problem = replace(problem, training=problem.training.model_copy(update={"radius": None}))
    method = FisherForgetting(scale=1e-3)
    request, _ = ask(method, problem)
    weights = request.original.weights
    spread = 1e-3 * (fisher_diagonal(problem.model, weights, request.retain_rows.x) + 1e-6) ** -0.25
    draws = torch.stack(
        [
            (method.answer(replace(request, number=i)).state.weights - weights) / spread
            for i in range(60)
        ]
    ).double()
    count = draws.numel()
    assert abs(float(draws.mean())) < 5 / count**0.5
    assert abs(float(draws.square().mean()) - 1) < 5 * (2 / count) ** 0.5
    each = draws.square().mean(dim=0)  # weight by weight, so that no spread stands for another's
    assert float((each - 1).abs().max()) < 8 * (2 / 60) ** 0.5


# --- Fidelity of L-CODEC: the coefficient, the selection, the step -------------------------------


def uniform(n: int, p: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_coefficients_by_their_definition() -> None:
    """Azadkia & Chatterjee, (2.1) and (2.2), in loops over samples."""
    data = uniform(25, 4)
    y, z, x = data[:, 0], data[:, 1:2] + data[:, :1], data[:, 2:]
    n = len(y)

    def nearest(points: torch.Tensor, i: int) -> int:
        return min(
            (j for j in range(n) if j != i), key=lambda j: float((points[i] - points[j]).norm())
        )

    ranks = [sum(float(a) <= float(b) for a in y) for b in y]
    downs = [sum(float(a) >= float(b) for a in y) for b in y]
    above = sum(n * min(ranks[i], ranks[nearest(z, i)]) - downs[i] ** 2 for i in range(n))
    below = sum(downs[i] * (n - downs[i]) for i in range(n))
    assert dependence(y, z) == pytest.approx(above / below)
    both = torch.cat([x, z], dim=1)
    above = sum(
        min(ranks[i], ranks[nearest(both, i)]) - min(ranks[i], ranks[nearest(x, i)])
        for i in range(n)
    )
    below = sum(ranks[i] - min(ranks[i], ranks[nearest(x, i)]) for i in range(n))
    assert conditional_dependence(y, z, x) == pytest.approx(above / below)


def test_a_sum_modulo_one_depends_on_both_summands_together_alone() -> None:
    x = uniform(2000, 2)
    y = (x[:, 0] + x[:, 1]) % 1
    assert abs(dependence(y, x[:, :1])) < 0.1
    assert dependence(y, x) > 0.85
    assert conditional_dependence(y, x[:, :1], x[:, 1:]) > 0.85
    noise = uniform(2000, 1, seed=1)
    assert abs(conditional_dependence(y, noise, x[:, 1:])) < 0.1


def test_feature_ordering_finds_what_decides() -> None:
    x = uniform(500, 8)
    y = x[:, 2] + 0.3 * x[:, 5]
    assert feature_ordering(y, x)[:2] == [2, 5]


def test_units_put_out_what_their_weights_say() -> None:
    problem = problems.mlp()
    model, x = problem.model, problem.train.x
    weights = model.initial_weights(torch.Generator().manual_seed(0)).float()
    units = Units(model)
    outputs, logits = units.outputs(weights, x)
    assert torch.equal(logits, model(weights, x))
    assert torch.equal(outputs[:, -3:], logits)
    assert torch.allclose(outputs[:, :6], x @ weights[:30].view(6, 5).T + weights[30:36], atol=1e-6)
    owners = units.owners()
    assert torch.bincount(owners).tolist() == 6 * [6] + 6 * [7] + 3 * [7]
    changed = weights.clone()
    changed[owners == 4] += 1
    moved = (units.outputs(changed, x)[0][:, :6] != outputs[:, :6]).any(dim=0)
    assert moved.tolist() == [False, False, False, False, True, False]


def test_the_unit_that_decides_the_loss_is_chosen_first() -> None:
    problem = problems.softmax()
    weights = torch.zeros(18, dtype=torch.float64)
    weights[5], weights[1], weights[12] = 3.0, 1e-4, 1e-4  # class 1 looks at input 0
    original = LCodec().train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, replace(original, weights=weights), FORGET[:1])
    assert LCodec()._blanket(request, Units(problem.model))[0] == 1


def test_weights_of_other_units_stay() -> None:
    problem, method = problems.mlp(), LCodec()
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, FORGET)
    units = Units(problem.model)
    chosen = torch.isin(units.owners(), torch.tensor(method._blanket(request, units)))
    assert 0 < chosen.sum() < len(chosen)
    after = method.answer(request).state.weights
    assert torch.equal(after[~chosen], original.weights[~chosen])
    assert (after[chosen] != original.weights[chosen]).all()


def test_with_every_unit_it_is_the_influence_update(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.softmax()
    settings = {"damping": 0.1, "tolerance": 1e-12}
    monkeypatch.setattr(LCodec, "_blanket", lambda self, request, units: [0, 1, 2])
    original = LCodec().train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, FORGET)
    whole = Influence(**settings).answer(request).state.weights
    assert torch.allclose(LCodec(**settings).answer(request).state.weights, whole, atol=1e-10)


@pytest.mark.parametrize("method", [Influence, LCodec])
def test_new_versions_of_altered_rows_are_subtracted(
    method: type[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps from an optimum are along the gradient on the rows as they are now."""
    before = problems.softmax()
    original = LCodec().train(before, problems.every_row(before), Seeds(), Clock())
    lost, altered = FORGET[:2], FORGET[2:]
    x = before.train.x.clone()
    x[altered] = 0.5 * x[altered].flip(1)
    after = replace(before, train=Rows(x, before.train.y))
    request = Request.of(after, original, lost, altered=altered, before=before.train)
    hessian, w = after.hessian(original.weights, request.retain_rows), original.weights
    dense = torch.stack([hessian @ row for row in torch.eye(len(w), dtype=w.dtype)])
    dense += 0.1 * torch.eye(len(w), dtype=w.dtype)
    step = torch.linalg.solve(dense, hessian.gradient)
    monkeypatch.setattr(LCodec, "_blanket", lambda self, request, units: [0, 1, 2])
    found = method(damping=0.1, tolerance=1e-12).answer(request).state.weights
    assert torch.allclose(found, w - step, atol=1e-9)


# --- The uncertified baselines on a convolutional net, which they know as a function of w---------

ENTRIES = [
    name
    for name, found in registry.discover().items()
    if found.family == "baselines" and found.method.role == "entry" and not found.method.evidence
]
#: Off the defaults where these need it on a net that has hardly been trained.
SETTINGS = {"influence": {"damping": 5.0}, "l-codec": {"damping": 5.0, "perturbations": 10}}


def small_allcnn(norm: str = "group") -> Problem:
    def rows(n: int, seed: int) -> problems.Rows:
        return problems.rows(n, 64, 3, seed, torch.float32)

    return Problem(
        model=Model(AllCNNSpec(kind="allcnn", width=2, norm=norm), (8, 8, 1), 3),
        objective=Objective(ridge=1e-3),
        training=AdamTraining(algorithm="adam", epochs=2, batch=16, learning_rate=1e-2, radius=20),
        train=rows(40, 0),
        negatives=rows(10, 1),
        test=rows(10, 2),
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_it_runs_on_a_convolutional_net_and_moves_it(name: str) -> None:
    problem, method = small_allcnn(), registry.find(name).method(**SETTINGS.get(name, {}))
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    release = method.answer(Request.of(problem, original, torch.tensor([1, 5, 9])))
    assert torch.isfinite(release.state.weights).all()
    assert not torch.equal(release.state.weights, original.weights)


def test_a_convolutions_units_are_its_filters() -> None:
    """Their mean output over the image, by the first layer's convolution itself."""
    problem = small_allcnn(norm="none")
    weights = problem.model.initial_weights(torch.Generator().manual_seed(0)).float()
    units, x = Units(problem.model), problem.train.x
    outputs, logits = units.outputs(weights, x)
    assert torch.allclose(logits, problem.model(weights, x), atol=1e-6)
    images = x.view(-1, 8, 8, 1).permute(0, 3, 1, 2)
    first = torch.nn.functional.conv2d(
        images, weights[:18].view(2, 1, 3, 3), weights[18:20], padding=1
    )
    assert torch.allclose(outputs[:, :2], first.mean(dim=(2, 3)), atol=1e-6)
    assert torch.allclose(outputs[:, -3:], logits, atol=1e-6), "the mean of the last maps"
    assert units.owners()[:20].tolist() == 9 * [0] + 9 * [1] + [0, 1]


def test_normalisation_layers_have_no_units_but_are_layers() -> None:
    model = small_allcnn().model
    first, second = model.layers[:2]
    assert (first.start, first.stop, second.stop) == (0, 18, 22), (
        "2 x 9 weights, 2 x 2 for the norm"
    )
    assert Units(model).owners()[18:22].tolist() == 4 * [-1]
