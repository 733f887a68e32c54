"""Schedules and augmentation, and that neither touches what does not ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from benchmark.errors import DidNotConverge
from benchmark.problem.model import AllCNNSpec, Model
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import AdamTraining
from benchmark.problem.training.augment import PADDING, augmented
from benchmark.problem.training.descent import descend
from benchmark.shadow.training import Run, train
from tests import problems

SHAPE = (6, 5, 2)


def generator(seed: int = 0) -> torch.Generator:
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
    cropped = augmented(rows, "crop", SHAPE, generator())
    flipped = augmented(rows, "crop-flip", SHAPE, generator())
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
    first, again, other = (augmented(rows, "crop-flip", SHAPE, generator(s)).x for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(rows.x, before)
    assert torch.equal(torch.get_rng_state(), state)


def net(**settings: object) -> Problem:
    draws = generator()
    x, y = torch.randn(24, 60, generator=draws), torch.randint(3, (24,), generator=draws)
    part = Rows(x, y)
    training = AdamTraining(algorithm="adam", epochs=2, batch=8, learning_rate=0.01, **settings)
    model = Model(AllCNNSpec(kind="allcnn", width=2), SHAPE, 3)
    return Problem(model, Objective(ridge=1e-3), training, part, part, part)


def test_training_on_augmented_images_repeats_itself_and_differs() -> None:
    every = torch.arange(24)
    weights = [net(augment=kind).fit(every, generator()) for kind in ("crop", "crop", None)]
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
    end = descend(loss, torch.zeros(1), rows, generator(), **settings)
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
        start = problem.model.initial_weights(generator()).float()
        settings = {"epochs": 2, "batch": 15, "learning_rate": 0.01}
        return descend(limited(most), start, problem.train, generator(), **settings)

    assert torch.allclose(descended(8), descended(15), atol=1e-5)
    with pytest.raises(torch.OutOfMemoryError):
        descended(7)


def test_a_schedule_ends_with_the_epochs_whether_or_not_the_tolerance_is_met() -> None:
    problem, every = problems.mlp(), torch.arange(60)
    scheduled = problem.training.model_copy(update={"schedule": "cosine"})
    weights = replace(problem, training=scheduled).fit(every, generator())
    reached = float(problem.gradient(weights, problem.train).norm())
    held = scheduled.model_copy(update={"gradient_tolerance": 1.01 * reached})
    assert torch.equal(replace(problem, training=held).fit(every, generator()), weights)
    missed = scheduled.model_copy(update={"gradient_tolerance": 0.99 * reached})
    with pytest.raises(DidNotConverge, match="raise epochs or gradient_tolerance"):
        replace(problem, training=missed).fit(every, generator())


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
    weights = problem.fit(torch.arange(60), generator())
    draws = generator()
    expected = problem.model.initial_weights(draws).float()
    expected = descend(
        problem.loss, expected, problem.train, draws,
        epochs=8, batch=16, learning_rate=0.02, radius=10.0,
    )  # fmt: skip
    assert torch.equal(weights, expected)
