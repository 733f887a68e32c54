"""Which uncertified methods fool the population attack but not U-LiRA?"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

import numpy as np

from benchmark.metrics.spread import RESOLUTION
from benchmark.metrics.statistics import verdict
from benchmark.studies.quality_record import QualityRecord
from benchmark.studies.quality_verdict import known, own
from leaderboard.answers.answer import Answer, Evidence, counted, grid, problem, unanswered
from leaderboard.grid import Cell, Line
from leaderboard.interval import arithmetic
from leaderboard.numbers import measured
from leaderboard.shown import NOTHING

SLUG = "answer-attacks"
QUESTION = "Which uncertified methods fool the population attack but not U-LiRA?"
COMMAND = "make forget-quality RESULTS=leaderboard/results"

Outcome = Literal["told", "fooled", "undecided", "no number"]

_POPULATION, _ULIRA = "population_gap", "u-lira_gap"
_COLUMNS = (
    "population gap",
    "its floor",
    "population",
    "U-LiRA AUC",
    "its floor",
    "U-LiRA",
    "seeds × models",
)


def answer(evidence: Evidence) -> Answer:
    """Every uncertified entry, with what either attack makes of it."""
    found = _rows(evidence)
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    outcomes = {
        name: (outcome(records, _POPULATION), outcome(records, _ULIRA))
        for name, records in found.items()
    }
    between = [name for name, pair in outcomes.items() if pair == ("fooled", "told")]
    open_ = [name for name, pair in outcomes.items() if not set(pair) <= {"told", "fooled"}]
    return Answer(
        SLUG,
        QUESTION,
        text=f"Of {counted(len(found), 'uncertified row')}, {len(between)} fool the population "
        f"attack and not U-LiRA: {'; '.join(between) or 'none'}. An attack is fooled where a "
        "one-sided paired t test over seeds does not put its gap to retraining above that of a "
        "second retraining.",
        missing=f"One seed decides nothing, and {counted(len(open_), 'row')} have no more, or no "
        "number."
        if open_
        else "",
        command=COMMAND if open_ else "",
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, rs, outcomes[name]) for name, rs in found.items()]),
    )


def outcome(records: list[QualityRecord], key: str) -> Outcome:
    """Whether an attack's gap exceeds that of a second retraining, seed by seed."""
    scores = [record.scores.get(key) for record in records]
    if not all(known(score, own) for score in scores):
        return "no number"
    ours, floors = (np.array([getattr(s, part) for s in scores]) for part in ("value", "floor"))
    found = verdict(ours, floors, "lower")
    if found.kind == "undecided":
        return "undecided"
    told = found.kind == "distinguishable" and found.excess.mean > RESOLUTION
    return "told" if told else "fooled"


def _rows(evidence: Evidence) -> dict[str, list[QualityRecord]]:
    """Uncertified entries by problem and title."""
    titles = {table.experiment: problem(table) for table in evidence.tables}
    found: dict[str, list[QualityRecord]] = defaultdict(list)
    for record in evidence.quality:
        method = record.method
        if record.status == "ok" and method.role == "entry" and not method.certifies:
            title = titles.get(record.experiment, record.experiment)
            found[f"{title}: {method.title}"].append(record)
    return found


def _line(name: str, records: list[QualityRecord], outcomes: tuple[Outcome, Outcome]) -> Line:
    runs = sorted({record.runs for record in records})
    population, ulira = outcomes
    return Line(
        name,
        "",
        (
            Cell(_mean(records, _POPULATION, "value")),
            Cell(_mean(records, _POPULATION, "floor")),
            Cell(population),
            Cell(_mean(records, "u-lira_auc", "value")),
            Cell(_mean(records, "u-lira_auc", "floor")),
            Cell(ulira),
            Cell(f"{len(records)} × {' or '.join(map(str, runs))}"),
        ),
    )


def _mean(records: list[QualityRecord], key: str, part: Literal["value", "floor"]) -> str:
    scores = [record.scores[key] for record in records if key in record.scores]
    values = [v for score in scores if (v := getattr(score, part)) is not None]
    if not values:
        return NOTHING
    estimate = arithmetic(values)
    mean, spread = measured(estimate.mean, estimate.spread)
    return f"{mean} ± {spread}" if spread else mean
