"""The Hessian of a fully connected net, by a hand-written R-operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from benchmark.curvature.chunks import default_chunk, slices
from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error

Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Pass:
    """What one forward and backward pass over m rows leaves for the products.

    `pairs` and `deltas` have room beside each value for its directional derivative, so that a
    product needs one matrix product where the product rule gives a sum of two.

    Attributes:
        pairs: of each hidden layer, (units, 2, m): activation, and room.
        deltas: of each layer but the first, (units, 2, m): room, and the loss's derivative in z.
        slopes: of each hidden layer, (units, m): the activation's derivative.
        bends: of each hidden layer, (units, m): its second derivative times the loss's derivative
            in the activation; None where it is zero.
        first: (units, m): the loss's derivative in the first layer's z.
        p: (classes, m), for `loss_curvature`.
    """

    pairs: list[Tensor]
    deltas: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor | None]
    first: Tensor
    p: Tensor | None


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
        gauss_newton: the generalised Gauss-Newton matrix (Schraudolph 2002) instead: the Hessian
            without the second derivative of the logits, positive semi-definite.
        chunk: rows multiplied at a time; one that suits the device by default.
        kept_rows: rows whose passes are kept in memory, about 4 numbers a unit and row; those of
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
        gauss_newton: bool = False,
        chunk: int | None = None,
        kept_rows: int | None = None,
    ) -> None:
        self._x, self._y = x, y
        self._activation, self._loss, self._ridge = activation, loss, ridge
        self._gauss_newton = gauss_newton
        classes = _classes(len(weights), x.shape[1], widths)
        self._sizes = [x.shape[1], *widths, classes]
        self._weights = weights.detach().clone()
        self._layers = self._split(self._weights)
        self._slices = list(slices(len(x), default_chunk(x.device) if chunk is None else chunk))
        last = len(x) if kept_rows is None else kept_rows
        self._kept = [self._pass(rows) for rows in self._slices if rows.stop <= last]

    @cached_property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,); computed when it is first asked for, from what is kept."""
        total = torch.zeros_like(self._weights)
        outer = self._split(total)
        for i, rows in enumerate(self._slices):
            one = self._kept[i] if i < len(self._kept) else self._pass(rows)
            inputs = [self._x[rows].T, *(pair[:, 0] for pair in one.pairs)]
            deltas = [one.first, *(both[:, 1] for both in one.deltas)]
            for (matrix, bias), delta, a in zip(outer, deltas, inputs, strict=True):
                matrix.addmm_(delta, a.T)
                bias.add_(delta.sum(dim=1))
        return total.div_(len(self._x)).add_(self._weights, alpha=self._ridge)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian (or Gauss-Newton matrix) of L at w times `vector`, (d,)."""
        direction = self._split(vector.detach())
        forward, backward = self._interleave(direction)
        total = torch.zeros_like(vector)
        outer = self._split(total)
        for i, rows in enumerate(self._slices):
            one = self._kept[i] if i < len(self._kept) else self._pass(rows)
            self._add_product(one, rows, direction, forward, backward, outer)
        return total.div_(len(self._x)).add_(vector, alpha=self._ridge)

    def _split(self, flat: Tensor) -> list[Layer]:
        """Views of (d,): each layer's matrix (units, inputs) and biases (units,)."""
        layers, start = [], 0
        for inputs, units in zip(self._sizes, self._sizes[1:], strict=False):
            middle, end = start + units * inputs, start + units * (inputs + 1)
            layers.append((flat[start:middle].view(units, inputs), flat[middle:end]))
            start = end
        return layers

    def _interleave(self, direction: list[Layer]) -> tuple[list[Tensor], list[Tensor]]:
        """Each layer's W and V side by side, as the room in `pairs` and `deltas` wants them.

        Forward [V W] (units, 2 inputs) meets [a; Ra]; backward [W; V] (2 units, inputs), with V
        absent from Gauss-Newton products, meets [R delta; delta].
        """
        forward, backward = [], []
        for (w, _), (v, _) in zip(self._layers[1:], direction[1:], strict=True):
            forward.append(torch.stack([v, w], dim=2).flatten(1))
            backward.append(w if self._gauss_newton else torch.stack([w, v], dim=1).flatten(0, 1))
        return forward, backward

    def _pass(self, rows: slice) -> _Pass:
        """Forward and backward over `rows`."""
        x, layers = self._x[rows], self._layers
        (w, b), pairs, slopes = layers[0], [], []
        z = torch.addmm(b.unsqueeze(1), w, x.T)
        for w, b in layers[1:]:
            pair = _with_room(z)
            a = pair[:, 0]
            if self._activation == "tanh":
                torch.tanh(z, out=a)
                slopes.append(1 - a * a)
            else:
                torch.clamp(z, min=0, out=a)
                slopes.append((a > 0).to(a.dtype))
            pairs.append(pair)
            z = torch.addmm(b.unsqueeze(1), w, a)
        delta, p = loss_error(self._loss, z, self._y[rows])
        deltas, bends = [], []
        for i in range(len(layers) - 1, 0, -1):
            a = pairs[i - 1][:, 0]
            both = _with_room(delta)
            both[:, 1] = delta
            deltas.append(both)
            g = layers[i][0].T @ delta
            curved = self._activation == "tanh" and not self._gauss_newton
            bends.append(-2 * a * slopes[i - 1] * g if curved else None)
            delta = slopes[i - 1] * g
        return _Pass(pairs, deltas[::-1], slopes, bends[::-1], delta, p)

    def _add_product(
        self,
        one: _Pass,
        rows: slice,
        direction: list[Layer],
        forward: list[Tensor],
        backward: list[Tensor],
        total: list[Layer],
    ) -> None:
        """Add the unscaled product over one chunk of rows to `total`; R is d/dt at w + t v."""
        x = self._x[rows]
        v, c = direction[0]
        rz = torch.addmm(c.unsqueeze(1), v, x.T)
        changes = []
        for pair, slope, (_, c), vw in zip(
            one.pairs, one.slopes, direction[1:], forward, strict=True
        ):
            changes.append(rz)
            torch.mul(slope, rz, out=pair[:, 1])
            rz = torch.addmm(c.unsqueeze(1), vw, pair.flatten(0, 1))
        r_delta = loss_curvature(one.p, rz)
        for i in range(len(one.pairs) - 1, -1, -1):
            pair, both, (outer, bias) = one.pairs[i], one.deltas[i], total[i + 1]
            bias.add_(r_delta.sum(dim=1))
            if self._gauss_newton:
                outer.addmm_(r_delta, pair[:, 0].T)
                back = backward[i].T @ r_delta
            else:
                both[:, 0] = r_delta
                outer.addmm_(both.flatten(1), pair.flatten(1).T)
                back = backward[i].T @ both.flatten(0, 1)
            r_delta = back.mul_(one.slopes[i])
            bend = one.bends[i]
            if bend is not None:
                r_delta.addcmul_(bend, changes[i])
        outer, bias = total[0]
        outer.addmm_(r_delta, x)
        bias.add_(r_delta.sum(dim=1))


def _with_room(like: Tensor) -> Tensor:
    """(units, 2, m) not filled, for a value and its directional derivative of `like` (units, m)."""
    units, m = like.shape
    return like.new_empty(units, 2, m)


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
