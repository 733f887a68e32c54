"""What the records answer: one question a file, each a pure function of the records."""

from __future__ import annotations

from leaderboard.answers import (
    ablation,
    attacks,
    biased,
    capacity,
    compute,
    nonconvergence,
    paper,
    proved,
    scale,
    slack,
    speed,
    stream,
    told,
    utility,
)
from leaderboard.answers.answer import Answer, Evidence

HEADING = "What the records answer"

READING = (
    "Generated from the records below, and from nothing else. Gaps are in points of test accuracy "
    "to the retrained model of the same seed, means over seeds ± the half-width of the 95 % t "
    "interval; × is a geometric mean. What there is no record of is said to be missing."
)

#: In the order of the page.
QUESTIONS = (
    speed,
    scale,
    proved,
    utility,
    slack,
    biased,
    compute,
    nonconvergence,
    stream,
    capacity,
    attacks,
    told,
    ablation,
    paper,
)


def answers(evidence: Evidence) -> list[Answer]:
    """Every question's answer, or that there is none yet."""
    return [question.answer(evidence) for question in QUESTIONS]
