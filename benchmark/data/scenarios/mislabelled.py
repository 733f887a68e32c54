"""Rows whose labels were wrong when the model was trained."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios.context import Context
from benchmark.data.scenarios.random_rows import random_rows


def mislabelled(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request `count` random rows, which `corrupted` gives other labels before training."""
    return random_rows(trained, count, requests, context, generator)


def corrupted(labels: Tensor, rows: Tensor, classes: int, generator: Generator) -> Tensor:
    """(n,) labels, those of `rows` each replaced by a random other one.

    Args:
        labels: (n,).
        rows: (m,) indices.
        classes: number of labels, at least 2.
        generator: for the new labels.
    """
    shift = torch.randint(1, classes, (len(rows),), generator=generator).to(labels.device)
    wrong = labels.clone()
    rows = rows.to(labels.device)
    wrong[rows] = (labels[rows] + shift) % classes
    return wrong
