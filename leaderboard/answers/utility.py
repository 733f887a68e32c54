"""What does the certificate cost in utility?"""

from __future__ import annotations

from benchmark.contract.certificate import Target
from leaderboard.answers.answer import (
    TARGETS,
    Answer,
    Evidence,
    cell,
    counted,
    grid,
    mean,
    name,
    pair,
    problem,
    seeds,
    single,
)
from leaderboard.grid import Cell, Line
from leaderboard.numbers import span
from leaderboard.table import Row

SLUG = "answer-utility"
QUESTION = "What does the certificate cost in utility?"
COMMAND = "lethe run STUDY.toml --results leaderboard/results"

_COLUMNS = ("(ε, δ)", "proved rows", "closest", "its gap", "farthest", "its gap", "seeds")


def answer(evidence: Evidence) -> Answer:
    """Of each problem the proved rows' gaps to retraining, at each target."""
    found = {target: _rows(evidence, target) for target in TARGETS}
    return Answer(
        SLUG,
        QUESTION,
        text=" ".join(_text(target, rows) for target, rows in found.items() if rows),
        missing=missing([target for target, rows in found.items() if not rows]),
        command="" if all(found.values()) else COMMAND,
        lines="Problem",
        grid=grid(
            _COLUMNS,
            [
                _line(title, target, rows)
                for target, problems in found.items()
                for title, rows in problems
            ],
        )
        if any(found.values())
        else None,
    )


def missing(targets: list[Target]) -> str:
    """Which targets nothing was proved at, and how to ask for one."""
    if not targets:
        return ""
    listed = " and ".join(map(pair, targets))
    return f"No row was proved at {listed}: a study asks for it by epsilon under [target]."


def _rows(evidence: Evidence, target: Target) -> list[tuple[str, list[Row]]]:
    """Each problem with its proved rows, nearest to retraining first."""
    found = []
    for table in evidence.problems:
        rows = [r for r in single(table, target) if mean(r, "accuracy_test_gap") is not None]
        if rows:
            found.append((problem(table), sorted(rows, key=_size)))
    return found


def _size(row: Row) -> float:
    return abs(mean(row, "accuracy_test_gap"))


def _text(target: Target, found: list[tuple[str, list[Row]]]) -> str:
    best = [mean(rows[0], "accuracy_test_gap") for _, rows in found]
    worst = [mean(rows[-1], "accuracy_test_gap") for _, rows in found]
    within = sum(_size(row) <= 1 for _, rows in found for row in rows)
    every = sum(len(rows) for _, rows in found)
    return (
        f"At {pair(target)}: the proved row closest to retraining has a gap of {span(best)} "
        f"points, the farthest {span(worst)}, over {counted(len(found), 'problem')}; "
        f"{within} of {every} rows stay within 1 point."
    )


def _line(title: str, target: Target, rows: list[Row]) -> Line:
    near, far = rows[0], rows[-1]
    return Line(
        title,
        "",
        (
            Cell(pair(target)),
            Cell(str(len(rows))),
            Cell(name(near)),
            cell(near, "accuracy_test_gap"),
            Cell(name(far)),
            cell(far, "accuracy_test_gap"),
            Cell(seeds(rows)),
        ),
    )
