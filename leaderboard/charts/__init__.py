"""The plots of a table, as SVG that is the same bytes for the same records."""

from __future__ import annotations

from leaderboard.charts import bounds, gaps, times
from leaderboard.model.section import Chart
from leaderboard.model.table import Table


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
