"""LiSSA, the stochastic estimator of the paper, and products with many minibatches at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.func import vmap

from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error
from benchmark.rows import Rows

# Products with the Hessians of many minibatches at a time, each with a vector of its own.

#: Maps x (k, batch, inputs), y (k, batch) and u (k, d) to the k products (k, d).
Products = Callable[[Tensor, Tensor, Tensor], Tensor]


def differentiated(loss: Callable[[Tensor, Rows], Tensor], weights: Tensor) -> Products:
    """For any loss of weights (d,) and rows, by reverse-over-reverse."""
    per_batch = vmap(lambda w, x, y: loss(w, Rows(x, y)))

    def products(x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        # Every minibatch has weights of its own to differentiate in, all of the same value.
        w = weights.detach().expand(len(u), -1).requires_grad_()
        (gradient,) = torch.autograd.grad(per_batch(w, x, y).sum(), w, create_graph=True)
        return torch.autograd.grad(gradient, w, u)[0]

    return products


def fully_connected(
    weights: Tensor, *, sizes: Sequence[int], activation: Literal["tanh", "relu"], loss: Loss
) -> Products:
    """For a fully connected net and a mean loss without ridge, by the R-operator.

    The forward and backward passes, in which the minibatches share their weights, are one for
    all; what depends on u is one batched matrix product a layer. Equal to `differentiated` to
    round-off (tested).

    Args:
        weights: (d,), for each layer its matrix row by row, then its biases.
        sizes: inputs, units of each hidden layer, classes.
        activation: of the hidden layers.
        loss: of the objective.
    """
    w = weights.detach().clone()
    shapes = list(pairwise(sizes))
    layers = [(matrix[0], bias[0]) for matrix, bias in _split(w.unsqueeze(0), shapes)]

    def products(x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        k, batch = y.shape
        inputs, slopes = [x], []
        for matrix, bias in layers[:-1]:
            z = inputs[-1] @ matrix.T + bias
            a = z.tanh() if activation == "tanh" else z.relu()
            slopes.append(1 - a * a if activation == "tanh" else (a > 0).to(a.dtype))
            inputs.append(a)
        logits = inputs[-1] @ layers[-1][0].T + layers[-1][1]
        error, p = loss_error(loss, logits.flatten(0, 1).T, y.flatten())
        direction = _split(u, shapes)
        changes = [_change(x, direction[0])]
        for (matrix, _), slope, a, v in zip(
            layers[1:], slopes, inputs[1:], direction[1:], strict=True
        ):
            changes.append((slope * changes[-1]) @ matrix.T + _change(a, v))
        change = loss_curvature(loss, p, changes[-1].flatten(0, 1).T)
        r_delta = change.T.unflatten(0, (k, batch)) / batch
        delta = error.T.unflatten(0, (k, batch)) / batch
        total = torch.empty_like(u)
        outer = _split(total, shapes)
        for i in range(len(layers) - 1, -1, -1):
            matrix, a = layers[i][0], inputs[i]
            product = r_delta.mT @ a
            if i:
                product += delta.mT @ (slopes[i - 1] * changes[i - 1])
            outer[i][0].copy_(product)
            outer[i][1].copy_(r_delta.sum(dim=1))
            if i:
                back = delta @ matrix
                r_back = r_delta @ matrix + delta @ direction[i][0]
                r_delta = slopes[i - 1] * r_back
                if activation == "tanh":
                    r_delta -= 2 * a * slopes[i - 1] * back * changes[i - 1]
                delta = slopes[i - 1] * back
        return total

    return products


def _change(a: Tensor, direction: tuple[Tensor, Tensor]) -> Tensor:
    """Change of a layer's output (k, batch, units) at inputs `a` as weights move along (V, c)."""
    v, c = direction
    return torch.baddbmm(c.unsqueeze(1), a, v.mT)


def _split(flat: Tensor, shapes: list[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
    """Views of (k, d): each layer's matrices (k, units, inputs) and biases (k, units)."""
    layers, start = [], 0
    for inputs, units in shapes:
        middle, end = start + units * inputs, start + units * (inputs + 1)
        layers.append((flat[:, start:middle].unflatten(1, (units, inputs)), flat[:, middle:end]))
        start = end
    return layers


# LiSSA: the stochastic inverse-Hessian estimator of the paper (Agarwal et al. 2017).


def lissa(
    products: Products,
    rows: Rows,
    b: Tensor,
    generator: torch.Generator,
    *,
    damping: float,
    scale: float,
    chains: int,
    depth: int,
    batch: int,
    averaged: int = 1,
) -> Tensor:
    """An estimate of (hess L(w) + damping I)^{-1} b, (d,), as Zhang et al. publish it.

    Each chain runs u <- b + u - (H_batch u + damping u) / scale from u = b; the estimate is the
    mean over chains of u / scale. All chains advance in one batched program. It may diverge: a
    caller must measure the residual.

    Args:
        products: with the Hessians of minibatches at w, see `Problem.minibatch_hessians`.
        rows: what minibatches are drawn from, with replacement.
        b: (d,) right-hand side.
        generator: draws the minibatches.
        damping: lambda.
        scale: S, at least the largest eigenvalue of any damped minibatch Hessian.
        chains: independent recursions.
        depth: steps of each.
        batch: rows of one minibatch.
        averaged: last steps of which the mean is taken; 1 is the paper's recursion.
    """
    u = b.expand(chains, -1).clone()
    total = torch.zeros_like(u)
    for step in range(depth):
        x, y = _minibatches(rows, chains, batch, generator)
        u.sub_(products(x, y, u).add_(u, alpha=damping), alpha=1 / scale).add_(b)
        if step >= depth - averaged:
            total += u
    tail = min(averaged, depth)
    return (total / tail if tail else u).mean(dim=0) / scale


def largest_minibatch_curvature(
    products: Products,
    rows: Rows,
    dimension: int,
    generator: torch.Generator,
    *,
    batch: int,
    trials: int,
    steps: int,
) -> float:
    """The largest size of an eigenvalue of a minibatch Hessian, from below, for LiSSA's scale.

    Power iteration on all trial minibatches at once.

    Args:
        products: with the Hessians of minibatches.
        rows: what minibatches are drawn from, with replacement.
        dimension: d.
        generator: draws the minibatches and where the iteration starts.
        batch: rows of one minibatch.
        trials: minibatches.
        steps: of the power iteration.
    """
    x, y = _minibatches(rows, trials, batch, generator)
    u = torch.randn(trials, dimension, generator=generator, dtype=torch.float64).to(x)
    for _ in range(steps):
        u = products(x, y, u / u.norm(dim=1, keepdim=True))
    return float(u.norm(dim=1).max())


def _minibatches(
    rows: Rows, count: int, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`count` minibatches drawn with replacement: x (count, batch, ...) and y (count, batch)."""
    index = torch.randint(len(rows), (count * batch,), generator=generator)
    part = rows.take(index)
    return part.x.unflatten(0, (count, batch)), part.y.view(count, batch)
