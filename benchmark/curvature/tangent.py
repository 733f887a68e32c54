"""A fully connected net linearised at fixed weights: its logits, its Hessian, an inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.curvature.hessian import default_chunk, slices
from benchmark.curvature.output_loss import (
    Loss,
    loss_curvature,
    loss_error,
    loss_sizes,
    probabilities,
)

# A fully connected net linearised at fixed weights: its logits, and the Hessian of its loss.

#: A clipped row's norm stays this share below the declared one, more than rounding can add.
_ROOM = 1e-13

#: A layer's matrix (units, inputs) and biases (units,).
Layer = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TangentRows:
    """The parts of n rows that the tangent needs, as views.

    Attributes:
        inputs: of each layer that moves, (n, units of the layer before).
        slopes: of each but the first, (n, units), the activation's derivative at its inputs.
        offset: (n, classes), the logits at the fixed weights.
        norm: (n, 1), ||J||.
        scale: (n, 1), c, what the row is multiplied by.
    """

    inputs: list[Tensor]
    slopes: list[Tensor]
    offset: Tensor
    norm: Tensor
    scale: Tensor


@dataclass(frozen=True)
class TangentMap:
    """v -> c (f + J v), the logits of the tangent; J is the Jacobian at the fixed weights.

    A row comes with its activations and slopes, so that no pass through the net is left to do:
    its columns are the inputs of the first layer that moves, activations and slopes of each hidden
    layer after that, the logits f and ||J||. c is min(1, clip / ||J||).

    Attributes:
        sizes: inputs and units of each layer that moves.
        matrices: fixed ones, (units, inputs), of each layer that moves but the first.
        clip: above every c ||J||.
    """

    sizes: tuple[int, ...]
    matrices: tuple[Tensor, ...]
    clip: float

    @property
    def dimension(self) -> int:
        """Entries of v."""
        return sum(units * (inputs + 1) for inputs, units in pairwise(self.sizes))

    @property
    def columns(self) -> tuple[int, ...]:
        """How many columns each part of a row has, in their order."""
        hidden = [size for size in self.sizes[1:-1] for _ in range(2)]
        return (self.sizes[0], *hidden, self.sizes[-1], 1)

    def to(self, dtype: torch.dtype) -> TangentMap:
        """The same in another precision."""
        return replace(self, matrices=tuple(matrix.to(dtype) for matrix in self.matrices))

    def rows(self, x: Tensor) -> TangentRows:
        """The parts of rows (n, sum of `columns`)."""
        first, *hidden, offset, norm = x.split(self.columns, dim=1)
        scale = (self.clip * (1 - _ROOM) / norm).clamp(max=1)
        return TangentRows([first, *hidden[::2]], hidden[1::2], offset, norm, scale)

    def layers(self, flat: Tensor) -> list[Layer]:
        """Views of (d,): each layer's matrix and biases."""
        layers, start = [], 0
        for inputs, units in pairwise(self.sizes):
            middle, end = start + units * inputs, start + units * (inputs + 1)
            layers.append((flat[start:middle].view(units, inputs), flat[middle:end]))
            start = end
        return layers

    def logits(self, v: Tensor, x: Tensor) -> Tensor:
        """(n, classes) at v (d,), for rows x; it can be differentiated."""
        rows = self.rows(x)
        return rows.scale * (rows.offset + self.push(self.layers(v), rows))

    def push(self, v: Sequence[Layer], rows: TangentRows) -> Tensor:
        """J v, (n, classes), before the scale.

        The matrix stands before the rows: in double precision MKL takes two thirds of the time.
        """
        matrix, bias = v[0]
        change = torch.addmm(bias.unsqueeze(1), matrix, rows.inputs[0].T).T
        later = zip(v[1:], rows.inputs[1:], rows.slopes, self.matrices, strict=True)
        for (matrix, bias), a, slope, fixed in later:
            change = F.linear(change * slope, fixed) + F.linear(a, matrix, bias)
        return change

    def pull(self, u: Tensor, rows: TangentRows, total: Sequence[Layer]) -> None:
        """Add J^T u to `total`, for u (n, classes) with the scale in it.

        By MKL: oneDNN takes a thousand times as long of views into wider rows.
        """
        for j in range(len(total) - 1, -1, -1):
            matrix, bias = total[j]
            matrix.addmm_(u.T, rows.inputs[j])
            bias.add_(u.sum(dim=0))
            if j:
                u = (u @ self.matrices[j - 1]).mul_(rows.slopes[j - 1])


