"""Writing many plots, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmark.files import replace_file
from leaderboard.model.section import Chart

#: Plots that are worth a process.
_SHARE = 8

Plot = tuple[Path, Chart]


def write_plots(plots: Sequence[Plot]) -> None:
    """Draw each plot into its file.

    A helper inherits its plots by a fork, so that none are copied. One that is stopped leaves some
    undrawn: whoever calls this must look whether all are there.

    Raises:
        DiskError: if a file cannot be written.
    """
    count = min(_cores(), len(plots) // _SHARE) if _can_fork() else 1
    own, *others = (plots[k :: max(1, count)] for k in range(max(1, count)))
    context = multiprocessing.get_context("fork") if others else multiprocessing
    helpers = [
        context.Process(target=_help, args=(share, os.getpid()), daemon=True) for share in others
    ]
    for helper in helpers:
        helper.start()
    try:
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


def _write(plots: Sequence[Plot]) -> None:
    for path, chart in plots:
        replace_file(path, chart.svg)


def _help(plots: Sequence[Plot], board: int) -> None:
    """Write while process `board` is there. It draws what an error leaves, and tells of that."""
    try:
        for plot in plots:
            if os.getppid() == board:
                _write([plot])
    except BaseException:
        os._exit(1)
    os._exit(0)
