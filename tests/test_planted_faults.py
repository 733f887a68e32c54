"""A method that does not do what it claims turns its row red: faults planted in Chord Newton.

Each runs through the whole pipeline, from the request over the record to the board.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request
from benchmark.data.split import Split
from benchmark.experiments import experiment as experiments
from benchmark.experiments.experiment import Row as Setting
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.predictor import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.registry import Registered
from benchmark.runner import workbench as module
from benchmark.runner.cell import Cell, Inputs
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench, build
from leaderboard.model.table import Row
from methods.chord_newton import ChordNewton
from methods.iterated_newton import IteratedNewton
from tests import tiny_experiment

#: Features of the wide problem: with 10 classes some 2,000 weights, enough to test noise on.
WIDTH = 200
Change = tuple[str, str]


def wide(problem: Problem) -> Problem:
    """The problem on random cosine features, whose rows have norm 1 at most."""
    generator = torch.Generator().manual_seed(0)
    directions = 3 * torch.randn(64, WIDTH, generator=generator, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(WIDTH, generator=generator, dtype=torch.float64)

    def lifted(rows: Rows) -> Rows:
        return Rows((rows.x @ directions + phases).cos() / math.sqrt(WIDTH), rows.y)

    parts = {name: lifted(getattr(problem, name)) for name in ("train", "negatives", "test")}
    return replace(problem, model=Model(SoftmaxSpec(), WIDTH, problem.model.classes), **parts)


@cache
def workbench(inputs: str) -> Workbench:
    """The wide problem with its models, shared by all runs of one experiment."""

    def built(*arguments: object) -> tuple[Problem, Split]:
        problem, split = build(*arguments)
        return wide(problem), split

    with patch.object(module, "build", built):
        return Workbench(Inputs.model_validate_json(inputs), torch.device("cpu"), folder=None)


def run(method: type[Method], folder: Path, *changes: Change) -> Row:
    """The method's row on the board, after a run on the wide problem."""
    experiment = experiments.load(str(tiny_experiment.write(folder, *changes)))
    setting = Setting(method=method.name, label=method.name)
    cell = Cell.of(experiment, setting, Registered(method, "methods"), 0, "cpu")
    same = cell.inputs.model_copy(update={"method_source": "", "method": "any", "params": {}})
    record = run_cell(cell, workbench(same.model_dump_json()), lambda phase: None)
    assert record.failure is None
    return Row(cell.info.label, cell.info.title, cell.info.role, {0: record})


def said(row: Row) -> str:
    """What the board says against it; "" of a row that is not red."""
    return "; ".join(row.violations.get(0, []))


def publishing(publish: Callable[[Request, Release], Tensor]) -> type[ChordNewton]:
    """Chord Newton, but for the weights that it publishes."""

    class Faulty(ChordNewton):
        def unlearn(self, request: Request) -> Release:
            honest = super().unlearn(request)
            published = Predictor(request.problem.model, publish(request, honest))
            return replace(honest, predictor=published)

    return Faulty


def noise(request: Request, release: Release) -> Tensor:
    return request.release_noise(release.state.weights, release.claim)


def uniform(request: Request, release: Release) -> Tensor:
    generator = request.generator("noise", "uniform")
    draw = torch.rand(len(release.state.weights), generator=generator, dtype=torch.float64)
    return math.sqrt(12) * release.claim.release_sigma * (draw - 0.5)


def on_half(request: Request, release: Release) -> Tensor:
    drawn = noise(request, release)
    generator = request.generator("noise", "half")
    silent = torch.randperm(len(drawn), generator=generator)[: len(drawn) // 2]
    return (math.sqrt(2) * drawn).index_fill(0, silent, 0)


def used_again(request: Request, release: Release) -> Tensor:
    return noise(replace(request, number=0), release)


NOISES: dict[str, Callable[[Request, Release], Tensor]] = {
    "no noise": lambda request, release: 0 * noise(request, release),
    "half the noise": lambda request, release: noise(request, release) / 2,
    "sigma / sqrt 2": lambda request, release: noise(request, release) / math.sqrt(2),
    "one scalar for all": lambda request, release: noise(request, release)[0].expand(
        len(release.state.weights)
    ),
    "uniform noise": uniform,
    "noise on half the coordinates": on_half,
}
STREAM: Change = ("count = 5", "count = 3\nrequests = 3")


@pytest.mark.parametrize("changes", [(), (STREAM,)], ids=["one request", "a stream"])
def test_the_method_as_it_is_is_not_red(tmp_path: Path, changes: tuple[Change, ...]) -> None:
    row = run(ChordNewton, tmp_path, *changes)
    assert row.found[0].verdict == "proved"
    assert said(row) == ""


@pytest.mark.parametrize("fault", NOISES)
def test_noise_that_is_not_what_is_claimed_is_red(tmp_path: Path, fault: str) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return release.state.weights + NOISES[fault](request, release)

    assert "published noise" in said(run(publishing(publish), tmp_path))


def test_noise_that_is_used_again_in_a_stream_is_red(tmp_path: Path) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return release.state.weights + used_again(request, release)

    assert "noises of releases" in said(run(publishing(publish), tmp_path, STREAM))


def test_the_original_published_with_noise_is_red(tmp_path: Path) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return request.original.weights + noise(request, release)

    text = said(run(publishing(publish), tmp_path))
    assert "beyond the bound" in text
    assert "published noise" in text


def test_so_it_is_where_the_secret_state_is_the_original_as_well(tmp_path: Path) -> None:
    class Faulty(ChordNewton):
        def unlearn(self, request: Request) -> Release:
            claim = super().unlearn(request).claim
            return request.release(request.original.weights, claim, request.original.memory)

    text = said(run(Faulty, tmp_path))
    assert "beyond the bound" in text
    assert "published noise" not in text


class TooSmall(IteratedNewton):
    """A bound that is too small by the root of 2, with its noise in proportion."""

    def unlearn(self, request: Request) -> Release:
        honest = super().unlearn(request)
        evidence = honest.claim.evidence
        parts = ("bound", "sigma", "reached")
        smaller = {name: getattr(evidence, name) / math.sqrt(2) for name in parts}
        claim = honest.claim.model_copy(update={"evidence": evidence.model_copy(update=smaller)})
        return request.release(honest.state.weights, claim)


def test_a_bound_that_is_too_small_is_red_where_it_was_tight(tmp_path: Path) -> None:
    """Delta_0 is just above the distance of the original, which is published as it is."""
    one = (("count = 5", "count = 1"), ("ridge = 1e-2", "ridge = 1e-1"))

    def at(distance: float) -> tuple[Change, ...]:
        return (*one, ("delta = 1e-5", f"delta = 1e-5\ndistance = {distance}"))

    apart = run(IteratedNewton, tmp_path, *at(10.0)).found[0].metrics["distance"].value
    honest = run(IteratedNewton, tmp_path, *at(1.2 * apart))
    assert honest.found[0].metrics["steps_taken"].value == 0
    assert said(honest) == ""
    text = said(run(TooSmall, tmp_path, *at(1.2 * apart)))
    assert "the slack is" in text
    assert "beyond the bound" in text
