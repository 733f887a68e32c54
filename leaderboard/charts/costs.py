"""Accuracy and seconds, against what is spent for them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from statistics import median

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.charts import style
from leaderboard.model.numbers import number
from leaderboard.model.ranking import Offer, front

# Test accuracy against a budget of epochs, beside retraining under the same budget.


BUDGET = (
    "Above, test accuracy for a budget of epochs: certified rows, the same algorithms with the "
    "same noise from zero weights (dashed) and retraining for as many epochs (black), medians over "
    "seeds. Below, what the rows have over that retraining of the same seed, median and range"
)

# of a row by its place; the first marker is that of retraining
_COLOURS = sns.color_palette("colorblind", 6).as_hex()
_BUDGET_MARKERS = ("o", "s", "^", "D", "P", "X", "v")
_RETRAINING = "Retraining for as many epochs"


@dataclass(frozen=True)
class BudgetPoint:
    """One seed of a row under one budget.

    Attributes:
        problem: the panel's title.
        series: the row's title; "" for retraining.
        epochs: the budget.
        accuracy: on test rows, %.
        control: the same of the row's noise-only control; None where there is none.
        lead: accuracy less that of retraining of the same seed, points.
    """

    problem: str
    series: str
    epochs: int
    accuracy: float
    control: float | None
    lead: float | None


def draw_budget(points: list[BudgetPoint]) -> bytes:
    """A column a problem: accuracies above, leads below."""
    problems = list(dict.fromkeys(p.problem for p in points))
    titles = sorted({p.series for p in points if p.series})
    with style.look():
        width = max(5.8, 0.8 + 3.5 * len(problems))
        figure = Figure(figsize=(width, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, len(problems), squeeze=False, sharex="col")
        for above, below, name in zip(upper, lower, problems, strict=True):
            here = [p for p in points if p.problem == name]
            _accuracies(above, here, titles)
            _leads(below, here, titles)
            above.set_title(style.plain(name))
            _epochs(below, sorted({p.epochs for p in here}))
        upper[0].set_ylabel("test accuracy (%)")
        lower[0].set_ylabel("over retraining (points)")
        figure.align_ylabels()
        figure.legend(
            handles=_budget_handles(titles), loc="outside lower center", ncols=2, fontsize=8
        )
        return style.to_svg(figure)


def _accuracies(axes: Axes, points: list[BudgetPoint], titles: list[str]) -> None:
    for title in titles:
        row = [p for p in points if p.series == title]
        looks = _budget_look(title, titles)
        style.trend(axes, _medians(row, "control"), label="", line="--", **looks)
        style.trend(axes, _medians(row, "accuracy"), label="", **looks)
    retrained = [p for p in points if not p.series]
    style.trend(
        axes, _medians(retrained, "accuracy"), label="", colour=style.INK, marker=_BUDGET_MARKERS[0]
    )
    axes.set_ylabel("")


def _leads(axes: Axes, points: list[BudgetPoint], titles: list[str]) -> None:
    axes.axhline(0, color=style.INK, linewidth=1.2, zorder=1)
    for title in titles:
        row = [(p.epochs, p.lead) for p in points if p.series == title and p.lead is not None]
        style.trend(axes, row, label="", **_budget_look(title, titles))
    axes.set_ylabel("")


def _medians(points: list[BudgetPoint], name: str) -> list[tuple[float, float]]:
    """The median of one of the points' numbers, by epochs."""
    known = [(p.epochs, getattr(p, name)) for p in points if getattr(p, name) is not None]
    return [(x, median(y for at, y in known if at == x)) for x in sorted({x for x, _ in known})]


def _epochs(axes: Axes, budgets: list[int]) -> None:
    axes.set(xscale="log", xlabel="epochs")
    axes.xaxis.set_major_locator(FixedLocator(budgets))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _budget_look(title: str, titles: list[str]) -> dict[str, str]:
    k = titles.index(title)
    return {"colour": _COLOURS[k % len(_COLOURS)], "marker": _BUDGET_MARKERS[1 + k % len(_COLOURS)]}


def _budget_handles(titles: list[str]) -> list[Line2D]:
    looks = {_RETRAINING: {"colour": style.INK, "marker": _BUDGET_MARKERS[0]}}
    looks |= {title: _budget_look(title, titles) for title in titles}
    return [
        *(
            Line2D([], [], color=x["colour"], marker=x["marker"], label=style.plain(name))
            for name, x in looks.items()
        ),
        Line2D([], [], color="#888888", linestyle="--", label="Control, from zero weights"),
    ]


# Seconds of a request against the number of training rows.


SCALE = (
    "Seconds to answer one request against the number of training rows, a panel an objective: "
    "retraining by the same solver (black, dashed) and the certified rows; medians over seeds, "
    "with their range"
)
RETRAINING = "Retraining"

_SCALE_MARKERS = ("s", "^", "D", "P", "X", "v")


@dataclass(frozen=True)
class ScalePoint:
    """One seed of a row at one number of training rows.

    Attributes:
        problem: the panel's title.
        series: the row's title, or `RETRAINING`.
        rows: that are trained on.
        seconds: of a request.
    """

    problem: str
    series: str
    rows: int
    seconds: float