class TangentHessian:
    """v -> hess L(w) v for a mean loss of the tangent's logits plus (ridge / 2) ||w||^2.

    It is J^T (hess loss) J + ridge I with J fixed: the Gauss-Newton matrix of the net at its fixed
    weights, but for the probabilities, which are those of the tangent. Two matrix products with
    the rows a product and no graph. Of w only the probabilities are kept; `x` is not copied and
    must not change.

    Args:
        tangent: the map.
        x: (n, columns).
        y: (n,) labels.
        weights: (d,).
        loss: of the objective.
        ridge: of the objective.
        shares: (n,) of each row in L, in place of 1 / n.
        chunk: rows multiplied at a time; one that suits the device by default.
        logits: (n, classes) at w where they are known, to save a pass.

    Where they are not, the pass is made when they or the gradient are first asked for.
    """

    def __init__(
        self,
        tangent: TangentMap,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        loss: Loss,
        ridge: float,
        shares: Tensor | None = None,
        chunk: int | None = None,
        logits: Tensor | None = None,
    ) -> None:
        self._tangent, self._x, self._y = tangent, x, y
        self._loss, self._ridge, self._shares = loss, ridge, shares
        self._weights = weights.detach().clone()
        self._scale = 1 / len(x) if shares is None else 1.0
        self._slices = list(slices(len(x), default_chunk(x) if chunk is None else chunk))
        self._logits = logits

    @cached_property
    def _parts(self) -> list[tuple[slice, TangentRows]]:
        """Slices of rows multiplied at a time, and their parts of the Jacobian, split once."""
        return [(part, self._tangent.rows(self._x[part])) for part in self._slices]

    @cached_property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,); every row is read once, for its logits as well."""
        weights, total = self._tangent.layers(self._weights), torch.zeros_like(self._weights)
        layers, found = self._tangent.layers(total), []
        for part, rows in self._parts:
            if self._logits is None:
                logits = rows.scale * (rows.offset + self._tangent.push(weights, rows))
            else:
                logits = self._logits[part]
            found.append(logits)
            error, _ = loss_error(self._loss, logits, self._y[part], dim=1)
            self._backward(error, rows, part, layers)
        if self._logits is None:
            self._logits = torch.cat(found)
        return total.mul_(self._scale).add_(self._weights, alpha=self._ridge)

    @property
    def logits(self) -> Tensor:
        """(n, classes) at w."""
        if self._logits is None:
            self._logits = self.change(self._weights, 1.0)
        return self._logits

    @cached_property
    def _p(self) -> Tensor | None:
        return probabilities(self._loss, self.logits, dim=1)

    @cached_property
    def importance(self) -> Tensor:
        """The part of each row in H, (n,)."""
        return loss_sizes(self._loss, self._p, self._y, dim=1)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian of L at w times `vector`, (d,)."""
        direction, total = self._tangent.layers(vector.detach()), torch.zeros_like(vector)
        layers = self._tangent.layers(total)
        for part, rows in self._parts:
            change = rows.scale * self._tangent.push(direction, rows)
            p = None if self._p is None else self._p[part]
            self._backward(loss_curvature(self._loss, p, change, dim=-1), rows, part, layers)
        return total.mul_(self._scale).add_(vector, alpha=self._ridge)

    def change(self, v: Tensor, offset: float = 0.0) -> Tensor:
        """C J v of every row, (n, classes); with so much of the offset c f."""
        layers, parts = self._tangent.layers(v), []
        for _, rows in self._parts:
            change = self._tangent.push(layers, rows)
            parts.append(change.add_(rows.offset, alpha=offset).mul_(rows.scale))
        return torch.cat(parts)

    def _backward(
        self, error: Tensor, rows: TangentRows, part: slice, total: Sequence[Layer]
    ) -> None:
        """Add J^T times errors (m, classes) of the part's rows to `total`, each by its share."""
        error = error * rows.scale
        if self._shares is not None:
            error = error * self._shares[part].unsqueeze(1)
        self._tangent.pull(error, rows, total)


# An approximate inverse of a tangent's Hessian, from a sample of rows.

#: Rows whose outer products are in memory at a time.
CHUNK = 500


@dataclass(frozen=True)
class TangentPreconditioner:
    """b -> P^-1 b, with P the Hessian where it is large and its blocks elsewhere.

    The first layer's inputs are turned to axes of their own. On the leading axes, the biases and
    the later layers P is the Hessian, whole; on every other axis it is the block of the first
    layer's units. A ridge stays the same in any axes.

    Attributes:
        axes: (inputs, inputs) float32, orthogonal.
        dense: (m, m) float32, the inverse on the leading part.
        blocks: (inputs - leading, units, units) float32, inverses, one an axis.
    """

    axes: Tensor
    dense: Tensor
    blocks: Tensor

    def solve(self, b: Tensor) -> Tensor:
        """P^-1 b, (d,), in b's precision."""
        inputs, (rest, units, _) = len(self.axes), self.blocks.shape
        first, later = b.float().split([units * inputs, len(b) - units * inputs])
        turned = first.view(units, inputs) @ self.axes
        leading, others = turned.split([inputs - rest, rest], dim=1)
        small = self.dense @ torch.cat([leading.flatten(), later])
        leading, later = small.split([units * (inputs - rest), len(later)])
        others = torch.bmm(self.blocks, others.T.unsqueeze(2))[:, :, 0].T
        turned = torch.cat([leading.view(units, inputs - rest), others], dim=1)
        return torch.cat([(turned @ self.axes.T).flatten(), later]).to(b.dtype)


