"""The ways to multiply by the Hessian of a problem's objective, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from benchmark.curvature.forward_over_reverse import ForwardOverReverse
from benchmark.curvature.hessian import Differentiated, Hessian
from benchmark.curvature.layers.rules import has_rules
from benchmark.curvature.mlp import MLPHessian
from benchmark.curvature.row_mean import RowMean
from benchmark.errors import LetheError
from benchmark.problem.model import MLPSpec
from benchmark.problem.models.convolutional import ConvolutionalSpec
from benchmark.problem.rows import Rows

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem

#: (problem, weights (d,), rows, rows a chunk, rows whose passes are kept) -> operator; of the last
#: two None is all.
Build = Callable[["Problem", Tensor, Rows, int | None, int | None], Differentiated]


@dataclass(frozen=True)
class Product:
    """A way to compute products with a Hessian.

    Attributes:
        title: for tables.
        serves: whether there is one for the problem.
        build: see `Build`.
    """

    title: str
    serves: Callable[[Problem], bool]
    build: Build


def default(problem: Problem) -> str:
    """What the model's kind decides; no timing does, so that records repeat to the last bit."""
    spec = problem.model.spec
    if spec.linear:
        return "closed-form"
    if isinstance(spec, MLPSpec):
        return "r-operator" if spec.by_hand else "kept-graph"
    by_layers = isinstance(spec, ConvolutionalSpec) and has_rules(problem.model.module)
    return "r-operator" if by_layers else "kept-graph"


def serving(problem: Problem) -> list[str]:
    """The names of those that serve the problem, its default first."""
    own = default(problem)
    return sorted((n for n, p in PRODUCTS.items() if p.serves(problem)), key=lambda n: n != own)


def find(problem: Problem, name: str) -> Product:
    """The product of that name.

    Raises:
        LetheError: if there is none, or it does not serve the problem.
    """
    names = serving(problem)
    if name not in names:
        raise LetheError(f"no product '{name}' for this model: there is {', '.join(names)}")
    return PRODUCTS[name]


def by_units(
    problem: Problem,
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
        widths=spec.hidden,
        activation=spec.activation,
        loss=objective.loss,
        ridge=objective.ridge,
        shares=shares,
        gauss_newton=gauss_newton,
        chunk=chunk,
        kept_rows=kept_rows,
    )


def kept_graph(
    problem: Problem, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    """Reverse-over-reverse, with the gradient's graph kept for so many rows."""
    fixed = weights.detach().clone()  # chunks that are built anew must see no later change

    def build(part: Rows) -> Hessian:
        return Hessian(_objective(problem, part), fixed)

    if chunk is None and kept_rows is None:
        return build(rows)
    return RowMean(build, rows, chunk=chunk or len(rows), kept_rows=kept_rows)


def _fresh_graph(
    problem: Problem, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    return kept_graph(problem, weights, rows, chunk, 0)


def _forward_over_reverse(
    problem: Problem, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    fixed = weights.detach().clone()

    def build(part: Rows) -> ForwardOverReverse:
        return ForwardOverReverse(_objective(problem, part), fixed)

    # It keeps nothing that a product could use, and every chunk's gradient would be in memory.
    return RowMean(build, rows, chunk=chunk or len(rows), kept_rows=0)


def _by_model(
    problem: Problem, weights: Tensor, rows: Rows, chunk: int | None, kept_rows: int | None
) -> Differentiated:
    return problem._hessian(weights, rows, chunk, kept_rows)


def _objective(problem: Problem, rows: Rows) -> Callable[[Tensor], Tensor]:
    """The objective on `rows`, but for a linear term that one may have: it has no Hessian."""
    return lambda w: problem.data_loss(w, rows) + problem.penalty(w)


PRODUCTS: dict[str, Product] = {
    "closed-form": Product(
        "closed form", lambda problem: default(problem) == "closed-form", _by_model
    ),
    "r-operator": Product(
        "hand-written R-operator", lambda problem: default(problem) == "r-operator", _by_model
    ),
    "kept-graph": Product("reverse-over-reverse, graph kept", lambda problem: True, kept_graph),
    "fresh-graph": Product(
        "reverse-over-reverse, graph built each time", lambda problem: True, _fresh_graph
    ),
    "forward-over-reverse": Product(
        "forward-over-reverse", lambda problem: True, _forward_over_reverse
    ),
}
