"""Seconds that a busy machine lengthens less than the wall clock, where they can be had."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from benchmark.bench.record import Clock

T = TypeVar("T")


class Reader:
    """Reads seconds of one kind; only differences mean something.

    On an idle machine with one thread both kinds are the same. A process of another environment
    reports what it has used, and that is added.
    """

    kind: Clock = "wall"
    elsewhere: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        if self.kind == "wall":
            return time.perf_counter()
        return time.process_time() + self.elsewhere


#: The one that everything is timed with: pytest-benchmark wants it before there is a session.
CLOCK = Reader()


def kind_for(device: str, threads: int) -> Clock:
    """Processor time on one thread; else what counts passes on several or on a GPU."""
    return "processor" if device == "cpu" and threads == 1 else "wall"


class Timer(Protocol):
    """Times some work: a loop of our own, or pytest-benchmark's."""

    def __call__(self, work: Callable[[], T], rounds: int) -> tuple[T, tuple[float, ...]]:
        """What the last round of `work` gives, and the seconds of each round."""
        ...


def stopwatch(work: Callable[[], T], rounds: int) -> tuple[T, tuple[float, ...]]:
    """The timer without pytest-benchmark; see `Timer`."""
    seconds: list[float] = []
    for _ in range(rounds):
        start = CLOCK()
        found = work()
        seconds.append(CLOCK() - start)
    return found, tuple(seconds)
