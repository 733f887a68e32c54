"""The Hessian of a convolutional net, by an R-operator layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from benchmark.curvature.chunks import slices
from benchmark.curvature.layers.chain import Chain
from benchmark.curvature.layers.layer import nbytes, split
from benchmark.curvature.layers.rules import chain
from benchmark.curvature.layers.scratch import Scratch
from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error, loss_sizes

#: Rows a chunk on a CPU, measured on images of 32 x 32: fewer pay for more calls of every layer,
#: more leave the cache between one layer and the next; flat around it.
CPU_CHUNK = 50
#: Bytes of passes that a CPU keeps unless it is told how many rows'.
CPU_KEPT = 4 << 30


class _Pass:
    """One forward and backward pass over some rows, and what it leaves for the products.

    Attributes:
        layers: the net on these rows.
        p: (rows, classes), for `loss_curvature`.
        shares: (rows, 1), what the rows count; None where they all count the same.
    """

    def __init__(
        self, layers: Chain, x: Tensor, y: Tensor, loss: Loss, shares: Tensor | None
    ) -> None:
        self.layers, self.shares = layers, shares
        error, self.p = loss_error(loss, layers.forward(x), y, dim=1)
        layers.backward(self.weighed(error))

    def weighed(self, errors: Tensor) -> Tensor:
        """Errors (rows, classes) times what each row counts."""
        return errors if self.shares is None else errors * self.shares


class ConvolutionalHessian:
    """v -> hess L(w) v for a convolutional net and a mean loss plus (ridge / 2) ||w||^2.

    Pearlmutter's R-operator (1994), with what does not depend on v computed once and kept. Equal
    to reverse-over-reverse to round-off (tested), which spends most of its time on the second
    derivatives of normalisations and activations, element by element. `weights` is copied, so
    that a later change cannot go unnoticed; `x` is not and must not change.

    Args:
        net: for which `layers.rules.has_rules` says yes; its own weights are never read.
        x: (n, inputs), whatever `net` takes.
        y: (n,) labels.
        weights: (d,), in the order of the net's parameters.
        loss: of the objective.
        ridge: of the objective.
        shares: (n,) of each row in L, in place of 1 / n.
        chunk: rows multiplied at a time; one that suits the device by default.
        kept_rows: rows whose passes are kept in memory, about 6 numbers a unit and row; those of
            the others are computed anew in every product, which makes it about half as long
            again. All by default, and on a CPU what fits into 4 GiB.
    """

    def __init__(
        self,
        net: nn.Module,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        loss: Loss,
        ridge: float,
        shares: Tensor | None = None,
        chunk: int | None = None,
        kept_rows: int | None = None,
    ) -> None:
        self._net, self._x, self._y, self._loss, self._ridge = net, x, y, loss, ridge
        self._shares, self._scale = shares, 1 / len(x) if shares is None else 1.0
        self._weights = weights.detach().clone()
        self._layers, self._scratch = split(net, self._weights), Scratch()
        cpu = x.device.type == "cpu"
        self._slices = list(slices(len(x), chunk or (CPU_CHUNK if cpu else len(x))))
        self._kept: list[_Pass] = []
        for rows in self._slices:
            if kept_rows is not None and rows.stop > kept_rows:
                break
            self._kept.append(self._pass(rows))
            if kept_rows is None and cpu:
                kept_rows = CPU_KEPT * rows.stop // nbytes(self._kept)

    @cached_property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,); computed when it is first asked for, from what is kept."""
        total = torch.zeros_like(self._weights)
        parts = split(self._net, total)
        for _, one in self._passes():
            one.layers.add_gradient(parts)
        return total.mul_(self._scale).add_(self._weights, alpha=self._ridge)

    @cached_property
    def importance(self) -> Tensor:
        """How much each row has to do with H, (n,)."""
        sizes = [
            loss_sizes(self._loss, one.p, self._y[rows], dim=1) for rows, one in self._passes()
        ]
        return torch.cat(sizes)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian of L at w times `vector`, (d,)."""
        v, total = split(self._net, vector.detach()), torch.zeros_like(vector)
        parts = split(self._net, total)
        for _, one in self._passes():
            change, pushed = one.layers.push(None, v)
            errors = one.weighed(loss_curvature(self._loss, one.p, change, dim=-1))
            one.layers.pull(errors, pushed, v, parts)
        return total.mul_(self._scale).add_(vector, alpha=self._ridge)

    def _passes(self) -> Iterator[tuple[slice, _Pass]]:
        """Every chunk of rows, in order; those not kept are computed anew."""
        for i, rows in enumerate(self._slices):
            yield rows, self._kept[i] if i < len(self._kept) else self._pass(rows)

    def _pass(self, rows: slice) -> _Pass:
        layers = chain(self._net, self._layers, self._scratch)
        shares = None if self._shares is None else self._shares[rows].unsqueeze(1)
        return _Pass(layers, self._x[rows], self._y[rows], self._loss, shares)
