"""The inverse-Hessian study on a small system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark.bench.systems import SPECS, prepare
from benchmark.studies import inverse_hessian
from benchmark.studies.inverse_hessian import inverse_hessian_study, panel
from benchmark.studies.inverse_hessian_record import InverseHessianStudy, read
from leaderboard.inverse_hessian import inverse_hessian_grid

SOFTMAX = SPECS["smoke"][1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverse_hessian, "ROUNDS", 1)  # only the seconds are told from so many
        inverse_hessian_study(results, Console(quiet=True), (SOFTMAX,))
    return results


@pytest.fixture(scope="module")
def study(folder: Path) -> InverseHessianStudy:
    found = read(folder)
    assert found is not None
    return found


def test_the_exact_answer_is_exact_and_the_solvers_reach_what_they_aim_at(
    study: InverseHessianStudy,
) -> None:
    (found,) = study.panels
    assert found.exact.measured
    assert found.exact.residual is not None
    assert found.exact.residual < 1e-10, "a factor in float64"
    by_title = {answer.title: answer for answer in found.answers}
    for title in ("Conjugate gradients", "SVRG, accelerated"):
        assert by_title[title].residual <= 1e-3
    assert by_title["LiSSA, as published"].error > 1e-2, "a stochastic estimate"


def test_a_gain_is_a_ratio_of_seconds(study: InverseHessianStudy) -> None:
    (found,) = study.panels
    for answer in found.answers:
        assert found.gain(answer) == found.exact.seconds / answer.seconds


def test_a_current_study_is_kept(folder: Path, study: InverseHessianStudy) -> None:
    again, computed = inverse_hessian_study(folder, Console(quiet=True), (SOFTMAX,))
    assert not computed
    assert again == study


def test_what_is_extrapolated_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many columns and as large a factor as there are weights, it is the whole work."""
    bench = prepare(SOFTMAX, torch.device("cpu"))
    monkeypatch.setattr(inverse_hessian, "LARGEST_DIMENSION", 10)
    monkeypatch.setattr(inverse_hessian, "COLUMNS", len(bench.b))
    monkeypatch.setattr(inverse_hessian, "ORDER", len(bench.b))
    monkeypatch.setattr(inverse_hessian, "SOLVES", {"cg": 1e-3})
    found = panel(replace(bench), lambda name: None)
    assert not found.exact.measured
    assert found.exact.residual is None
    assert "extrapolated" in found.remark


def test_the_board_has_a_line_a_solver(study: InverseHessianStudy) -> None:
    grid = inverse_hessian_grid(study)
    assert len(grid.lines) == 1 + len(study.panels[0].answers)
    assert grid.lines[0].cells[1].text == "1"
    assert sum(line.cells[1].best for line in grid.lines) == 1
