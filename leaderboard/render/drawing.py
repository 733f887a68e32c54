"""Writing many plots, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmark.files import replace_file
from leaderboard.model.section import Chart

#: Plots that are worth a process.
_SHARE = 8

Plot = tuple[Path, Chart]


def write_plots(plots: Sequence[Plot]) -> None:
    """Draw each plot into its file.

    Helpers inherit their plots by a fork, so that none are copied. One that cannot be started, or
    is stopped, leaves its plots undrawn: whoever calls this must look whether all are there.

    Raises:
        DiskError: if a file cannot be written.
    """
    count = max(1, min(_cores(), len(plots) // _SHARE)) if _can_fork() else 1
    own, *others = (plots[k::count] for k in range(count))
    helpers: list[BaseProcess] = []
    try:
        with suppress(OSError):  # no process is left, or no memory for one
            for share in others:
                helpers.append(_forked(share))
        _write(own)
        for helper in helpers:
            helper.join()
    finally:
        for helper in helpers:
            helper.terminate()
            helper.join()


def _can_fork() -> bool:
    """Whether a fork is safe: another thread's locks would be inherited locked for ever."""
    return sys.platform == "linux" and threading.active_count() == 1


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _forked(share: Sequence[Plot]) -> BaseProcess:
    fork = multiprocessing.get_context("fork")
    helper = fork.Process(target=_help, args=(share, os.getpid()), daemon=True)
    helper.start()
    return helper


def _write(plots: Sequence[Plot]) -> None:
    for path, chart in plots:
        replace_file(path, chart.svg)


def _help(plots: Sequence[Plot], board: int) -> None:
    """Write while process `board` is there, which draws what an error leaves, and tells of it."""
    try:
        for plot in plots:
            if os.getppid() == board:
                _write([plot])
    except BaseException:
        os._exit(1)
    os._exit(0)
