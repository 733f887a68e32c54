"""The model-level audit as a table."""

from __future__ import annotations

from benchmark.studies.audit_record import AuditStudy, Finding
from leaderboard.grid import Cell, Grid, Line
from leaderboard.numbers import number

HEADING = "What whole runs can refute"

READING = (
    "Each certified method on digits, run again and again with fresh noise and training, against "
    "as many runs of what its definition names as the other side. An observer scores each run by "
    "the loss on the forgotten rows. Of twice as many runs as the table counts, half choose a "
    "threshold and the other half, which it counts, judge it.",
    "Proved ε is a lower bound at 95 % confidence, 0 where nothing was found. A claim at or above "
    "the largest ε that perfect separation could prove with so many runs is not falsifiable by "
    "them, which says nothing for it or against it. One from 95 % of that ε on hardly could be "
    "refuted: both sides would have to be told apart almost perfectly. A claim below the proved ε "
    "is refuted.",
)


# of the largest epsilon that could be proved, from where on a claim is all but out of reach
_HARDLY = 0.95


def audit_grid(study: AuditStudy) -> Grid:
    """One line a row that was audited, then those that gave no answer."""
    names = ("claimed ε", "proved ε", "could prove", "judged runs a side", "outcome")
    lines = [_line(found) for found in study.findings]
    lines += [
        Line(row, reason, (Cell("–"),) * 4 + (Cell("no answer"),))
        for row, reason in study.failures.items()
    ]
    return Grid((("", names),), tuple(lines))


def _line(found: Finding) -> Line:
    return Line(
        f"{found.experiment}: {found.title}",
        f"{found.verdict}, {found.definition}",
        (
            Cell(number(found.epsilon)),
            Cell(number(found.lower)),
            Cell(number(found.resolution)),
            Cell(str(found.runs)),
            Cell(_outcome(found)),
        ),
    )


def _outcome(found: Finding) -> str:
    if found.outcome == "refuted":
        return f"🔴 {found.text}"
    hardly = found.outcome == "not refuted" and found.epsilon >= _HARDLY * found.resolution
    return f"{found.text} (hardly could be)" if hardly else found.text
