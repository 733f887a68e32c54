"""Fidelity of L-CODEC: the coefficient, the selection, the step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.influence import Influence
from baselines.l_codec import LCodec
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.dependence import conditional_dependence, dependence, feature_ordering
from benchmark.problem.units import Units
from tests import problems

FORGET = torch.tensor([3, 17, 41, 58])


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
