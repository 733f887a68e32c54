"""pytest-benchmark as the timer of the studies `solvers` and `products`, in the same store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.bench.record import Outcome, Timer
from benchmark.errors import LetheError
from benchmark.records import Store
from benchmark.runner.device import prepare
from benchmark.studies.products import ProductTimings
from benchmark.studies.solvers import SolverTimings
from benchmark.study.study import Bench, Piece, Study, Unit

T = TypeVar("T")


class Session:
    """One run: the studies, the store, and what the pieces of a unit share.

    Attributes:
        outcomes, spent: of solves whose record is not complete yet, and the seconds that they
            took, by their keys.
    """

    def __init__(self, config: pytest.Config) -> None:
        asked = {name: config.getoption(f"--{name}") for name in ("size", "threads")}
        effort = {name: config.getoption(f"--{name}") for name in ("budget", "limit", "pydvl")}
        self.fresh: bool = config.getoption("--fresh")
        self.device: torch.device = prepare(config.getoption("--device"), asked["threads"])
        self.store = Store(config.getoption("--results"))
        self.solvers = SolverTimings(**asked, **effort)
        self.products = ProductTimings(**asked)
        self.outcomes: dict[str, list[Outcome]] = {}
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._begun: set[str] = set()
        self._opened: tuple[Unit, Bench] | None = None

    def pieces(self, study: Study) -> list[tuple[Unit, Piece]]:
        """Every piece of a study with its unit, in order."""
        return [(unit, piece) for unit in study.units(self.device.type) for piece in unit.pieces]

    def begin(self, study: Study) -> None:
        """Write down what the study consists of, once."""
        if study.name not in self._begun:
            study.begin(self.store, study.units(self.device.type))
            self._begun.add(study.name)

    def is_kept(self, study: Study, piece: Piece) -> bool:
        """Whether there is a current record."""
        kept = self.store.kept(piece.path, study.record, piece.key)
        return kept is not None and not self.fresh

    def open(self, study: Study, unit: Unit) -> Bench:
        """What the pieces of a unit share; another unit's is let go."""
        if self._opened is None or self._opened[0] != unit:
            self._opened = None
            self._opened = (unit, study.open(unit.pieces, self.device, None))
        return self._opened[1]


SESSION = pytest.StashKey[Session]()


def timer(benchmark: BenchmarkFixture) -> Timer:
    """pytest-benchmark's loop, which serves once."""

    def timed(work: Callable[[], T], rounds: int) -> tuple[T, tuple[float, ...]]:
        found = benchmark.pedantic(work, rounds=rounds, iterations=1)
        return found, tuple(benchmark.stats.stats.data)

    return timed


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the studies' commands."""
    group = parser.getgroup("lethe")
    group.addoption("--size", choices=("smoke", "full"), default="smoke", help="which systems")
    group.addoption("--results", type=Path, default=Path("runs"), help="folder of the records")
    group.addoption("--device", default="cpu", help="cpu or cuda")
    group.addoption("--threads", type=int, default=1, help="of this process")
    group.addoption("--pydvl", type=Path, default=None, help="Python of pyDVL's environment")
    group.addoption(
        "--budget", type=float, default=30.0, help="seconds for the rounds of one measurement"
    )
    group.addoption(
        "--limit", type=float, default=600.0, help="seconds; a solve that would take longer is left"
    )
    group.addoption("--fresh", action="store_true", help="measure again what is there")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the device and the studies; what the user can mend is one line."""
    try:
        config.stash[SESSION] = Session(config)
    except LetheError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Session:
    """The run's session."""
    return request.config.stash[SESSION]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """End the run with one line where the user can mend it: no data, a full disk."""
    try:
        return (yield)
    except LetheError as error:
        pytest.exit(f"error: {error}", returncode=2)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the records are and how to show them."""
    folder = config.stash[SESSION].store.folder
    terminalreporter.write_line(
        f"The records: {folder}; the same command goes on where it stopped."
    )
