"""Bounds on what round-off of float64 does to outputs of heads and fully connected nets.

In a sum of products every term goes through so many roundings, each of which changes it by 2^-53 of
itself at most, whatever the order of summation. The share is doubled, which covers second-order
terms and the round-off of the bound itself. Nothing is said of overflow and underflow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmark.problem.model import Model, Predictor


def share(roundings: int) -> float:
    """Share of its terms' sizes by which a sum may be off, after so many roundings of each."""
    return 2 * roundings * 2.0**-53


def layers(model: Model, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weight (out, in) and bias (out,) of each layer of a head or a fully connected net."""
    parts = iter(model.named(weights).values())
    return list(zip(parts, parts, strict=True))


def of_outputs(predictor: Predictor, x: Tensor) -> Tensor:
    """(n,) by how much a difference of two log-probabilities of float64 at `x` may be off.

    The net with the sizes of all weights and inputs bounds what each layer adds. The next ones
    enlarge it by the sizes of their weights, and no activation does.

    Args:
        predictor: of heads or fully connected nets; of others it is a guess, and no proof.
        x: (n, inputs).
    """
    model, found = predictor.model, []
    if model.spec.widths is None:
        double = Predictor(model, predictor.weights.double().cpu())
        return 1e-9 * (1 + double.log_probabilities(x.double().cpu()).abs().max(dim=1).values)
    largest = 1.0 if model.spec.widths and model.spec.activation == "tanh" else math.inf
    for weights in predictor.members.double().cpu().abs():
        values = x.double().cpu().abs()
        off = torch.zeros_like(values)
        for matrix, bias in layers(model, weights):
            sizes = values @ matrix.T + bias
            off = off @ matrix.T + share(matrix.shape[1] + 8) * sizes
            values = sizes.clamp(max=largest)
        found.append((2 * off + share(32) * (1 + sizes)).max(dim=1).values)
    return torch.stack(found).max(dim=0).values
