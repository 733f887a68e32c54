"""Closed convex sets of weights: projection, tangent cone and residual; balls by their radius.

A set is declared without a look at the data. So projection onto it is post-processing, and both
sides of a definition project onto the same set.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import AssumptionBroken


class ConvexSet(ABC):
    """A closed convex set K of weights (d,)."""

    @abstractmethod
    def project(self, weights: Tensor) -> Tensor:
        """The nearest points of K to `weights` (..., d)."""

    @abstractmethod
    def tangent(self, weights: Tensor, direction: Tensor) -> Tensor:
        """The projection of `direction` (d,) onto the tangent cone of K at `weights` (d,) in K."""

    def has(self, weights: Tensor) -> bool:
        """Whether all of `weights` (..., d) lie in K, to the last bit."""
        return torch.equal(self.project(weights), weights)

    def residual(self, weights: Tensor, gradient: Tensor) -> float:
        """Distance of -gradient to the normal cone of K at `weights`, both (d,).

        It is the least e with <gradient, v - weights> >= -e ||v - weights|| for all v in K. By
        Moreau's decomposition it is the norm of what the tangent cone keeps of -gradient.
        """
        kept = self.tangent(weights.double(), -gradient.double())
        return float(kept.norm())


@dataclass(frozen=True, eq=False)
class Box(ConvexSet):
    """The box low <= w <= high, coordinate by coordinate.

    Attributes:
        low, high: (d,), infinite where there is no bound.
    """

    low: Tensor
    high: Tensor

    def project(self, weights: Tensor) -> Tensor:
        """Clamp each coordinate."""
        return weights.maximum(self.low.to(weights)).minimum(self.high.to(weights))

    def tangent(self, weights: Tensor, direction: Tensor) -> Tensor:
        """The direction without what points out of an active bound."""
        inward = torch.where(weights <= self.low.to(weights), direction.clamp(min=0), direction)
        return torch.where(weights >= self.high.to(weights), inward.clamp(max=0), inward)


@dataclass(frozen=True, eq=False)
class Ordered(ConvexSet):
    """The polyhedral cone w[below] <= w[above] for disjoint pairs of coordinates.

    Its half-spaces have the orthonormal normals (e_above - e_below) / sqrt 2. What is asked pair by
    pair, and in their basis, is answered on the CPU: where a head is small enough for a matrix, and
    the least squares of `benchmark.problem.training.cone` are solved.

    Attributes:
        below, above: (k,) int64; no coordinate is in two pairs.
    """

    below: Tensor
    above: Tensor

    def project(self, weights: Tensor) -> Tensor:
        """Give both of a pair that is out of order the same mean.

        Half the gap added to each would leave them some 1e-16 out of order.
        """
        low, high = weights[..., self.below], weights[..., self.above]
        mean, wrong = (low + high) / 2, low > high
        found = weights.clone()
        found[..., self.below] = torch.where(wrong, mean, low)
        found[..., self.above] = torch.where(wrong, mean, high)
        return found

    def tangent(self, weights: Tensor, direction: Tensor) -> Tensor:
        """The direction, with its mean on both of an active pair that it would put out of order."""
        low, high = direction[self.below], direction[self.above]
        wrong = (weights[self.above] <= weights[self.below]) & (low > high)
        found = direction.clone()
        found[self.below] = torch.where(wrong, (low + high) / 2, low)
        found[self.above] = torch.where(wrong, (low + high) / 2, high)
        return found

    def margins(self, weights: Tensor) -> Tensor:
        """Differences w[above] - w[below], (..., k): negative where a pair is out of order."""
        return (weights[..., self.above] - weights[..., self.below]).cpu()

    def rotated(self, vectors: Tensor) -> Tensor:
        """`vectors` (..., d) in a basis whose coordinates `below` go along the normals.

        `returned` is its inverse.
        """
        found = vectors.cpu().clone()
        low, high = found[..., self.below], found[..., self.above]
        found[..., self.below] = (high - low) / math.sqrt(2)
        found[..., self.above] = (high + low) / math.sqrt(2)
        return found

    def returned(self, vectors: Tensor) -> Tensor:
        """The inverse of `rotated`, exact where a coordinate along a normal is 0."""
        along, across = vectors[..., self.below], vectors[..., self.above]
        found = vectors.clone()
        found[..., self.below] = (across - along) / math.sqrt(2)
        found[..., self.above] = (across + along) / math.sqrt(2)
        return found


@dataclass(frozen=True, eq=False)
class Both(ConvexSet):
    """Two sets that constrain different coordinates."""

    first: ConvexSet
    second: ConvexSet

    def project(self, weights: Tensor) -> Tensor:
        """Project onto one, then the other: neither moves the other's coordinates."""
        return self.second.project(self.first.project(weights))

    def tangent(self, weights: Tensor, direction: Tensor) -> Tensor:
        """Project onto one tangent cone, then the other."""
        return self.second.tangent(weights, self.first.tangent(weights, direction))


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
