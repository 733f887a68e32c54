"""Test accuracy against a budget of epochs, beside retraining under the same budget."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.charts import style

NAME = "budget"
CAPTION = (
    "Above, test accuracy for a budget of epochs: certified rows, the same algorithms with the "
    "same noise from zero weights (dashed) and retraining for as many epochs (black), medians over "
    "seeds. Below, what the rows have over that retraining of the same seed, median and range"
)

# of a row by its place; the first marker is that of retraining
_COLOURS = sns.color_palette("colorblind", 6).as_hex()
_MARKERS = ("o", "s", "^", "D", "P", "X", "v")
_RETRAINING = "Retraining for as many epochs"


@dataclass(frozen=True)
class Point:
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


def draw(points: list[Point]) -> bytes:
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
            _axis(below, sorted({p.epochs for p in here}))
        upper[0].set_ylabel("test accuracy (%)")
        lower[0].set_ylabel("over retraining (points)")
        figure.align_ylabels()
        figure.legend(handles=_handles(titles), loc="outside lower center", ncols=2, fontsize=8)
        return style.to_svg(figure)


def _accuracies(axes: Axes, points: list[Point], titles: list[str]) -> None:
    for title in titles:
        row = [p for p in points if p.series == title]
        looks = _looks(title, titles)
        style.trend(axes, _medians(row, "control"), label="", line="--", **looks)
        style.trend(axes, _medians(row, "accuracy"), label="", **looks)
    retrained = [p for p in points if not p.series]
    style.trend(
        axes, _medians(retrained, "accuracy"), label="", colour=style.INK, marker=_MARKERS[0]
    )
    axes.set_ylabel("")


def _leads(axes: Axes, points: list[Point], titles: list[str]) -> None:
    axes.axhline(0, color=style.INK, linewidth=1.2, zorder=1)
    for title in titles:
        row = [(p.epochs, p.lead) for p in points if p.series == title and p.lead is not None]
        style.trend(axes, row, label="", **_looks(title, titles))
    axes.set_ylabel("")


def _medians(points: list[Point], name: str) -> list[tuple[float, float]]:
    """The median of one of the points' numbers, by epochs."""
    known = [(p.epochs, getattr(p, name)) for p in points if getattr(p, name) is not None]
    return [(x, median(y for at, y in known if at == x)) for x in sorted({x for x, _ in known})]


def _axis(axes: Axes, budgets: list[int]) -> None:
    axes.set(xscale="log", xlabel="epochs")
    axes.xaxis.set_major_locator(FixedLocator(budgets))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _looks(title: str, titles: list[str]) -> dict[str, str]:
    k = titles.index(title)
    return {"colour": _COLOURS[k % len(_COLOURS)], "marker": _MARKERS[1 + k % len(_COLOURS)]}


def _handles(titles: list[str]) -> list[Line2D]:
    looks = {_RETRAINING: {"colour": style.INK, "marker": _MARKERS[0]}}
    looks |= {title: _looks(title, titles) for title in titles}
    return [
        *(
            Line2D([], [], color=x["colour"], marker=x["marker"], label=style.plain(name))
            for name, x in looks.items()
        ),
        Line2D([], [], color="#888888", linestyle="--", label="Control, from zero weights"),
    ]
