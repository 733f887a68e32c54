"""How do the scores that Zhang et al. (2024) report come out here?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from leaderboard.answers.answer import Answer, counted, seeds, unanswered
from leaderboard.model.numbers import Estimate, arithmetic, measured, number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import PAPER, Evidence, Row, Table, tables_of

ORDER = 130
SLUG = "answer-paper"
QUESTION = "How do the scores that Zhang et al. (2024) report come out here?"
COMMAND = "make paper RESULTS=leaderboard/results"

_COLUMNS = (
    "reported (%)",
    "this board (%)",
    "retraining here (%)",
    "less what is reported (points)",
    "seeds",
)
#: The paper's noise, per weight, and the method that stands for its own: other rows may fix a
#: sigma as well.
_SIGMA = 1e-3
_METHOD = "newton"
#: The rows that the paper scores, each with the metric that is its micro-F1: with one label a row
#: that is accuracy.
_PARTS = {
    "forgotten": "accuracy_forget",
    "retained": "accuracy_retain",
    "test": "accuracy_test",
}


@dataclass(frozen=True)
class Reported:
    """What the paper reports of its certified unlearning on one problem.

    The numbers are those of the paper: Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep
    Neural Networks (ICML 2024).

    Attributes:
        title: of the problem, as there.
        data, model: their names here.
        scores: micro-F1 in % on the forgotten, the retained and the test rows.
        differs: what is different here.
    """

    title: str
    data: str
    model: str
    scores: tuple[float, float, float]
    differs: str


REPORTED = (
    Reported(
        "MNIST, MLP",
        "mnist",
        "mlp",
        (97.60, 98.28, 97.37),
        "5,000 of the 60,000 rows are held back from training, for attacks",
    ),
    Reported(
        "CIFAR-10, AllCNN",
        "cifar10",
        "allcnn",
        (87.83, 90.68, 83.04),
        "5,000 of the 50,000 rows are held back from training, for attacks; GroupNorm and SiLU "
        "stand where the paper has BatchNorm and ReLU; the learning rate has a schedule, and "
        "training rows are augmented",
    ),
    Reported(
        "SVHN, ResNet-18",
        "svhn-part",
        "resnet18",
        (93.73, 94.61, 92.94),
        "30,000 of the first 45,000 training crops are trained on, and test rows are held out of "
        "these by photograph; GroupNorm and SiLU stand where the paper has BatchNorm and ReLU; the "
        "learning rate has a schedule, and training rows are augmented",
    ),
)


def answer(evidence: Evidence) -> Answer:
    """Every score that the paper reports, beside ours where there is one."""
    tables = [t for t in tables_of(evidence.tables, PAPER) if t.known.profile is None]
    found = [(one, ours) for one in REPORTED if (ours := _ours(one, tables))]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    absent = [one.title for one in REPORTED if not _ours(one, tables)]
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(_points(found)),
        notes=("What the noise proves is in the verdict of the row.",),
        missing=f"Not run here: {'; '.join(absent)}. The nets need a GPU." if absent else "",
        command=COMMAND if absent else "",
        lines="Rows",
        grid=grid(_COLUMNS, [line for one in REPORTED for line in _lines(one, tables)]),
    )


def _ours(one: Reported, tables: list[Table]) -> tuple[Row, Row | None] | None:
    """The Newton step with the paper's noise, and retraining; None where it did not run."""
    for table in tables:
        if (table.known.data, table.known.model) != (one.data, one.model):
            continue
        for row in entries(table):
            if row.done and _is_papers(row):
                retrained = [r for r in table.rows if r.role == "reference" and r.done]
                return row, retrained[0] if retrained else None
    return None


def _is_papers(row: Row) -> bool:
    methods = [record.method for record in row.found]
    return all(m.name == _METHOD and m.params.get("sigma") == _SIGMA for m in methods)


def _points(found: list[tuple[Reported, tuple[Row, Row | None]]]) -> Iterator[str]:
    """Points on how far off we are, and what is different here."""
    yield (
        f"Zhang et al. (ICML 2024) report {counted(len(REPORTED), 'problem')}. {len(found)} of "
        "them ran here, close to that setting."
    )
    yield f"Our scores minus the reported ones are {span(_differences(found))} points."
    yield from (f"On {one.title}, {one.differs}." for one, _ in found)
    yield (
        "The step is solved, where the paper estimates it by LiSSA. The noise has the size that "
        f"the paper gives it, {_SIGMA:g}."
    )


def _short(found: list[tuple[Reported, tuple[Row, Row | None]]]) -> str:
    titles = "; ".join(one.title for one, _ in found)
    apart = number(max(map(abs, _differences(found))), 2)
    ran = f"{len(found)} of {counted(len(REPORTED), 'problem')} ran"
    return f"Within {apart} points of those reported on {titles}; {ran}."


def _differences(found: list[tuple[Reported, tuple[Row, Row | None]]]) -> list[float]:
    """Our scores minus the reported ones, points."""
    return [
        ours.mean - reported
        for one, (row, _) in found
        for key, reported in zip(_PARTS.values(), one.scores, strict=True)
        if (ours := _score(row, key))
    ]


def _lines(one: Reported, tables: list[Table]) -> Iterator[Line]:
    ours = _ours(one, tables)
    for (part, key), reported in zip(_PARTS.items(), one.scores, strict=True):
        yield Line(f"{one.title}: {part}", "", _cells(key, reported, ours))


def _cells(key: str, reported: float, ours: tuple[Row, Row | None] | None) -> tuple[Cell, ...]:
    if ours is None:
        return (Cell(f"{reported:.2f}"), *(Cell("not run") for _ in _COLUMNS[1:]))
    row, retrained = ours
    there = _score(row, key)
    return (
        Cell(f"{reported:.2f}"),
        Cell(_shown(there)),
        Cell(_shown(_score(retrained, key) if retrained else None)),
        Cell(NOTHING if there is None else number(there.mean - reported)),
        Cell(seeds([row])),
    )


def _score(row: Row, key: str) -> Estimate | None:
    """The row's accuracy over seeds, %, of which the board has no column."""
    values = [v.value for record in row.done.values() if (v := record.metrics.get(key))]
    found = [value for value in values if value is not None]
    return arithmetic(found) if found else None


def _shown(score: Estimate | None) -> str:
    if score is None:
        return NOTHING
    value, spread = measured(score.mean, score.spread)
    return f"{value} ± {spread}" if spread else value
