"""The efficient inverse Hessian against the exact one, as a table."""

from __future__ import annotations

from benchmark.errors import present
from benchmark.records import Gathered
from benchmark.studies import inverse_hessian_record
from benchmark.studies.inverse_hessian_record import Answer, PanelRecord
from leaderboard.model.numbers import number, span
from leaderboard.model.section import Cell, Grid, Line, Section, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence

ORDER = 40
HEADING = "Efficient against exact inverse Hessian"

READING = (
    "The question of Zhang et al. (2024): (H + λI)⁻¹ b by solvers that never form H, against "
    "forming H, column by column, and factorising it. λ = 0.1 ‖H‖; processor seconds on one "
    "thread, set-up included.",
    "Error is ‖x − x*‖ / ‖x*‖, for x* by conjugate gradients to a residual of 1e-6. The paper "
    "reports a gain of 470 for its estimator.",
)


def sections(evidence: Evidence) -> list[Section]:
    """The table of the systems."""
    study = inverse_hessian_record.read(present(evidence.results))
    if study is None:
        return []
    parts = (inverse_hessian_grid(study),)
    return [Section("inverse-hessian", HEADING, READING, parts, _summary(study))]


def _summary(study: Gathered[PanelRecord]) -> str:
    gains = [max(panel.gain(answer) for answer in panel.answers) for panel in study.records]
    if not gains:
        return ""
    return (
        f"The fastest solver takes {span(gains, 2)} times less processor time than the exact "
        f"inverse, over {len(gains)} systems."
    )


def inverse_hessian_grid(study: Gathered[PanelRecord]) -> Grid:
    """A line a solver, system by system, the exact inverse first; then systems without a record."""
    names = ("seconds", "faster than exact", "residual", "error")
    lines = [_line(panel, answer) for panel in study.records for answer in _answers(panel)]
    lines += [Line(where, "missing", (Cell(NOTHING),) * len(names)) for where in study.missing]
    caption = "Each solver's time, residual and error beside the exact inverse's."
    return grid(names, lines, "Solver", caption)


def _answers(panel: PanelRecord) -> list[Answer]:
    return [panel.exact, *sorted(panel.answers, key=lambda answer: answer.seconds)]


def _line(panel: PanelRecord, answer: Answer) -> Line:
    exact = answer is panel.exact
    facts = f"{panel.rows:,} rows, {panel.dimension:,} weights, condition {panel.condition:.3g}"
    least = min(panel.answers, key=lambda found: found.seconds)
    return Line(
        f"{panel.heading}: {answer.title}",
        f"{facts}; {panel.remark}" if exact else facts,
        (
            Cell(number(answer.seconds) + ("" if answer.measured else " (extrapolated)")),
            Cell("1" if exact else number(panel.gain(answer)), best=answer is least),
            Cell(NOTHING if answer.residual is None else number(answer.residual, 2)),
            Cell(NOTHING if answer.error is None else number(answer.error, 2)),
        ),
    )
