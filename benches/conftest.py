"""Options and the session that the benchmarks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.bench.session import Session, open_session
from benchmark.errors import LetheError

_SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the harness's options."""
    group = parser.getgroup("lethe")
    group.addoption("--size", choices=("smoke", "full"), default="smoke", help="which systems")
    group.addoption(
        "--out", type=Path, default=Path("runs/leaderboard/bench"), help="folder of the records"
    )
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
    """Prepare the device and the folder; what the user can mend is one line."""
    names = ("size", "out", "device", "threads", "pydvl", "budget", "limit", "fresh")
    try:
        found = open_session(**{name: config.getoption(f"--{name}") for name in names})
    except LetheError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_SESSION] = found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a system, damping, solver and tolerance; one a system and operator."""
    from benches.test_operators import operators

    session = metafunc.config.stash[_SESSION]
    if "work" in metafunc.fixturenames:
        metafunc.parametrize("work", session.work(), ids=lambda work: work.label)
    if "operator" in metafunc.fixturenames:
        metafunc.parametrize("operator", operators(session), ids=lambda found: found.label)


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Session:
    """The run's session."""
    return request.config.stash[_SESSION]


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
    out = config.stash[_SESSION].folder.path
    terminalreporter.write_line(f"The records: {out}; the same command goes on where it stopped.")
