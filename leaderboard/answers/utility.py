"""What does a proof cost in utility?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmark.contract.claim import Target
from leaderboard.answers.answer import (
    TARGETS,
    Answer,
    cell,
    counted,
    mean,
    name,
    number_of,
    pair,
    problem,
    seeds,
    single,
)
from leaderboard.model.numbers import span
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence, Row

ORDER = 30
SLUG = "answer-utility"
QUESTION = "What does a proof cost in utility?"
COMMAND = "lethe run STUDY.toml --results leaderboard/results"

_COLUMNS = (
    "(ε, δ)",
    "proved rows",
    "closest",
    "its gap",
    "farthest",
    "its gap",
    "cost of the noise (points)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The proved rows' gaps to retraining on each problem, at each target."""
    found = {target: _rows(evidence, target) for target in TARGETS}
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(
            point for target, rows in found.items() if rows for point in _points(target, rows)
        ),
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
    return abs(number_of(row, "accuracy_test_gap"))


def _points(target: Target, found: list[tuple[str, list[Row]]]) -> Iterator[str]:
    """The gaps of the nearest and the farthest rows, and what the noise costs."""
    best = [number_of(rows[0], "accuracy_test_gap") for _, rows in found]
    worst = [number_of(rows[-1], "accuracy_test_gap") for _, rows in found]
    yield (
        f"At {pair(target)}, on {counted(len(found), 'problem')}, the proved row closest to "
        f"retraining has a test gap of {span(best)} points, and the farthest one of {span(worst)} "
        "points."
    )
    if costs := _costs(row for _, rows in found for row in rows):
        yield (
            f"At {pair(target)}, noise is added to the weights at the end in "
            f"{counted(len(costs), 'row')}. It costs {span(costs)} points, which are part of the "
            "gap."
        )


def _short(found: dict[Target, list[tuple[str, list[Row]]]]) -> str:
    """Numbers of rows that stay close to retraining, target by target."""
    parts: list[str] = []
    for target, problems in found.items():
        sizes = [_size(row) for _, rows in problems for row in rows]
        within = sum(size <= 1 for size in sizes)
        if sizes and not parts:
            every = counted(len(sizes), "proved row")
            parts.append(
                f"At (ε, δ) = {pair(target)}, {within} of {every} stay within 1 point of retraining"
            )
        elif sizes:
            parts.append(f"at {pair(target)}, {within} of {len(sizes)}")
    return f"{'; '.join(parts)}." if parts else ""


def _costs(rows: Iterable[Row]) -> list[float]:
    """What the release noise costs, points of test accuracy, where it is added at the end."""
    return [cost for row in rows if (cost := mean(row, "noise_cost")) is not None]


def _line(title: str, target: Target, rows: list[Row]) -> Line:
    near, far = rows[0], rows[-1]
    costs = _costs(rows)
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
            Cell(span(costs) if costs else NOTHING),
            Cell(seeds(rows)),
        ),
    )
