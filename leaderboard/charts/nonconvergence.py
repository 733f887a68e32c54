"""The gradient where training ends, against bounds and utility."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard.charts import style
from leaderboard.model.table import GENERAL, Point
from leaderboard.model.words import statement

NAME = "nonconvergence"
CAPTION = (
    "Training stopped earlier or later, by the gradient norm G that it is held to: the bounds and "
    "the distance they are about, the certified ε, and test accuracy less that of the retrained "
    "model; median and range over seeds"
)

_COLOURS = sns.color_palette("colorblind").as_hex()
_MARKERS = ("o", "s", "^", "D", "P", "X")
_BOUNDS = {"certified": (_COLOURS[2], "s", "-"), GENERAL: (_COLOURS[1], "D", "--")}


def draw(points: list[Point]) -> bytes:
    """Three planes side by side: bounds, certified epsilon, gap."""
    with style.look():
        figure = Figure(figsize=(11.4, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for name, (colour, marker, line) in _BOUNDS.items():
            known = [(p.setting, p.bounds[name]) for p in points if name in p.bounds]
            label = "claimed Δ" if name == "certified" else f"{statement(name)}, as assumed"
            style.trend(left, known, label=label, colour=colour, marker=marker, line=line)
        distances = [(p.setting, p.distance) for p in points if p.distance]
        style.trend(left, distances, label="measured", colour=style.INK, marker="o", line=":")
        for k, title in enumerate(sorted({p.series for p in points})):
            row = [p for p in points if p.series == title]
            looks = {"label": title, "colour": _COLOURS[k], "marker": _MARKERS[k % len(_MARKERS)]}
            style.trend(middle, [(p.setting, p.epsilon) for p in row], **looks)
            known = [(p.setting, p.gap) for p in row if p.gap is not None]
            style.trend(right, known, **looks)
        _axes(left, "Bound and distance (L2)", log=True)
        _axes(middle, "Certified ε", log=True)
        _axes(right, "Gap to retrain (points)", log=False)
        return style.to_svg(figure)


def _axes(axes: Axes, title: str, *, log: bool) -> None:
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
    else:
        axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    style.few_ticks(axes)
    axes.set(title=title, xlabel="G, gradient norm where training ends", ylabel="")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
