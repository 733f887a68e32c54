"""How an attack scores the forgotten rows under each method, next to retrained models."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from leaderboard.charts import style
from leaderboard.model.numbers import number

NAME = "forgotten"
CAPTION = (
    "scores of the forgotten rows by {attack}, higher for what looks trained on, under each "
    "method and under retrained models: median row, the middle half (broad) and nine tenths of "
    "the rows (thin), mean over seeds; the more the two overlap, the better it is forgotten"
)

_PALETTE = sns.color_palette("colorblind").as_hex()
_OURS, _RETRAINED = _PALETTE[0], "#8a8a8a"
# scores beyond which the axis turns logarithmic
_WIDE = 20


@dataclass(frozen=True)
class Pair:
    """One method's scores and those of the models it is compared with.

    Attributes:
        title: of the row.
        unlearned, retrained: quantiles over rows, at the shares of a record.
    """

    title: str
    unlearned: tuple[float, ...]
    retrained: tuple[float, ...]


def draw(pairs: list[Pair], shares: tuple[float, ...]) -> bytes:
    """Two bars a method, the first method on top."""
    with style.look():
        figure = Figure(figsize=(7.8, 1.3 + 0.42 * len(pairs)), layout="constrained")
        axes = figure.subplots()
        for y, pair in enumerate(pairs):
            _bar(axes, y - 0.16, pair.unlearned, shares, _OURS, "o")
            _bar(axes, y + 0.16, pair.retrained, shares, _RETRAINED, "D")
        _scale(axes)
        axes.set_yticks(range(len(pairs)), [style.plain(textwrap.fill(p.title, 30)) for p in pairs])
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("attack score of a forgotten row")
        handles = [
            Patch(color=_OURS, label="the method"),
            Patch(color=_RETRAINED, label="retrained models"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
        return style.to_svg(figure)


def _bar(
    axes: Axes,
    y: float,
    quantiles: tuple[float, ...],
    shares: tuple[float, ...],
    colour: str,
    marker: str,
) -> None:
    low, first, middle, third, high = np.interp([0.05, 0.25, 0.5, 0.75, 0.95], shares, quantiles)
    axes.hlines(y, low, high, color=colour, linewidth=1.4)
    axes.hlines(y, first, third, color=colour, linewidth=6)
    axes.plot(middle, y, marker=marker, color=colour, mec="white", markersize=6)


def _scale(axes: Axes) -> None:
    """A linear axis, or one that is logarithmic away from 0 where some scores are far out."""
    low, high = axes.get_xlim()
    if max(-low, high) <= _WIDE:
        return
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(min(1.5 * low, low / 1.5), max(1.5 * high, high / 1.5))
    axes.set_xticks(_powers(*axes.get_xlim()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x, 1)))


def _powers(low: float, high: float) -> list[float]:
    """0 and powers of ten on both sides of it, as many as have room."""
    decades = [math.floor(math.log10(max(1.0, end))) for end in (-low, high)]
    stride = 1 + sum(decades) // 8
    below, above = (range(0, last + 1, stride) for last in decades)
    negative = [-(10.0**k) for k in reversed(below)] if low < -1 else []
    return [*negative, 0.0, *(10.0**k for k in above if high > 1)]
