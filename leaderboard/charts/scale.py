"""Seconds of a request against the number of training rows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.charts import style

NAME = "scale"
CAPTION = (
    "Seconds to answer one request against the number of training rows, a panel an objective: "
    "retraining by the same solver (black, dashed) and the certified rows; medians over seeds, "
    "with their range"
)
RETRAINING = "Retraining"

_COLOURS = sns.color_palette("colorblind", 6).as_hex()
_MARKERS = ("s", "^", "D", "P", "X", "v")


@dataclass(frozen=True)
class Point:
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


def draw(points: list[Point]) -> bytes:
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
            _panel(axes, [p for p in points if p.problem == name], titles)
            axes.set_title(style.plain(textwrap.fill(name, 28)))
            axes.xaxis.set_major_locator(FixedLocator(counts))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:,g}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panels[0].set_ylabel("seconds of a request")
        handles = [_handle(name, titles) for name in (RETRAINING, *titles)]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
        return style.to_svg(figure)


def _panel(axes: Axes, points: list[Point], titles: list[str]) -> None:
    for title in (RETRAINING, *titles):
        row = [(p.rows, p.seconds) for p in points if p.series == title]
        colour, marker, line = _look(title, titles)
        style.trend(axes, row, label="", colour=colour, marker=marker, line=line)
    axes.set_ylabel("")


def _look(title: str, titles: list[str]) -> tuple[str, str, style.LineStyle]:
    """Colour, marker and line."""
    if title == RETRAINING:
        return style.INK, "o", "--"
    k = titles.index(title) % len(_COLOURS)
    return _COLOURS[k], _MARKERS[k], "-"


def _handle(title: str, titles: list[str]) -> Line2D:
    colour, marker, line = _look(title, titles)
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        linestyle=line,
        label=style.plain(title),
    )
