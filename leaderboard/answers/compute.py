"""Which rows beat retraining for the same compute, and survive the noise-only control?"""

from __future__ import annotations

from leaderboard.answers.answer import (
    Answer,
    Evidence,
    cell,
    counted,
    grid,
    mean,
    named,
    seeds,
    streamed,
    unanswered,
)
from leaderboard.columns import BY_KEY
from leaderboard.grid import Cell, Line
from leaderboard.shown import erases_the_model
from leaderboard.table import Row

SLUG = "answer-compute"
QUESTION = "Which rows beat retraining for the same compute, and survive the noise-only control?"
COMMAND = "make mnist RESULTS=leaderboard/results"

# accuracies are shares of whole rows: what differs by less, in points, does not
_ROUND_OFF = 1e-6

_COLUMNS = (
    "speed-up (×)",
    "test gap (points)",
    "no slower, no worse",
    "over control (points)",
    "over its control",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every row with a noise-only control beside retraining and beside that control."""
    found = named(
        evidence.tables,
        lambda row: mean(row, "control_accuracy_test_gap") is not None and not streamed(row),
    )
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    ahead = [name for name, row in found if beats_retraining(row)]
    both = [name for name, row in found if beats_retraining(row) and not erases_the_model(row)]
    survive = sum(not erases_the_model(row) for _, row in found)
    return Answer(
        SLUG,
        QUESTION,
        text=f"Of {counted(len(found), 'row')} with the noise inside the algorithm, {len(ahead)} "
        "are no slower than retraining and no less accurate, as far as the seeds tell; "
        f"{survive} are better than the same algorithm from zero weights. Both: "
        f"{'; '.join(both) or 'none'}.",
        missing="Retraining stopped after as many epochs is no row of its own: the control, which "
        "trains for as many from zero weights, stands for it.",
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def beats_retraining(row: Row) -> bool:
    """Whether it takes no longer, and the interval of its gap reaches up to 0 or beyond."""
    speed, gap = mean(row, "speedup"), row.estimate(BY_KEY["accuracy_test_gap"])
    if speed is None or gap is None:
        return False
    return speed >= 1 and gap.mean + (gap.spread or 0.0) >= -_ROUND_OFF


def _line(name: str, row: Row) -> Line:
    return Line(
        name,
        "",
        (
            cell(row, "speedup"),
            cell(row, "accuracy_test_gap"),
            Cell("yes" if beats_retraining(row) else "no"),
            cell(row, "control_accuracy_test_gap"),
            Cell("no" if erases_the_model(row) else "yes"),
            Cell(seeds([row])),
        ),
    )
