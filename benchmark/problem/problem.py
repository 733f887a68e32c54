"""A learning problem: data, model, objective, training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor

from benchmark.curvature.convolutional import ConvolutionalHessian
from benchmark.curvature.downdate import Downdated
from benchmark.curvature.factor import Factor, linear_factor
from benchmark.curvature.hessian import Differentiated
from benchmark.curvature.linear import LinearHessian
from benchmark.curvature.minibatches import Products, differentiated, fully_connected
from benchmark.curvature.tangent import TangentHessian
from benchmark.curvature.tangent_preconditioner import TangentPreconditioner
from benchmark.curvature.within_memory import WithinMemory
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.convex import ConvexSet
from benchmark.problem.declared import Declared
from benchmark.problem.domain import Domain
from benchmark.problem.fixed_point import FixedPoint
from benchmark.problem.model import MLPSpec, Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.products import by_units, default, find, kept_graph
from benchmark.problem.rows import Rows
from benchmark.problem.sums import squared_head
from benchmark.problem.tangent import Tangent, inverse
from benchmark.problem.training import DirectTraining, Training


@dataclass(frozen=True)
class Problem:
    """What a method is given to work on.

    Attributes:
        model: the architecture, a function of flat weights (d,).
        objective: the loss that is trained, differentiated twice and certified.
        training: the algorithm A of the theory: from rows to weights.
        train: rows that may be trained on; indices into it name data points.
        negatives: rows like the training rows that are never trained on (for attacks).
        test: rows for utility.
        validation: rows for tuning, which are in none of the others; None if there are none.
        public: rows that never ask for deletion and are in none of the others, which features and
            starting weights may be fitted on; None if there are none.
        declared: public bounds that the data keep, for constants that must not depend on them.
        domain: all rows that there can be, of a table with declared ranges; None where unknown.
        released_within: what every release is projected onto, after its noise; None for nothing.
        extra: a term that training alone adds to the loss of a batch, of weights (d,) and rows; no
            method that goes on from the weights knows of it.

    With BatchNorm the objective is what it is in evaluation, by statistics that stand still: those
    in the weights, which have no gradient and no ridge. Training alone goes by those of a batch.

    Raises:
        LetheError: if a net with BatchNorm is trained in a ball or to a gradient tolerance, or a
            direct solve is asked of anything but squared loss on a linear model.

    The problem of an experiment, and the gradient at which its training ends:

    >>> from benchmark.contract.seeds import Seeds
    >>> from benchmark.experiments.build import build
    >>> from benchmark.experiments.experiment import load
    >>> seeds = Seeds.all(0)
    >>> problem, _ = build(load("digits-softmax").problem, seeds, "cpu")
    >>> weights = problem.fit(torch.arange(len(problem.train)), seeds.generator("training"))
    >>> bool(problem.gradient(weights, problem.train).norm() < 1e-10)
    True
    >>> problem.strong_convexity
    0.01
    """

    model: Model
    objective: Objective
    training: Training
    train: Rows
    negatives: Rows
    test: Rows
    validation: Rows | None = field(default=None, kw_only=True)
    public: Rows | None = field(default=None, kw_only=True)
    declared: Declared = field(default=Declared(), kw_only=True)
    domain: Domain | None = field(default=None, kw_only=True)
    released_within: ConvexSet | None = field(default=None, kw_only=True)
    extra: Callable[[Tensor, Rows], Tensor] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        training = self.training
        held = training.radius is not None or training.gradient_bound is not None
        if held and self.model.statistics is not None:
            raise LetheError(
                "BatchNorm's statistics are set after training, which no ball and no gradient "
                "tolerance holds: train with adam, radius = 'none' and no gradient_tolerance"
            )
        if isinstance(training, DirectTraining):
            squared_head(self)
        if isinstance(self.model, Tangent) and self.objective.loss != "cross_entropy":
            raise LetheError(
                "the constants of a tangent model are those of the cross-entropy: set "
                "objective.loss = 'cross_entropy'"
            )

    @property
    def device(self) -> torch.device:
        return self.train.x.device

    @property
    def dtype(self) -> torch.dtype:
        return self.train.x.dtype

    @property
    def strong_convexity(self) -> float | None:
        """Mu of the objective, the exact ridge on a linear model; None where there is none."""
        return self.objective.ridge if self.model.spec.linear and self.objective.ridge else None

    @property
    def constrained(self) -> bool:
        """Whether training is within a convex set of a property; then no gradient vanishes."""
        return isinstance(self.training.radius, ConvexSet)

    @cached_property
    def row_norm(self) -> float:
        """R, a bound on the norm of a training row with its bias, which is declared if it can be.

        Of a tangent it is the norm that Jacobians are clipped to.

        Raises:
            AssumptionBroken: if a row is longer than declared, or a tangent's public net too long.
        """
        if isinstance(self.model, Tangent):
            return self.model.row_norm(self.objective.ridge)
        found, declared = self.train.largest_norm(bias=True), self.declared.feature_norm
        if declared is None:
            return found
        # rows that were scaled to the norm have it to the last digits
        rounding = max(1e-12, 8 * torch.finfo(self.dtype).eps)
        bound = math.hypot(declared, 1.0) * (1 + rounding)
        if found > bound:
            raise AssumptionBroken(
                f"features are declared to have norm {declared:g} at most, and a row has "
                f"{math.sqrt(found**2 - 1):.6g}: declare a larger norm or scale the rows"
            )
        return bound

    @cached_property
    def fixed_point(self) -> FixedPoint | None:
        """The form of the features, in which sums over training rows are exact; None if undeclared.

        Raises:
            AssumptionBroken: if a row is not in the form that is declared, or rows are too many.
        """
        declared = self.declared.fixed_point
        if declared is not None:
            declared.check(self.train.x)
        return declared

    def rows_at_least(self, left: int) -> int:
        """The declared number of rows that any request leaves; those that are left without one.

        Args:
            left: rows that are left now.

        Raises:
            AssumptionBroken: if fewer are left than declared.
        """
        declared = self.declared.rows_at_least
        if declared is None:
            return left
        if left < declared:
            raise AssumptionBroken(
                f"{left} rows are left, fewer than the {declared} that the experiment declares: "
                "lower problem.rows_at_least"
            )
        return declared

    def data_loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The mean loss on `rows` without the ridge, a scalar."""
        return self.objective.data_term(self.model(weights, rows.x), rows.y)

    def loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The whole objective L(w, rows), a scalar."""
        return self.data_loss(weights, rows) + self.penalty(weights)

    def penalty(self, weights: Tensor) -> Tensor:
        """The ridge term, a scalar; of all weights but BatchNorm's statistics."""
        return self.objective.penalty(self.model.without_statistics(weights))

    def gradient(self, weights: Tensor, rows: Rows) -> Tensor:
        """Grad L(w, rows), (d,)."""
        w = weights.detach().requires_grad_()
        parts = rows.split(self.model.chunk)
        if len(parts) == 1:
            return torch.autograd.grad(self.loss(w, rows), w)[0]
        total = torch.zeros_like(weights)
        for part in parts:
            gradient = torch.autograd.grad(self.loss(w, part), w)[0]
            total.add_(gradient, alpha=len(part) / len(rows))
        return total

    def hessian(
        self,
        weights: Tensor,
        rows: Rows,
        *,
        chunk: int | None = None,
        kept_rows: int | None = None,
        product: str | None = None,
    ) -> Differentiated:
        """Hess L(w, rows) as an operator on (d,); it holds the gradient as well.

        Unless a product is named, what the model is decides how products are computed, and no
        timing does: the same bytes everywhere. The closed forms take less time than automatic
        differentiation at every size measured; `benchmark.calibration` measures it elsewhere.

        Args:
            weights: w, (d,).
            rows: over which L is the mean.
            chunk: rows multiplied at a time. By default what suits the device, or all of them
                where automatic differentiation multiplies; of a convolutional net that it does
                on a CPU, `model.chunk`.
            kept_rows: rows whose forward and backward passes are kept for the next product; those
                of the others are computed anew each time. All by default; of a convolutional net
                on a CPU those whose passes fit into 4 GiB, and one chunk of graphs. With `chunk`
                it bounds the memory of anything but a linear model, which keeps its
                probabilities alone.
            product: how products are computed, by a name in `benchmark.problem.products`.

        Raises:
            LetheError: if there is no such product for this model.

        On a GPU that runs out of memory the chunks are halved until it does not.
        """
        build = self._hessian if product is None else partial(find(self, product).build, self)
        if rows.x.device.type == "cpu":
            # graphs need the model's bounds; an R-operator has bounds of its own
            bound = None if (product or default(self)) == "r-operator" else self.model.chunk
            return build(weights, rows, chunk or bound, bound if kept_rows is None else kept_rows)
        return WithinMemory(
            # what is kept shrinks with the chunk, or a smaller chunk would save nothing
            lambda size: build(
                weights, rows, size, kept_rows if size >= (chunk or len(rows)) else size
            ),
            chunk or len(rows),
        )

    def weighted_hessian(self, weights: Tensor, rows: Rows, shares: Tensor) -> Differentiated:
        """Hess of sum_i shares_i loss_i(w) + (ridge / 2) ||w||^2 over `rows`, for a sample of rows.

        Args:
            weights: w, (d,).
            rows: m of them.
            shares: (m,).

        Raises:
            LetheError: if products with the Hessian are by automatic differentiation.
        """
        if default(self) == "kept-graph":
            raise LetheError("automatic differentiation gives all rows the same share")
        return self._hessian(weights, rows, None, None, shares)

    def _hessian(
        self,
        weights: Tensor,
        rows: Rows,
        chunk: int | None,
        kept_rows: int | None,
        shares: Tensor | None = None,
    ) -> Differentiated:
        spec = self.model.spec
        same = {"loss": self.objective.loss, "ridge": self.objective.ridge, "shares": shares}
        if isinstance(self.model, Tangent):
            tangent = self.model.tangent
            return TangentHessian(tangent, rows.x, rows.y, weights, chunk=chunk, **same)
        if spec.linear:
            return LinearHessian(rows.x, rows.y, weights, chunk=chunk, **same)
        if isinstance(spec, MLPSpec) and spec.by_hand:
            return by_units(self, weights, rows, chunk, kept_rows, shares=shares)
        if default(self) == "r-operator":
            return ConvolutionalHessian(
                self.model.module,
                rows.x,
                rows.y,
                weights,
                chunk=chunk,
                kept_rows=kept_rows,
                **same,
            )
        return kept_graph(self, weights, rows, chunk, kept_rows)

    def minibatch_hessians(self, weights: Tensor) -> Products:
        """Products with the Hessians, at `weights` (d,), of the data loss on many minibatches."""
        spec = self.model.spec
        if not (isinstance(spec, MLPSpec) and spec.by_hand):
            return differentiated(self.data_loss, weights)
        return fully_connected(
            weights,
            sizes=(self.train.x.shape[1], *spec.hidden, self.model.classes),
            activation=spec.activation,
            loss=self.objective.loss,
        )

    def hessian_on(self, weights: Tensor, index: Tensor) -> Differentiated:
        """Hess L(w, train[index]), without a copy of the rows where few are left out."""
        left = torch.ones(len(self.train), dtype=torch.bool)
        left[index] = False
        left = left.nonzero()[:, 0]
        if not self.model.spec.linear or len(left) > len(self.train) // 2:
            return self.hessian(weights, self.train.take(index))
        whole = self.hessian(weights, self.train)
        if len(left) == 0:
            return whole
        part = self.hessian(weights, self.train.take(left))
        return Downdated(whole, part, len(self.train), len(left))

    def factor(
        self, weights: Tensor, index: Tensor, *, neglect: float
    ) -> Factor | TangentPreconditioner:
        """Hess L(w, train[index]) of a linear model, factorised in float32; of a tangent, inverted.

        Raises:
            AssumptionBroken: if the model is not linear, has too many weights for a matrix, or
                float32 does not suffice.
        """
        if isinstance(self.model, Tangent):
            return inverse(self.model, self.trained(index), weights, self.objective.ridge)
        if not isinstance(self.model.spec, SoftmaxSpec):
            raise AssumptionBroken("a factor is kept of a linear head's Hessian only")
        x = self.trained(index).x
        return linear_factor(
            x,
            self.model(weights, x),
            loss=self.objective.loss,
            ridge=self.objective.ridge,
            neglect=neglect,
        )

    def trained(self, index: Tensor) -> Rows:
        """The training rows `index` (n,), without a copy if these are all of them in order."""
        whole = len(index) == len(self.train)
        return self.train if whole else self.train.take(index)

    def fit(
        self,
        index: Tensor,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        effort: float = 1.0,
    ) -> Tensor:
        """Train on the training rows `index` (n,) and return weights (d,).

        Args:
            index: rows of `train`.
            generator: drives initialisation and batches.
            start: weights to go on from; a fresh initialisation if None.
            effort: share of the training's epochs; a training to convergence ignores it.

        Raises:
            DidNotConverge: if the training is held to a tolerance and misses it.
        """
        if start is None:
            start = self.model.initial_weights(generator).to(self.device, self.dtype)
        return self.training.fit(self, start, self.train.take(index), generator, effort)
