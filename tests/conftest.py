"""Shared fixtures."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from benchmark import cli
from benchmark.runner.device import prepare
from tests import tiny_experiment

#: Calls the command line: exit code, standard output, standard error.
Run = Callable[..., tuple[int, str, str]]

# The suite is the same in every run; HYPOTHESIS_PROFILE=search looks for new counterexamples.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """The processor as every run prepares it, and a process that hears an interrupt.

    What a shell starts in the background is deaf to one, and so would be its tests.
    """
    prepare("cpu", threads=1)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _as_prepared() -> None:
    """What a test before may have left otherwise."""
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this run's own, whatever the user's holds; its processes share it."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_CACHE", str(folder / "cache"))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered from another test."""
    from benchmark.data import catalogue

    monkeypatch.setenv("LETHE_CACHE", str(tmp_path / "cache"))
    catalogue.clear()
    yield tmp_path / "cache"
    catalogue.clear()


@pytest.fixture
def real_data() -> Path:
    """The folder of the real data sets; skips where there is none."""
    value = os.environ.get("LETHE_DATA")
    if not value or not Path(value).is_dir():
        pytest.skip("LETHE_DATA names no folder of real data sets")
    return Path(value)


@pytest.fixture
def lethe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Call the command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    tiny_experiment.widen(monkeypatch)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lethe", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call
