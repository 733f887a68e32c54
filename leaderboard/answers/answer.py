"""A question about the records, and what they say to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from benchmark.contract.claim import Target
from benchmark.errors import present
from benchmark.records import Record
from leaderboard.model.columns import BY_KEY, TEST_GAP
from leaderboard.model.ranking import entries, keeps
from leaderboard.model.section import (
    Cell,
    Chart,
    Grid,
    Missing,
    Part,
    Section,
    bullets,
    paragraph,
)
from leaderboard.model.shown import erases_the_model, shown
from leaderboard.model.table import NOT_RUN, Row, Table
from leaderboard.model.words import BADGES

#: The (epsilon, delta) that claims are asked for; the board's questions are put at these two.
TARGETS = (Target(epsilon=1.0, delta=1e-5), Target(epsilon=8.0, delta=1e-5))

#: Rows of a table that is not folded.
_LONG = 14
_GUARANTEED = ("exact", "proved")
#: A mean of exact cancellations comes out as some 1e-15.
_NOTHING = 1e-12
#: The board's columns by key. A question about test gaps is put to both kinds of targets: to
#: accuracy, and to R² where the target is a number.
_COLUMNS = BY_KEY | {"accuracy_test_gap": TEST_GAP}


@dataclass(frozen=True)
class Answer:
    """What the records say to one question.

    Attributes:
        slug: its name in addresses.
        question: in words.
        short: the answer with its figure, in a sentence or two; "" where no record answers.
        points: what else the records say, one thought each.
        notes: how to read that, and what it does not say.
        folds: lists that are too long to stand among the points.
        missing: what there is no record of, in whole sentences.
        command: what makes the records that are missing; "" if none are.
        lines: what a line of `grid` stands for.
    """

    slug: str
    question: str
    short: str = ""
    points: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folds: tuple[Section, ...] = ()
    missing: str = ""
    command: str = ""
    lines: str = ""
    grid: Grid | None = None
    charts: tuple[Chart, ...] = ()

    @property
    def section(self) -> Section:
        """The answer as the board shows it: first the answer, then what it rests on."""
        said = (*paragraph(self.short), *bullets(self.points), *bullets(self.notes, "quiet"))
        missing = (Missing(self.missing, self.command),) if self.missing else ()
        tables = (self._table(self.grid),) if self.grid else ()
        return Section(
            self.slug,
            self.question,
            parts=(*said, *self.folds, *missing, *self.charts, *tables),
            summary=self.short,
        )

    def _table(self, grid: Grid) -> Part:
        """The table, folded where it is long."""
        named = replace(grid, name=self.lines, caption=self.question)
        if len(named.lines) <= _LONG:
            return named
        heading = f"The table: {len(named.lines)} rows"
        return Section(f"{self.slug}-table", heading, parts=(named,), folded=True)


def unanswered(slug: str, question: str, command: str) -> Answer:
    """The answer where there is no record at all."""
    return Answer(slug, question, missing="No record answers this yet.", command=command)


def folded(slug: str, heading: str, items: Iterable[str]) -> tuple[Section, ...]:
    """A list under a heading that a page shows alone; nothing where there are no items."""
    parts = bullets(tuple(items))
    return (Section(slug, heading, parts=parts, folded=True),) if parts else ()


def problem(table: Table) -> str:
    """The table's title, with the device unless that is a CPU."""
    plain = table.device in ("cpu", NOT_RUN)
    return table.title if plain else f"{table.title} ({table.device})"


def in_stream(record: Record) -> bool:
    """Whether it answered more than one request."""
    return bool(record.stream) or record.asked.forget.requests > 1


def streamed(row: Row) -> bool:
    """Whether the row answered one request after the other."""
    return any(in_stream(record) for record in row.done.values())


def guaranteed(row: Row, target: Target | None = None) -> bool:
    """Whether an entry is proved, or exact, on all seeds that it has, and nothing refutes it.

    Args:
        row: of a table.
        target: whose (epsilon, delta) every seed was asked for and keeps; None for what was
            asked for, whatever.
    """
    if row.role != "entry" or row.verdict not in _GUARANTEED or row.violations:
        return False
    return all(_keeps(record, target) for record in row.done.values())


def _keeps(record: Record, target: Target | None) -> bool:
    asked, claim = record.asked.target, record.claim
    if asked is None or claim is None:
        return False
    if target is not None and (asked.epsilon, asked.delta) != (target.epsilon, target.delta):
        return False
    return keeps(claim, asked.epsilon, asked.delta)


def single(table: Table, target: Target | None = None) -> list[Row]:
    """The rows that are `guaranteed` and answered one request, in the table's order."""
    return [row for row in entries(table) if guaranteed(row, target) and not streamed(row)]


def named(tables: Iterable[Table], wanted: Callable[[Row], bool]) -> list[tuple[str, Row]]:
    """The entries that are `wanted`, each under its problem's name and its own."""
    return [
        (f"{problem(table)}: {row.title}", row)
        for table in tables
        for row in entries(table)
        if wanted(row)
    ]


def verdict(row: Row) -> str:
    """The row's verdict as the board calls it, and whether something refutes it."""
    return BADGES[row.verdict] + (", violated" if row.violations else "")


def name(row: Row) -> str:
    """The row's title, with a warning where its noise-only control does as well."""
    return f"{row.title} (erases the model)" if erases_the_model(row) else row.title


def mean(row: Row, key: str) -> float | None:
    """Over the row's seeds; None without a number. What is round-off of 0 is 0."""
    estimate = row.estimate(_COLUMNS[key])
    if estimate is None:
        return None
    return estimate.mean if abs(estimate.mean) > _NOTHING else 0.0


def number_of(row: Row, key: str) -> float:
    """The mean of a row that was chosen because it has one."""
    return present(mean(row, key))


def cell(row: Row, key: str) -> Cell:
    """A row's number as the tables have it."""
    return Cell(shown(row, _COLUMNS[key]).line)


def seeds(rows: Iterable[Row]) -> str:
    """How many seeds the rows have, of how many; the range where they differ."""
    done = sorted({(len(row.done), len(row.cells)) for row in rows})
    texts = [f"{count} of {planned}" for count, planned in done]
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def pair(target: Target) -> str:
    """The target as the board writes it, e.g. (1, 1e-5)."""
    power = f"{target.delta:.0e}".replace("e-0", "e-")
    return f"({target.epsilon:g}, {power})"


def counted(count: int, word: str) -> str:
    """E.g. `1 row`, `2 rows`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
