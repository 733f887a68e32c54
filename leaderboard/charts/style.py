"""The look that all plots share, and what makes them reproducible."""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, NullLocator

from leaderboard.model.numbers import SUPERSCRIPT
from leaderboard.model.ranking import YARDSTICKS
from leaderboard.model.table import Row
from leaderboard.model.words import BADGES

_PALETTE = sns.color_palette("colorblind").as_hex()
#: Lines that plots draw with.
LineStyle = Literal["-", "--", "-.", ":", ""]
INK = "#333333"
BLUE = _PALETTE[0]
RED = "#c1121f"

#: What colours become where the reader's system is dark: ground, ink, grid, frame, blue and red.
_IN_THE_DARK = {
    "#ffffff": "#1b1f23",
    INK: "#e4e7ea",
    "#e8e8e8": "#30363c",
    "#bbbbbb": "#5b646d",
    BLUE: "#4ba3dc",
    RED: "#ff8f8f",
}

# a marker and a colour a verdict, so that neither is needed to tell them apart
_VERDICTS = {
    "exact": ("o", _PALETTE[0]),
    "proved": ("s", _PALETTE[2]),
    "conditional": ("D", _PALETTE[1]),
    "pair": ("^", _PALETTE[4]),
    "vacuous": ("v", _PALETTE[7]),
    "none": ("P", _PALETTE[5]),
    "yardstick": ("h", INK),
    "violated": ("X", RED),
}

#: Points of a letter.
_SIZE = 9

_SETTINGS = {
    **sns.axes_style("whitegrid"),
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so it is the same everywhere
    "font.size": _SIZE,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # there without a look at what else is above
    "axes.edgecolor": "#bbbbbb",
    "axes.labelcolor": INK,
    "grid.color": "#e8e8e8",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "patch.facecolor": BLUE,  # not "C0", which is looked up in the cycle for every patch
    "svg.fonttype": "path",
    "svg.hashsalt": "lethe",
}


