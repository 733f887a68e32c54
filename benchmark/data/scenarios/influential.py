"""The rows that move the trained model most."""

from __future__ import annotations

from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context, required
from benchmark.errors import LetheError


def influential(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows whose removal moves the model most; a stream takes them from the top down.

    The rows of all requests are found as one set. Nothing is drawn.
    """
    find = required(context, "influential").most_influential
    if find is None:
        raise LetheError(
            "forget scenario 'influential' needs a strongly convex problem: choose a linear model "
            "and a ridge above 0"
        )
    return find(trained, requests * count).split(count)
