"""An approximate inverse of a tangent's Hessian, from a sample of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.tangent import TangentMap, TangentRows

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
    """Of the logits in each layer's outputs, (n, classes, units)."""
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
