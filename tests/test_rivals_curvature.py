"""Fidelity of the uncertified baselines that use curvature: each against a known answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.fisher_forgetting import FisherForgetting
from baselines.influence import Influence
from baselines.synaptic_dampening import SynapticDampening, importance
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature import fisher
from benchmark.curvature.fisher import fisher_diagonal, mean_squared_gradient
from benchmark.errors import DidNotConverge
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import NewtonTraining
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
    monkeypatch.setattr(fisher, "HELD", held)
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
