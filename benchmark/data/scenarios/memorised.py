"""The most memorised rows."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context, required
from benchmark.errors import LetheError


def memorised(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows with the highest leave-out effect; a stream takes them from the top down.

    Nothing is drawn. Rows that are chosen by some shadow models must be attacked with others.
    """
    effect = required(context, "memorised").leave_out_effect
    if effect is None:
        raise LetheError("forget scenario 'memorised' needs a shadow bank to rank the rows by")
    order = torch.sort(effect().cpu()[trained], descending=True, stable=True).indices
    return trained[order[: requests * count]].split(count)
