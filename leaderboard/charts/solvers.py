"""Residual against time for every inverse-Hessian solver, a panel a system and damping."""

from __future__ import annotations

from statistics import median

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmark.bench.record import TOLERANCES, Outcome, Rule, SolverRecord
from leaderboard.charts import style
from leaderboard.model.numbers import number

NAME = "solvers"
CAPTION = (
    "relative residual against time, set-up included, median of the rounds: one line a solver, "
    "from tolerance 0.1 to 0.001; a cross is where a solver ended above its tolerance; lower left "
    "is better"
)

#: Dampings as people write them.
RULES: dict[Rule, str] = {
    "1-norm": "λ = ‖H‖",
    "0.1-norm": "λ = 0.1 ‖H‖",
    "1.5-lambda-min": "λ = 1.5 |λmin|",
}

_COLOURS = sns.color_palette("colorblind").as_hex()
_MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">", "p", "h")
_LINES: dict[str, style.LineStyle] = {"ours": "-", "peer": "--", "official": ""}
_BOTTOM, _TOP = 2e-4, 2.0


def draw(records: list[SolverRecord]) -> bytes:
    """The panels of one device, systems downwards and dampings across."""
    systems = list(dict.fromkeys(record.system.name for record in records))
    rules = [rule for rule in RULES if any(r.damping.rule == rule for r in records)]
    looks = _looks(records)
    with style.look():
        width = max(8.6, 3.3 * len(rules) + 0.6)  # room for the legend
        figure = Figure(figsize=(width, 2.5 * len(systems) + 1.1))
        figure.set_layout_engine("constrained")
        places = figure.subplots(len(systems), len(rules), squeeze=False, sharey=True, sharex="row")
        for across, system in zip(places, systems, strict=True):
            for axes, rule in zip(across, rules, strict=True):
                here = [r for r in records if (r.system.name, r.damping.rule) == (system, rule)]
                if not here:
                    axes.set_axis_off()
                    continue
                _panel(axes, here, looks)
                axes.set_title(style.plain(_title(here)))
            across[0].set_ylabel("relative residual")
        for axes in places[-1]:
            axes.set_xlabel("seconds")
        _legend(figure, looks)
        return style.to_svg(figure)


_Look = tuple[str, str, str, style.LineStyle]


def _looks(records: list[SolverRecord]) -> dict[str, _Look]:
    """Title, colour, marker and line of each solver that got anywhere: no two look alike."""
    order = ("ours", "peer", "official")
    drawn = [r for r in records if any(_drawn(outcome) for outcome in r.outcomes)]
    found = {(order.index(r.solver.family), r.solver.title, r.solver.name): r for r in drawn}
    looks: dict[str, _Look] = {}
    counts = dict.fromkeys(order, 0)
    for (_, title, name), record in sorted(found.items()):
        family = record.solver.family
        i, counts[family] = counts[family], counts[family] + 1
        # libraries take the palette from its end, so that they meet ours as late as can be
        place = i if family == "ours" else -1 - i
        colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
        if family == "official":
            colour, marker = style.INK, "X"
        looks[name] = (title, colour, marker, _LINES[family])
    return looks


def _drawn(outcome: Outcome) -> bool:
    """Whether there is a point for it."""
    return bool(outcome.seconds) and outcome.residual is not None


def _title(records: list[SolverRecord]) -> str:
    damping = records[0].damping
    condition = number(damping.condition, 2) if damping.condition else None
    kappa = f"condition {condition}" if condition else "indefinite"
    return f"{records[0].system.title}\n{RULES[damping.rule]}, {kappa}"


def _panel(axes: Axes, records: list[SolverRecord], looks: dict[str, _Look]) -> None:
    axes.set(xscale="log", yscale="log")
    for record in records:
        if record.solver.name not in looks:
            continue
        _, colour, marker, line = looks[record.solver.name]
        width = 1.3 if record.solver.family == "ours" else 1.1
        points = [_point(o) for o in record.outcomes if o.state == "reached" and _drawn(o)]
        if points:
            sns.lineplot(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                ax=axes,
                color=colour,
                marker=marker,
                linestyle=line,
                linewidth=width,
                markersize=5.5,
                estimator=None,
                sort=False,
                legend=False,
            )
        for outcome in record.outcomes:
            if outcome.state == "missed" and _drawn(outcome):
                x, y = _point(outcome)
                axes.plot([x], [y], marker="x", color=colour, markersize=6.5, markeredgewidth=1.8)
                break
    axes.set_ylim(_BOTTOM, _TOP)
    axes.yaxis.set_major_locator(FixedLocator([1.0, *TOLERANCES]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="", ylabel="")


def _point(outcome: Outcome) -> tuple[float, float]:
    """Seconds and residual; what lies off the panel is put on its edge."""
    assert outcome.residual is not None
    return median(outcome.seconds), min(max(outcome.residual, _BOTTOM * 1.15), _TOP / 1.15)


def _legend(figure: Figure, looks: dict[str, _Look]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=5.5,
            markeredgecolor="white",
            label=style.plain(title),
        )
        for title, colour, marker, line in looks.values()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(4, len(handles)),
        fontsize=8,
        handlelength=3,
    )