def draw_scale(points: list[ScalePoint]) -> bytes:
    """A panel a problem, on the same logarithmic axes."""
    problems = list(dict.fromkeys(p.problem for p in points))
    titles = sorted({p.series for p in points} - {RETRAINING})
    counts = sorted({p.rows for p in points})
    with style.look():
        width = max(4.6, 0.8 + 2.9 * len(problems))
        figure = Figure(figsize=(width, 3.9), layout="constrained")
        panels = figure.subplots(1, len(problems), squeeze=False, sharex=True, sharey=True)[0]
        for axes, name in zip(panels, problems, strict=True):
            axes.set(xscale="log", yscale="log", xlabel="training rows (thousands)")
            _seconds(axes, [p for p in points if p.problem == name], titles)
            axes.set_title(style.plain(textwrap.fill(name, 28)))
            axes.xaxis.set_major_locator(FixedLocator(counts))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:,g}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panels[0].set_ylabel("seconds of a request")
        handles = [_scale_handle(name, titles) for name in (RETRAINING, *titles)]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
        return style.to_svg(figure)


def _seconds(axes: Axes, points: list[ScalePoint], titles: list[str]) -> None:
    for title in (RETRAINING, *titles):
        row = [(p.rows, p.seconds) for p in points if p.series == title]
        colour, marker, line = _scale_look(title, titles)
        style.trend(axes, row, label="", colour=colour, marker=marker, line=line)
    axes.set_ylabel("")


def _scale_look(title: str, titles: list[str]) -> tuple[str, str, style.LineStyle]:
    """Colour, marker and line."""
    if title == RETRAINING:
        return style.INK, "o", "--"
    k = titles.index(title) % len(_COLOURS)
    return _COLOURS[k], _SCALE_MARKERS[k], "-"


def _scale_handle(title: str, titles: list[str]) -> Line2D:
    colour, marker, line = _scale_look(title, titles)
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        linestyle=line,
        label=style.plain(title),
    )


# What a guarantee costs in accuracy and time, problem by problem, with the Pareto front.


PARETO = (
    "Certified rows by time, relative to retraining, and accuracy lost against it, means over "
    "seeds; full and named: on the Pareto front of ε, accuracy and time, where guarantees of one "
    "definition compete, and with all of them what is exact; hollow: another row has as strong a "
    "guarantee and is no worse in both; rows that are vacuous, about this pair only, violated or "
    "lack seeds that others have are never on the front"
)

_COLUMNS = 2
# points beyond which the axis of accuracy is logarithmic
_LINEAR = 1
# the height of a label as a share of the panel's
_LABEL = 0.1
# characters of a title's line
_TITLE = 46


def draw_pareto(problems: list[tuple[str, list[Offer]]]) -> bytes:
    """A panel a problem; the names of the rows on the front stand beside it."""
    rows = -(-len(problems) // _COLUMNS)
    with style.look():
        figure, places = style.panels(
            (rows, _COLUMNS), (3.2, 1.9), margins=(0.6, 2.9, 0.4, 0.85), between=(3.5, 0.95)
        )
        for axes, (title, found) in zip(places, problems, strict=False):
            _offers(axes, title, found)
        for axes in places[len(problems) :]:
            axes.set_axis_off()
        style.legend(figure, [style.kind(o.row) for _, found in problems for o in found])
        return style.to_svg(figure)


def _offers(axes: Axes, title: str, found: list[Offer]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=_LINEAR)
    best = front(found)
    for offer in found:
        kind, full = style.kind(offer.row), offer in best
        axes.scatter(
            offer.time,
            offer.lost,
            marker=style.marker(kind),
            facecolor=style.colour(kind) if full else "white",
            edgecolor=style.colour(kind),
            s=52 if full else 34,
            linewidth=1.3,
            zorder=4 if full else 3,
        )
    axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    axes.axvline(1, color=style.INK, linewidth=0.8, linestyle="--", zorder=1)
    _limits(axes, found)
    _names(axes, best)
    axes.set_title(style.plain(textwrap.fill(title, _TITLE)), loc="left")
    axes.set(xlabel="time / retraining", ylabel="points lost")


def _limits(axes: Axes, found: list[Offer]) -> None:
    times, lost = [offer.time for offer in found], [offer.lost for offer in found]
    axes.set_xlim(min([*times, 0.5]) / 2, max([*times, 1.0]) * 2)
    axes.set_ylim(1.6 * min([*lost, -0.6]), 1.6 * max([*lost, 0.6]))
    style.few_ticks(axes)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_locator(FixedLocator([-100, -10, -1, -0.5, 0, 0.5, 1, 10, 100]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", "−")))
    axes.yaxis.set_minor_locator(NullLocator())


def _names(axes: Axes, best: list[Offer]) -> None:
    """Down the right side, as near to the points' heights as there is room, with lines to them."""
    ordered = sorted(best, key=lambda offer: (offer.lost, -offer.time, offer.row.label))
    to_axes = axes.transScale + axes.transLimits
    heights = _apart([to_axes.transform((offer.time, offer.lost))[1] for offer in ordered])
    for offer, y in zip(ordered, heights, strict=True):
        axes.annotate(
            f"{style.plain(offer.row.title)}, ε {number(offer.epsilon, 2)}",
            (offer.time, offer.lost),
            (1.03, y),
            textcoords=axes.transAxes,
            va="center",
            fontsize=7.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#9a9a9a", "linewidth": 0.6, "shrinkB": 3},
        )


def _apart(heights: list[float]) -> list[float]:
    """Rising heights, moved so that labels do not overlap; within the panel if they fit."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + _LABEL) if placed else height)
    over = max(0.0, placed[-1] - 1) if placed else 0.0
    return [height - over for height in placed]