def precondition(
    tangent: TangentMap,
    x: Tensor,
    p: Tensor,
    shares: Tensor,
    *,
    ridge: float,
    axes: Tensor,
    leading: int,
) -> TangentPreconditioner:
    """The preconditioner of a sum over rows of the cross-entropy's Hessian, plus the ridge.

    Args:
        tangent: the map.
        x: (n, columns).
        p: (n, classes), probabilities.
        shares: (n,), what each row counts.
        ridge: of the objective.
        axes: (inputs, inputs), orthogonal, the leading ones first; of the first layer that moves.
        leading: how many of them; at most as many as there are.
    """
    tangent, axes = tangent.to(torch.float32), axes.float()
    leading = min(leading, len(axes))
    widths = [leading + 1, *(size + 1 for size in tangent.sizes[1:-1])]
    units = tangent.sizes[1:]
    starts = [0]
    for width, size in zip(widths, units, strict=True):
        starts.append(starts[-1] + width * size)
    dense = torch.zeros(starts[-1], starts[-1], device=x.device)
    blocks = torch.zeros(len(axes) - leading, units[0] ** 2, device=x.device)
    for part in torch.arange(len(x), device=x.device).split(CHUNK):
        rows, own = tangent.rows(x[part].float()), p[part].float()
        weight = (shares[part].float() * rows.scale[:, 0].square())[:, None, None]
        turned = rows.inputs[0] @ axes
        inputs = [turned[:, :leading], *rows.inputs[1:]]
        inputs = [torch.cat([a, a.new_ones(len(a), 1)], dim=1) for a in inputs]
        back = _derivatives(tangent, rows)
        curved = [weight * _curvature(own, b) for b in back]
        for j in range(len(units)):
            for k in range(j + 1):
                inner = (back[j].mT @ curved[k]).flatten(1)
                outer = (inputs[j].unsqueeze(2) * inputs[k].unsqueeze(1)).flatten(1)
                found = (outer.T @ inner).view(widths[j], widths[k], units[j], units[k])
                place = dense[starts[j] : starts[j + 1], starts[k] : starts[k + 1]]
                place.view_as(place).add_(found.permute(2, 0, 3, 1).reshape(place.shape))
        if len(blocks):
            inner = (back[0].mT @ curved[0]).flatten(1)
            blocks.addmm_(turned[:, leading:].square().T, inner)
    dense = dense.tril() + dense.tril(-1).T
    order = torch.cat(
        [_flat_order(w, u) + s for w, u, s in zip(widths, units, starts, strict=False)]
    )
    dense = dense[order][:, order]
    dense.diagonal().add_(ridge)
    blocks = blocks.view(-1, units[0], units[0])
    blocks.diagonal(dim1=1, dim2=2).add_(ridge)
    return TangentPreconditioner(axes, _inverse(dense), torch.linalg.inv(blocks))


def _derivatives(tangent: TangentMap, rows: TangentRows) -> list[Tensor]:
    """Derivatives of the logits in each layer's outputs, (n, classes, units)."""
    classes = tangent.sizes[-1]
    last = torch.eye(classes, device=rows.norm.device).expand(len(rows.norm), -1, -1)
    found = [last]
    for slope, matrix in zip(rows.slopes[::-1], tangent.matrices[::-1], strict=True):
        found.append((found[-1] @ matrix) * slope.unsqueeze(1))
    return found[::-1]


def _curvature(p: Tensor, back: Tensor) -> Tensor:
    """(diag(p) - p p^T) times (n, classes, units)."""
    weighted = p.unsqueeze(2) * back
    return weighted - p.unsqueeze(2) * weighted.sum(dim=1, keepdim=True)


def _flat_order(width: int, units: int) -> Tensor:
    """Places of a layer's weights, its matrix row by row and then its biases, in (units, width)."""
    places = torch.arange(units * width).view(units, width)
    return torch.cat([places[:, :-1].flatten(), places[:, -1]])


def _inverse(matrix: Tensor) -> Tensor:
    """(m, m), in float64 where float32 does not suffice for a factor."""
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        return torch.cholesky_inverse(torch.linalg.cholesky(matrix.double())).float()
    return torch.cholesky_inverse(lower)
