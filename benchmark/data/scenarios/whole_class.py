"""A whole class."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context, required
from benchmark.errors import LetheError


def whole_class(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request every row of one class, the classes drawn at random."""
    labels = required(context, "class").labels.cpu()[trained]
    classes = labels.unique()
    if requests >= len(classes):
        raise LetheError(
            f"{requests} requests would forget all {len(classes)} classes: keep at least one"
        )
    chosen = classes[torch.randperm(len(classes), generator=generator)[:requests]]
    return tuple(trained[labels == label] for label in chosen)
