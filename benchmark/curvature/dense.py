"""A linear operator as a matrix, and the solution by its factor."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator, multiply
from benchmark.curvature.solution import Solution, measured
from benchmark.errors import LetheError

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
