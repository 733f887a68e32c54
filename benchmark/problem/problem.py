"""A learning problem: data, model, objective, training; and a seal on what must not change."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.curvature.factor import Factor
from benchmark.curvature.hessian import Differentiated, Downdated, WithinMemory
from benchmark.curvature.lissa import Products
from benchmark.curvature.tangent import TangentPreconditioner
from benchmark.errors import LetheError
from benchmark.problem import products
from benchmark.problem.risk import Risk
from benchmark.rows import Rows


@dataclass(frozen=True)
class Problem(Risk):
    """What a method is given to work on: a risk, its Hessian, and its training.

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
        product = product or products.default(self)
        build = partial(products.find(self, product).build, self)
        if rows.x.device.type == "cpu":
            # graphs need the model's bounds; an R-operator has bounds of its own
            bound = None if product == "r-operator" else self.model.chunk
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
        if products.default(self) == "kept-graph":
            raise LetheError("automatic differentiation gives all rows the same share")
        return products.by_model(self, weights, rows, None, None, shares)

    def minibatch_hessians(self, weights: Tensor) -> Products:
        """Products with the Hessians, at `weights` (d,), of the data loss on many minibatches."""
        return products.of_minibatches(self, weights)

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
        return products.factor(self, weights, index, neglect)

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


class InputsChanged(LetheError):
    """A method changed what it was given, which others are given too."""


class Seal:
    """What tensors and settings were when they were put under it."""

    def __init__(self) -> None:
        self._sealed: dict[str, tuple[Callable[[], Any], tuple]] = {}

    def put(self, name: str, value: Callable[[], Any]) -> None:
        """Take the checksum of a value, called `name` in a sentence; it is asked for anew later.

        What is replaced by another value is thereby noticed like what is changed in place.
        """
        self._sealed[name] = value, checksum(value())

    def put_problem(self, problem: Callable[[], Problem]) -> None:
        """Take the checksums of a problem's settings and rows, also of a part that it lacks."""
        for setting in ("model", "objective", "training", "declared"):
            self.put(setting, partial(_of, problem, setting))
        for part in ("train", "negatives", "test", "validation", "public"):
            for field, name in (("x", "inputs"), ("y", "labels")):
                self.put(f"{part} {name}", partial(_of, problem, part, field))

    def check(self, who: str) -> None:
        """Compare every value with what it was.

        Raises:
            InputsChanged: if one is different; it names `who` and each of them.
        """
        changed = [name for name, (get, then) in self._sealed.items() if checksum(get()) != then]
        if changed:
            raise InputsChanged(
                f"{who} changed its inputs ({', '.join(changed)}): let it work on a copy"
            )


def checksum(value: Any) -> tuple[str, tuple[int, ...], bool, int]:
    """Type, shape and CRC-32 of a tensor, and whether it wants gradients; else of its words."""
    if not isinstance(value, Tensor):
        return type(value).__name__, (), False, zlib.crc32(repr(value).encode())
    array = np.ascontiguousarray(value.detach().cpu().numpy())
    return str(array.dtype), array.shape, value.requires_grad, zlib.crc32(array.data)


def _of(problem: Callable[[], Problem], *names: str) -> Any:
    value: Any = problem()
    for name in names:
        value = getattr(value, name, None)
    return value
