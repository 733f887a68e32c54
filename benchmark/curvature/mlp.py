"""The Hessian of a linear model in closed form, of a fully connected net by an R-operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.curvature.hessian import default_chunk, slices
from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error, loss_sizes
from benchmark.sparse import SparseMatrix

#: oneDNN's kernel, which torch's compiler calls as well. Of tall and narrow matrices it takes half
#: of MKL's time on an AMD processor with AVX-512, whose vector units MKL does not use in full.
ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: Multiplications below which its call costs more than it saves.
_FEW = 1 << 19
#: Bytes of the rows that a linear head multiplies at a time on a CPU, at most: wide ones would
#: leave the cache before the second product reads them. At 6,805 inputs it saves a quarter.
_CACHED = 6_500_000


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The map x W^T + b, (m, n), of x (m, k), W (n, k), b (n,): `torch.nn.functional.linear`.

    Large products in single precision on a CPU are oneDNN's, where this build of torch has it;
    equal to round-off. Either matrix may be a transposed view, so that `linear(a.T, b.T)` is the
    sum over rows of their outer products.
    """
    few = x.numel() * len(weight) < _FEW
    if few or ONEDNN is None or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    return ONEDNN(x, weight, bias, "none", [], "")


# The Hessian of a linear model, in closed form.


