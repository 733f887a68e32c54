"""Scores of membership attacks and their success rates, and relearn time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from benchmark.errors import LetheError, present
from benchmark.metrics.divergence import deterministic
from benchmark.metrics.measure import Measure, scores
from benchmark.metrics.statistics import bootstrap_interval

# A low loss betrays a member (Yeom et al. 2018).


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Probability that a member scores above a non-member, ties counted half, in [0, 1].

    The Mann-Whitney form of the area under the ROC curve.

    Args:
        members: (n,) scores, higher for what looks like a member.
        others: (m,) scores of non-members.

    Raises:
        LetheError: if a side has no score, or one that is no number.

    >>> auc(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    for side, found in (("member", members), ("non-member", others)):
        if np.size(found) == 0:
            raise LetheError(f"an AUC needs a score of each side: there is no {side}")
        if np.isnan(found).any():
            raise LetheError(f"an AUC needs numbers: the score of a {side} is NaN")
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, members, side) for side in ("left", "right"))
    return float((below.sum() + up_to.sum()) / 2 / (len(members) * len(others)))


def population_auc(forget_losses: np.ndarray, negative_losses: np.ndarray) -> float:
    """AUC of telling forgotten rows from never-trained ones by their loss, in [0, 1].

    Nothing is fitted, so the attack cannot score well by having seen its own test rows. The
    ideal is not 0.5 but the value on a retrained model.
    """
    return auc(-np.asarray(forget_losses), -np.asarray(negative_losses))


# RMIA, which gets by with a few reference models.


#: How many reference models the attack may use.
REFERENCES = (2, 8)


def rmia(
    target: np.ndarray,
    references: np.ndarray,
    outside: np.ndarray,
    population: np.ndarray,
    population_references: np.ndarray,
    *,
    gamma: float,
    slope: float,
) -> np.ndarray:
    """(n,) scores in [0, 1], higher for what looks like a member (Zarifzadeh et al. 2024).

    The score of x is the share of population examples z that x dominates: whose likelihood ratio
    [p(x) / P(x)] / [p(z) / P(z)] is `gamma` or more. p is the attacked model's probability of the
    label, P what models that never saw the example give it, in the offline form of the paper:
    ((1 + slope) P_out + 1 - slope) / 2. Only models that were not trained on an example count for
    it, so that forgotten and never-trained examples are treated alike.

    Args:
        target: (n,) probabilities of the labels under the attacked model.
        references: (models, n) the same under 2 to 8 reference models.
        outside: (models, n) bool: the reference model was not trained on the example.
        population: (m,) probabilities on examples that no model was trained on, none of them
            among the n.
        population_references: (models, m).
        gamma: how far x must dominate z, at least 1.
        slope: a of the paper, in [0, 1]; 1 takes P_out as it is.

    Raises:
        LetheError: for a number of references outside 2 to 8, an example that all of them were
            trained on, a probability outside [0, 1], shapes or parameters that do not fit.
    """
    models = len(references)
    if not REFERENCES[0] <= models <= REFERENCES[1]:
        raise LetheError(f"RMIA takes {REFERENCES[0]} to {REFERENCES[1]} references, not {models}")
    p, p_references = _probabilities(target, 1), _probabilities(references, 2)
    z, z_references = _probabilities(population, 1), _probabilities(population_references, 2)
    outside = np.asarray(outside, dtype=bool)
    fits = p_references.shape == outside.shape == (models, len(p))
    if not fits or z_references.shape != (models, len(z)):
        raise LetheError("RMIA: references and their membership do not fit the examples")
    if gamma < 1 or not 0 <= slope <= 1:
        raise LetheError("RMIA needs gamma of at least 1 and a slope in [0, 1]")
    if not outside.any(axis=0).all():
        raise LetheError("RMIA: every reference model was trained on some example; use more")
    p_out = np.where(outside, p_references, 0).sum(axis=0) / outside.sum(axis=0)
    ratio = _ratio(p, p_out, slope)
    ratios = np.sort(_ratio(z, z_references.mean(axis=0), slope))
    return np.searchsorted(ratios, ratio / gamma, side="right") / len(ratios)


def _ratio(p: np.ndarray, p_out: np.ndarray, slope: float) -> np.ndarray:
    everywhere = ((1 + slope) * p_out + 1 - slope) / 2
    return p / np.maximum(everywhere, np.finfo(np.float64).tiny)


def _probabilities(values: np.ndarray, dimensions: int) -> np.ndarray:
    array = scores(values, "RMIA", dimensions)
    if array.min() < 0 or array.max() > 1 + 1e-9:
        raise LetheError("RMIA takes probabilities, between 0 and 1")
    return array


# U-LiRA: is an unlearned model told from one that never saw the example?


def likelihood_ratio(fit_in: np.ndarray, fit_out: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """(k, n) log of how much likelier a margin is if the example was trained on, then unlearned.

    One Gaussian an example and side (Hayes et al. 2025, after Carlini et al. 2022). To score
    models that the Gaussians were fitted on tells members from non-members that do not differ;
    `attacks.attack_models` keeps them apart.

    Args:
        fit_in: (models, n) margins of models that unlearned the examples.
        fit_out: (models, n) margins of models that never saw them.
        scored: (k, n) margins of other models.

    Raises:
        LetheError: if a side has fewer than two models or no spread on some example.
    """
    densities = []
    for fitted in (fit_in, fit_out):
        if len(fitted) < 2:
            raise LetheError("U-LiRA needs at least two models a side to fit a Gaussian")
        if deterministic(fitted):
            raise LetheError("U-LiRA needs margins that vary from one training to the next")
        densities.append(norm.logpdf(scored, fitted.mean(axis=0), fitted.std(axis=0, ddof=1)))
    return densities[0] - densities[1]


# Success rates at a fixed false-positive rate.


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


# Relearn time: how fast a model learns again what it should not know.


@dataclass(frozen=True)
class RelearnTime:
    """Training steps until the forgotten rows were learnt.

    Attributes:
        steps: 1 or more.
        censored: the limit came first, so that `steps` is a lower bound.
    """

    steps: int
    censored: bool


def relearn_time(step: Callable[[], float], target: float, limit: int) -> RelearnTime:
    """Train until the loss on the forgotten rows is `target` or less.

    Args:
        step: trains once more (a step or an epoch) and returns the loss afterwards.
        target: the loss to reach, the same for every model, e.g. the original model's.
        limit: after so many steps it is given up.

    Raises:
        LetheError: if the limit is below 1, or the loss stops being a number.
    """
    if limit < 1:
        raise LetheError("relearning needs a limit of at least one step")
    for count in range(1, limit + 1):
        loss = step()
        if math.isnan(loss):
            raise LetheError("relearning diverged: the loss is not a number; lower its step")
        if loss <= target:
            return RelearnTime(count, censored=False)
    return RelearnTime(limit, censored=True)


def relearn_ratio(unlearned: RelearnTime, retrained: RelearnTime) -> dict[str, Measure]:
    """Relearn time over the retrained model's, and |log| of it as a distance from the ideal 1.

    Below 1 something was left to build on; above 1 the model resists more than one that never
    saw the rows, which tells as much. Not defined where the retrained model hit the limit.
    """
    bounds = (0.0, math.inf)
    times = unlearned.steps / retrained.steps
    ratio: float | None = times
    gap: float | None = abs(math.log(times))
    note = gap_note = "censored: at least" if unlearned.censored else ""
    if retrained.censored:
        ratio = gap = None
        note = gap_note = f"the retrained model did not relearn within {retrained.steps} steps"
    elif unlearned.censored and times < 1:  # the true ratio may lie on either side of 1
        gap, gap_note = None, "censored: not known"
    return {
        "relearn_ratio": Measure(ratio, "none", bounds, note=note),
        "relearn_gap": Measure(gap, "lower", bounds, note=gap_note),
    }
