"""A preconditioner from a randomised low-rank approximation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator, multiply

#: Directions of the sketch whose curvature is below this share of the largest are left out: a
#: division by them would blow up what the indefinite part of H and round-off put there.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Nystroem:
    """H ~ vectors diag(values) vectors^T; it serves any damping and any right-hand side.

    Attributes:
        vectors: (d, k) orthonormal.
        values: (k,) positive, falling.
        smallest_ritz: smallest eigenvalue of H in the sketched space: at least that of H.
        products: operator products spent.
    """

    vectors: Tensor
    values: Tensor
    smallest_ritz: float
    products: int

    def preconditioner(self, damping: float) -> Callable[[Tensor], Tensor]:
        """The map r -> P^{-1} r for P near (H + damping I) / (smallest value + damping).

        Args:
            damping: with it, H + damping I is positive definite.
        """
        scale = (self.values[-1:] + damping) / (self.values + damping) - 1
        return lambda r: r + self.vectors @ (scale * (self.vectors.T @ r))


def nystroem(operator: Operator, like: Tensor, rank: int, generator: torch.Generator) -> Nystroem:
    """A randomised Nystroem approximation (Frangella, Tropp & Udell 2023), by `rank` products.

    Theirs is for positive semi-definite H. Here H may have a few negative eigenvalues, which the
    sketch leaves out: the preconditioner is positive definite in any case, only less good.

    Args:
        operator: H, undamped.
        like: (d,), gives dimension, precision and device.
        rank: columns of the sketch, at most d.
        generator: draws the sketch.
    """
    rank = min(rank, len(like))
    drawn = torch.randn(len(like), rank, generator=generator, dtype=torch.float64)
    sketch, _ = torch.linalg.qr(drawn.to(like))
    image = multiply(operator, sketch.T).T
    core = sketch.T @ image
    curvatures, turn = torch.linalg.eigh((core + core.T) / 2)
    kept = curvatures > NEGLIGIBLE * curvatures.abs().max()
    half = image @ turn[:, kept] / curvatures[kept].sqrt()
    # By its triangle: cuSOLVER decomposes no matrix of millions of rows.
    basis, triangle = torch.linalg.qr(half)
    turned, singular, _ = torch.linalg.svd(triangle)
    return Nystroem(basis @ turned, singular.square(), float(curvatures[0]), rank)
