"""How far models' predictions are from those of retrained models."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import digamma, logsumexp

from benchmark.errors import LetheError
from benchmark.metrics.measure import Measure, probabilities, scores

# The margin of a label: how sure a model is of it, without saturating, and whether it varies.


#: Below this, relative to the margin, models differ by round-off and stopping tolerance only.
RESOLUTION = 1e-6


def margins(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) margins z_y - logsumexp of the other logits, which is log(p_y / (1 - p_y)).

    Carlini et al. (2022) and Georgiev et al. (2025). Taken from all log-probabilities, since
    1 - p_y is 0 in floating point long before it is 0.

    Args:
        log_probabilities: (n, classes), two classes or more; logits do as well.
        labels: (n,).

    Raises:
        LetheError: if there is only one class, or a row without a label.
    """
    outputs = np.asarray(log_probabilities, dtype=np.float64)
    n, classes = outputs.shape
    if classes < 2 or len(labels) != n:
        raise LetheError("margins need two classes or more and a label for each row")
    rows = np.arange(n)
    others = outputs.copy()
    others[rows, labels] = -np.inf
    return outputs[rows, labels] - logsumexp(others, axis=1)


def deterministic(margins: np.ndarray) -> bool:
    """Whether some example has the same margin under every model, up to round-off.

    Convex training to a tolerance gives one model whatever its seed; its margins have no
    distribution that another could be compared with.

    Args:
        margins: (models, n).
    """
    scale = np.maximum(np.abs(margins).max(axis=0), 1)
    return bool((margins.std(axis=0) <= RESOLUTION * scale).any())


# Two divergences of one model's predictions.


_TO_LN_2, _ABOVE_0 = (0.0, math.log(2)), (0.0, math.inf)


def kullback_leibler(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) KL(first || second) in nats; infinite where `second` rules out what `first` does not.

    Args:
        first: (n, classes) log-probabilities.
        second: (n, classes).

    Raises:
        LetheError: if the rows do not sum to one.
    """
    p, q = probabilities(first, "first model"), probabilities(second, "second model")
    positive = p > -np.inf
    difference = np.subtract(p, q, out=np.zeros_like(p), where=positive)
    return np.maximum((np.exp(p) * difference).sum(axis=-1), 0)


def kl_from_retrain(retrained: np.ndarray, model: np.ndarray) -> Measure:
    """Mean of KL(retrain || model) over examples."""
    each = kullback_leibler(retrained, model)
    infinite = int(np.isinf(each).sum())
    if infinite:
        note = f"infinite on {infinite} rows: the model rules out what the retrained one does not"
        return Measure(None, "lower", _ABOVE_0, unit="nats", n=len(each), note=note)
    return Measure(float(each.mean()), "lower", _ABOVE_0, unit="nats", n=len(each))


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) divergences with natural logarithm (Lin 1991), in [0, ln 2], symmetric.

    Args:
        first: (n, classes) log-probabilities.
        second: (n, classes).

    Raises:
        LetheError: if the rows do not sum to one.
    """
    p, q = probabilities(first, "first model"), probabilities(second, "second model")
    return np.clip((_to_the_middle(p, q) + _to_the_middle(q, p)) / 2, *_TO_LN_2)


def jensen_shannon_to_retrain(retrained: np.ndarray, model: np.ndarray) -> dict[str, Measure]:
    """Mean and 95th percentile over examples; 0 for a model that predicts as the retrained one."""
    each = jensen_shannon(retrained, model)
    found = {"js_mean": each.mean(), "js_p95": np.quantile(each, 0.95)}
    return {
        name: Measure(float(value), "lower", _TO_LN_2, unit="nats", n=len(each))
        for name, value in found.items()
    }


def _to_the_middle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(n,) KL(p || (p + q) / 2) from log-probabilities; 0 and not round-off where p is q."""
    ratio = np.subtract(q, p, out=np.zeros_like(p), where=p > -np.inf)
    # Where q is e^500 times p, p's share is 0 in floating point; the cap avoids 0 * infinity.
    return -(np.exp(p) * np.log1p(np.expm1(np.minimum(ratio, 500)) / 2)).sum(axis=-1)


# KLoM: divergence between the margins of unlearned and of retrained models.


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


# Whether two sets of models differ at all.


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
