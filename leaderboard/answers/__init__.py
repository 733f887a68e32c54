"""What the records answer: one question a file, each a pure function of the records.

A file declares its place among the others, `ORDER`, and `answer`, a function from the evidence.
"""

from __future__ import annotations

from types import ModuleType

from benchmark import plugins
from leaderboard.model.section import Section
from leaderboard.model.table import Evidence

HEADING = "What the records answer"

READING = (
    "The answers follow from the records and from nothing else. A gap is in points of test "
    "accuracy, compared with the retrained model of the same seed. It is a mean over seeds ± the "
    "half-width of its 95 % t interval. A number with × is a geometric mean. Where there is no "
    "record, the answer says so."
)


def questions() -> list[ModuleType]:
    """The questions' modules, in the order of the page."""
    return plugins.in_order(__name__)


def answers(evidence: Evidence) -> Section:
    """Every question's answer, or that there is none yet."""
    found = tuple(question.answer(evidence).section for question in questions())
    return Section("answers", HEADING, (READING,), found)
