"""The generalised Gauss-Newton matrix of a problem's objective."""

from __future__ import annotations

from torch import Tensor

from benchmark.curvature.gauss_newton import GaussNewton
from benchmark.curvature.hessian import Differentiated
from benchmark.curvature.row_mean import RowMean
from benchmark.errors import LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.products import by_units
from benchmark.problem.rows import Rows


def gauss_newton(
    problem: Problem,
    weights: Tensor,
    rows: Rows,
    *,
    chunk: int | None = None,
    kept_rows: int | None = None,
) -> Differentiated:
    """The Gauss-Newton matrix of L(w, rows) as an operator on (d,), with the gradient.

    As for the Hessian the model decides how: the closed form of a linear model, whose Hessian it
    is, the R-operator of a fully connected net, kept graphs elsewhere.

    Args:
        problem: whose objective L is.
        weights: w, (d,).
        rows: over which L is the mean.
        chunk: rows multiplied at a time, as in `Problem.hessian`.
        kept_rows: rows whose passes are kept for the next product, likewise.

    Raises:
        LetheError: for a net with BatchNorm, whose statistics the ridge spares.
    """
    spec, loss, ridge = problem.model.spec, problem.objective.loss, problem.objective.ridge
    if spec.linear:
        return problem.hessian(weights, rows, chunk=chunk)
    if not problem.objective.closed:
        raise LetheError(f"no Gauss-Newton matrix of loss '{loss}': take another loss")
    if spec.widths is not None:
        return by_units(problem, weights, rows, chunk, kept_rows, gauss_newton=True)
    if problem.model.statistics is not None:
        raise LetheError("no Gauss-Newton matrix of a net with BatchNorm: use norm = 'group'")
    fixed = weights.detach().clone()

    def build(part: Rows) -> GaussNewton:
        return GaussNewton(
            lambda w: problem.model(w, part.x), part.y, fixed, loss=loss, ridge=ridge
        )

    own = problem.model.chunk
    kept = own if kept_rows is None else kept_rows
    return RowMean(build, rows, chunk=chunk or own or len(rows), kept_rows=kept)
