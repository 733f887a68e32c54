"""Models, objective, predictor, training, schedules, augmentation, seeds, clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmark.contract.clock import Clock
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.convex import ball_residual, project
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model, Predictor, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import PADDING, AdamTraining, augmented
from benchmark.problem.training.descent import batches, descend
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Declared, Rows
from benchmark.shadow.training import Run, train
from tests import problems

# Models, objective, predictor, training, seeds, clock.


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


# Schedules and augmentation, and that neither touches what does not ask for it.

SHAPE = (6, 5, 2)


def training_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int) -> Rows:
    """Every pixel of every image is a number of its own, above 0."""
    x = torch.arange(1, 1 + n * math.prod(SHAPE)).float().view(n, -1)
    return Rows(x, torch.arange(n))


def every_crop(row: Tensor) -> list[Tensor]:
    height, width, channels = SHAPE
    canvas = torch.zeros(height + 2 * PADDING, width + 2 * PADDING, channels)
    canvas[PADDING:-PADDING, PADDING:-PADDING] = row.view(SHAPE)
    tops, lefts = range(2 * PADDING + 1), range(2 * PADDING + 1)
    return [
        canvas[top : top + height, left : left + width].flatten() for top in tops for left in lefts
    ]


def test_every_image_is_a_crop_of_its_own_and_some_are_flipped() -> None:
    rows = pictures(300)
    cropped = augmented(rows, "crop", SHAPE, training_generator())
    flipped = augmented(rows, "crop-flip", SHAPE, training_generator())
    assert torch.equal(cropped.y, rows.y)
    places, turned = set(), 0
    for row, crop, flip in zip(rows.x, cropped.x, flipped.x, strict=True):
        crops = torch.stack(every_crop(row))
        places.add(int((crops == crop).all(dim=1).nonzero()[0, 0]))
        if not torch.equal(crop, flip):
            assert torch.equal(crop.view(SHAPE).flip(1), flip.view(SHAPE)), "the same crop"
            turned += 1
    assert len(places) > 70, "nearly all of the 81"
    assert 100 < turned < 200


def test_augmentation_draws_from_its_generator_alone() -> None:
    state = torch.get_rng_state()
    rows = pictures(20)
    before = rows.x.clone()
    first, again, other = (
        augmented(rows, "crop-flip", SHAPE, training_generator(s)).x for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(rows.x, before)
    assert torch.equal(torch.get_rng_state(), state)


def net(**settings: object) -> Problem:
    draws = training_generator()
    x, y = torch.randn(24, 60, generator=draws), torch.randint(3, (24,), generator=draws)
    part = Rows(x, y)
    training = AdamTraining(algorithm="adam", epochs=2, batch=8, learning_rate=0.01, **settings)
    model = Model(AllCNNSpec(kind="allcnn", width=2), SHAPE, 3)
    return Problem(model, Objective(ridge=1e-3), training, part, part, part)


def test_training_on_augmented_images_repeats_itself_and_differs() -> None:
    every = torch.arange(24)
    weights = [
        net(augment=kind).fit(every, training_generator()) for kind in ("crop", "crop", None)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])


def rates(schedule: str | None, epochs: int = 4) -> list[float]:
    """The learning rate of every step: Adam's step along a constant gradient of 1."""
    seen: list[float] = []

    def loss(w: Tensor, rows: Rows) -> Tensor:
        seen.append(float(w.detach()))
        return w.sum()

    rows = Rows(torch.zeros(10, 1), torch.zeros(10, dtype=torch.int64))
    settings = {"epochs": epochs, "batch": 3, "learning_rate": 0.1, "schedule": schedule}
    end = descend(loss, torch.zeros(1), rows, training_generator(), **settings)
    places = [*seen, float(end)]
    return [before - after for before, after in pairwise(places)]


def test_the_cosine_schedule_is_half_a_cosine_down_to_nothing() -> None:
    found = rates("cosine")
    expected = [0.05 * (1 + math.cos(math.pi * step / 16)) for step in range(16)]
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_one_cycle_schedule_rises_to_the_learning_rate_and_falls() -> None:
    found = rates("one-cycle")
    peak = found.index(max(found))
    assert found[0] == pytest.approx(0.1 / 25, rel=1e-3)
    assert max(found) == pytest.approx(0.1, rel=0.02)
    assert 0 < peak < len(found) / 2
    assert found == sorted(found[:peak]) + sorted(found[peak:], reverse=True)
    assert found[-1] < 0.1 / 25


def test_without_a_schedule_the_rate_is_constant() -> None:
    assert rates(None) == pytest.approx([0.1] * 16, rel=1e-3)


def test_a_batch_that_memory_is_too_small_for_is_halved_once() -> None:
    problem = problems.mlp()

    def limited(most: int) -> Callable[[Tensor, Rows], Tensor]:
        def loss(weights: Tensor, rows: Rows) -> Tensor:
            if len(rows) > most:
                raise torch.OutOfMemoryError("planted")
            return problem.loss(weights, rows)

        return loss

    def descended(most: int) -> Tensor:
        start = problem.model.initial_weights(training_generator()).float()
        settings = {"epochs": 2, "batch": 15, "learning_rate": 0.01}
        return descend(limited(most), start, problem.train, training_generator(), **settings)

    assert torch.allclose(descended(8), descended(15), atol=1e-5)
    with pytest.raises(torch.OutOfMemoryError):
        descended(7)


def test_a_schedule_ends_with_the_epochs_whether_or_not_the_tolerance_is_met() -> None:
    problem, every = problems.mlp(), torch.arange(60)
    scheduled = problem.training.model_copy(update={"schedule": "cosine"})
    weights = replace(problem, training=scheduled).fit(every, training_generator())
    reached = float(problem.gradient(weights, problem.train).norm())
    held = scheduled.model_copy(update={"gradient_tolerance": 1.01 * reached})
    assert torch.equal(replace(problem, training=held).fit(every, training_generator()), weights)
    missed = scheduled.model_copy(update={"gradient_tolerance": 0.99 * reached})
    with pytest.raises(DidNotConverge, match="raise epochs or gradient_tolerance"):
        replace(problem, training=missed).fit(every, training_generator())


def test_nets_with_a_schedule_are_trained_alike_one_at_a_time_and_together() -> None:
    problem = problems.mlp()
    scheduled = problem.training.model_copy(update={"schedule": "one-cycle"})
    problem = replace(problem, training=scheduled)
    runs = [Run(torch.arange(40), seed) for seed in (1, 2)]
    alone = torch.stack([problem.fit(run.rows, run.generator) for run in runs])
    assert torch.allclose(train(problem, runs), alone, atol=1e-5)


def test_what_is_not_set_is_not_written() -> None:
    """Or the keys of committed records would change."""
    assert not {"schedule", "augment"} & set(AdamTraining(algorithm="adam").model_dump(mode="json"))
    assert AdamTraining(algorithm="adam", augment="none") == AdamTraining(algorithm="adam")
    both = AdamTraining(algorithm="adam", schedule="one-cycle", augment="crop")
    assert AdamTraining.model_validate(both.model_dump(mode="json")) == both


def test_the_options_left_out_change_nothing() -> None:
    """Bit by bit: the loop as it was before there were any."""
    problem = replace(problems.mlp(), training=problems.mlp().training.model_copy())
    weights = problem.fit(torch.arange(60), training_generator())
    draws = training_generator()
    expected = problem.model.initial_weights(draws).float()
    expected = descend(
        problem.loss, expected, problem.train, draws,
        epochs=8, batch=16, learning_rate=0.02, radius=10.0,
    )  # fmt: skip
    assert torch.equal(weights, expected)
