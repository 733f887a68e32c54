"""The inverse-Hessian study on a small system, and numbers read while the next step runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmark.bench.systems import SPECS, prepare
from benchmark.curvature import krylov as module
from benchmark.curvature.krylov import chebyshev, conjugate_gradients, lanczos, minres, read_behind
from benchmark.errors import LetheError
from benchmark.records import Gathered, Store
from benchmark.studies import inverse_hessian
from benchmark.studies.inverse_hessian import InverseHessian, panel
from benchmark.studies.inverse_hessian_record import PanelRecord, read
from benchmark.study.run import run
from leaderboard.studies.inverse_hessian import inverse_hessian_grid

# The inverse-Hessian study on a small system.

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


# Reading an iteration's numbers while the next step runs: order, waste, and the same answers.


class Steps:
    """An iteration of five steps that keeps a diary, which the reader writes into as well."""

    def __init__(self) -> None:
        self.diary: list[str] = []

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for k in range(5):
            self.diary.append(f"begin {k}")
            yield k, torch.tensor([10.0 * k, 1.0])

    def read(self, far: Callable[[], bool], last: int = 9) -> list[str]:
        for k, numbers in read_behind(self, far):
            assert numbers == [10.0 * k, 1.0]
            self.diary.append(f"know {k}")
            if k == last:
                break
        return self.diary


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there was a GPU to be kept at work."""
    monkeypatch.setattr(module, "_worth_it", lambda numbers: True)


def test_on_a_cpu_each_step_is_known_before_the_next_begins() -> None:
    expected = [f"{what} {k}" for k in range(3) for what in ("begin", "know")]
    assert Steps().read(lambda: True, last=2) == expected


def test_a_gpu_has_the_next_step_before_this_one_is_waited_for(ahead: None) -> None:
    assert Steps().read(lambda: True) == [
        *("begin 0", "begin 1", "know 0", "begin 2", "know 1"),
        *("begin 3", "know 2", "begin 4", "know 3", "know 4"),
    ]


def test_at_most_one_step_is_in_vain(ahead: None) -> None:
    assert Steps().read(lambda: True, last=2)[-2:] == ["begin 3", "know 2"]


def test_no_step_is_begun_before_the_last_is_known_where_the_end_is_near(ahead: None) -> None:
    steps = Steps()
    known = lambda: len([entry for entry in steps.diary if entry.startswith("know")])  # noqa: E731
    assert steps.read(lambda: known() < 2) == [
        *("begin 0", "begin 1", "know 0", "begin 2", "know 1"),
        *("know 2", "begin 3", "know 3", "begin 4", "know 4"),
    ]


SPECTRA = {
    "definite": torch.linspace(0.1, 4, 40),
    "indefinite": torch.linspace(-1, 4, 40),
    "singular": torch.linspace(0, 4, 40),
    "of two values": torch.tensor([1.0, 3.0]).repeat(20),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("solver", [conjugate_gradients, minres, chebyshev])
def test_solvers_give_the_same_bytes_ahead(
    solver: Callable, spectrum: str, request: pytest.FixtureRequest
) -> None:
    a = torch.diag(SPECTRA[spectrum].double())
    b = torch.ones(40).double() / 7
    by = {"tolerance": 1e-6, "max_products": 60}
    read_at_once = solver(a, b, **by)
    request.getfixturevalue("ahead")
    behind = solver(a, b, **by)
    assert torch.equal(behind.x, read_at_once.x)
    assert behind.history == read_at_once.history
    assert behind.curvature == read_at_once.curvature
    assert behind.products == read_at_once.products


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_krylov_space_is_the_same_ahead(spectrum: str, request: pytest.FixtureRequest) -> None:
    a, start = torch.diag(SPECTRA[spectrum].double()), torch.ones(40).double()
    read_at_once = lanczos(a, start, 12)
    request.getfixturevalue("ahead")
    behind = lanczos(a, start, 12)
    assert torch.equal(behind.basis, read_at_once.basis)
    assert torch.equal(behind.projected, read_at_once.projected)
    assert behind.remainder == read_at_once.remainder


def test_a_gpus_numbers_are_copied_aside_and_only_they_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a stand-in for the event, as there may be no GPU: the copy, its mark, one wait."""
    calls: list[str] = []

    class Event:
        def record(self) -> None:
            calls.append("record")

        def synchronize(self) -> None:
            calls.append("wait")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    with FakeTensorMode():
        numbers = torch.empty(3, device="cuda")
        reading = module._Reading(numbers)
    assert reading._numbers.device.type == "cpu"
    assert calls == ["record"]
    reading._numbers = torch.ones(3)  # such a tensor has no values
    assert reading.values() == [1.0, 1.0, 1.0]
    assert calls == ["record", "wait"]
