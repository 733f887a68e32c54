"""Success rates of an attack at a fixed false-positive rate."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from benchmark.errors import present
from benchmark.metrics.attack import auc
from benchmark.metrics.measure import Measure
from benchmark.metrics.outputs import scores
from benchmark.metrics.statistics import bootstrap_interval

#: False-positive rates at which the true-positive rate is reported (Carlini et al. 2022).
FALSE_POSITIVE_RATES = {"tpr_at_1_percent": 0.01, "tpr_at_0.1_percent": 0.001}
LEVEL = 0.95


def true_positives(positives: np.ndarray, negatives: np.ndarray, rate: float) -> int:
    """How many positives lie above the threshold that at most `rate` of the negatives pass.

    Equal scores pass or fail together, so ties never let more negatives through. Where the two
    sides do not differ, k = rate * m of m negatives may pass, and (k + 1) / (m + 1) of the
    positives do on average.

    Args:
        positives: (n,) scores.
        negatives: (m,) scores.
        rate: of false positives, in (0, 1).
    """
    allowed = int(rate * len(negatives) + 1e-9)  # round-off must not take one away
    threshold = np.sort(negatives)[len(negatives) - 1 - allowed]
    return int((np.asarray(positives) > threshold).sum())


def clopper_pearson(events: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact two-sided interval of a rate (Clopper & Pearson 1934)."""
    interval = binomtest(events, trials).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def attack_measures(folds: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Measure]:
    """AUC, and the true-positive rates at 1 % and 0.1 % false positives.

    Scores are compared within a fold only: what was fitted for one fold has seen the other
    folds' scores. AUCs are averaged, counts are added. Intervals are Clopper-Pearson's; they
    take scores to be independent, and are too narrow where examples share a model.

    Args:
        folds: (positives, negatives) of each, any shapes; one fold if nothing is fitted.

    Raises:
        LetheError: if a side has no score or one that is not a finite number.
    """
    pairs = [(scores(np.ravel(p), "in", 1), scores(np.ravel(q), "out", 1)) for p, q in folds]
    trials = sum(len(positives) for positives, _ in pairs)
    total = trials + sum(len(negatives) for _, negatives in pairs)
    area = float(np.mean([auc(*pair) for pair in pairs]))
    found = {"auc": Measure(area, "none", (0, 1), n=total)}
    for name, rate in FALSE_POSITIVE_RATES.items():
        fewest = min(len(negatives) for _, negatives in pairs)
        if rate * fewest < 1 - 1e-9:
            note = f"{fewest} negatives cannot resolve a false-positive rate of {rate:g}"
            found[name] = Measure(None, "none", (0, 1), n=total, note=note)
            continue
        events = sum(true_positives(*pair, rate) for pair in pairs)
        interval = clopper_pearson(events, trials)
        found[name] = Measure(events / trials, "none", (0, 1), n=total, interval=interval)
    return found


def auc_interval(
    folds: list[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    *,
    same_examples: bool,
    draws: int = 200,
) -> tuple[float, float]:
    """A percentile interval of the mean AUC over folds, for other examples and the same models.

    Args:
        folds: (positives, negatives) of each, examples along the last axis.
        rng: for the resamples.
        same_examples: whether all scores are of the same examples (models are told apart) or each
            side has its own (examples are told apart).
        draws: number of resamples.

    Raises:
        LetheError: if there is no example, or sides of the same examples differ in length.
    """

    def mean_auc(*sides: np.ndarray) -> float:
        pairs = zip(sides[::2], sides[1::2], strict=True)
        return float(np.mean([auc(p.ravel(), q.ravel()) for p, q in pairs]))

    sides = tuple(side for fold in folds for side in fold)
    found = bootstrap_interval(mean_auc, sides, rng, paired=same_examples, draws=draws)
    return present(found.low), present(found.high)


def gap_to_retrain(ours: Measure, retrained: Measure) -> Measure:
    """|rate - the same attack's rate on the retrained model|: 0 is ideal, 0.5 need not be."""
    if ours.value is None or retrained.value is None:
        note = ours.note or retrained.note
        return Measure(None, "lower", (0, 1), n=ours.n, note=note)
    return Measure(
        abs(ours.value - retrained.value), "lower", (0, 1), n=ours.n, note="|rate - retrain's|"
    )


def strongest(gaps: dict[str, Measure]) -> str | None:
    """The attack with the largest gap to retrain, of those that have one; None if none has.

    The largest of several noisy gaps is larger than each: compare it with the largest of the
    second retraining's, never with the floor of one attack.
    """
    valued = {name: gap.value for name, gap in gaps.items() if gap.value is not None}
    return max(valued, key=lambda name: (valued[name], name), default=None)
