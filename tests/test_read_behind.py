"""Reading an iteration's numbers while the next step runs: order, waste, and the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmark.curvature import read_behind as module
from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.chebyshev import chebyshev
from benchmark.curvature.lanczos import lanczos
from benchmark.curvature.minres import minres
from benchmark.curvature.read_behind import read_behind


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
