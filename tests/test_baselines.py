"""Fidelity of the baselines: each against what its paper says it must do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from baselines.fine_tune import FineTune
from baselines.gradient_ascent import GradientAscent
from baselines.retrain import Retrain
from baselines.retrain_briefly import RetrainBriefly
from baselines.sisa import SISA
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from tests import problems

FORGET = torch.tensor([3, 17, 41, 58])
KINDS = [problems.softmax, problems.mlp]


def ask(method, problem: Problem, forget: torch.Tensor = FORGET):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, forget)
    return request, method.answer(request)


@pytest.mark.parametrize("kind", KINDS)
def test_T8_retrain_trains_on_exactly_train_minus_forget(kind, monkeypatch) -> None:
    seen: list[torch.Tensor] = []
    problem = kind()
    plain = Problem.fit

    def spy(self, index, generator, **more):
        seen.append(index)
        return plain(self, index, generator, **more)

    monkeypatch.setattr(Problem, "fit", spy)
    ask(Retrain(), problem)
    original, retrained = (set(index.tolist()) for index in seen)
    assert original == set(range(len(problem.train)))
    assert retrained == original - set(FORGET.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_retrain_does_not_depend_on_what_is_forgotten(kind) -> None:
    problem = kind()
    spoilt = problem.train.x.clone()
    spoilt[FORGET] = 7.0
    other = replace(problem, train=Rows(spoilt, problem.train.y))
    plain, blind = ask(Retrain(), problem)[1], ask(Retrain(), other)[1]
    assert torch.equal(plain.state.weights, blind.state.weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [1, 3, 7])
def test_sisa_equals_sisa_trained_without_the_forgotten_rows(kind, slices: int) -> None:
    """Slices of 60 / 4 = 15 rows do not divide by 7: the tail must not reuse a stale model."""
    problem, method = kind(), SISA(shards=4, slices=slices)
    for forget in (FORGET, torch.tensor([59]), torch.tensor([0])):
        request, release = ask(method, problem, forget)
        scratch = method.train(problem, request.retain, Seeds(), Clock())
        assert torch.equal(release.state.weights, scratch.weights)


def test_sisa_retrains_only_the_touched_shard_from_the_touched_slice(monkeypatch) -> None:
    problem, method = problems.mlp(), SISA(shards=4, slices=3)
    shard, slice_ = method._places(problem, Seeds())
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    calls = []
    plain = Problem.fit

    def spy(self, index, generator, **more):
        calls.append(index)
        return plain(self, index, generator, **more)

    monkeypatch.setattr(Problem, "fit", spy)
    row = int((slice_ == 1).nonzero()[0])
    release = method.answer(Request.of(problem, original, torch.tensor([row])))
    assert len(calls) == 2, "slices 1 and 2 of one shard"
    assert all((shard[index] == shard[row]).all() for index in calls)
    changed = (release.state.weights != original.weights).any(dim=1)
    assert changed.nonzero().squeeze(1).tolist() == [int(shard[row])]


def test_sisa_shards_partition_the_rows_evenly() -> None:
    shard, slice_ = SISA(shards=4, slices=3)._places(problems.mlp(), Seeds())
    assert torch.bincount(shard).tolist() == [15] * 4
    assert torch.bincount(slice_[shard == 0]).tolist() == [5] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_ascent_raises_the_loss_on_the_forgotten_rows(kind) -> None:
    problem = kind()
    request, release = ask(GradientAscent(epochs=20, learning_rate=1e-2), problem)
    rows = request.forget_rows
    before = float(problem.data_loss(request.original.weights, rows))
    assert float(problem.data_loss(release.state.weights, rows)) > before


def test_retraining_briefly_is_adam_from_a_fresh_model_on_the_retained_rows() -> None:
    """By hand: torch's own Adam, the batches in the order that the request's generator draws."""
    problem = replace(problems.softmax(), training=problems.mlp(radius=None).training)
    method = RetrainBriefly(epochs=3, batch=16, learning_rate=0.02)
    request, release = ask(method, problem)
    draws = request.generator("training", "retrain-briefly")
    weights = problem.model.initial_weights(draws).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.02)
    kept = torch.tensor([k for k in range(60) if k not in FORGET.tolist()])
    for _ in range(3):
        for part in torch.randperm(len(kept), generator=draws).split(16):
            optimiser.zero_grad()
            problem.loss(weights, problem.train.take(kept[part])).backward()
            optimiser.step()
    assert torch.allclose(release.state.weights, weights.detach(), atol=1e-12)
    assert verdict(release.claim) == "exact"
    assert release.claim.definition == "reference", "the trained reference is another model"


@pytest.mark.parametrize("kind", KINDS)
def test_retraining_briefly_sees_neither_the_original_nor_what_is_forgotten(kind) -> None:
    problem = kind()
    request, plain = ask(RetrainBriefly(), problem)
    x, y = problem.train.x.clone(), problem.train.y.clone()
    x[FORGET], y[FORGET] = 7.0, 0
    secret = replace(request.original, weights=request.original.weights + 1)
    spoilt = replace(problem, train=Rows(x, y))
    other = RetrainBriefly().answer(replace(request, problem=spoilt, original=secret))
    assert torch.equal(plain.state.weights, other.state.weights)


def test_retraining_briefly_ends_where_retraining_does_if_it_is_not_brief() -> None:
    """Strongly convex: after many epochs of all rows at a time, near the retained optimum."""
    problem = problems.softmax()
    _, release = ask(RetrainBriefly(epochs=1500, batch=60, learning_rate=1e-2), problem)
    _, exact = ask(Retrain(), problem)
    _, short = ask(RetrainBriefly(epochs=1, batch=60, learning_rate=1e-2), problem)
    near, far = (float((r.state.weights - exact.state.weights).norm()) for r in (release, short))
    assert near < 1e-4 < 0.5 < far


def test_fine_tuning_lowers_the_objective_on_the_retained_rows() -> None:
    problem = problems.mlp()
    request, release = ask(FineTune(epochs=20), problem)
    rows = request.retain_rows
    before = float(problem.loss(request.original.weights, rows))
    assert float(problem.loss(release.state.weights, rows)) < before
