"""Cutting rows into chunks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Rows a chunk on a CPU, measured on 784 inputs: enough that matrix products run at speed, few
#: enough that what the first one reads is still in the cache for the second.
CPU_CHUNK = {torch.float32: 2048, torch.float64: 384}
#: Rows a chunk elsewhere, where each chunk costs the launch of its kernels.
DEVICE_CHUNK = 1 << 16


def default_chunk(x: Tensor) -> int:
    """Rows of `x`, (n, inputs), that a closed-form operator multiplies at a time."""
    return CPU_CHUNK[x.dtype] if x.device.type == "cpu" else DEVICE_CHUNK


def slices(n: int, chunk: int) -> Iterator[slice]:
    """[0, n) in order, `chunk` at a time; the last slice may be shorter.

    Raises:
        ValueError: if `chunk` is not positive.
    """
    if chunk < 1:
        raise ValueError(f"a chunk has 1 row or more, not {chunk}")
    return (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))
