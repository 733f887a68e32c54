"""Gradient descent on a linear model that collects what forgetting each row would add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.curvature.output_loss import Loss, loss_error
from benchmark.errors import LetheError, present
from benchmark.rows import Rows

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem

#: Bytes of corrections that training may keep.
LARGEST = 2 * 2**30


def recollect(
    problem: Problem, start: Tensor, rows: Rows, *, steps: int, step_size: float
) -> tuple[Tensor, Tensor]:
    """T steps w <- w - (eta / n) sum_i grad l_i(w), and each row's correction along the way.

    a_j <- (I - (eta / n) sum_i hess l_i(w)) a_j + (eta / n) grad l_j(w) from zero: the derivative
    of w_T as the loss of row j is taken away. n counts all training rows of the problem, there or
    not, so that it does not change with a request. Every l_i has its share of the ridge. One
    Hessian a step as a matrix serves all corrections. They are kept in float32: nothing is proved
    from them, the gradient that they leave is measured.

    Args:
        problem: with a linear model.
        start: w_0 (d,).
        rows: that are trained on.
        steps: T.
        step_size: eta.

    Returns:
        w_T (d,) and the corrections (rows, d) float32.

    Raises:
        LetheError: for another model than a linear head, or if the corrections take more than
            `LARGEST` bytes.
    """
    if problem.model.spec.kind != "softmax":
        raise LetheError("recollection is for linear heads: set model.kind = 'softmax'")
    needed = 4 * len(rows) * len(start)
    if needed > LARGEST:
        raise LetheError(
            f"recollection keeps {len(start)} numbers for each of {len(rows)} rows: "
            f"{needed / 2**30:.1f} GiB, above its limit of {LARGEST / 2**30:g}"
        )
    loss, ridge, classes = problem.objective.loss, problem.objective.ridge, problem.model.classes
    eta, x = step_size / len(problem.train), torch.cat([rows.x, rows.x.new_ones(len(rows), 1)], 1)
    columns, w = x.T.float().contiguous(), _by_class(start, classes)
    # a column for each row of the data: the matrix product is twice as fast that way around
    corrections = columns.new_zeros(w.numel(), len(rows))
    for _ in range(steps):
        error, p = loss_error(loss, w @ x.T, rows.y)
        hessian = _summed_hessian(loss, columns, classes, None if p is None else p.float())
        hessian.diagonal().add_(len(rows) * ridge)
        corrections = torch.addmm(corrections, hessian, corrections, alpha=-eta)
        corrections.add_(_outer(error.float(), columns), alpha=eta)
        corrections.add_(w.flatten().float().unsqueeze(1), alpha=eta * ridge)
        w = w - eta * (error @ x + len(rows) * ridge * w)
    return _flat(w.unsqueeze(0))[0], _flat(corrections.T.unflatten(1, w.shape))


def _summed_hessian(loss: Loss, columns: Tensor, classes: int, p: Tensor | None) -> Tensor:
    """Sum over rows of the second derivative in the logits times x x^T.

    That is diag(p) - p p^T for a cross-entropy, diag(p (1 - p)) for one class against the rest, I
    for the squared loss (p None).

    Args:
        loss: of the objective.
        columns: (width, n), the rows x.
        classes: of the model.
        p: (classes, n) probabilities.

    Returns:
        (classes * width, classes * width).
    """
    width, n = columns.shape
    total = columns.new_zeros(classes * width, classes * width)
    if loss == "cross_entropy":
        spread = _outer(present(p), columns)
        for a in range(0, len(total), width):  # the rest is the mirror of these blocks
            total[a : a + width, a:] = spread[a : a + width] @ spread[a:].T
        total = -(total.triu() + total.triu(1).T)
    weights = columns.new_ones(classes, n) if p is None else p
    if loss == "one_vs_rest":
        weights = weights * (1 - weights)
    own = (columns * weights.unsqueeze(1)) @ columns.T
    total.view(classes, width, classes, width).diagonal(dim1=0, dim2=2).add_(own.permute(1, 2, 0))
    return total


def _outer(p: Tensor, columns: Tensor) -> Tensor:
    """Column i of p (classes, n) times column i of (width, n), (classes * width, n)."""
    return (p.unsqueeze(1) * columns).flatten(0, 1)


def _by_class(weights: Tensor, classes: int) -> Tensor:
    """(d,) with the biases last as (classes, inputs + 1)."""
    return torch.cat([weights[:-classes].view(classes, -1), weights[-classes:].unsqueeze(1)], dim=1)


def _flat(by_class: Tensor) -> Tensor:
    """(n, classes, inputs + 1) as (n, d) with the biases last."""
    return torch.cat([by_class[..., :-1].flatten(1), by_class[..., -1]], dim=1)
