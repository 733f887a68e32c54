"""The ways to multiply by the Hessian of a problem's objective, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmark.curvature.convolutional import ConvolutionalHessian, has_rules
from benchmark.curvature.factor import Factor, linear_factor
from benchmark.curvature.hessian import Differentiated, ForwardOverReverse, Hessian, RowMean
from benchmark.curvature.lissa import Products, differentiated, fully_connected
from benchmark.curvature.mlp import LinearHessian, MLPHessian
from benchmark.curvature.tangent import TangentHessian, TangentPreconditioner
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.risk import Risk
from benchmark.problem.tangent import Tangent, inverse
from benchmark.rows import Rows

#: (problem, weights (d,), rows, rows a chunk, rows whose passes are kept) -> operator; of the last
#: two None is all.
Build = Callable[[Risk, Tensor, Rows, int | None, int | None], Differentiated]


@dataclass(frozen=True)
class Product:
    """A way to compute products with a Hessian.

    Attributes:
        title: for tables.
        serves: whether there is one for the problem.
        build: see `Build`.
    """

    title: str
    serves: Callable[[Risk], bool]
    build: Build


def default(problem: Risk) -> str:
    """What the model's kind decides; no timing does, so that records repeat to the last bit."""
    spec = problem.model.spec
    if not problem.objective.closed:
        return "kept-graph"
    if spec.linear:
        return "closed-form"
    by_layers = spec.convolves and has_rules(problem.model.module)
    return "r-operator" if by_layers or spec.widths is not None else "kept-graph"


def serving(problem: Risk) -> list[str]:
    """The names of those that serve the problem, its default first."""
    own = default(problem)
    return sorted((n for n, p in PRODUCTS.items() if p.serves(problem)), key=lambda n: n != own)


def find(problem: Risk, name: str) -> Product:
    """The product of that name.

    Raises:
        LetheError: if there is none, or it does not serve the problem.
    """
    names = serving(problem)
    if name not in names:
        raise LetheError(f"no product '{name}' for this model: there is {', '.join(names)}")
    return PRODUCTS[name]


def by_units(
    problem: Risk,
    weights: Tensor,
    rows: Rows,
    chunk: int | None,
    kept_rows: int | None,
    *,
    shares: Tensor | None = None,
    gauss_newton: bool = False,
) -> MLPHessian:
    """The R-operator of a fully connected net; `shares` (n,) are the rows', 1 / n by default."""
    spec, objective = problem.model.spec, problem.objective
    return MLPHessian(
        rows.x,
        rows.y,
        weights,
        widths=spec.widths,
        activation=spec.activation,
        loss=objective.loss,
        ridge=objective.ridge,
        shares=shares,
        gauss_newton=gauss_newton,
        chunk=chunk,
        kept_rows=kept_rows,
    )


def kept_graph(
    problem: Risk, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    """Reverse-over-reverse, with the gradient's graph kept for so many rows."""
    fixed = weights.detach().clone()  # chunks that are built anew must see no later change

    def build(part: Rows) -> Hessian:
        return Hessian(_objective(problem, part), fixed)

    if chunk is None and kept_rows is None:
        return build(rows)
    return RowMean(build, rows, chunk=chunk or len(rows), kept_rows=kept_rows)


def _fresh_graph(
    problem: Risk, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    return kept_graph(problem, weights, rows, chunk, 0)


def _forward_over_reverse(
    problem: Risk, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    fixed = weights.detach().clone()

    def build(part: Rows) -> ForwardOverReverse:
        return ForwardOverReverse(_objective(problem, part), fixed)

    # It keeps nothing that a product could use, and every chunk's gradient would be in memory.
    return RowMean(build, rows, chunk=chunk or len(rows), kept_rows=0)


def by_model(
    problem: Risk,
    weights: Tensor,
    rows: Rows,
    chunk: int | None,
    kept_rows: int | None,
    shares: Tensor | None = None,
) -> Differentiated:
    """The product that is the problem's default, where derivatives are written out.

    Args:
        problem: whose default is the closed form or an R-operator.
        weights: (d,).
        rows: n of them.
        chunk: rows multiplied at a time; all if None.
        kept_rows: rows whose passes are kept; all if None.
        shares: (n,) of the rows; 1 / n by default.
    """
    model, objective = problem.model, problem.objective
    same: dict[str, Any] = {"loss": objective.loss, "ridge": objective.ridge, "shares": shares}
    if model.tangent is not None:
        return TangentHessian(model.tangent, rows.x, rows.y, weights, chunk=chunk, **same)
    if model.spec.linear:
        return LinearHessian(rows.x, rows.y, weights, sparse=rows.sparse, chunk=chunk, **same)
    if model.spec.widths is not None:
        return by_units(problem, weights, rows, chunk, kept_rows, shares=shares)
    return ConvolutionalHessian(
        model.module, rows.x, rows.y, weights, chunk=chunk, kept_rows=kept_rows, **same
    )


def of_minibatches(problem: Risk, weights: Tensor) -> Products:
    """Products with the Hessians, at `weights` (d,), of the data loss on many minibatches."""
    spec, objective = problem.model.spec, problem.objective
    if not (spec.widths and objective.closed):
        return differentiated(problem.data_loss, weights)
    return fully_connected(
        weights,
        sizes=(problem.train.x.shape[1], *spec.widths, problem.model.classes),
        activation=spec.activation,
        loss=objective.loss,
    )


def factor(
    problem: Risk, weights: Tensor, index: Tensor, neglect: float
) -> Factor | TangentPreconditioner:
    """Hess L(w, train[index]) of a linear model, factorised in float32; of a tangent, inverted.

    Raises:
        AssumptionBroken: if the model is not linear, has too many weights for a matrix, or float32
            does not suffice.
    """
    model, objective = problem.model, problem.objective
    if model.tangent is not None:
        assert isinstance(model, Tangent)
        return inverse(model, problem.trained(index), weights, objective.ridge)
    if not (model.spec.linear and objective.closed):
        raise AssumptionBroken("a factor is kept of a linear head's Hessian only")
    x = problem.trained(index).x
    return linear_factor(
        x, model(weights, x), loss=objective.loss, ridge=objective.ridge, neglect=neglect
    )


def _objective(problem: Risk, rows: Rows) -> Callable[[Tensor], Tensor]:
    """The objective on `rows`, but for a linear term that one may have: it has no Hessian."""
    return lambda w: problem.data_loss(w, rows) + problem.penalty(w)


PRODUCTS: dict[str, Product] = {
    "closed-form": Product(
        "closed form", lambda problem: default(problem) == "closed-form", by_model
    ),
    "r-operator": Product(
        "hand-written R-operator", lambda problem: default(problem) == "r-operator", by_model
    ),
    "kept-graph": Product("reverse-over-reverse, graph kept", lambda problem: True, kept_graph),
    "fresh-graph": Product(
        "reverse-over-reverse, graph built each time", lambda problem: True, _fresh_graph
    ),
    "forward-over-reverse": Product(
        "forward-over-reverse", lambda problem: True, _forward_over_reverse
    ),
}
