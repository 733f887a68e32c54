"""What one Hessian product computes and moves, counted from the model's shape."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from benchmark.problem.model import MLPSpec, Model


@dataclass(frozen=True)
class Counts:
    """Least work of one product.

    Attributes:
        flops: floating-point operations of the matrix products; a multiply-add counts as two.
        bytes: read and written once each, with the rows still in the cache for their second use.
    """

    flops: int
    bytes: int


def product_counts(model: Model, rows: int, itemsize: int) -> Counts | None:
    """Counts of one product by `LinearHessian` or `MLPHessian`; None for any other model.

    With the rows there are two matrix products. With each later layer the product rule makes it
    six: two forward, two for the weights' gradient, two backward.

    Args:
        model: the architecture.
        rows: how many the Hessian is over.
        itemsize: bytes of a number, 4 in float32.
    """
    sizes = _sizes(model)
    if sizes is None:
        return None
    first, later = sizes[0] * sizes[1], sum(a * b for a, b in pairwise(sizes[1:]))
    # Direction in, product out; and of what is kept, half a pair is also written.
    written = sum(sizes[1:-1]) + (sum(sizes[2:]) if len(sizes) > 2 else 0)
    moved = rows * (sizes[0] + _kept_numbers(sizes) + written) + 2 * model.dimension
    return Counts(flops=rows * (4 * first + 12 * later), bytes=itemsize * moved)


def kept_bytes(model: Model, rows: int, itemsize: int) -> int | None:
    """Memory of what `Problem.hessian` keeps for its products, without the rows themselves.

    None for a model without a closed form. Divide a bound by the bytes of one row for
    `kept_rows`.
    """
    sizes = _sizes(model)
    return None if sizes is None else itemsize * rows * _kept_numbers(sizes)


def _sizes(model: Model) -> list[int] | None:
    """Inputs, units of the hidden layers, classes; None if the net is not fully connected."""
    widths = model.spec.hidden if isinstance(model.spec, MLPSpec) else ()
    if not (isinstance(model.spec, MLPSpec) or model.spec.linear):
        return None
    weights, fixed = model.dimension, 0
    for inputs, units in pairwise(widths):
        fixed += units * (inputs + 1)
    if not widths:
        return [weights // model.classes - 1, model.classes]
    fixed += model.classes * (widths[-1] + 1)
    return [(weights - fixed) // widths[0] - 1, *widths, model.classes]


def _kept_numbers(sizes: list[int]) -> int:
    """Numbers a row: probabilities; of hidden layers pairs, slopes, bends; of later ones deltas."""
    hidden, later = sum(sizes[1:-1]), sum(sizes[2:])
    return sizes[-1] + 4 * hidden + 2 * later
