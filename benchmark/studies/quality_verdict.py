"""The verdict over several seeds of a row: is it told from retraining?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import combine_pvalues

from benchmark.errors import present
from benchmark.metrics.margins import RESOLUTION
from benchmark.metrics.statistics import LEVEL
from benchmark.metrics.statistics import verdict as against_floor
from benchmark.studies.quality_record import Score, Verdict, verdict

#: What the verdict is over, and the word for it.
JUDGED = {
    "klom": "KLoM",
    "strongest_gap": "attack",
    "js_forget": "JS",
    "relearn_gap": "relearn",
    "restored_accuracy": "restored",
}

#: Scores by seed and metric.
Scores = dict[int, dict[str, Score]]
#: Reads a row's value, its floor or its ceiling out of a score.
Part = Callable[[Score], float | None]


def own(score: Score) -> float | None:
    """The row's value."""
    return score.value


def floor(score: Score) -> float | None:
    """The score of a second retraining."""
    return score.floor


def ceiling(score: Score) -> float | None:
    """The score of doing nothing."""
    return score.ceiling


def judge(scores: Scores, part: Part) -> tuple[Verdict, list[str]]:
    """The verdict over a row's seeds, and the tests that tell it from retraining.

    Each test at a level that keeps all of them together at 95 %: the permutation tests of the
    seeds, combined by Fisher's method, and a paired t test over seeds for each metric of
    `JUDGED`.

    Args:
        scores: by seed, one or more.
        part: the row's values, or its ceilings.
    """
    found = told(scores, part)
    return verdict(bool(found), bool(told(scores, ceiling))), found


def told(scores: Scores, part: Part) -> list[str]:
    """The tests that tell `part` from retraining, by their words."""
    seeds = list(scores.values())
    judged = [key for key in JUDGED if all(known(of_seed.get(key), part) for of_seed in seeds)]
    level = 1 - (1 - LEVEL) / (1 + len(judged) * (len(seeds) > 1))
    p_value = combine_pvalues([present(part(of_seed["p_value"])) for of_seed in seeds]).pvalue
    words = ["margins"] if p_value <= 1 - level else []
    for key in judged:
        entries = [of_seed[key] for of_seed in seeds]
        direction = entries[0].direction
        assert direction != "none"
        found = against_floor(
            np.array([part(entry) for entry in entries]),
            np.array([entry.floor for entry in entries]),
            direction,
            level,
        )
        # Deterministic training has a floor of 0 and no spread: round-off is no finding.
        if found.kind == "distinguishable" and abs(found.excess.mean) > RESOLUTION:
            words.append(JUDGED[key])
    return words


def known(score: Score | None, part: Part) -> bool:
    """Whether there is a number, and one to hold it against."""
    return score is not None and part(score) is not None and score.floor is not None
