"""How slack the bounds are, as one setting of an experiment is varied at a time."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from benchmark.errors import present
from benchmark.studies import slack_record
from benchmark.studies.slack_record import Panel, Series, SlackStudy
from leaderboard.charts import style
from leaderboard.model.numbers import span
from leaderboard.model.section import Chart, Prose, Section
from leaderboard.model.table import Evidence
from leaderboard.model.words import statement

ORDER = 20
HEADING = "How slack the bounds are"


def sections(evidence: Evidence) -> list[Section]:
    """The study's plot, and its numbers in words."""
    study = slack_record.read(present(evidence.results))
    if study is None:
        return []
    chart = Chart("plots/slack.svg", CAPTION, draw_slack, (study,))
    text = reading(study)
    return [Section("slack", HEADING, parts=(Prose((text,)), chart), summary=text)]


# The plot, and what it says.


CAPTION = (
    "Bound over the measured distance to the retrained weights, median and range over seeds, with "
    "one setting varied at a time; 1 is tight, the dotted line is the experiment's own setting"
)

_COLOURS = sns.color_palette("colorblind").as_hex()

# label, colour, marker, line style and width; the least proved bound is a broad band that the
# statement it comes from is drawn upon
_LOOKS: dict[Series, tuple[str, str, str, style.LineStyle, float]] = {
    "proved": ("least proved (ours)", _COLOURS[9], "", "-", 5),
    "thm6": (statement("thm6"), _COLOURS[0], "o", "-", 1.3),
    "thm5": (statement("thm5"), _COLOURS[2], "s", "--", 1.3),
    "2C": (statement("2C"), _COLOURS[4], "^", "-", 1.3),
    "thm4": (f"{statement('thm4')}, M and G assumed", _COLOURS[1], "D", "-", 3),
    "zhang24": ("the paper's formula", _COLOURS[3], "X", ":", 1.6),
}


def draw_slack(study: SlackStudy) -> bytes:
    """A small logarithmic plane for each panel, and the legend in the place after the last."""
    rows = (len(study.panels) + 3) // 3
    with style.look():
        figure = Figure(figsize=(9.2, 2.75 * rows), layout="constrained")
        places = figure.subplots(rows, 3, squeeze=False).flatten()
        for axes, panel in zip(places, study.panels, strict=False):
            _panel(axes, panel)
        for axes in places[len(study.panels) :]:
            axes.set_axis_off()
        _legend(places[len(study.panels)], study)
        return style.to_svg(figure)


def reading(study: SlackStudy) -> str:
    """One sentence for each experiment, with the numbers of the plot, and what is not in it."""
    titles = dict.fromkeys(panel.experiment for panel in study.panels)
    lacking = f"Not in it: {'; '.join(study.lacking)}." if study.lacking else ""
    return " ".join(filter(None, [*(_sentence(study, title) for title in titles), lacking]))


def _sentence(study: SlackStudy, title: str) -> str:
    points = [p for panel in study.panels if panel.experiment == title for p in panel.points]

    def slack(series: Series) -> str:
        return span([point.slack(series) for point in points if series in point.bounds], 2)

    found = {series for point in points for series in point.bounds}
    others = [s for s in ("thm5", "thm4", "zhang24") if s in found]
    compared = " and ".join(f"{_LOOKS[series][0]} is {slack(series)}" for series in others)
    return (
        f"On “{title}” the least proved bound is {slack('proved')} times the measured distance; "
        f"{compared} times it."
    )


def _panel(axes: Axes, panel: Panel) -> None:
    axes.set(xscale="log", yscale="log")
    for series in _LOOKS:
        points = [point for point in panel.points if series in point.bounds]
        if not points:
            continue
        _, colour, marker, line, width = _LOOKS[series]
        sns.lineplot(
            x=[point.value for point in points],
            y=[point.slack(series) for point in points],
            estimator="median",
            errorbar=("pi", 100),
            ax=axes,
            color=colour,
            marker=marker,
            linestyle=line,
            linewidth=width,
            markersize=6,
            alpha=0.55 if series == "proved" else 1,
            legend=False,
        )
    axes.axhline(1, color=style.INK, linewidth=1, zorder=1)
    if panel.usual is not None:
        axes.axvline(panel.usual, color=style.INK, linewidth=0.8, linestyle=":", zorder=1)
    title, setting = style.plain(panel.experiment), style.plain(panel.setting)
    axes.set(title=title, xlabel=setting, ylabel="bound / distance")
    axes.set_ylim(bottom=0.5)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())


def _legend(axes: Axes, study: SlackStudy) -> None:
    found = {series for panel in study.panels for series in panel.series}
    handles: list[Line2D] = []
    for series, (label, colour, marker, line, width) in _LOOKS.items():
        if series in found:
            faint = 0.55 if series == "proved" else 1
            handles.append(
                Line2D(
                    [],
                    [],
                    color=colour,
                    marker=marker,
                    linestyle=line,
                    linewidth=width,
                    markersize=6,
                    markeredgecolor="white",
                    alpha=faint,
                    label=label,
                )
            )
    handles.append(Line2D([], [], color=style.INK, linewidth=1, label="slack 1: tight"))
    axes.legend(handles=handles, loc="center", handlelength=3.2, labelspacing=0.9)
