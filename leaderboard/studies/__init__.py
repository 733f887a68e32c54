"""What the board says of each study: one study a file, found by being there.

A file declares its place among the others, `ORDER`, and `sections`, a function from the evidence to
the sections that its records give; none where there are no records.
"""

from __future__ import annotations

from benchmark import plugins
from leaderboard.model.section import Section
from leaderboard.model.table import Evidence


def sections(evidence: Evidence) -> list[Section]:
    """The sections of every study.

    Raises:
        LetheError: if a record is damaged.
    """
    return [found for study in plugins.in_order(__name__) for found in study.sections(evidence)]
