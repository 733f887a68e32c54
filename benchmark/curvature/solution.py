"""What a solver hands back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from benchmark.curvature.hessian import Operator


@dataclass(frozen=True)
class Solution:
    """An approximate solution x of A x = b.

    Attributes:
        x: (d,).
        residual: ||b - A x||, from products with x or the parts that it is a sum of, equal to a
            recomputed one up to round-off; infinite where the recursion ended in no numbers.
        products: operator products spent, the residual's one included; work on a part of the
            rows counts as the fraction of a product that it is. One that a GPU began before it was
            known not to be needed does not count.
        converged: whether residual <= tolerance * ||b||, and A was not seen to be indefinite.
        curvature: a p with p.Ap <= 0 was met, at this value of p.Ap / p.p; None if none was.
        history: (products, residual relative to ||b||) as the recursion knew it along the way.
    """

    x: Tensor
    residual: float
    products: float
    converged: bool
    curvature: float | None
    history: tuple[tuple[float, float], ...] = ()

    def after(self, products: float) -> Solution:
        """The same with `products` more, spent before it was begun."""
        history = tuple((products + count, residual) for count, residual in self.history)
        return replace(self, products=products + self.products, history=history)


def measured(
    operator: Operator,
    b: Tensor,
    x: Tensor,
    *,
    goal: float,
    products: float,
    curvature: float | None = None,
    history: tuple[tuple[float, float], ...] = (),
) -> Solution:
    """The solution `x` with its residual recomputed, by one more product if any was spent.

    Args:
        operator: A.
        b: (d,).
        x: (d,), zero if no product was spent.
        goal: the residual at which x counts as converged.
        products: spent so far.
        curvature: of a direction that shows A to be indefinite.
        history: of the recursion.
    """
    if products:
        residual, products = float((b - operator @ x).norm()), products + 1
    else:
        residual = float(b.norm())
    residual = residual if math.isfinite(residual) else math.inf
    # The recursion's residual drifts from the true one by round-off; 1 % covers it.
    converged = curvature is None and residual <= 1.01 * goal < math.inf
    return Solution(x, residual, products, converged, curvature, history)
