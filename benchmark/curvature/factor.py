"""A Hessian as a matrix: solved by its factor, factorised once, or approximated in low rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.linalg.blas import ssyrk
from scipy.linalg.lapack import spotrf
from torch import Tensor

from benchmark.curvature.hessian import Operator, multiply
from benchmark.curvature.krylov import Solution, measured
from benchmark.curvature.output_loss import Loss, probabilities
from benchmark.errors import AssumptionBroken, LetheError, present

# A linear operator as a matrix, and the solution by its factor.

#: Above this dimension a dense solve is refused: the matrix would take 0.8 GB, and as many
#: products as the dimension take minutes at least.
LARGEST_DIMENSION = 10_000


def dense_matrix(operator: Operator, like: Tensor, *, block: int = 32) -> Tensor:
    """The symmetric operator as a matrix (d, d) float64, by d products.

    Args:
        operator: on (d,).
        like: (d,), gives dimension, precision and device of the products.
        block: columns computed at a time.

    Raises:
        LetheError: above dimension 10,000.
    """
    d = len(like)
    if d > LARGEST_DIMENSION:
        raise LetheError(
            f"a dense solve is for {LARGEST_DIMENSION:,} weights at most, not {d:,}: use 'cg'"
        )
    matrix = torch.empty(d, d, dtype=torch.float64, device=like.device)
    for start in range(0, d, block):
        end = min(start + block, d)
        columns = like.new_zeros(end - start, d)
        columns[:, start:end].fill_diagonal_(1)
        matrix[start:end] = multiply(operator, columns)
    return matrix.add_(matrix.T.clone()).div_(2)


def cholesky(operator: Operator, b: Tensor, *, tolerance: float, max_products: int) -> Solution:
    """Solve A x = b by the Cholesky factor of A as a matrix, in float64.

    Where A is not positive definite, x is zero and the curvature A's smallest eigenvalue.

    Args:
        operator: A, applied once for each dimension and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products; too small a one leaves x zero.

    Raises:
        LetheError: above dimension 10,000.
    """
    goal, x, products, curvature = tolerance * float(b.norm()), torch.zeros_like(b), 0, None
    if len(b) <= max_products or len(b) > LARGEST_DIMENSION:
        matrix, products = dense_matrix(operator, b), len(b)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if int(failed):
            curvature = min(0.0, float(torch.linalg.eigvalsh(matrix)[0]))
        else:
            x = torch.cholesky_solve(b.double().unsqueeze(1), factor).squeeze(1).to(b.dtype)
    return measured(operator, b, x, goal=goal, products=products, curvature=curvature)


# A Hessian factorised once, to serve every later request.

#: Rows that are weighted and multiplied at a time.
CHUNK = 4096


@dataclass(frozen=True)
class Factor:
    """b -> P^-1 b for P a float32 Hessian at weights of the past: nearly the inverse wanted.

    It serves as a preconditioner or as a chord's slope. What it gets wrong shows in the residual
    of whoever uses it.

    Attributes:
        lower: (d, d) float32, P = lower @ lower.T after reordering.
        order: (d,) weights in the order of the rows of `lower`.
    """

    lower: Tensor
    order: Tensor

    def solve(self, b: Tensor) -> Tensor:
        """P^-1 b, (d,), in b's precision."""
        column = b[self.order].float().unsqueeze(1)
        half = torch.linalg.solve_triangular(self.lower, column, upper=False)
        whole = torch.linalg.solve_triangular(self.lower.mT, half, upper=True)
        return torch.empty_like(b).index_copy_(0, self.order, whole[:, 0].to(b.dtype))


