"""How an attack scores the forgotten rows under each method, next to retrained models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from leaderboard.charts import style

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
        titles = [pair.title for pair in pairs]
        figure, (axes,) = style.panels(
            (1, 1), (5.6, 0.42 * len(pairs)), margins=(style.labels_width(titles), 0.2, 0.1, 0.85)
        )
        for y, pair in enumerate(pairs):
            _bar(axes, y - 0.16, pair.unlearned, shares, _OURS, "o")
            _bar(axes, y + 0.16, pair.retrained, shares, _RETRAINED, "D")
        _scale(axes)
        style.label_rows(axes, titles)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("attack score of a forgotten row")
        handles = [
            Patch(color=_OURS, label="the method"),
            Patch(color=_RETRAINED, label="retrained models"),
        ]
        figure.legend(handles=handles, loc="lower center", ncols=2, fontsize=8)
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
    if max(-low, high) > _WIDE:
        style.symmetric(axes, (min(1.5 * low, low / 1.5), max(1.5 * high, high / 1.5)))
