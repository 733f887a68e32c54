"""Rows that, removed together, move a trained model most, or break a constraint on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from benchmark.curvature.factor import Factor, dense_matrix
from benchmark.curvature.tangent import TangentPreconditioner
from benchmark.errors import LetheError
from benchmark.problem.problem import Problem
from benchmark.rows import Rows

# Which rows, removed together, move a trained model most.

#: Rounds after which the ascent ends at the latest; most end earlier.
ROUNDS = 8
#: Share of each block's weight that the factorised Hessian leaves out: rows are ranked by what it
#: gives, no more.
NEGLECT = 1e-3
#: Rows that are differentiated at a time, so that no (n, d) matrix of gradients is formed.
CHUNK = 512


def most_influential(problem: Problem, weights: Tensor, index: Tensor, count: int) -> Tensor:
    """Rows (count,) out of `index`, those that move the model most when all of them are removed.

    They stand in the order of their part in it; see `ascent`.

    Args:
        problem: strongly convex.
        weights: (d,), trained on `index`.
        index: (n,) rows of `train`.
        count: at most n.

    Raises:
        LetheError: if the problem is not strongly convex.
    """
    *_, chosen = ascent(problem, weights, index, count)
    return chosen


def ascent(problem: Problem, weights: Tensor, index: Tensor, count: int) -> Iterator[Tensor]:
    """Sets of rows (count,) that move the model ever more, each in the order of its rows' part.

    To first order, and up to a factor, the removal of S moves the model by H^-1 sum_S g_i, with
    g_i the gradient of row i's loss and H the Hessian on `index`. The squared norm of that is
    convex in the sum, so no set moves it less than S does that has the largest g_i . u, where
    u = H^-2 sum_S g_i. That set comes next, until it stays the same.

    Where that ends depends on the start, as classes move different weights. So the row with the
    largest gradient of each class is tried, for one round, and the best set goes on.

    Args:
        problem: strongly convex.
        weights: (d,), trained on `index`.
        index: (n,) rows of `train`.
        count: at most n.

    Raises:
        LetheError: if the problem is not strongly convex.
    """
    if problem.strong_convexity is None:
        raise LetheError(
            "what moves a model most is known of strongly convex problems only: choose a linear "
            "model and a ridge above 0"
        )
    removal = _Removal(problem, weights, index)
    first = [removal.better(row, count) for row in removal.starts()]
    chosen = max(first, key=lambda rows: float(removal.shift(rows).norm()))
    yield chosen
    for _ in range(ROUNDS - 1):
        last, chosen = chosen, removal.better(chosen, count)
        if torch.equal(last.sort().values, chosen.sort().values):
            return
        yield chosen


@dataclass(frozen=True)
class _Removal:
    """What it does to a model, of `weights` (d,), to remove some of the rows `index` (n,)."""

    problem: Problem
    weights: Tensor
    index: Tensor

    @cached_property
    def factor(self) -> Factor | TangentPreconditioner:
        """The Hessian on `index`, factorised: solves are many."""
        return self.problem.factor(self.weights, self.index, neglect=NEGLECT)

    def starts(self) -> list[Tensor]:
        """The row with the largest gradient, (1,), for each class; of all where there are none."""
        norms = self._of_each(self._gradient_norms).to(self.index.device)
        labels = self.problem.train.y.to(self.index.device)[self.index]
        if self.problem.target is not None:
            labels = torch.zeros_like(labels)
        return [
            _top(norms[labels == label], self.index[labels == label], 1)
            for label in labels.unique()
        ]

    def shift(self, rows: Tensor) -> Tensor:
        """(d,) H^-1 times the sum of the gradients of `rows`."""
        return self.factor.solve(self._gradient(self.problem.train.take(rows)))

    def better(self, rows: Tensor, count: int) -> Tensor:
        """(count,) the rows with the largest part along the shift by `rows`, the largest first."""
        u = self.factor.solve(self.shift(rows))
        return _top(self._of_each(lambda part: self._slopes(u, part)), self.index, count)

    def _of_each(self, value: Callable[[Rows], Tensor]) -> Tensor:
        """(n,) what `value` gives of each row, a chunk of rows at a time."""
        parts = self.index.split(CHUNK)
        return torch.cat([value(self.problem.train.take(part)) for part in parts])

    def _gradient(self, rows: Rows) -> Tensor:
        """(d,) the sum of the gradients of the rows' losses, without the ridge."""
        return len(rows) * grad(self.problem.data_loss)(self.weights, rows)

    def _gradient_norms(self, rows: Rows) -> Tensor:
        """(m,) the norm of each row's gradient."""

        def norm(x: Tensor, y: Tensor) -> Tensor:
            return self._gradient(Rows(x.unsqueeze(0), y.unsqueeze(0))).norm()

        return vmap(norm)(rows.x, rows.y)

    def _slopes(self, direction: Tensor, rows: Rows) -> Tensor:
        """(m,) each row's gradient times `direction` (d,), by the chain rule over its logits."""
        model, objective = self.problem.model, self.problem.objective
        # without an auxiliary output these are all
        logits, change, *_ = jvp(lambda w: model(w, rows.x), (self.weights,), (direction,))
        error = len(rows) * grad(objective.data_term)(logits, rows.y)
        return (error * change).sum(dim=1)


def _top(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """(count,) the `rows` (n,) with the largest values (n,), the largest first."""
    order = torch.sort(values, descending=True, stable=True).indices
    return rows[order[:count].to(rows.device)]


# The fewest rows whose removal makes a retrained head break a linear constraint on its weights.


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
