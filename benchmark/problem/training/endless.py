"""Batches without an end."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmark.problem.rows import Rows
from benchmark.problem.training.descent import batches


def endless(rows: Rows, size: int, generator: torch.Generator) -> Iterator[Rows]:
    """Batches of `size` out of one epoch after another, each in a fresh random order."""
    while True:
        yield from batches(rows, size, generator)
