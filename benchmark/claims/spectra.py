"""Spectra: exact of linear models, measured of nets; and sampled Lipschitz constants."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.krylov import extreme_eigenvalues
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory.constants import (
    HeadConstants,
    one_vs_rest_head,
    softmax_head,
    squared_head,
)
from benchmark.theory.spectrum import kept_spectrum, spectrum_bounds


@dataclass(frozen=True)
class Spectrum:
    """Bounds below and above every eigenvalue of a Hessian, except with a probability."""

    smallest: float
    largest: float
    failure_probability: float = 0.0

    @property
    def norm(self) -> float:
        """A bound on the spectral norm."""
        return max(self.largest, -self.smallest)

    def without(self, forgotten: Spectrum, *, trained: int, forgotten_rows: int) -> Spectrum:
        """Bounds on the retained rows, from these on all n rows; see `kept_spectrum`."""
        low, high = kept_spectrum(
            (self.smallest, self.largest),
            (forgotten.smallest, forgotten.largest),
            trained=trained,
            forgotten_rows=forgotten_rows,
        )
        failure = self.failure_probability + forgotten.failure_probability
        return Spectrum(low, high, failure)


def head_spectrum(problem: Problem) -> Spectrum:
    """Bounds for a linear model, on any of the training rows and at any weights."""
    head = head_constants(problem)
    return Spectrum(head.strong_convexity, head.gradient_lipschitz)


def head_constants(problem: Problem) -> HeadConstants:
    """Exact constants of a linear model, on any of the training rows."""
    objective, norm = problem.objective, problem.row_norm
    if objective.loss == "one_vs_rest":
        return one_vs_rest_head(norm, objective.ridge, problem.model.classes)
    of_loss = softmax_head if objective.loss == "cross_entropy" else squared_head
    return of_loss(norm, objective.ridge)


def random_direction(like: Tensor, generator: torch.Generator) -> Tensor:
    """(d,) standard normal, drawn on the CPU, with the device and precision of `like`."""
    draw = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return draw.to(like.device, like.dtype)


def measured_spectrum(
    problem: Problem,
    weights: Tensor,
    rows: Rows,
    generator: torch.Generator,
    *,
    steps: int,
    failure_probability: float,
) -> Spectrum:
    """Bounds on the spectrum of Hess L(weights, rows) by Lanczos (docs/theory/nets.md).

    Args:
        problem: with the model and the objective.
        weights: (d,).
        rows: of the mean.
        generator: draws the start; the bounds hold except with `failure_probability` over it.
        steps: Hessian products.
        failure_probability: rho, to be added to delta.

    Raises:
        AssumptionBroken: if the steps are too few for any bound.
    """
    start = random_direction(weights, generator)
    ritz = extreme_eigenvalues(problem.hessian(weights, rows), start, steps)
    low, high = spectrum_bounds(
        smallest_ritz=ritz[0],
        largest_ritz=ritz[1],
        steps=steps,
        dimension=len(weights),
        failure_probability=failure_probability,
    )
    return Spectrum(low, high, failure_probability)


@dataclass(frozen=True)
class _Difference:
    """v -> (A - B) v."""

    a: Operator
    b: Operator

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self.a @ vector - self.b @ vector


def sampled_hessian_lipschitz(
    problem: Problem,
    weights: Tensor,
    rows: Rows,
    generator: torch.Generator,
    *,
    pairs: int = 4,
    steps: int = 5,
) -> float:
    """The largest ||H(w') - H(w)|| / ||w' - w|| that was seen: an *under*-estimate of M.

    Args:
        problem: its ball is where w' is looked for; without one, at most ||weights|| from w.
        weights: w (d,).
        rows: of the mean.
        generator: draws directions and distances.
        pairs: how many w' are tried.
        steps: Lanczos steps for each spectral norm, itself an under-estimate.
    """
    at_weights = problem.hessian(weights, rows)
    radius = problem.training.radius
    reach = radius if radius is not None else float(weights.norm())
    seen = 0.0
    for _ in range(pairs):
        direction = random_direction(weights, generator)
        share = float(torch.rand((), generator=generator, dtype=torch.float64))
        other = project(weights + direction * (share * reach / float(direction.norm())), radius)
        difference = _Difference(problem.hessian(other, rows), at_weights)
        ends = extreme_eigenvalues(difference, random_direction(weights, generator), steps)
        seen = max(seen, max(map(abs, ends)) / float((other - weights).norm()))
    return seen
