"""Which uncertified methods does U-LiRA tell from retraining, the population attack not?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.metrics.divergence import RESOLUTION
from benchmark.metrics.statistics import LEVEL, verdict
from benchmark.studies.quality_record import QualityRecord, known, own
from leaderboard.answers.answer import Answer, counted, folded, problem, unanswered
from leaderboard.model.numbers import arithmetic, measured, number
from leaderboard.model.section import Cell, Line, Section, grid
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
        short=_short(decided),
        notes=_notes(decided),
        folds=tuple(_folds(decided)),
        missing=" ".join([*_no_number(without), *_open(open_)]),
        command=COMMAND if open_ else "",
        lines="Row",
        grid=grid(_COLUMNS, [_line(row) for row in found]),
    )


def _told(rows: list[Attacked]) -> list[Attacked]:
    """Rows that U-LiRA tells apart."""
    return [row for row in rows if row.outcomes[1] == "told apart"]


def _missed(rows: list[Attacked]) -> list[Attacked]:
    """Rows that U-LiRA tells apart and the population attack misses."""
    return [row for row in _told(rows) if row.outcomes[0] == "not shown"]


def _short(rows: list[Attacked]) -> str:
    if not rows:
        return "There is no uncertified row that both attacks decide on."
    return (
        f"U-LiRA tells {len(_told(rows))} of {counted(len(rows), 'uncertified row')} apart from "
        f"retraining; the population attack misses {len(_missed(rows))} of these."
    )


def _notes(rows: list[Attacked]) -> tuple[str, ...]:
    """Notes on which rows count, what telling apart means, and what chance alone would do."""
    if not rows:
        return ()
    return (
        "Only rows that both attacks decide on are counted.",
        "A row is told apart if its gap to retraining is larger than that of a second retraining, "
        f"by a one-sided paired t test over {_seeds(rows)} seeds. So few seeds may miss a "
        "difference.",
        "By chance alone each attack would tell about "
        f"{number((1 - LEVEL) * len(rows))} of the {len(rows)} apart.",
    )


def _folds(rows: list[Attacked]) -> Iterator[Section]:
    """The rows that one attack or both do not tell apart, a problem an item."""
    missed, unseen = _missed(rows), [row for row in rows if row.outcomes[1] == "not shown"]
    heading = f"Told apart by U-LiRA, missed by the population attack: {_rows_of(missed)}"
    yield from folded(f"{SLUG}-missed", heading, _by_problem(missed))
    heading = f"Not told apart by U-LiRA: {_rows_of(unseen)}"
    yield from folded(f"{SLUG}-unseen", heading, _by_problem(unseen))


def _rows_of(rows: list[Attacked]) -> str:
    return counted(len(rows), "row")


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
    return "; ".join(_by_problem(rows))


def _by_problem(rows: Iterable[Attacked]) -> list[str]:
    """Each problem with its rows."""
    titles: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        titles[row.problem].append(row.title)
    return [f"{problem} ({'; '.join(members)})" for problem, members in titles.items()]


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
