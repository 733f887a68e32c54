"""Models, objective, predictor, training, seeds, clock."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from benchmark.contract.clock import Clock
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.ball import ball_residual, project
from benchmark.problem.declared import Declared
from benchmark.problem.model import MLPSpec, Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.predictor import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import AdamTraining, NewtonTraining
from benchmark.problem.training.descent import batches
from tests import problems


def generator(seed: int = 0) -> torch.Generator:
    return Seeds(training=seed).generator("training")


def test_the_papers_mlp_has_26506_parameters() -> None:
    assert Model(MLPSpec(kind="mlp"), 784, 10).dimension == 26506


def test_flat_weights_are_the_modules_parameters() -> None:
    model = Model(MLPSpec(kind="mlp", hidden=(4,)), 3, 2)
    weights = torch.arange(model.dimension).double()
    x = torch.randn(5, 3, generator=generator()).double()
    first, bias, second, offset = weights.split([12, 4, 8, 2])
    hidden = torch.tanh(x @ first.view(4, 3).T + bias)
    assert torch.allclose(model(weights, x), hidden @ second.view(2, 4).T + offset)


def test_initial_weights_stay_within_the_fan_in() -> None:
    model = Model(SoftmaxSpec(), 100, 10)
    weights = model.initial_weights(generator())
    assert float(weights.abs().max()) <= 0.1
    assert float(weights.std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert not torch.equal(weights, model.initial_weights(generator(1)))


def test_the_objective_counts_the_ridge_once_and_squared() -> None:
    problem = problems.softmax(ridge=0.5)
    w = problem.model.initial_weights(generator())
    gap = problem.loss(w, problem.train) - problem.data_loss(w, problem.train)
    assert float(gap) == pytest.approx(0.25 * float(w.square().sum()))


def test_squared_loss_is_half_the_squared_distance_to_one_hot() -> None:
    logits, y = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([1, 0])
    expected = (0.5 * (1 + 1) + 0.5 * 1) / 2
    assert float(Objective(loss="squared").data_term(logits, y)) == pytest.approx(expected)


def test_an_ensemble_averages_probabilities() -> None:
    problem = problems.softmax()
    members = torch.randn(3, problem.model.dimension, generator=generator()).double()
    x = problem.test.x
    each = [Predictor(problem.model, w).log_probabilities(x).exp() for w in members]
    together = Predictor(problem.model, members).log_probabilities(x).exp()
    assert torch.allclose(together, sum(each) / 3)
    assert torch.allclose(together.sum(dim=1), torch.ones(len(x)).double())


def test_scoring_does_not_depend_on_the_batch() -> None:
    problem = problems.mlp()
    predictor = Predictor(problem.model, problem.fit(problems.every_row(problem), generator()))
    x = problem.test.x
    whole = predictor.log_probabilities(x)
    parts = torch.cat([predictor.log_probabilities(x[:7]), predictor.log_probabilities(x[7:])])
    assert torch.allclose(whole, parts, atol=1e-6)


def test_newton_training_finds_scikit_learns_optimum() -> None:
    problem = problems.softmax(ridge=0.02)
    w = problem.fit(problems.every_row(problem), generator())
    assert float(problem.gradient(w, problem.train).norm()) <= problem.training.tolerance
    # scikit-learn leaves the bias out of the ridge; a constant column brings it in.
    x = torch.cat([problem.train.x, torch.ones(60, 1).double()], dim=1)
    model = LogisticRegression(C=1 / (0.02 * 60), fit_intercept=False, tol=1e-10, max_iter=10000)
    model.fit(x.numpy(), problem.train.y.numpy())
    ours = torch.cat([w[:15].view(3, 5), w[15:].view(3, 1)], dim=1)
    assert torch.allclose(ours, torch.from_numpy(model.coef_), atol=1e-5)


def test_newton_training_refuses_what_it_cannot_reach() -> None:
    problem = problems.softmax()
    start = problem.model.initial_weights(generator())
    for training in (
        NewtonTraining(tolerance=1e-10, max_steps=1),
        NewtonTraining(tolerance=1e-30),
    ):
        with pytest.raises(DidNotConverge, match="gradient norm"):
            training.fit(problem, start, problem.train, generator(), 1.0)


def test_adam_training_is_torchs_adam_with_the_ridge_in_the_loss() -> None:
    problem = problems.mlp(radius=None)
    ours = problem.fit(problems.every_row(problem), generator(3))
    g = generator(3)
    w = problem.model.initial_weights(g).float().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=problem.training.learning_rate)
    for _ in range(problem.training.epochs):
        order = torch.randperm(60, generator=g)
        for start in range(0, 60, 16):
            index = order[start : start + 16]
            optimiser.zero_grad()
            problem.loss(w, problem.train.take(index)).backward()
            optimiser.step()
    assert torch.allclose(ours, w, atol=1e-5)


def test_training_stays_in_the_ball() -> None:
    training = AdamTraining(algorithm="adam", epochs=5, batch=16, learning_rate=0.5, radius=0.7)
    problem = problems.mlp()
    start = problem.model.initial_weights(generator()).float()
    w = training.fit(problem, start, problem.train, generator(), 1.0)
    assert float(w.norm()) <= 0.7 * (1 + 1e-6)


def test_projection_is_onto_the_ball_not_the_sphere() -> None:
    inside, outside = torch.tensor([0.3, 0.4]), torch.tensor([3.0, 4.0])
    assert torch.equal(project(inside, 1.0), inside)
    assert torch.allclose(project(outside, 1.0), torch.tensor([0.6, 0.8]))
    assert torch.equal(project(outside, None), outside)


def test_an_epoch_visits_every_row_once() -> None:
    rows = Rows(torch.arange(10.0).unsqueeze(1), torch.arange(10))
    parts = list(batches(rows, 4, generator()))
    assert [len(part) for part in parts] == [4, 4, 2]
    seen = torch.cat([part.y for part in parts])
    assert not torch.equal(seen, torch.arange(10))
    assert torch.equal(seen.sort().values, torch.arange(10))
    assert all(torch.equal(part.x.squeeze(1).long(), part.y) for part in parts)


def test_seeds_are_separate_axes() -> None:
    def draw(seeds: Seeds, axis: str, *scope: object) -> float:
        return float(torch.rand((), generator=seeds.generator(axis, *scope)))

    base = Seeds()
    axes = list(Seeds.model_fields)
    assert len({draw(base, axis) for axis in axes}) == len(axes)
    for axis in axes:
        other = Seeds(**{axis: 1})
        changed = {a for a in axes if draw(base, a) != draw(other, a)}
        assert changed == {axis}
    assert draw(base, "noise", "a") != draw(base, "noise", "b")
    assert draw(base, "noise", "a") == draw(base, "noise", "a")


def test_the_clock_sums_phases_and_refuses_to_nest() -> None:
    heard: list[str] = []
    clock = Clock(listener=heard.append)
    for _ in range(2):
        start = clock.now()
        with clock.phase("noise"):
            while clock.now() < start + 0.01:
                pass
    assert heard == ["noise", "noise"]
    assert clock.seconds["noise"] > 0.01, "both repeats count"
    with clock.phase("a"), pytest.raises(RuntimeError, match="inside phase 'a'"):
        clock.phase("b").__enter__()


def test_one_thread_is_charged_for_work_and_not_for_waiting() -> None:
    threads = torch.get_num_threads()
    charged = {}
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            clock = Clock()
            with clock.phase("waiting"):
                time.sleep(0.2)
            charged[count] = clock.seconds["waiting"]
    finally:
        torch.set_num_threads(threads)
    assert charged[1] < 0.1
    assert charged[2] >= 0.2


def held_mlp(radius: float | None, **changes: float) -> Problem:
    plain = problems.mlp(radius=radius)
    held = {"gradient_tolerance": 0.02, "learning_rate": 0.01} | changes
    return replace(plain, training=plain.training.model_copy(update=held))


@pytest.mark.parametrize("radius", [None, 30.0])
def test_adam_goes_on_until_the_gradient_tolerance_is_met(radius: float | None) -> None:
    problem = held_mlp(radius)
    weights = problem.fit(problems.every_row(problem), generator())
    gradient = problem.gradient(weights, problem.train)
    assert ball_residual(weights, gradient, radius) <= 0.02
    assert problem.training.gradient_bound == 0.02


@pytest.mark.parametrize(("radius", "tolerance"), [(10.0, 1e-7), (2.0, 0.02)])
def test_adam_that_misses_its_tolerance_is_an_error(radius: float, tolerance: float) -> None:
    """On an active ball Adam's own scaling of the gradient keeps it from a stationary point."""
    problem = held_mlp(radius, gradient_tolerance=tolerance, max_epochs=12)
    with pytest.raises(DidNotConverge, match="raise max_epochs or gradient_tolerance"):
        problem.fit(problems.every_row(problem), generator())


