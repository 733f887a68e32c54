"""Data, model and objective: the risk that training minimises and certificates are about."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.convex import ConvexSet
from benchmark.problem.domain import Domain
from benchmark.problem.model import Model
from benchmark.problem.objective import Objective
from benchmark.rows import Declared, FixedPoint, RealTarget, Rows


class Training(Protocol):
    """The algorithm A of the theory: from rows to weights; see `benchmark.problem.training`."""

    @property
    def radius(self) -> float | Any | None:
        """Radius of the ball that weights are held in; None where there is none.

        In its place may stand a `ConvexSet`, which `Problem.constrained` tells. The checker takes
        that for anything, as most claims are only made of a ball.
        """

    @property
    def gradient_bound(self) -> float | None:
        """G: the gradient norm that training guarantees; None where it ends by the clock."""

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """Change some settings, as pydantic does: the same algorithm with these."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The settings, as pydantic gives them."""
        ...

    def check(self, risk: Risk) -> None:
        """Refuse a risk that it cannot minimise.

        Raises:
            LetheError: it says what to change.
        """

    def fit(
        self,
        problem: Any,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) of a `benchmark.problem.problem.Problem`.

        Args:
            problem: whose risk is minimised.
            start: (d,).
            rows: to train on.
            generator: drives batches.
            effort: share of the epochs; a training to convergence ignores it.

        Raises:
            DidNotConverge: if it is held to a tolerance and misses it.
        """
        ...


@dataclass(frozen=True)
class Risk:
    """A mean loss over rows, as a function of flat weights (d,).

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
        target: the real number that is predicted, on its scale; None where these are classes.
        extra: a term that training alone adds to the loss of a batch, of weights (d,) and rows; no
            method that goes on from the weights knows of it.

    With BatchNorm the objective is what it is in evaluation, by statistics that stand still: those
    in the weights, which have no gradient and no ridge. Training alone goes by those of a batch.

    Raises:
        LetheError: if a net with BatchNorm is trained in a ball or to a gradient tolerance, a
            tangent's loss is not the cross-entropy, a real target's is not squared, or the training
            cannot minimise it.
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
    target: RealTarget | None = field(default=None, kw_only=True)
    extra: Callable[[Tensor, Rows], Tensor] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        training = self.training
        held = training.radius is not None or training.gradient_bound is not None
        if held and self.model.statistics is not None:
            raise LetheError(
                "BatchNorm's statistics are set after training, which no ball and no gradient "
                "tolerance holds: train with adam, radius = 'none' and no gradient_tolerance"
            )
        training.check(self)
        if self.model.tangent is not None and self.objective.loss != "cross_entropy":
            raise LetheError(
                "the constants of a tangent model are those of the cross-entropy: set "
                "objective.loss = 'cross_entropy'"
            )
        if self.target is not None and self.objective.loss != "squared":
            raise LetheError("a real target takes squared loss: set objective.loss = 'squared'")

    @property
    def device(self) -> torch.device:
        return self.train.x.device

    @property
    def dtype(self) -> torch.dtype:
        return self.train.x.dtype

    @property
    def strong_convexity(self) -> float | None:
        """Mu of the objective, the exact ridge on a linear model; None where there is none.

        A loss that is a plug-in's is not known to be convex.
        """
        convex = self.model.spec.linear and self.objective.closed
        return self.objective.ridge if convex and self.objective.ridge else None

    @property
    def tilt(self) -> Tensor | None:
        """(d,) b of a linear term b.w of the objective; None where there is none."""
        return None

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
        if self.model.tangent is not None:
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
            AssumptionBroken: if a row or its real target is not in the form that is declared, or
                rows are too many.
        """
        declared = self.declared.fixed_point
        if declared is not None:
            declared.check(self.train.x)
            if self.target is not None:
                declared.of_targets.check(self.train.y)
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
        if rows.sparse is None or torch.is_grad_enabled():
            logits = self.model(weights, rows.x)
        else:  # of a linear head, whose derivatives have a closed form
            matrix, bias = self.model.named(weights).values()
            logits = rows.sparse.matrix @ matrix.T.contiguous() + bias
        return self.objective.data_term(logits, rows.y)

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

    def trained(self, index: Tensor) -> Rows:
        """The training rows `index` (n,), without a copy if these are all of them in order."""
        whole = len(index) == len(self.train)
        return self.train if whole else self.train.take(index)
