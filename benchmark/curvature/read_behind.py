"""The numbers of an iteration, read while the device is at work on the step after."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

#: A step is taken before the one in front of it is known unless the residual is within this
#: factor of the goal: one that shrinks it more costs a product in vain.
STRIDE = 3.0


def read_behind(
    steps: Iterable[tuple[T, Tensor]], far: Callable[[], bool]
) -> Iterator[tuple[T, list[float]]]:
    """Each step with its numbers on the host, in order.

    On a GPU the next step is handed to the device before the numbers of this one are waited for,
    so that it has work meanwhile. What is yielded is the same as on a CPU, where nothing is to be
    had from that and each step is read at once.

    Args:
        steps: an iteration that reads nothing from the device: its vectors, and the numbers (k,)
            that decide how it goes on.
        far: whether, by all that was yielded, the end is not expected at the next step.
    """
    begun: deque[tuple[T, _Reading]] = deque()
    for vectors, numbers in steps:
        begun.append((vectors, _Reading(numbers)))
        while len(begun) > (1 if _worth_it(numbers) and far() else 0):
            vectors, reading = begun.popleft()
            yield vectors, reading.values()
    for vectors, reading in begun:
        yield vectors, reading.values()


def _worth_it(numbers: Tensor) -> bool:
    return numbers.device.type == "cuda"


class _Reading:
    """Numbers (k,) on their way to the host."""

    def __init__(self, numbers: Tensor) -> None:
        self._copied = None
        self._numbers = numbers
        if numbers.device.type == "cuda":
            # into memory that the GPU can write to while the host does something else
            self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def values(self) -> list[float]:
        """Wait for these numbers, and for nothing behind them."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._numbers.tolist()