def test_without_a_tolerance_training_ends_by_the_clock() -> None:
    assert problems.mlp().training.gradient_bound is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_declared_norm_takes_the_place_of_the_longest_row(dtype: torch.dtype) -> None:
    """Rows that were scaled to it have it to the last digits of their precision."""
    plain = problems.softmax(n=500)
    x = plain.train.x / plain.train.x.norm(dim=1, keepdim=True)
    scaled = replace(plain, train=Rows(x.to(dtype), plain.train.y))
    stated = replace(scaled, declared=Declared(feature_norm=1.0))
    assert stated.row_norm == pytest.approx(2**0.5, rel=1e-6)
    assert stated.row_norm >= scaled.row_norm
    fewer = replace(stated, train=stated.train.take(torch.arange(100)))
    assert fewer.row_norm == stated.row_norm, "whatever rows there are"
    longer = replace(stated, train=Rows(x.to(dtype) * 1.001, plain.train.y))
    with pytest.raises(AssumptionBroken, match=r"norm 1 at most, and a row has 1\.001: declare"):
        _ = longer.row_norm


def test_a_declared_number_of_rows_takes_the_place_of_those_left() -> None:
    plain = problems.softmax()
    stated = replace(plain, declared=Declared(rows_at_least=40))
    assert (plain.rows_at_least(55), stated.rows_at_least(55)) == (55, 40)
    with pytest.raises(AssumptionBroken, match="39 rows are left, fewer than the 40 that"):
        stated.rows_at_least(39)
