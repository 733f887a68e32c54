"""Proved bound on a release against its measured distance: how much caution a bound spends."""

from __future__ import annotations

import math

import seaborn as sns
from matplotlib.figure import Figure

from benchmark.contract.claim import Distance
from leaderboard.charts import style
from leaderboard.model.ranking import in_order
from leaderboard.model.table import Row, Table

NAME = "bounds"
CAPTION = (
    "proved bound on each release against its measured distance to the retrained weights, a marker "
    "for each seed; in the red field, below slack 1, the bound is violated"
)


def has(table: Table) -> bool:
    """Whether there is anything to place."""
    return bool(_all_points(table))


def draw(table: Table) -> bytes:
    """A logarithmic plane with the lines of slack 1 and 10."""
    distances, bounds, names = (list(axis) for axis in zip(*_all_points(table), strict=True))
    with style.look():
        figure = Figure(figsize=(5.2, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log")
        left, right = _decades(distances)
        low, high = _decades(bounds)
        low, high = min(low, left), max(high, 10 * right)
        axes.set(xlim=(left, right), ylim=(low, high))
        sns.scatterplot(
            x=distances,
            y=bounds,
            hue=names,
            style=names,
            ax=axes,
            s=46,
            legend=False,
            palette={name: style.colour(name) for name in sorted(set(names))},
            markers={name: style.marker(name) for name in sorted(set(names))},
        )
        for slack, line in ((1, "-"), (10, ":")):
            ends = (slack * left, slack * right)
            axes.plot((left, right), ends, color=style.INK, linewidth=1, linestyle=line, zorder=1)
            axes.annotate(
                f"slack {slack}",
                (right, ends[1]),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.fill_between((left, right), (left, right), low, color=style.RED, alpha=0.06, zorder=0)
        axes.minorticks_off()
        axes.set(xlabel="measured distance (L2)", ylabel="proved bound (L2)")
        style.legend(figure, names)
        return style.to_svg(figure)


def _decades(values: list[float]) -> tuple[float, float]:
    """The powers of ten around some positive numbers, and a little away from them."""
    return (
        10.0 ** math.floor(math.log10(min(values) / 1.2)),
        10.0 ** math.ceil(math.log10(max(values) * 1.2)),
    )


def _all_points(table: Table) -> list[tuple[float, float, str]]:
    """Distance, bound and kind of every row's seeds."""
    return [point for row in in_order(table) for point in _points(row)]


def _points(row: Row) -> list[tuple[float, float, str]]:
    """Distance, bound and kind of each seed that has both, and neither 0."""
    points: list[tuple[float, float, str]] = []
    for seed, record in row.done.items():
        distance = record.metrics.get("distance")
        evidence = record.claim.evidence if record.claim else None
        if not isinstance(evidence, Distance) or distance is None or not distance.value:
            continue
        if evidence.reached > 0:
            name = "violated" if seed in row.violations else record.verdict
            points.append((distance.value, evidence.reached, name))
    return points
