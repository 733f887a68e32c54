"""The plots of a table: gaps and times, bounds."""

from __future__ import annotations

import math
from statistics import fmean

from matplotlib.axes import Axes

from benchmark.contract.claim import Distance
from leaderboard.charts import style
from leaderboard.model.columns import BY_KEY, TEST_GAP, Column
from leaderboard.model.numbers import number
from leaderboard.model.ranking import in_order
from leaderboard.model.section import Chart
from leaderboard.model.table import Row, Table

# What an answer costs: its distance to retraining, and time, a line for each method.


COSTS = (
    "gaps to the retrained model, mean and 95 % interval over seeds; each dot is a seed; nearer to "
    "0 is better; beside them mean seconds to unlearn; dashed: retraining; further left is faster"
)

# points of accuracy beyond which the axis turns logarithmic
_WIDE = 5
# inches of a panel's width, and of a row
_PANEL, _ROW = 2.7, 0.36


def has_costs(table: Table) -> bool:
    """Whether a row has a gap or was timed."""
    return _has_gaps(in_order(table)) or bool(_means(in_order(table)))


def draw_costs(table: Table) -> bytes:
    """Panels of two gaps and of times, as far as there are any."""
    rows = in_order(table)
    titles = [row.title for row in rows]
    gaps, times = _has_gaps(rows), bool(_means(rows))
    with style.look():
        figure, panels = style.panels(
            (1, 2 * gaps + times),
            (_PANEL, _ROW * len(rows)),
            margins=(style.labels_width(titles), 0.75 if times else 0.1, 0.3, 0.85),
            share_y=True,
        )
        if gaps:
            _gaps(panels[0], rows, TEST_GAP)
            _gaps(panels[1], rows, BY_KEY["attack_gap"])
            _wide_or_linear(panels[0])
            panels[0].set_title(_what_is_measured(table))
            panels[1].set(xlabel="|AUC − AUC of retrain|", title="Membership attack")
        if times:
            _times(panels[-1], rows, _retraining(table))
        style.say_void(panels[0], rows)
        style.label_rows(panels[0], titles)
        style.legend(figure, [style.kind(row) for row in rows if not row.void])
        return style.to_svg(figure)


def _has_gaps(rows: list[Row]) -> bool:
    return not all(row.void for row in rows)


def _what_is_measured(table: Table) -> str:
    return "Test R²" if table.facts is not None and table.facts.number else "Test accuracy"


def _gaps(axes: Axes, rows: list[Row], column: Column) -> None:
    # dots of seeds stand a little below their mean, which would hide them
    points = [
        (value, y + 0.2) for y, row in enumerate(rows) for value in row.values(column).values()
    ]
    axes.scatter(
        [value for value, _ in points],
        [y for _, y in points],
        color="#8a8a8a",
        alpha=0.8,
        s=14,
        linewidth=0,
    )
    found = [(y, style.kind(row), e) for y, row in enumerate(rows) if (e := row.estimate(column))]
    for name in dict.fromkeys(name for _, name, _ in found):
        places = [(y, estimate) for y, kind, estimate in found if kind == name]
        axes.errorbar(
            [estimate.mean for _, estimate in places],
            [y for y, _ in places],
            xerr=[estimate.spread or math.nan for _, estimate in places],  # nan: no bar
            fmt=style.marker(name),
            color=style.colour(name),
            markersize=6,
            capsize=2.5,
            elinewidth=1.4,
        )
    axes.axvline(0, color=style.INK, linewidth=0.8, zorder=0)
    axes.locator_params(axis="x", nbins=4)
    axes.set(xlabel="", ylabel="")


def _wide_or_linear(axes: Axes) -> None:
    """A linear axis, or one that is logarithmic away from 0 where a method fell far."""
    low, high = axes.get_xlim()
    axes.set_xlabel("gap to retrain (percentage points)")
    if max(-low, high) > _WIDE:
        style.symmetric(axes, (min(low, -1.5) * 1.6, max(high, 1.5) * 1.6))
        axes.set_xlabel("gap to retrain (points), log beyond ±1")


def _times(axes: Axes, rows: list[Row], retrain: float) -> None:
    """Dots on a logarithmic axis, which has no zero that a bar could begin at."""
    means = _means(rows)
    axes.set_xscale("log")
    reach = [seconds for seconds in (*means.values(), retrain) if seconds > 0]
    axes.set_xlim(min(reach) / 2, max(reach) * 2)
    for name in dict.fromkeys(style.kind(rows[y]) for y in means):
        places = {y: mean for y, mean in means.items() if style.kind(rows[y]) == name}
        axes.scatter(
            list(places.values()),
            list(places),
            color=style.colour(name),
            marker=style.marker(name),
            s=36,
            linewidth=0,
            zorder=3,
        )
    for y, mean in means.items():  # beside the plot, where nothing is in the way
        axes.text(1.02, y, number(mean, 2), transform=axes.get_yaxis_transform(), va="center")
    axes.axvline(retrain, color=style.INK, linewidth=1.2, linestyle="--")
    axes.set(xlabel="time to unlearn (s)", ylabel="")
    axes.set_title(f"Time; retraining {number(retrain, 2)} s")
    style.few_ticks(axes)


def _retraining(table: Table) -> float:
    """Mean seconds to train the reference model, each seed counted once."""
    times: dict[int, list[float]] = {}
    for row in table.rows:
        for seed, record in row.done.items():
            if record.times:
                times.setdefault(seed, []).append(record.times.retrain)
    return fmean([fmean(times[seed]) for seed in sorted(times)])


def _means(rows: list[Row]) -> dict[int, float]:
    """Seconds, above 0, by the row's place."""
    found = {y: e.mean for y, row in enumerate(rows) if (e := row.estimate(BY_KEY["unlearn"]))}
    return {y: mean for y, mean in found.items() if mean > 0}


# Proved bound on a release against its measured distance: how much caution a bound spends.


BOUNDS = (
    "proved bound on each release against its measured distance to the retrained weights, a marker "
    "for each seed; in the red field, below slack 1, the bound is violated"
)


def has_bounds(table: Table) -> bool:
    """Whether there is anything to place."""
    return bool(_all_points(table))


def draw_bounds(table: Table) -> bytes:
    """A logarithmic plane with the lines of slack 1 and 10."""
    points = _all_points(table)
    distances, bounds, names = (list(axis) for axis in zip(*points, strict=True))
    with style.look():
        figure, (axes,) = style.panels((1, 1), (3.9, 3.2), margins=(0.75, 0.65, 0.1, 0.85))
        axes.set(xscale="log", yscale="log")
        left, right = _decades(distances)
        low, high = _decades(bounds)
        low, high = min(low, left), max(high, 10 * right)
        axes.set(xlim=(left, right), ylim=(low, high))
        for name in dict.fromkeys(names):
            axes.scatter(
                [x for x, _, kind in points if kind == name],
                [y for _, y, kind in points if kind == name],
                color=style.colour(name),
                marker=style.marker(name),
                s=46,
                edgecolor="white",
                linewidth=0.5,
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


# All of them.


def draw_charts(table: Table) -> list[Chart]:
    """The plots that the table has numbers for."""
    kinds = (
        ("costs", COSTS, has_costs, draw_costs),
        ("bounds", BOUNDS, has_bounds, draw_bounds),
    )
    return [
        Chart(f"plots/{table.slug}-{name}.svg", f"{table.title}: {caption}", draw, (table,))
        for name, caption, has, draw in kinds
        if has(table)
    ]
