"""One setting varied at a time: what it does to bounds and utility."""

from __future__ import annotations

from collections.abc import Callable

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard.charts import style
from leaderboard.model.table import GENERAL, Point
from leaderboard.model.words import statement

# Settings of methods.


ABLATION = (
    "One setting varied at a time. Above what it moves in the claim: the bound that the noise is "
    "made for and the one that needs no convexity, the certified ε, or the residual of the solve; "
    "below test accuracy less that of the retrained model; median and range over seeds"
)

_COLOURS = sns.color_palette("colorblind").as_hex()

#: Names of the settings that are varied, one at a time.
SETTINGS = {
    "damping": "damping λ",
    "radius": "norm bound C",
    "sigma": "noise σ",
    "chains": "LiSSA, chains s₁",
    "depth": "LiSSA, depth s₂",
    "forgotten": "rows forgotten",
}

Read = Callable[[Point], float | None]

# what is drawn for a setting in place of its bounds: title of the axis, then label and reading
_BOUNDS: dict[str, Read] = {
    "claimed": lambda point: point.bounds["certified"],
    statement(GENERAL): lambda point: point.bounds.get(GENERAL),
}
_EPSILON: dict[str, Read] = {"certified ε": lambda point: point.epsilon}
_RESIDUAL: dict[str, Read] = {"residual": lambda point: point.residual}
_SHOWN = {
    "sigma": ("certified ε", _EPSILON),
    "chains": ("residual", _RESIDUAL),
    "depth": ("residual", _RESIDUAL),
}
_LOOKS = ((_COLOURS[2], "s", "-"), (_COLOURS[1], "D", "--"))


def draw_ablation(panels: dict[str, list[Point]]) -> bytes:
    """A column a setting, by its key in `SETTINGS`: claim above, gap below."""
    with style.look():
        figure = Figure(figsize=(0.6 + 2.3 * len(panels), 4.6), layout="constrained")
        upper, lower = figure.subplots(2, len(panels), squeeze=False)
        for above, below, (setting, points) in zip(upper, lower, panels.items(), strict=True):
            _claim(above, setting, points)
            _gap(below, SETTINGS[setting], points)
        figure.align_ylabels()
        return style.to_svg(figure)


def _claim(axes: Axes, setting: str, points: list[Point]) -> None:
    title, readings = _SHOWN.get(setting, ("bound Δ (L2)", _BOUNDS))
    for (label, read), (colour, marker, line) in zip(readings.items(), _LOOKS, strict=False):
        known = [(p.setting, value) for p in points if (value := read(p))]
        style.trend(axes, known, label=label, colour=colour, marker=marker, line=line)
    name = style.plain(SETTINGS[setting])
    axes.set(xscale="log", yscale="log", title=name, xlabel="", ylabel=title)
    style.few_ticks(axes)
    if len(readings) > 1:
        axes.legend(fontsize=7.5)


def _gap(axes: Axes, setting: str, points: list[Point]) -> None:
    known = [(p.setting, p.gap) for p in points if p.gap is not None]
    style.trend(axes, known, label="", colour=style.BLUE, marker="o")
    axes.axhline(0, color=style.INK, linewidth=0.8, zorder=1)
    axes.set(xscale="log", xlabel=style.plain(setting), ylabel="test gap (points)")
    style.few_ticks(axes)


# The gradient where training ends.


NONCONVERGENCE = (
    "Training stopped earlier or later, by the gradient norm G that it is held to: the bounds and "
    "the distance they are about, the certified ε, and test accuracy less that of the retrained "
    "model; median and range over seeds"
)

_MARKERS = ("o", "s", "^", "D", "P", "X")
_BOUND_LOOKS = {"certified": (_COLOURS[2], "s", "-"), GENERAL: (_COLOURS[1], "D", "--")}


def draw_nonconvergence(points: list[Point]) -> bytes:
    """Three planes side by side: bounds, certified epsilon, gap."""
    with style.look():
        figure = Figure(figsize=(11.4, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for name, (colour, marker, line) in _BOUND_LOOKS.items():
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