class LinearHessian:
    """v -> hess L(w) v for a mean loss of logits x W^T + b plus (ridge / 2) ||w||^2.

    Two matrix products a chunk of rows and no graph: less than half the time of
    reverse-over-reverse and a fraction of its memory. Equal to it to round-off (tested). The few
    classes are the rows of every matrix, not its columns, because that takes 30 % less time;
    filling them up to a multiple of 8 or 16 does not pay.
    Of the weights only the probabilities at them are kept, so that a later change of `weights`
    cannot go unnoticed; `x` is not copied and must not change.

    Args:
        x: (n, inputs).
        y: (n,) labels.
        weights: (classes * (inputs + 1),), the rows of W, then b.
        loss: of the objective.
        ridge: of the objective.
        shares: (n,) of each row in L, in place of 1 / n.
        sparse: `x` once more; products with its entries alone are then taken, equal to round-off.
        chunk: rows multiplied at a time; one that suits the device by default, all if `sparse`.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        loss: Loss,
        ridge: float,
        shares: Tensor | None = None,
        sparse: SparseMatrix | None = None,
        chunk: int | None = None,
    ) -> None:
        self._x, self._y, self._ridge, self._shares = x, y, ridge, shares
        self._sparse = sparse
        self._loss = loss
        self._scale = 1 / len(x) if shares is None else 1.0
        self._classes = len(weights) // (x.shape[1] + 1)
        self._chunk = _head_chunk(x) if chunk is None else chunk
        if sparse is not None:
            self._chunk = max(1, len(x))
        self._p: list[Tensor | None] = []
        matrix, bias = self._split(weights.detach().unsqueeze(0))
        total = matrix.new_zeros(matrix.shape), bias.new_zeros(bias.shape)
        for rows in slices(len(x), self._chunk):
            error, p = loss_error(loss, self._logits(matrix, bias, rows)[0], y[rows])
            self._p.append(p)
            self._add_outer(total, self._weighed(error, rows).unsqueeze(0), rows)
        self._gradient = self._join(total, weights.detach().unsqueeze(0))[0]

    @property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,)."""
        return self._gradient

    @cached_property
    def importance(self) -> Tensor:
        """How much each row has to do with H, (n,)."""
        parts = zip(slices(len(self._x), self._chunk), self._p, strict=True)
        return torch.cat([loss_sizes(self._loss, p, self._y[rows]) for rows, p in parts])

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian of L at w times `vector`, (d,)."""
        return self.block(vector.unsqueeze(0))[0]

    def block(self, vectors: Tensor) -> Tensor:
        """The products (k, d) with k vectors (k, d), in one pass over the rows."""
        matrix, bias = self._split(vectors)
        total = matrix.new_zeros(matrix.shape), bias.new_zeros(bias.shape)
        for rows, p in zip(slices(len(self._x), self._chunk), self._p, strict=True):
            change = loss_curvature(self._loss, p, self._logits(matrix, bias, rows))
            self._add_outer(total, self._weighed(change, rows), rows)
        return self._join(total, vectors)

    def _split(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """W (k, classes, inputs) and b (k, classes, 1) of k vectors (k, d)."""
        inputs = self._x.shape[1]
        matrix, bias = vectors.split([self._classes * inputs, self._classes], dim=1)
        return matrix.unflatten(1, (self._classes, inputs)), bias.unsqueeze(2)

    def _logits(self, matrix: Tensor, bias: Tensor, rows: slice) -> Tensor:
        """(k, classes, rows)."""
        flat = matrix.flatten(0, 1)
        if self._sparse is None:
            flat = linear(flat, self._x[rows])
        else:
            flat = (self._sparse.matrix @ flat.T.contiguous()).T
        return flat.unflatten(0, matrix.shape[:2]).add_(bias)

    def _weighed(self, errors: Tensor, rows: slice) -> Tensor:
        """Errors (..., rows) times what each row counts."""
        return errors if self._shares is None else errors * self._shares[rows]

    def _add_outer(self, total: tuple[Tensor, Tensor], error: Tensor, rows: slice) -> None:
        """Add the outer product of errors (k, classes, rows) with the rows and with 1."""
        matrix, bias = total
        flat = error.flatten(0, 1)
        if self._sparse is None:
            product = linear(flat, self._x[rows].T)
        else:
            product = (self._sparse.transposed @ flat.T.contiguous()).T
        matrix.flatten(0, 1).add_(product)
        bias += error.sum(dim=2, keepdim=True)

    def _join(self, total: tuple[Tensor, Tensor], vectors: Tensor) -> Tensor:
        """The mean over the rows plus ridge times `vectors`, (k, d)."""
        mean = torch.cat([part.flatten(1) for part in total], dim=1).mul_(self._scale)
        return mean.add_(vectors, alpha=self._ridge)


def _head_chunk(x: Tensor) -> int:
    """Rows of `x`, (n, inputs), that a linear head multiplies at a time."""
    if x.device.type != "cpu":
        return default_chunk(x)
    return min(default_chunk(x), max(1, _CACHED // (x.shape[1] * x.element_size())))


# The Hessian of a fully connected net, by a hand-written R-operator.

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Pass:
    """What one forward and backward pass over m rows leaves for the products.

    Attributes:
        activations: of each hidden layer, (m, units).
        bends: of each hidden layer, (m, units): the activation's second derivative over its first,
            times the loss's derivative in the activation; None where it is zero.
        deltas: of each layer but the first, (m, units): the loss's derivative in z.
        p: (m, classes), for `loss_curvature`.
        shares: (m, 1), what the rows count; None where they all count the same.
    """

    activations: list[Tensor]
    bends: list[Tensor | None]
    deltas: list[Tensor]
    p: Tensor | None
    shares: Tensor | None


class MLPHessian:
    """v -> hess L(w) v for a fully connected net and a mean loss plus (ridge / 2) ||w||^2.

    Pearlmutter's R-operator (1994) with what does not depend on v computed once, here: a product
    is two matrix products with the rows, one for each layer of hidden units and direction, and
    little else. Equal to reverse-over-reverse to round-off (tested). `weights` is copied, so that
    a later change cannot go unnoticed; `x` is not and must not change.

    Args:
        x: (n, inputs).
        y: (n,) labels.
        weights: (d,), for each layer its matrix (units, inputs) row by row, then its biases.
        widths: units of each hidden layer.
        activation: of the hidden layers; relu's derivative at 0 is 0, as in autograd.
        loss: of the objective.
        ridge: of the objective.
        shares: (n,) of each row in L, in place of 1 / n.
        gauss_newton: the generalised Gauss-Newton matrix (Schraudolph 2002) instead: the Hessian
            without the second derivative of the logits, positive semi-definite.
        chunk: rows multiplied at a time; one that suits the device by default.
        kept_rows: rows whose passes are kept in memory, about 3 numbers a unit and row; those of
            the others are computed anew in every product. All by default.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        widths: Sequence[int],
        activation: Literal["tanh", "relu"],
        loss: Loss,
        ridge: float,
        shares: Tensor | None = None,
        gauss_newton: bool = False,
        chunk: int | None = None,
        kept_rows: int | None = None,
    ) -> None:
        self._x, self._y, self._shares = x, y, shares
        self._activation, self._loss, self._ridge = activation, loss, ridge
        self._gauss_newton = gauss_newton
        self._scale = 1 / len(x) if shares is None else 1.0
        classes = _classes(len(weights), x.shape[1], widths)
        self._sizes = [x.shape[1], *widths, classes]
        self._weights = weights.detach().clone()
        self._layers = self._split(self._weights)
        chunk = min(len(x), default_chunk(x) if chunk is None else chunk)
        self._slices = list(slices(len(x), chunk))
        last = len(x) if kept_rows is None else kept_rows
        self._kept = [self._pass(rows) for rows in self._slices if rows.stop <= last]

    @cached_property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,); computed when it is first asked for, from what is kept."""
        total = torch.zeros_like(self._weights)
        outer = self._split(total)
        for rows, one in self._passes():
            inputs = [self._x[rows], *one.activations]
            first = self._times_slope(one.deltas[0] @ self._layers[1][0], one.activations[0])
            for (matrix, bias), delta, a in zip(outer, [first, *one.deltas], inputs, strict=True):
                matrix.add_(linear(delta.T, a.T))
                bias.add_(delta.sum(dim=0))
        return total.mul_(self._scale).add_(self._weights, alpha=self._ridge)

    @cached_property
    def importance(self) -> Tensor:
        """How much each row has to do with H, (n,)."""
        sizes = [
            loss_sizes(self._loss, one.p, self._y[rows], dim=1) for rows, one in self._passes()
        ]
        return torch.cat(sizes)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian (or Gauss-Newton matrix) of L at w times `vector`, (d,)."""
        direction, total = self._split(vector.detach()), torch.zeros_like(vector)
        outer = self._split(total)
        for rows, one in self._passes():
            self._add_product(one, rows, direction, outer)
        return total.mul_(self._scale).add_(vector, alpha=self._ridge)

    def _passes(self) -> Iterator[tuple[slice, _Pass]]:
        """Every chunk of rows, in order; those not kept are computed anew."""
        for i, rows in enumerate(self._slices):
            yield rows, self._kept[i] if i < len(self._kept) else self._pass(rows)

    def _split(self, flat: Tensor) -> list[Layer]:
        """Views of (d,): each layer's matrix (units, inputs) and biases (units,)."""
        layers, start = [], 0
        for inputs, units in zip(self._sizes, self._sizes[1:], strict=False):
            middle, end = start + units * inputs, start + units * (inputs + 1)
            layers.append((flat[start:middle].view(units, inputs), flat[middle:end]))
            start = end
        return layers

    def _pass(self, rows: slice) -> _Pass:
        """Forward and backward over `rows`."""
        layers = self._layers
        (w, b), activations = layers[0], []
        z = linear(self._x[rows], w, b)
        for w, b in layers[1:]:
            a = z.tanh_() if self._activation == "tanh" else z.clamp_(min=0)
            activations.append(a)
            z = linear(a, w, b)
        delta, p = loss_error(self._loss, z, self._y[rows], dim=1)
        shares = None if self._shares is None else self._shares[rows].unsqueeze(1)
        if shares is not None:
            delta.mul_(shares)
        deltas, bends = [delta], []
        for i in range(len(activations) - 1, -1, -1):
            g, a = linear(deltas[-1], layers[i + 1][0].T), activations[i]
            curved = self._activation == "tanh" and not self._gauss_newton
            bends.append((a * g).mul_(-2) if curved else None)
            if i:
                deltas.append(self._times_slope(g, a))
        return _Pass(activations, bends[::-1], deltas[::-1], p, shares)

    def _add_product(
        self, one: _Pass, rows: slice, direction: list[Layer], total: list[Layer]
    ) -> None:
        """Add the unscaled product over one chunk of rows to `total`; R is d/dt at w + t v."""
        layers = self._layers
        rz, inner = linear(self._x[rows], *direction[0]), []
        for i, (v, c) in enumerate(direction[1:]):
            w, a = layers[i + 1][0], one.activations[i]
            inner.append(self._times_slope(rz, a))
            # both terms of the product rule in one matrix product, which takes less time than two
            rz = linear(torch.cat([inner[i], a], dim=1), torch.cat([w, v], dim=1), c)
        r_delta = loss_curvature(self._loss, one.p, rz, dim=-1)
        if one.shares is not None:
            r_delta = r_delta * one.shares
        for i in range(len(inner) - 1, -1, -1):
            outer, bias = total[i + 1]
            bias.add_(r_delta.sum(dim=0))
            outer.addmm_(r_delta.T, one.activations[i])
            back = linear(r_delta, layers[i + 1][0].T)
            if not self._gauss_newton:
                outer.addmm_(one.deltas[i].T, inner[i])
                back.addmm_(one.deltas[i], direction[i + 1][0])
            r_delta = self._times_slope(back, one.activations[i])
            bend = one.bends[i]
            if bend is not None:
                r_delta.addcmul_(bend, inner[i])
        outer, bias = total[0]
        outer.add_(linear(r_delta.T, self._x[rows].T))
        bias.add_(r_delta.sum(dim=0))

    def _times_slope(self, change: Tensor, a: Tensor) -> Tensor:
        """`change` times the activation's derivative where it is `a`, in place."""
        aten = torch.ops.aten
        if self._activation == "tanh":
            return aten.tanh_backward(change, a, grad_input=change)
        return aten.threshold_backward(change, a, 0, grad_input=change)


def _classes(dimension: int, inputs: int, widths: Sequence[int]) -> int:
    """How many logits a net with `dimension` weights has.

    Raises:
        ValueError: if no whole number of them fits.
    """
    for units in widths:
        dimension -= units * (inputs + 1)
        inputs = units
    classes, rest = divmod(dimension, inputs + 1)
    if classes < 1 or rest:
        raise ValueError("the number of weights does not fit the layers' widths")
    return classes
