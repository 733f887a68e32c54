"""What a guarantee costs in accuracy and time, problem by problem, with the Pareto front."""

from __future__ import annotations

import textwrap

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.charts import style
from leaderboard.model.numbers import number
from leaderboard.model.ranking import Offer, front

NAME = "pareto"
CAPTION = (
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


def draw(problems: list[tuple[str, list[Offer]]]) -> bytes:
    """A panel a problem; the names of the rows on the front stand beside it."""
    rows = -(-len(problems) // _COLUMNS)
    with style.look():
        figure = Figure(figsize=(12.6, 0.5 + 2.6 * rows), layout="constrained")
        places = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for axes, (title, found) in zip(places, problems, strict=False):
            _panel(axes, title, found)
        for axes in places[len(problems) :]:
            axes.set_axis_off()
        style.legend(figure, [style.kind(o.row) for _, found in problems for o in found])
        return style.to_svg(figure)


def _panel(axes: Axes, title: str, found: list[Offer]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=_LINEAR)
    best = front(found)
    for offer in found:
        kind, full = style.kind(offer.row), offer in best
        sns.scatterplot(
            x=[offer.time],
            y=[offer.lost],
            ax=axes,
            marker=style.marker(kind),
            facecolor=style.colour(kind) if full else "white",
            edgecolor=style.colour(kind),
            s=52 if full else 34,
            linewidth=1.3,
            zorder=4 if full else 3,
            legend=False,
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
