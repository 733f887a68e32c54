"""The fewest rows whose removal makes a retrained head break a linear constraint on its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.dense import dense_matrix
from benchmark.errors import LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


def fewest_rows(problem: Problem, weights: Tensor, index: Tensor, constraints: Tensor) -> Tensor:
    """Rows (m,) out of `index`, as few as found, after which A(D_r) breaks a constraint.

    To first order the removal of row i moves a . w by a . H^-1 g_i / n. For each constraint the
    rows are ranked by that, and the least number from the top is found by bisection on true
    retraining. The ranking is at the weights as they are, so the number is an upper bound.

    Args:
        problem: of a linear model, strongly convex; training is not constrained.
        weights: (d,), trained on `index`.
        index: (n,) rows of `train`.
        constraints: (k, d), each a with a . w >= 0.

    Raises:
        LetheError: if no request of half of the rows breaks one.
    """
    rows = problem.train.take(index)
    hessian = problem.hessian(weights, rows)
    directions = torch.linalg.solve(dense_matrix(hessian, weights), constraints.T.double()).T
    found = None
    for a, direction in zip(constraints, directions, strict=True):
        order = index[_effect(problem, weights, rows, direction).argsort(stable=True)]
        most = len(index) // 2 if found is None else len(found) - 1
        fewest = _bisected(problem, index, order, a, most)
        found = found if fewest is None else order[:fewest]
    if found is None:
        raise LetheError(
            "no request of half of the rows breaks the property of the retrained head: nothing is "
            "worst; take another forget.scenario"
        )
    return found


def _effect(problem: Problem, weights: Tensor, rows: Rows, direction: Tensor) -> Tensor:
    """(n,) direction . g_i, g_i the gradient of row i's loss: low where removal lowers a . w."""

    def along(step: Tensor) -> Tensor:
        logits = problem.model(weights + step * direction.to(weights), rows.x)
        return torch.nn.functional.cross_entropy(logits, rows.y, reduction="none")

    zero = torch.zeros((), dtype=weights.dtype, device=weights.device)
    return torch.func.jvp(along, (zero,), (torch.ones_like(zero),))[1].cpu()


def _bisected(problem: Problem, index: Tensor, order: Tensor, a: Tensor, most: int) -> int | None:
    """The least number from the top of an order at which retraining breaks a . w >= 0, if any.

    Doubling finds a number that does, and bisection the least between it and one that does not.
    """
    low, high = 0, 1
    while not _breaks(problem, index, order[:high], a):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if _breaks(problem, index, order[:middle], a):
            high = middle
        else:
            low = middle
    return high


def _breaks(problem: Problem, index: Tensor, removed: Tensor, a: Tensor) -> bool:
    kept = index[~torch.isin(index, removed)]
    weights = problem.fit(kept, torch.Generator().manual_seed(0))
    return float(a.to(weights).dot(weights)) < 0
