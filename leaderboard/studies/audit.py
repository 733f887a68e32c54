"""The model-level audit as a table: what whole runs can refute."""

from __future__ import annotations

from benchmark.contract.definition import find
from benchmark.errors import present
from benchmark.studies import audit_record
from benchmark.studies.audit_record import AuditRecord, AuditStudy, Finding
from leaderboard.model.numbers import number
from leaderboard.model.section import Cell, Grid, Line, Section, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence
from leaderboard.model.words import BADGES

ORDER = 30
HEADING = "What whole runs can refute"

READING = (
    "Each method with a claim on the digits' heads and MLP, run again and again with fresh noise, "
    "against as many runs of what its definition names as the other side, through the same code. "
    "What is random in training is drawn anew as well where the claim rests on it.",
    "On a linear head an observer looks at how far each release lies in the direction in which "
    "the forgotten rows moved the model; on a net, at the loss on these rows. A tenth of the runs "
    "choose a threshold, or half of them where the guarantee is not a Gaussian's. The table counts "
    "the others, which judge it.",
    "Proved ε is a lower bound at 95 % confidence, 0 where nothing was found. A claim is refuted "
    "if it is below that, if a release says of itself what the other side does not, or if the "
    "published noise is not what is claimed. The outcome says which.",
    "A claim at or above the largest ε that perfect separation could prove with so many runs is "
    "not falsifiable by them, which says nothing for it or against it. One from 95 % of that ε on "
    "hardly could be refuted: both sides would have to be told apart almost perfectly.",
)


# of the largest epsilon that could be proved, from where on a claim is all but out of reach
_HARDLY = 0.95


def sections(evidence: Evidence) -> list[Section]:
    """The table of the audited rows."""
    study = audit_record.read(present(evidence.results))
    if study is None:
        return []
    return [Section("audit", HEADING, READING, (audit_grid(study),), _summary(study))]


def _summary(study: AuditStudy) -> str:
    outcomes = [present(record.finding).outcome for record in study.findings]
    return (
        f"{outcomes.count('refuted')} of {len(outcomes)} claims are refuted by whole runs, "
        f"{outcomes.count('not refuted')} are not, and {outcomes.count('not falsifiable')} could "
        "not be refuted by so few runs."
    )


def audit_grid(study: AuditStudy) -> Grid:
    """One line a row that was audited, then those that gave no answer or have no record."""
    names = ("claimed ε", "proved ε", "could prove", "looked at", "judged runs a side", "outcome")
    lines = [_line(record, present(record.finding)) for record in study.findings]
    lines += [_empty(row, reason, "no answer") for row, reason in study.failures.items()]
    lines += [_empty(row, "", "missing") for row in study.missing]
    caption = "Whole runs of each certified row on digits against its reference."
    return grid(names, lines, caption=caption)


def _empty(row: str, reason: str, outcome: str) -> Line:
    return Line(row, reason, (Cell(NOTHING),) * 5 + (Cell(outcome),))


def _line(record: AuditRecord, found: Finding) -> Line:
    return Line(
        f"{record.experiment}: {record.method.title}",
        f"{BADGES[found.verdict]}, {find(found.definition).title}",
        (
            Cell(number(found.epsilon)),
            Cell(number(found.lower)),
            Cell(number(found.resolution)),
            Cell(found.score),
            Cell(str(found.runs)),
            Cell(_outcome(found)),
        ),
    )


def _outcome(found: Finding) -> str:
    if found.outcome == "refuted":
        return f"🔴 {found.text}"
    hardly = found.outcome == "not refuted" and found.epsilon >= _HARDLY * found.resolution
    return f"{found.text} (hardly could be)" if hardly else found.text
