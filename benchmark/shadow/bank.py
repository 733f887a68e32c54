"""The shadow bank: models that each saw a random half of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.shadow.store import ModelStore
from benchmark.shadow.training import Run


@dataclass(frozen=True)
class ShadowBank:
    """Shadow models and who was a member of which.

    Attributes:
        weights: (models, d).
        members: (models, n) bool: whether a model was trained on a training row.
    """

    weights: Tensor
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    def part(self, start: int, stop: int) -> ShadowBank:
        """Some of the models. Cuts at even numbers keep pairs of complements together."""
        return ShadowBank(self.weights[start:stop], self.members[start:stop])


def members(rows: int, models: int, seeds: Seeds) -> np.ndarray:
    """(models, rows) bool: for each model, which rows it is trained on.

    Models 2k and 2k + 1 divide the rows between them at random, so that every row is in exactly
    half of the models (Carlini et al. 2022); with an odd number of rows a pair leaves one out.
    A pair depends on its number and the seed alone: a larger bank contains the smaller ones.

    Raises:
        LetheError: if the number of models is odd, or there is less than a row for each.
    """
    if models < 2 or models % 2:
        raise LetheError(f"a shadow bank has an even number of models, at least 2, not {models}")
    if rows < 2:
        raise LetheError("a shadow bank needs at least two training rows")
    bits = np.zeros((models, rows), dtype=bool)
    half = rows // 2
    for pair in range(models // 2):
        order = torch.randperm(rows, generator=seeds.generator("evaluation", "members", pair))
        bits[2 * pair, order[:half]] = True
        bits[2 * pair + 1, order[half : 2 * half]] = True
    return bits


def shadow_bank(store: ModelStore, models: int, seeds: Seeds) -> ShadowBank:
    """The bank of a problem, trained as far as it is not on disk.

    Args:
        store: of the problem.
        models: how many; even.
        seeds: of which the evaluation seed counts.

    Raises:
        LetheError: for an odd number of models.
        DiskError: if the store's folder cannot be written.
        DidNotConverge: if a training is held to a tolerance and misses it.
    """
    bits = members(len(store.problem.train), models, seeds)
    runs = [
        Run.of(torch.from_numpy(np.flatnonzero(row)), seeds.generator("evaluation", "shadow", k))
        for k, row in enumerate(bits)
    ]
    return ShadowBank(store.train(runs), bits)
