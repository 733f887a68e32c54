"""What an answer costs in time, beside retraining."""

from __future__ import annotations

from statistics import fmean

from matplotlib.figure import Figure

from leaderboard.charts import style
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import number
from leaderboard.model.ranking import YARDSTICKS, in_order
from leaderboard.model.table import Row, Table

NAME = "times"
CAPTION = (
    "mean seconds to unlearn; the line is retraining; further left is faster; yardsticks in grey"
)


def has(table: Table) -> bool:
    """Whether anything was timed."""
    return bool(_means(in_order(table)))


def draw(table: Table) -> bytes:
    """Dots on a logarithmic axis, which has no zero that a bar could begin at."""
    rows = in_order(table)
    means = _means(rows)
    retrain = _retrain(table)
    with style.look():
        figure = Figure(figsize=(5.4, 1.1 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        reach = [seconds for seconds in (*means.values(), retrain) if seconds > 0]
        axes.set_xlim(min(reach) / 2, max(reach) * 2)
        grey = [rows[y].role in YARDSTICKS for y in means]
        colours = ["#9a9a9a" if one else style.BLUE for one in grey]
        axes.scatter(list(means.values()), list(means), c=colours, s=42, zorder=3)
        for y, mean in means.items():  # beside the plot, where nothing is in the way
            axes.text(1.02, y, number(mean, 2), transform=axes.get_yaxis_transform(), va="center")
        axes.axvline(retrain, color=style.INK, linewidth=1.2, linestyle="--")
        axes.set(xlabel="time to unlearn (s)", ylabel="")
        axes.set_title(f"Dashed: retraining, {number(retrain, 2)} s")
        style.say_void(axes, rows)
        style.label_rows(axes, rows)
        axes.grid(axis="y", visible=True)  # a dot is led to its name
        return style.to_svg(figure)


def _retrain(table: Table) -> float:
    """Mean seconds to train the reference model, each seed counted once."""
    times: dict[int, list[float]] = {}
    for row in table.rows:
        for seed, record in row.done.items():
            if record.times:
                times.setdefault(seed, []).append(record.times.retrain)
    return fmean([fmean(times[seed]) for seed in sorted(times)])


def _means(rows: list[Row]) -> dict[int, float]:
    """Seconds, above 0, by the row's place."""
    found = {y: e.mean for y, row in enumerate(rows) if (e := row.estimate(BY_KEY["unlearn"]))}
    return {y: mean for y, mean in found.items() if mean > 0}
