"""Bounds on a Newton step for a graph request, and its true distance, against what is removed."""

from __future__ import annotations

from dataclasses import dataclass

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard.charts import style
from leaderboard.model.words import statement

NAME = "graphs"
CAPTION = (
    "Distance of one Newton step to the retrained weights, measured and as bounded, against how "
    "many nodes, edges or features a request removes; one class against the rest, medians over "
    "seeds with their range"
)
MEASURED = "measured"

_COLOURS = sns.color_palette("colorblind").as_hex()
_LOOKS = {
    MEASURED: ("measured distance", style.INK, "o", "-"),
    "thm6": (statement("thm6"), _COLOURS[0], "s", "--"),
    "thm5": (statement("thm5"), _COLOURS[2], "^", "--"),
    "chien22-data": (statement("chien22-data"), _COLOURS[1], "D", ":"),
    "chien22-worst": (statement("chien22-worst"), _COLOURS[3], "X", ":"),
}
#: What is drawn of a point, by the key of its distance.
SERIES = tuple(_LOOKS)


@dataclass(frozen=True)
class Point:
    """One seed of a single Newton step.

    Attributes:
        panel: what the request removes, and of which graph.
        removed: how many.
        distances: to the retrained weights: `MEASURED`, and bounds by their theorem.
    """

    panel: str
    removed: int
    distances: dict[str, float]


def draw(points: list[Point]) -> bytes:
    """A panel a kind of request, on the same logarithmic axes."""
    names = list(dict.fromkeys(point.panel for point in points))
    with style.look():
        figure = Figure(figsize=(0.8 + 2.7 * len(names), 4.2), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, name, [point for point in points if point.panel == name])
        panels[0].set_ylabel("distance (L2)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
        return style.to_svg(figure)


def _panel(axes: Axes, name: str, points: list[Point]) -> None:
    axes.set(xscale="log", yscale="log", title=style.plain(name), xlabel="removed")
    for series, (label, colour, marker, line) in _LOOKS.items():
        known = [(p.removed, p.distances[series]) for p in points if p.distances.get(series)]
        style.trend(axes, known, label=label, colour=colour, marker=marker, line=line)
    style.few_ticks(axes)
    axes.set(xlabel="removed", ylabel="")
