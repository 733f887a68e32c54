"""What training is constrained to, a ball or another convex set: projection, stationarity."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import ConvexSet


def project(weights: Tensor, radius: float | ConvexSet | None) -> Tensor:
    """The nearest point to `weights` (d,) in the ball of `radius` around 0; all of it if None.

    In the ball's place may stand another convex set.
    """
    if radius is None:
        return weights
    if isinstance(radius, ConvexSet):
        return radius.project(weights)
    norm = float(weights.norm())
    return weights if norm <= radius else weights * (radius / norm)


def ball_residual(weights: Tensor, gradient: Tensor, radius: float | ConvexSet | None) -> float:
    """Distance of -gradient to the normal cone of the ball of `radius` at `weights`.

    It is the least e with <gradient, v - weights> >= -e ||v - weights|| for all v in the ball:
    the gradient's norm inside, and on the sphere what is left once its inward part is removed.

    Args:
        weights: (d,), in the ball.
        gradient: (d,) of the function that is minimised.
        radius: C; without a ball, None, it is the gradient's norm everywhere. In the ball's place
            may stand another convex set.

    Raises:
        AssumptionBroken: if the weights lie outside the ball by more than round-off.
    """
    w, q = weights.double(), gradient.double()
    if radius is None:
        return float(q.norm())
    if isinstance(radius, ConvexSet):
        return radius.residual(w, q)
    norm, slack = float(w.norm()), 8 * torch.finfo(weights.dtype).eps * radius
    if not norm <= radius + slack:
        raise AssumptionBroken(
            f"the weights have norm {norm:.6g}, outside the ball of {radius:.6g}"
        )
    if norm < radius - slack:
        return float(q.norm())
    outward = max(0.0, -float(q.dot(w))) / norm**2
    return float(q.add(w, alpha=outward).norm())
