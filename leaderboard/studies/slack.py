"""How slack the bounds are, as one setting is varied at a time."""

from __future__ import annotations

from benchmark.errors import present
from benchmark.studies import slack_record
from leaderboard.charts import slack as plot
from leaderboard.model.section import Chart, Prose, Section
from leaderboard.model.table import Evidence

ORDER = 20
HEADING = "How slack the bounds are"


def sections(evidence: Evidence) -> list[Section]:
    """The study's plot, and its numbers in words."""
    study = slack_record.read(present(evidence.results))
    if study is None:
        return []
    chart = Chart(f"plots/{plot.NAME}.svg", plot.CAPTION, plot.draw, (study,))
    text = plot.reading(study)
    return [Section("slack", HEADING, parts=(Prose((text,)), chart), summary=text)]
