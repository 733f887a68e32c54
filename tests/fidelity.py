"""Detectors for the errors that published forgetting scores were found to have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmark.errors import LetheError
from benchmark.metrics.scores import clopper_pearson

#: Relative to the larger of 1 and the value, for sums taken in another order.
ROUND_OFF = 1e-9


def order_matters(
    metric: Callable[..., float], arrays: Sequence[np.ndarray], rng: np.random.Generator
) -> bool:
    """Whether the metric changes when the examples are put into another order.

    Args:
        metric: of arrays like `arrays`.
        arrays: all with the same examples along their last axis.
        rng: for the order.
    """
    order = rng.permutation(np.shape(arrays[0])[-1])
    return _differ(metric(*arrays), metric(*(array[..., order] for array in arrays)))


def batches_matter(
    predict: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, sizes: Sequence[int] = (1, 7)
) -> bool:
    """Whether a row's output depends on the rows it is scored with.

    BatchNorm in training mode, or scores normalised over a batch, show here: and so do statistics
    that scoring moves, since the first rows are scored twice.

    Args:
        predict: from (k, ...) rows to (k, ...) outputs.
        rows: (n, ...).
        sizes: of the batches to try, besides all rows at once.
    """
    whole = predict(rows)
    for size in sizes:
        parts = [predict(rows[start : start + size]) for start in range(0, len(rows), size)]
        if not same_scores(np.concatenate(parts), whole):
            return True
    return False


def same_scores(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether float32 scores are equal to round-off, which grows with the largest of them."""
    return np.allclose(first, second, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(second).max()))


def alters_inputs(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> bool:
    """Whether a call writes to the arrays it is given."""
    before = [array.copy() for array in arrays]
    function(*arrays)
    same = (np.array_equal(a, b, equal_nan=True) for a, b in zip(before, arrays, strict=True))
    return not all(same)


def alarm_rate(alarm: Callable[[int], bool], repeats: int) -> tuple[float, float]:
    """The interval (Clopper-Pearson, 99 %) of how often `alarm(seed)` goes off over seeds 0, 1, ...

    On scores of two identical distributions this is the false-alarm rate of an attack or a
    verdict. An attack that is fitted on what it scores gives itself away by a rate far above the
    nominal one, whatever it finds elsewhere.

    Raises:
        LetheError: if there is no repeat.
    """
    if repeats < 1:
        raise LetheError("an alarm rate needs at least one repeat")
    return clopper_pearson(sum(bool(alarm(seed)) for seed in range(repeats)), repeats, 0.99)


def _differ(first: float, second: float) -> bool:
    return abs(first - second) > ROUND_OFF * max(1.0, abs(first))
