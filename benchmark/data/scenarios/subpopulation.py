"""A sub-population: rows that resemble one another."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context, required


def subpopulation(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request a random row and its nearest neighbours in Euclidean distance of features.

    Rows of earlier requests are gone; the next row is drawn from the others.
    """
    features = required(context, "subpopulation").features
    order = torch.randperm(len(trained), generator=generator)
    left = torch.ones(len(trained), dtype=torch.bool)
    sets = []
    for _ in range(requests):
        centre = order[left[order]][0]
        x = features[trained[left].to(features.device)].flatten(1)
        middle = features[trained[centre].to(features.device)].flatten()
        distances = torch.linalg.vector_norm(x - middle, dim=1).cpu()
        distances[trained[left] == trained[centre]] = -1  # itself, also among equal rows
        nearest = torch.sort(distances, stable=True).indices[:count]
        chosen = torch.arange(len(trained))[left][nearest]
        left[chosen] = False
        sets.append(trained[chosen])
    return tuple(sets)
