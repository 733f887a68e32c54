"""Many small nets of one architecture as one batched program over stacked weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmark.problem.objective import Objective

_Layer = tuple[Tensor, Tensor]


class StackedNets:
    """The objective's gradient for `models` fully connected nets at once.

    Weights are (models, d), each row a flat vector as `benchmark.problem.model.Model` lays it out.
    The backward pass is written out: a net of this size spends most of its time in autograd's
    bookkeeping otherwise.

    Args:
        spec: softmax regression or a fully connected net.
        objective: what is trained.
        inputs: features per row.
        classes: number of labels.
    """

    def __init__(self, spec: Any, objective: Objective, inputs: int, classes: int) -> None:
        widths = (inputs, *spec.widths, classes)
        self._shapes = [(after, before) for before, after in pairwise(widths)]
        self._sizes = [size for out, into in self._shapes for size in (out * into, out)]
        self._relu = bool(spec.widths) and spec.activation == "relu"
        self._objective = objective
        self.dimension = sum(self._sizes)

    def layers(self, weights: Tensor) -> list[_Layer]:
        """Views into `weights` (models, d): a matrix and a bias for each layer."""
        pieces = torch.split(weights, self._sizes, dim=1)
        return [
            (matrix.unflatten(1, shape), bias.unsqueeze(1))
            for matrix, bias, shape in zip(pieces[::2], pieces[1::2], self._shapes, strict=True)
        ]

    def gradient(self, weights: Tensor, x: Tensor, target: Tensor, out: Tensor) -> Tensor:
        """Write the gradient of each net's objective on its own rows to `out` and return it.

        Args:
            weights: (models, d).
            x: (models, n, inputs).
            target: (models, n, classes), one-hot.
            out: (models, d).
        """
        layers = self.layers(weights)
        activations = [x]
        for number, (matrix, bias) in enumerate(layers):
            x = torch.baddbmm(bias, x, matrix.transpose(1, 2))
            if number < len(layers) - 1:
                activations.append(x.relu_() if self._relu else x.tanh_())
        if self._objective.loss == "cross_entropy":
            x = x.softmax(dim=2)
        elif self._objective.loss == "one_vs_rest":
            x = x.sigmoid()
        error = x.sub_(target).div_(x.shape[1])  # d loss / d logits, for any loss
        pairs = zip(layers, self.layers(out), activations, strict=True)
        for number, ((matrix, _), (d_matrix, d_bias), before) in reversed(list(enumerate(pairs))):
            d_matrix.copy_(torch.bmm(error.transpose(1, 2), before))
            d_bias.copy_(error.sum(dim=1, keepdim=True))
            if number > 0:
                slope = before > 0 if self._relu else 1 - before.square()
                error = torch.bmm(error, matrix).mul_(slope)
        return out.add_(weights, alpha=self._objective.ridge)