def linear_factor(
    x: Tensor,
    logits: Tensor,
    *,
    loss: Loss,
    ridge: float,
    neglect: float,
) -> Factor:
    """Factorise the Hessian of a linear model's mean loss plus (ridge / 2) ||w||^2.

    Block (a, b) of it is X^T diag(v) X / n. On the diagonal v = p_a (1 - p_a), off it v = -p_a p_b
    for softmax and v = 0 for one class against the rest; for squared loss v = 1 and 0. Off the
    diagonal most rows have next to no weight: the lightest, `neglect` of the block's weight in all,
    are left out, which leaves each row's diag(p) - p p^T diagonally dominant and so positive
    semidefinite.

    Args:
        x: (n, inputs).
        logits: (n, classes), of the model on these rows.
        loss: of the objective.
        ridge: of the objective.
        neglect: share of the weight of each block off the diagonal, in [0, 1).

    Raises:
        AssumptionBroken: if the matrix is not positive definite in float32.
    """
    n, inputs = x.shape
    classes, width = logits.shape[1], inputs + 1
    rows = torch.cat([x.float(), x.new_ones(n, 1, dtype=torch.float32)], dim=1)
    p = probabilities(loss, logits, dim=1)
    p = None if p is None else p.float().T.contiguous()
    hessian = rows.new_zeros(classes, width, classes, width)
    softmax = loss == "cross_entropy"
    for a in range(classes):
        own = rows.new_ones(n) if p is None else p[a] * (1 - p[a])
        hessian[a, :, a] = _weighted_gram(rows, own).div_(n)
        for b in range(a if softmax else 0):
            both = present(p)[a] * present(p)[b]
            heavy = _heavy(both, neglect)
            block = _weighted_gram(rows[heavy], both[heavy]).div_(-n)
            hessian[a, :, b] = hessian[b, :, a] = block
    hessian = hessian.view(classes * width, classes * width)
    hessian.diagonal().add_(ridge)
    factorise = _cholesky_lapack if x.device.type == "cpu" else torch.linalg.cholesky_ex
    lower, failed = factorise(hessian)
    if failed:
        raise AssumptionBroken(
            f"the Hessian is not positive definite in float32 at ridge {ridge:.3g}: raise ridge"
        )
    return Factor(lower, _order(classes, inputs).to(x.device))


def _cholesky_lapack(matrix: Tensor) -> tuple[Tensor, int]:
    """The lower factor in the matrix's own memory, which torch would double; 0 if it succeeded."""
    # by columns, as LAPACK reads it, the lower triangle is the upper one
    factor, failed = spotrf(matrix.numpy().T, lower=0, clean=1, overwrite_a=1)
    return torch.from_numpy(factor.T), failed


def _heavy(weights: Tensor, neglect: float) -> Tensor:
    """Indices of all but the lightest weights, which make up `neglect` of their sum at most."""
    ascending = weights.sort().values
    light = int((ascending.cumsum(0, dtype=torch.float64) <= neglect * weights.sum()).sum())
    return (weights >= ascending[min(light, len(weights) - 1)]).nonzero()[:, 0]


def _weighted_gram(rows: Tensor, weights: Tensor) -> Tensor:
    """Sum of weights_i rows_i rows_i^T, (width, width)."""
    gram: Callable[[Tensor], Tensor] = _gram_blas if rows.device.type == "cpu" else _gram
    total = rows.new_zeros(rows.shape[1], rows.shape[1])
    for part, share in zip(rows.split(CHUNK), weights.split(CHUNK), strict=True):
        total += gram(part * share.sqrt().unsqueeze(1))
    return total.tril() + total.tril(-1).mT


def _gram(rows: Tensor) -> Tensor:
    return rows.mT @ rows


def _gram_blas(rows: Tensor) -> Tensor:
    """The same, its lower triangle only, in a third of the time: torch has no such product."""
    # BLAS stores by columns: its upper triangle is the lower one by rows.
    return torch.from_numpy(ssyrk(1.0, rows.numpy().T, trans=0, lower=0).T)


def _order(classes: int, inputs: int) -> Tensor:
    """Flat weights (the rows of W, then b) class by class: its row of W, then its bias."""
    matrix = torch.arange(classes * inputs).view(classes, inputs)
    bias = classes * inputs + torch.arange(classes).view(classes, 1)
    return torch.cat([matrix, bias], dim=1).flatten()


# A preconditioner from a randomised low-rank approximation.

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
