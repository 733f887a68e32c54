"""The plots of a table, as SVG that is the same bytes for the same records."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.studies.slack_record import SlackStudy
from leaderboard.charts import bounds, gaps, slack, times
from leaderboard.table import Table


@dataclass(frozen=True)
class Chart:
    """One plot.

    Attributes:
        path: where it lies, relative to the board's folder.
        caption: what it shows, in words.
        svg: the file.
    """

    path: str
    caption: str
    svg: bytes


def draw_charts(table: Table) -> list[Chart]:
    """The plots that the table has numbers for."""
    drawn = [(module, module.draw(table)) for module in (gaps, times, bounds)]
    return [
        Chart(f"plots/{table.slug}-{module.NAME}.svg", f"{table.title}: {module.CAPTION}", svg)
        for module, svg in drawn
        if svg is not None
    ]


@dataclass(frozen=True)
class SlackSection:
    """What the board shows of the slack study: two sentences and the plot."""

    reading: str
    chart: Chart


def draw_slack(study: SlackStudy) -> SlackSection:
    """The study's plot, and its numbers in words."""
    chart = Chart(f"plots/{slack.NAME}.svg", slack.CAPTION, slack.draw(study))
    return SlackSection(slack.reading(study), chart)
