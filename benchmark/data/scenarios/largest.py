"""The rows with the largest images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context, required
from benchmark.errors import LetheError


def largest(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows whose images have the largest norm; a stream takes them from the top down.

    Of the image, not of its features, which are often scaled to the same norm. Nothing is drawn.
    """
    sizes = required(context, "largest").sizes
    if sizes is None:
        raise LetheError("forget scenario 'largest' needs the images to rank the rows by")
    order = torch.sort(sizes()[trained], descending=True, stable=True).indices
    return trained[order[: requests * count]].split(count)
