"""Which uncertified methods does U-LiRA tell from retraining, the population attack not?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.metrics.margins import RESOLUTION
from benchmark.metrics.statistics import LEVEL, verdict
from benchmark.studies.quality_record import QualityRecord, known, own
from leaderboard.answers.answer import Answer, counted, problem, unanswered
from leaderboard.model.numbers import arithmetic, measured, number
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence

ORDER = 100
SLUG = "answer-attacks"
QUESTION = (
    "Which uncertified methods does U-LiRA tell apart from retraining where the population attack "
    "does not?"
)
COMMAND = "make forget-quality RESULTS=leaderboard/results"

Outcome = Literal["told apart", "not shown", "undecided", "no number"]

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


@dataclass(frozen=True)
class Attacked:
    """An uncertified row of a problem, and its records by seed."""

    problem: str
    title: str
    records: list[QualityRecord]

    @property
    def outcomes(self) -> tuple[Outcome, Outcome]:
        """What the population attack and U-LiRA make of it."""
        return outcome(self.records, _POPULATION), outcome(self.records, _ULIRA)

    @property
    def reason(self) -> str:
        """Why an attack can have no number, whatever is run; "" where the records name none."""
        scores = [r.scores.get(key) for r in self.records for key in (_POPULATION, _ULIRA)]
        notes = {s.note for s in scores if s is not None and s.value is None and s.note}
        return "; ".join(sorted(notes))


def answer(evidence: Evidence) -> Answer:
    """Every uncertified entry, with what either attack makes of it."""
    found = _rows(evidence)
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    decided = [row for row in found if set(row.outcomes) <= {"told apart", "not shown"}]
    without = [row for row in found if "no number" in row.outcomes and row.reason]
    open_ = [row for row in found if row not in decided and row not in without]
    return Answer(
        SLUG,
        QUESTION,
        text=_text(decided),
        short=_short(decided),
        missing=" ".join([*_no_number(without), *_open(open_)]),
        command=COMMAND if open_ else "",
        lines="Row",
        grid=grid(_COLUMNS, [_line(row) for row in found]),
    )


def _text(rows: list[Attacked]) -> str:
    """Who is told apart by which attack, among the rows that both have a number for."""
    if not rows:
        return "There is no uncertified row that both attacks decide on."
    told = [row for row in rows if row.outcomes[1] == "told apart"]
    both = [row for row in rows if row.outcomes == ("not shown", "told apart")]
    unseen = [row for row in rows if row.outcomes[1] == "not shown"]
    parts = [
        f"Of {counted(len(rows), 'uncertified row')} that both attacks decide on, U-LiRA tells "
        f"{len(told)} apart from retraining. The population attack misses {len(both)} of these: "
        f"{listed(both) or 'none'}."
    ]
    if unseen:
        parts.append(f"U-LiRA does not tell apart: {listed(unseen)}.")
    parts.append(
        "A row is told apart if its gap to retraining is larger than that of a second retraining, "
        f"by a one-sided paired t test over {_seeds(rows)} seeds. So few seeds may miss a "
        "difference. By chance alone each attack would tell about "
        f"{number((1 - LEVEL) * len(rows))} of the {len(rows)} apart."
    )
    return " ".join(parts)


def _short(rows: list[Attacked]) -> str:
    told = [row for row in rows if row.outcomes[1] == "told apart"]
    missed = [row for row in told if row.outcomes[0] == "not shown"]
    if not rows:
        return ""
    return (
        f"U-LiRA tells {len(told)} of {counted(len(rows), 'uncertified row')} apart from "
        f"retraining; the population attack misses {len(missed)} of these."
    )


def _seeds(rows: list[Attacked]) -> str:
    return " or ".join(map(str, sorted({len(row.records) for row in rows})))


def _no_number(rows: list[Attacked]) -> list[str]:
    """The rows left out for good, by the reason that their records give."""
    reasons: dict[str, list[Attacked]] = defaultdict(list)
    for row in rows:
        reasons[row.reason].append(row)
    return [f"Left out, {listed(of)}: {reason}." for reason, of in reasons.items()]


def _open(rows: list[Attacked]) -> list[str]:
    if not rows:
        return []
    return [
        f"One seed decides nothing, and {counted(len(rows), 'row')} have no more, or no number."
    ]


def listed(rows: Iterable[Attacked]) -> str:
    """The rows by problem."""
    titles: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        titles[row.problem].append(row.title)
    return "; ".join(f"{problem} ({'; '.join(members)})" for problem, members in titles.items())


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
    return "told apart" if told else "not shown"


def _rows(evidence: Evidence) -> list[Attacked]:
    """Uncertified entries by experiment and row."""
    titles = {table.experiment: problem(table) for table in evidence.tables}
    found: dict[tuple[str, str], list[QualityRecord]] = defaultdict(list)
    for record in evidence.quality:
        method = record.method
        if record.status == "ok" and method.role == "entry" and not method.certifies:
            found[record.experiment, method.label].append(record)
    return [
        Attacked(titles.get(experiment, experiment), records[0].method.title, records)
        for (experiment, _), records in found.items()
    ]


def _line(row: Attacked) -> Line:
    records = row.records
    runs = sorted({record.runs for record in records})
    population, ulira = row.outcomes
    return Line(
        f"{row.problem}: {row.title}",
        "",
        (
            Cell(mean_score(records, _POPULATION, "value")),
            Cell(mean_score(records, _POPULATION, "floor")),
            Cell(population),
            Cell(mean_score(records, "u-lira_auc", "value")),
            Cell(mean_score(records, "u-lira_auc", "floor")),
            Cell(ulira),
            Cell(f"{len(records)} × {' or '.join(map(str, runs))}"),
        ),
    )


def mean_score(records: list[QualityRecord], key: str, part: Literal["value", "floor"]) -> str:
    """A score's mean over seeds with its interval, or a dash."""
    scores = [record.scores[key] for record in records if key in record.scores]
    values = [v for score in scores if (v := getattr(score, part)) is not None]
    if not values:
        return NOTHING
    estimate = arithmetic(values)
    mean, spread = measured(estimate.mean, estimate.spread)
    return f"{mean} ± {spread}" if spread else mean
