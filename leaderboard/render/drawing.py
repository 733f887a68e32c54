"""Writing many plots, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmark.files import replace_file
from leaderboard.model.section import Chart

#: Plots that are worth a process.
_SHARE = 8

Plot = tuple[Path, Chart]


@contextmanager
def drawing(plots: Sequence[Plot]) -> Iterator[None]:
    """Draw each plot into its file, by helpers from now on, by this process too after the block.

    Helpers inherit the plots by a fork, so that none are copied. One that cannot be started, or is
    stopped, leaves a plot undrawn: whoever calls this must look whether all are there.

    Raises:
        DiskError: if a file cannot be written.
    """
    helpers: list[BaseProcess] = []
    with _Turns(plots) as turns:
        try:
            with suppress(OSError):  # no process is left, or no memory for one
                for _ in range(min(_cores(), len(plots) // _SHARE) - 1):
                    helpers.append(_forked(turns))
            yield
            for path, chart in turns:
                replace_file(path, chart.svg)
            for helper in helpers:
                helper.join()
        finally:
            for helper in helpers:
                helper.terminate()
                helper.join()


class _Turns:
    """Plots that forked processes take one by one; the next one's number is a file's position.

    The system moves it, so that a process that is killed holds up no other. Two that ask at once
    may draw the same plot; none is left out.
    """

    def __init__(self, plots: Sequence[Plot]) -> None:
        self._plots = plots

    def __enter__(self) -> _Turns:
        self._file = os.memfd_create("turns") if _can_fork() else None
        if self._file is not None:
            os.write(self._file, array("I", range(len(self._plots))))
            os.lseek(self._file, 0, os.SEEK_SET)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def __iter__(self) -> Iterator[Plot]:
        if self._file is None:
            yield from self._plots
            return
        while number := os.read(self._file, array("I").itemsize):
            yield self._plots[array("I", number)[0]]


def _can_fork() -> bool:
    """Whether a fork is safe: another thread's locks would be inherited locked for ever."""
    return sys.platform == "linux" and threading.active_count() == 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if _can_fork() else 1


def _forked(turns: _Turns) -> BaseProcess:
    fork = multiprocessing.get_context("fork")
    helper = fork.Process(target=_help, args=(turns, os.getpid()), daemon=True)
    helper.start()
    return helper


def _help(turns: _Turns, board: int) -> None:
    """Write while process `board` is there, which draws what an error leaves, and tells of it."""
    try:
        for path, chart in turns:
            if os.getppid() != board:
                break
            replace_file(path, chart.svg)
    except BaseException:
        os._exit(1)
    os._exit(0)
