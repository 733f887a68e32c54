"""The plots of a table, as SVG that is the same bytes for the same records."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.bench.record import Plan, Record, SolverRecord
from benchmark.studies.slack_record import SlackStudy
from leaderboard.charts import bounds, gaps, slack, solvers, times
from leaderboard.charts.chart import Chart
from leaderboard.solvers import SystemTables, bench_tables, device
from leaderboard.table import Table, slug


def draw_charts(table: Table) -> list[Chart]:
    """The plots that the table has numbers for."""
    return [
        Chart(
            f"plots/{table.slug}-{module.NAME}.svg",
            f"{table.title}: {module.CAPTION}",
            module.draw,
            (table,),
        )
        for module in (gaps, times, bounds)
        if module.has(table)
    ]


@dataclass(frozen=True)
class SlackSection:
    """What the board shows of the slack study: two sentences and the plot."""

    reading: str
    chart: Chart


def draw_slack(study: SlackStudy) -> SlackSection:
    """The study's plot, and its numbers in words."""
    chart = Chart(f"plots/{slack.NAME}.svg", slack.CAPTION, slack.draw, (study,))
    return SlackSection(slack.reading(study), chart)


@dataclass(frozen=True)
class BenchSection:
    """What the board shows of `make bench`: tables by system, and a plot a device."""

    tables: list[SystemTables]
    charts: list[Chart]


def draw_bench(records: list[Record], plan: Plan) -> BenchSection | None:
    """The tables and plots of the bench's records; None if there is neither record nor plan."""
    if not records and not plan.runs:
        return None
    timed = [record for record in records if isinstance(record, SolverRecord)]
    charts = []
    for where in sorted({device(record) for record in timed}):
        here = [record for record in timed if device(record) == where]
        path = f"plots/{solvers.NAME}-{slug(where)}.svg"
        charts.append(Chart(path, f"{where}: {solvers.CAPTION}", solvers.draw, (here,)))
    return BenchSection(bench_tables(records, plan), charts)
