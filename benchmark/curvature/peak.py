"""How fast this machine multiplies matrices and reads memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Peak:
    """Best of some runs.

    Attributes:
        flops: floating-point operations a second in a square matrix product.
        bandwidth: bytes a second read from memory.
    """

    flops: float
    bandwidth: float


def measured_peak(
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    size: int = 1024,
    megabytes: int = 256,
    repeats: int = 5,
) -> Peak:
    """Time a matrix product and a dot product, with as many threads as torch uses now.

    Args:
        dtype: of the numbers.
        device: to measure.
        size: side of the square matrices.
        megabytes: read by the dot product; more than the cache holds.
        repeats: runs, of which the fastest counts.
    """
    device = torch.device(device)
    square = torch.ones(size, size, dtype=dtype, device=device)
    numbers = megabytes * 10**6 // (2 * square.element_size())
    left, right = torch.ones(2, numbers, dtype=dtype, device=device)
    multiply = _fastest(lambda: square @ square, device, repeats)
    read = _fastest(lambda: left.dot(right), device, repeats)
    return Peak(2 * size**3 / multiply, 2 * numbers * square.element_size() / read)


def _fastest(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds; a first run, to warm up, is not timed."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
