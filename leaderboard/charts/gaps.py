"""Distance to retraining: test accuracy and attack, a line for each method."""

from __future__ import annotations

import math

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.charts import style
from leaderboard.model.columns import BY_KEY, TEST_GAP, Column
from leaderboard.model.ranking import in_order
from leaderboard.model.table import Row, Table

NAME = "gaps"
CAPTION = (
    "gaps to the retrained model, mean and 95 % interval over seeds; each dot is a seed; "
    "nearer to 0 is better"
)

# points of accuracy beyond which the axis turns logarithmic
_WIDE = 5


def has(table: Table) -> bool:
    """Whether a row has a gap."""
    return not all(row.void for row in in_order(table))


def draw(table: Table) -> bytes:
    """Two panels side by side."""
    rows = in_order(table)
    with style.look():
        figure = Figure(figsize=(7.8, 1.5 + 0.38 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _panel(left, rows, TEST_GAP)
        _panel(right, rows, BY_KEY["attack_gap"])
        _scale(left)
        left.set(xlabel=left.get_xlabel() + " (percentage points)", title=_title(table))
        right.set(xlabel="|AUC − AUC of retrain|", title="Membership attack")
        style.say_void(left, rows)
        style.label_rows(left, rows)
        right.grid(axis="y", visible=False)
        style.legend(figure, [style.kind(row) for row in rows if not row.void])
        return style.to_svg(figure)


def _title(table: Table) -> str:
    return "Test R²" if table.facts is not None and table.facts.number else "Test accuracy"


def _panel(axes: Axes, rows: list[Row], column: Column) -> None:
    # dots of seeds stand a little below their mean, which would hide them
    points = [
        (value, y + 0.2) for y, row in enumerate(rows) for value in row.values(column).values()
    ]
    sns.scatterplot(
        x=[value for value, _ in points],
        y=[y for _, y in points],
        ax=axes,
        color="#8a8a8a",
        alpha=0.8,
        s=14,
        linewidth=0,
        legend=False,
    )
    for y, row in enumerate(rows):
        if estimate := row.estimate(column):
            name = style.kind(row)
            axes.errorbar(
                estimate.mean,
                y,
                xerr=estimate.spread or None,
                fmt=style.marker(name),
                color=style.colour(name),
                markersize=6,
                capsize=2.5,
                elinewidth=1.4,
            )
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=0)
    axes.set(xlabel="", ylabel="")


def _scale(axes: Axes) -> None:
    """A linear axis, or one that is logarithmic away from 0 where a method fell far."""
    reach = max(map(abs, axes.get_xlim()))
    axes.set_xlabel("gap to retrain")
    if reach <= _WIDE:
        return
    low, high = axes.get_xlim()
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    powers = [10.0**k for k in range(math.ceil(math.log10(reach)) + 1)]
    ticks = [*(-power for power in powers), 0.0, *powers]
    axes.set_xlim(min(low, -1.5) * 1.6, max(high, 1.5) * 1.6)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))
    axes.set_xlabel("gap to retrain, log beyond ±1")
