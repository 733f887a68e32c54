"""KLoM: divergence between the margins of unlearned and of retrained models."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import digamma

from benchmark.errors import LetheError
from benchmark.metrics.margins import deterministic
from benchmark.metrics.measure import Measure
from benchmark.metrics.outputs import scores

BOUNDS = (0.0, math.inf)


def klom(retrained: np.ndarray, unlearned: np.ndarray) -> np.ndarray:
    """(n,) KL of the retrained margins' distribution from the unlearned ones', in nats.

    KLoM of Georgiev et al. (2025) with a Gaussian in place of their histogram: the histogram is
    biased by nats at a few dozen models, and stops at a cap once the two masses are apart. Mean
    and variance are maximum-likelihood estimates, which gives `klom_floor` its simple form.

    Args:
        retrained: (models, n) margins.
        unlearned: (models, n) margins; another number of models is allowed.

    Raises:
        LetheError: if a side has fewer than four models or no spread, or examples differ.

    >>> retrained = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> klom(retrained, retrained + 1.0).round(2)
    array([0.4])
    """
    first, second = _checked(retrained, unlearned)
    gap = first.mean(axis=0) - second.mean(axis=0)
    ours, theirs = first.var(axis=0), second.var(axis=0)
    if not (ours.all() and theirs.all()):
        raise LetheError("KLoM needs margins that vary from one training to the next")
    ratio = ours / theirs
    # -log(ratio) + ratio - 1 >= 0, so that round-off alone could go below.
    return np.maximum((ratio - 1 - np.log(ratio) + gap**2 / theirs) / 2, 0)


def klom_floor(retrained: int, unlearned: int) -> float:
    """The expected KLoM of identical Gaussians, from so many models a side, in nats.

    It is 2 / (N - 3) where both sides have N models, by the moments of chi-squared variables.

    Raises:
        LetheError: if there are fewer than four models: it is infinite.
    """
    if min(retrained, unlearned) < 4:
        raise LetheError("KLoM needs at least four models on each side")
    n, m = retrained, unlearned
    log_ratio = digamma((m - 1) / 2) - digamma((n - 1) / 2) + math.log(n / m)
    ratio_and_gap = ((n - 1) / n + 1 / n + 1 / m) * m / (m - 3)
    return float(log_ratio + ratio_and_gap - 1) / 2


def klom_measure(retrained: np.ndarray, unlearned: np.ndarray) -> Measure:
    """Mean KLoM over examples, next to what perfect unlearning gives with as many models."""
    first, second = _checked(retrained, unlearned)
    if deterministic(first) or deterministic(second):
        note = "training gives the same margins every time: there is no distribution to compare"
        return Measure(None, "lower", BOUNDS, unit="nats", n=first.shape[1], note=note)
    floor = klom_floor(len(first), len(second))
    return Measure(
        float(klom(first, second).mean()),
        "lower",
        BOUNDS,
        unit="nats",
        n=first.shape[1],
        note=f"floor {floor:.3g} with {len(first)} retrained and {len(second)} unlearned models",
    )


def _checked(retrained: np.ndarray, unlearned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = scores(retrained, "retrained", 2), scores(unlearned, "unlearned", 2)
    if first.shape[1] != second.shape[1]:
        raise LetheError("KLoM needs the same examples on both sides")
    if min(len(first), len(second)) < 4:
        raise LetheError("KLoM needs at least four models on each side")
    return first, second
