"""Rows at random."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context


def random_rows(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request `count` rows, all rows alike."""
    order = torch.randperm(len(trained), generator=generator)
    return trained[order[: requests * count]].split(count)
