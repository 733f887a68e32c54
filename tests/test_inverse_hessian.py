"""The inverse-Hessian study on a small system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark.bench.systems import SPECS, prepare
from benchmark.errors import LetheError
from benchmark.records import Gathered, Store
from benchmark.studies import inverse_hessian
from benchmark.studies.inverse_hessian import InverseHessian, panel
from benchmark.studies.inverse_hessian_record import PanelRecord, read
from benchmark.study.run import run
from leaderboard.studies.inverse_hessian import inverse_hessian_grid

SOFTMAX = SPECS["smoke"][1]
STUDY = InverseHessian(systems=(SOFTMAX.name,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverse_hessian, "ROUNDS", 1)  # only the seconds are told from so many
        run(STUDY, Store(results), torch.device("cpu"), console=Console(quiet=True))
    return results


@pytest.fixture(scope="module")
def study(folder: Path) -> Gathered[PanelRecord]:
    found = read(folder)
    assert found is not None
    return found


def test_the_exact_answer_is_exact_and_the_solvers_reach_what_they_aim_at(
    study: Gathered[PanelRecord],
) -> None:
    (found,) = study.records
    assert found.exact.measured
    assert found.exact.residual is not None
    assert found.exact.residual < 1e-10, "a factor in float64"
    by_title = {answer.title: answer for answer in found.answers}
    for title in ("Conjugate gradients", "SVRG, accelerated"):
        assert by_title[title].residual <= 1e-3
    assert by_title["LiSSA, as published"].error > 1e-2, "a stochastic estimate"


def test_a_gain_is_a_ratio_of_seconds(study: Gathered[PanelRecord]) -> None:
    (found,) = study.records
    for answer in found.answers:
        assert found.gain(answer) == found.exact.seconds / answer.seconds


def test_what_is_extrapolated_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many columns and as large a factor as there are weights, it is the whole work."""
    bench = prepare(SOFTMAX, torch.device("cpu"))
    monkeypatch.setattr(inverse_hessian, "LARGEST_DIMENSION", 10)
    monkeypatch.setattr(inverse_hessian, "COLUMNS", len(bench.b))
    monkeypatch.setattr(inverse_hessian, "ORDER", len(bench.b))
    found = panel(replace(bench), {"cg": 1e-3}, lambda name: None)
    assert not found["exact"].measured
    assert found["exact"].residual is None
    assert "extrapolated" in found["remark"]


def test_the_board_has_a_line_a_solver(study: Gathered[PanelRecord]) -> None:
    grid = inverse_hessian_grid(study)
    assert len(grid.lines) == 1 + len(study.records[0].answers)
    assert grid.lines[0].cells[1].text == "1"
    assert sum(line.cells[1].best for line in grid.lines) == 1


def test_a_system_without_a_record_is_shown_as_missing(study: Gathered[PanelRecord]) -> None:
    line = inverse_hessian_grid(Gathered(study.records, ["MNIST, MLP"])).lines[-1]
    assert (line.title, line.remark) == ("MNIST, MLP", "missing")


def test_another_device_is_refused() -> None:
    with pytest.raises(LetheError, match="use --device cpu"):
        STUDY.units("cuda")


def test_an_unknown_system_is_one_line() -> None:
    with pytest.raises(LetheError, match="'mnist'"):
        InverseHessian(systems=("mnist",)).units("cpu")
