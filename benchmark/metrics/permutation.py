"""Whether two sets of models differ at all, by a permutation test."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError
from benchmark.metrics.margins import RESOLUTION, deterministic
from benchmark.metrics.outputs import scores


def energy_test(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int = 999
) -> float:
    """The p-value of "both sets of models come from one distribution", in (0, 1].

    The energy statistic (Szekely & Rizzo 2013) of the models' margins as points, each example
    scaled by its spread over all models. Models are independent and, if the hypothesis holds,
    exchangeable, so that the test is exact at any number of models; nothing is assumed of the
    margins. Differences of the size of round-off do not count.

    Args:
        first: (models, n) margins.
        second: (models, n) margins of independent models on the same examples.
        rng: for the permutations.
        draws: number of permutations; the least p-value is 1 / (draws + 1).

    Raises:
        LetheError: if a side has fewer than two models, or examples differ.
    """
    ours, theirs = scores(first, "first", 2), scores(second, "second", 2)
    if ours.shape[1] != theirs.shape[1] or min(len(ours), len(theirs)) < 2:
        raise LetheError("an energy test needs the same examples and two models or more a side")
    both = np.concatenate([ours, theirs])
    scale = np.maximum(np.abs(both).max(axis=0), 1)
    shift = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
    if deterministic(ours) and deterministic(theirs) and (shift <= RESOLUTION * scale).all():
        return 1.0
    spread = both.std(axis=0)
    points = both / np.where(spread > 0, spread, 1)
    squares = (points**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(distances, 0)
    orders = np.stack([rng.permutation(len(both)) for _ in range(draws)])
    sides = np.concatenate([[np.arange(len(both))], orders]) < len(ours)
    found = _statistic(distances, sides.astype(np.float64), len(ours), len(theirs))
    # equal divisions of the models must count as equal whatever the round-off
    as_large = found[1:] >= found[0] - 1e-9 * np.abs(found).max()
    return float(1 + as_large.sum()) / (draws + 1)


def _statistic(distances: np.ndarray, sides: np.ndarray, n: int, m: int) -> np.ndarray:
    """(k,) 2 E|X - Y| - E|X - X'| - E|Y - Y'| of each division, `sides` (k, n + m) of 0 and 1."""
    others = 1 - sides
    between = np.einsum("ki,ij,kj->k", sides, distances, others, optimize=True)
    within = np.einsum("ki,ij,kj->k", sides, distances, sides, optimize=True)
    beyond = np.einsum("ki,ij,kj->k", others, distances, others, optimize=True)
    return 2 * between / (n * m) - within / n**2 - beyond / m**2
