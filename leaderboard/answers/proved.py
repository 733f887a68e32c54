"""Which methods are proved, what do they cost in accuracy, and how long do they take?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from benchmark.contract.claim import Target
from leaderboard.answers.answer import (
    TARGETS,
    Answer,
    cell,
    counted,
    folded,
    name,
    pair,
    problem,
    seeds,
    single,
)
from leaderboard.answers.utility import COMMAND, missing
from leaderboard.charts import costs
from leaderboard.model.ranking import Offer, entries, front, offers
from leaderboard.model.section import Cell, Chart, Line, grid
from leaderboard.model.shown import definitions, erases_the_model
from leaderboard.model.table import Evidence, Row, Table

ORDER = 20
SLUG = "answer-proved"
QUESTION = "Which methods are proved, what do they cost in accuracy, and how long do they take?"

_COLUMNS = (
    "(ε, δ)",
    "verdict",
    "definition",
    "test gap (points)",
    "noise cost (points)",
    "time (s)",
    "speed-up (×)",
    "Pareto front",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every row proved at a target, and the Pareto front of each problem's certified rows."""
    problems = [(table, found) for table in evidence.problems if _contested(found := offers(table))]
    best = {(table.slug, offer.row.label) for table, found in problems for offer in front(found)}
    lines = {
        target: [
            _line(table, row, target, (table.slug, row.label) in best)
            for table in evidence.problems
            for row in single(table, target)
        ]
        for target in TARGETS
    }
    ahead = _ahead(evidence, problems)
    unmet = [target for target in TARGETS if not lines[target]]
    methods = filter(None, (_methods(evidence, target) for target in TARGETS))
    return Answer(
        SLUG,
        QUESTION,
        short=_short(evidence, ahead),
        points=tuple(_points(evidence, ahead)),
        folds=folded(f"{SLUG}-methods", "The methods, with the number of problems", methods),
        missing=missing(unmet),
        command=COMMAND if unmet else "",
        lines="Row",
        grid=grid(_COLUMNS, [line for found in lines.values() for line in found])
        if any(lines.values())
        else None,
        charts=_charts([(problem(table), found) for table, found in problems]),
    )


def _contested(found: list[Offer]) -> bool:
    """Whether an entry says something that could be on the front."""
    return any(offer.competes and offer.row.role == "entry" for offer in found)


def _charts(problems: list[tuple[str, list[Offer]]]) -> tuple[Chart, ...]:
    if not problems:
        return ()
    return (Chart("plots/pareto.svg", costs.PARETO, costs.draw_pareto, (problems,)),)


def _points(evidence: Evidence, ahead: dict[tuple[str, str], Offer]) -> Iterator[str]:
    """Problems of the rows ahead of retraining, and the rows that are not listed."""
    if listed := _keys(evidence):
        erasing = sum(erases_the_model(offer.row) for offer in ahead.values())
        yield (
            f"The rows on the front are on {len(_slugs(ahead))} of "
            f"{counted(len(_slugs(listed)), 'problem')}, and {erasing} of them erase the model."
        )
        yield "Gaps are to retraining without noise, whatever the definition."
    if pairs := sum(row.verdict == "pair" for t in evidence.problems for row in entries(t)):
        yield (
            f"Not listed: {counted(pairs, 'row')} about one pair of Gaussians only. Their noise is "
            "made for that very request, so that they are yardsticks and prove no unlearning."
        )


def _ahead(
    evidence: Evidence, problems: list[tuple[Table, list[Offer]]]
) -> dict[tuple[str, str], Offer]:
    """The listed rows on a front that are faster than retraining and lose nothing."""
    listed = _keys(evidence)
    best = [(table.slug, offer) for table, found in problems for offer in front(found)]
    return {
        key: offer
        for slug, offer in best
        if (key := (slug, offer.row.label)) in listed and offer.lost <= 0 and offer.time < 1
    }


def _keys(evidence: Evidence) -> set[tuple[str, str]]:
    """Slug and label of every row that the answer has a line for."""
    return {(t.slug, row.label) for t in evidence.problems for row in _listed(t)}


def _listed(table: Table) -> list[Row]:
    """The rows that the answer has a line for."""
    return [row for target in TARGETS for row in single(table, target)]


def _slugs(keys: Iterable[tuple[str, str]]) -> set[str]:
    """The tables of some rows."""
    return {slug for slug, _ in keys}


def _methods(evidence: Evidence, target: Target) -> str:
    """On how many problems each method is proved, the most often first."""
    count: dict[str, int] = {}
    for table in evidence.problems:
        for title in {row.title for row in single(table, target)}:
            count[title] = count.get(title, 0) + 1
    ordered = sorted(count, key=lambda title: (-count[title], title))
    if not ordered:
        return ""
    listed = ", ".join(f"{title} ({count[title]})" for title in ordered)
    return f"Proved or exact at {pair(target)}: {listed}."


def _short(evidence: Evidence, ahead: dict[tuple[str, str], Offer]) -> str:
    """Numbers of methods that are proved at each target, and of rows ahead of retraining."""
    parts: list[str] = []
    for target in TARGETS:
        rows = [row.title for table in evidence.problems for row in single(table, target)]
        if rows:
            (title, most), *rest = Counter(rows).most_common(2)
            alone = not rest or rest[0][1] < most
            widest = f", {title} on the most problems ({most})" if alone else ""
            methods = counted(len(set(rows)), "method")
            at = pair(target) if parts else f"(ε, δ) = {pair(target)}"
            parts.append(f"At {at}, {methods} are proved or exact{widest}.")
    if every := len(_keys(evidence)):
        parts.append(
            f"{len(ahead)} of their {counted(every, 'row')} are on the Pareto front, faster than "
            "retraining and no less accurate on average."
        )
    return " ".join(parts)


def _line(table: Table, row: Row, target: Target, on_front: bool) -> Line:
    return Line(
        f"{problem(table)}: {name(row)}",
        "",
        (
            Cell(pair(target)),
            Cell(row.verdict),
            Cell(definitions(row)),
            cell(row, "accuracy_test_gap"),
            cell(row, "noise_cost"),
            cell(row, "unlearn"),
            cell(row, "speedup"),
            Cell("yes" if on_front else "no", best=on_front),
            Cell(seeds([row])),
        ),
    )