@contextmanager
def look() -> Iterator[None]:
    """Draw within this: matplotlib's defaults and the board's, never the user's own settings."""
    with style.context(["default", _SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn for it
        yield


def panels(
    shape: tuple[int, int],
    size: tuple[float, float],
    *,
    margins: tuple[float, float, float, float],
    between: tuple[float, float] = (0.2, 0.7),
    share_y: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels in fixed places, row by row; lengths are in inches.

    A layout that measures every label took two fifths of the time of a plot of gaps.

    Args:
        shape: rows and columns.
        size: width and height of a panel.
        margins: left, right, above and below all panels.
        between: panels of a row, and of a column.
        share_y: whether panels have one vertical axis, named on the left.
    """
    (rows, columns), (width, height) = shape, size
    left, right, above, below = margins
    whole = left + columns * width + (columns - 1) * between[0] + right
    tall = above + rows * height + (rows - 1) * between[1] + below
    figure = Figure(figsize=(whole, tall))
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharey=share_y,
        gridspec_kw={
            "left": left / whole,
            "right": 1 - right / whole,
            "bottom": below / tall,
            "top": 1 - above / tall,
            "wspace": between[0] / width,
            "hspace": between[1] / height,
        },
    )
    return figure, list(np.ravel(axes))


def kind(row: Row) -> str:
    """What a row is drawn as: violated, a yardstick, or its verdict."""
    if row.violations:
        return "violated"
    return "yardstick" if row.role in YARDSTICKS else row.verdict


def marker(name: str) -> str:
    """The marker of a kind of row."""
    return _VERDICTS[name][0]


def colour(name: str) -> str:
    """The colour of a kind of row."""
    return _VERDICTS[name][1]


def plain(text: str) -> str:
    """Text that is drawn as it is: matplotlib takes what stands between dollars for mathematics."""
    return text.replace("$", r"\$")


def label_rows(axes: Axes, titles: Sequence[str]) -> None:
    """One line a row, the first on top."""
    axes.set_yticks(range(len(titles)), [plain(_wrapped(title)) for title in titles])
    axes.set_ylim(len(titles) - 0.5, -0.5)


def labels_width(titles: Sequence[str]) -> float:
    """Inches that the rows' labels take beside an axis."""
    font = FontProperties(size=_SIZE)
    lines = [line for title in titles for line in _wrapped(title).splitlines()]
    widths = (text_to_path.get_text_width_height_descent(x, font, ismath=False)[0] for x in lines)
    return 0.15 + max(widths, default=0.0) / 72


def _wrapped(title: str) -> str:
    return textwrap.fill(title, 26)


def symmetric(axes: Axes, limits: tuple[float, float]) -> None:
    """A horizontal axis that is linear from -1 to 1, and logarithmic beyond."""
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(*limits)
    axes.set_xticks(_powers(*limits))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _power(x)))


def _powers(low: float, high: float) -> list[float]:
    """0 and powers of ten on both sides of it, as many as have room."""
    decades = [math.floor(math.log10(max(1.0, end))) for end in (-low, high)]
    stride = 1 + sum(decades) // 6
    below, above = (range(0, last + 1, stride) for last in decades)
    negative = [-(10.0**k) for k in reversed(below)] if low < -1 else []
    return [*negative, 0.0, *(10.0**k for k in above if high > 1)]


def _power(x: float) -> str:
    """The label of a tick: `−100`, `0` or `10⁶`."""
    if abs(x) <= 1000:
        return f"{x:g}".replace("-", "−")
    return ("−" if x < 0 else "") + "10" + f"{math.log10(abs(x)):.0f}".translate(SUPERSCRIPT)


def say_void(axes: Axes, rows: list[Row]) -> None:
    """Where a row has no number, say why in its place."""
    for y, row in enumerate(rows):
        if row.void:
            axes.text(
                0.5,
                y,
                row.void,
                transform=axes.get_yaxis_transform(),
                ha="center",
                va="center",
                color=RED,
                style="italic",
            )


def legend(figure: Figure, names: list[str]) -> None:
    """The kinds that were drawn, in the order of verdicts, below the plot."""
    handles = [
        Line2D([], [], linestyle="", marker=marker(name), color=colour(name), label=label)
        for name in _VERDICTS
        if name in names
        for label in [BADGES.get(name, name)]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)


def trend(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    *,
    label: str,
    colour: str,
    marker: str,
    line: str = "-",
) -> None:
    """Median and range over seeds of some (x, y), where there are any."""
    if points:
        sns.lineplot(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            estimator="median",
            errorbar=("pi", 100),
            ax=axes,
            label=plain(label) or None,
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=6,
            legend=False,
        )


def few_ticks(axes: Axes) -> None:
    """On the axes that are logarithmic: powers of ten, or 1, 2 and 5 where there are few."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            narrow = high < 100 * low
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=6))
            axis.set_minor_locator(NullLocator())
            if narrow:
                axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


class _Powers(LogFormatterSciNotation):
    """Powers of ten as text, since matplotlib lays out mathematics slowly."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """E.g. `10⁻³` or `2×10⁻³`."""
        text = super().__call__(x, pos).replace(r"\times", "×")
        plain = re.sub(r"\$|\\mathdefault", "", text)
        raised = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(SUPERSCRIPT), plain)
        return re.sub(r"[{}]", "", raised)


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG, without the date and versions that would change from day to day.

    It follows the reader's theme, also as an image of a page; programs that know no media queries
    draw it as for light ones.
    """
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
            axis.set_major_formatter(_Powers())
    file = io.BytesIO()  # by the canvas, which draws once; `savefig` draws twice
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return file.getvalue().replace(b"</style>", f"{_dark_rules()}</style>".encode(), 1)


def _dark_rules() -> str:
    """Rules of CSS that overrule the colours which matplotlib writes into every element."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}: {dark} !important}}'
        for light, dark in _IN_THE_DARK.items()
        for what in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme: dark){{{rules}}}"
