"""The result of an evaluation: a row for each method, in numbers and in formats to publish."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.contract.claim import Claim, Verdict
from benchmark.contract.definition import find
from benchmark.errors import LetheError, present
from benchmark.files import as_bytes, replace_file
from benchmark.metrics.metric import discover
from leaderboard.model import table as board
from leaderboard.model.columns import BY_KEY, CONTROLS
from leaderboard.model.numbers import Estimate, measured, number
from leaderboard.model.table import any_column
from leaderboard.render.pages import pipe_table
from leaderboard.render.tables import render_seeds, tabular

if TYPE_CHECKING:
    import pandas

_NOTHING = "–"
#: Columns of the table: key and heading.
_OF_CLASSES = (
    ("accuracy_test", "Test accuracy (%)"),
    ("accuracy_test_gap", "Test gap (points)"),
)
#: The same of a real target, in whose units the second one is.
_OF_NUMBERS = (
    ("r2_test", "Test R² (%)"),
    ("r2_test_gap", "R² gap (points)"),
    ("rmse_test", "Test RMSE"),
)
_COLUMNS = (
    ("speedup", "Speed-up (×)"),
    ("precomputation", "Once (s)"),
    ("noise_cost", "Noise cost (points)"),
    ("slack", "Slack"),
)
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse}th,td{padding:.3rem .7rem;text-align:right}"
    "th:first-child,td:first-child,td:nth-child(2){text-align:left}"
    "thead th{border-bottom:2px solid}tbody tr{border-bottom:1px solid #8884}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


@dataclass(frozen=True)
class Row:
    """One method on the problem, over its seeds.

    Attributes:
        method: its label, by which the table finds it.
        title: for people.
        verdict: how far to believe the claim, the weakest over seeds: `exact`, `proved`,
            `conditional`, `pair`, `vacuous`, or `none`.
        claim: of the first seed; None if there is none.
        failure: why it has no number; "" if it has.
        caveats: hypotheses that are false or were not checked.
    """

    method: str
    title: str
    verdict: Verdict
    claim: Claim | None
    failure: str
    caveats: tuple[str, ...]
    _row: board.Row
    _columns: tuple[tuple[str, str], ...] = (*_OF_CLASSES, *_COLUMNS)

    def __getitem__(self, key: str) -> Estimate | None:
        """A column's mean over seeds and its 95 % interval; None without a number.

        Of a real target a column of accuracy has no number, nor has one of R² of classes. A metric
        of what the releases predict is a column for each part of the data, such as
        `calibration.test` or `class_accuracy.forget.3`.

        Raises:
            LetheError: if there is no such column.
        """
        column = any_column(key)
        if column is None:
            known = [*BY_KEY, *(f"{name}.test" for name in discover())]
            raise LetheError(f"no column '{key}': there is {', '.join(known)}")
        return self._row.estimate(column)

    @property
    def of_number(self) -> bool:
        """Whether a real number is predicted, and R² takes the place of accuracy."""
        return "r2_test" in dict(self._columns)

    @property
    def epsilon(self) -> float | None:
        """The largest over seeds."""
        return max((claim.epsilon for claim in self._row.claims), default=None)

    @property
    def over_control(self) -> bool:
        """Whether it beats each of its controls by the interval, as on the board.

        Controls are the same noise from zero weights, and what public rows give alone. A row
        without any is over them. One seed has no interval and shows nothing.
        """
        found = filter(None, map(self.__getitem__, CONTROLS))
        return all(one.spread is not None and one.mean - one.spread > 0 for one in found)

    @property
    def violations(self) -> list[str]:
        """Measurements that the claim rules out."""
        return [text for texts in self._row.violations.values() for text in texts]

    def numbers(self) -> dict[str, Any]:
        """The row as numbers: means, and the ends of their intervals where there are any."""
        found: dict[str, Any] = {
            "method": self.method,
            "title": self.title,
            "verdict": self.verdict,
            "epsilon": self.epsilon,
            "delta": None if self.claim is None else self.claim.delta,
        }
        for key, _ in self._columns:
            estimate = self[key]
            low, high = _ends(estimate, ratio=BY_KEY[key].ratio)
            mean = None if estimate is None else estimate.mean
            found |= {key: mean, f"{key}_low": low, f"{key}_high": high}
        return found | {"over_control": self.over_control, "failure": self.failure}

    def texts(self) -> list[str]:
        """The row as people read it, a text a column."""
        verdict = ("failed" if self.failure else self.verdict) + (
            ", violated" if self.violations else ""
        )
        epsilon = _NOTHING if self.epsilon is None else number(self.epsilon)
        cells = [_text(self[key], key) for key, _ in self._columns]
        return [self.title, verdict, epsilon, *cells]


@dataclass(frozen=True, eq=False)
class Table:
    """The answers of some methods to one request.

    Attributes:
        title: for people.
        settings: the problem in words.
        rows: in the order in which they were asked for.
        records: the folder of the records; None where it was a temporary one.
    """

    title: str
    settings: dict[str, str]
    rows: tuple[Row, ...]
    records: Path | None = None
    _found: board.Table | None = field(default=None, repr=False)

    @classmethod
    def of(cls, found: board.Table, order: Sequence[str], records: Path | None = None) -> Table:
        """What a folder of records holds of one experiment.

        Args:
            found: its table.
            order: labels of the rows, first to last.
            records: where they are kept.
        """
        columns = _columns(found)
        rows = {row.label: _row(row, columns) for row in found.rows}
        return cls(
            found.title, found.settings, tuple(rows[label] for label in order), records, found
        )

    def __getitem__(self, method: str) -> Row:
        """The row of a method.

        Raises:
            LetheError: if there is none.
        """
        rows = {row.method: row for row in self.rows}
        if method not in rows:
            raise LetheError(f"no row '{method}': there is {', '.join(rows)}")
        return rows[method]

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pandas.DataFrame:
        """A data frame, a row a method, with the ends of every interval."""
        import pandas

        return pandas.DataFrame([row.numbers() for row in self.rows]).set_index("method")

    def to_csv(self, path: str | Path | None = None) -> str:
        """CSV with a line for each row and seed, and every metric there is.

        Args:
            path: of a file to write it to.

        Raises:
            LetheError: if it cannot be written.
        """
        text = render_seeds([present(self._found)])
        if path is not None:
            replace_file(Path(path), as_bytes(text))
        return text

    def to_markdown(self) -> str:
        """A table in Markdown."""
        marks = ["---"] * 3 + ["--:"] * (len(self._headings) - 3)
        return pipe_table([self._headings, marks, *self._texts])

    def to_latex(self) -> str:
        """A tabular for a paper that loads booktabs."""
        return tabular(self._headings, [("", line) for line in self._texts])

    def to_html(self, path: str | Path | None = None) -> str:
        """A page that stands alone: the table, and what each row claims and assumes.

        Args:
            path: of a file to write it to.

        Raises:
            LetheError: if it cannot be written.
        """
        text = html.escape
        said = "".join(f"<li>{text(k)}: {text(v)}</li>" for k, v in self.settings.items())
        notes = "".join(f"<li><b>{text(t)}</b>: {text(n)}</li>" for t, n in self._notes)
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{text(self.title)}'
            f"</title><style>{_STYLE}</style><h1>{text(self.title)}</h1>{self._repr_html_()}"
            f"<h2>What each row says</h2><ul>{notes}</ul><h2>Settings</h2><ul>{said}</ul></html>\n"
        )
        if path is not None:
            replace_file(Path(path), as_bytes(page))
        return page

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(heading)}</th>" for heading in self._headings)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>"
            for line in self._texts
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __str__(self) -> str:
        """The table in columns, and below it why rows failed."""
        lines = [list(self._headings), *self._texts]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)) for line in lines]
        failures = [f"{row.title}: {row.failure}" for row in self.rows if row.failure]
        return "\n".join(text.rstrip() for text in [*texts, *failures])

    __repr__ = __str__

    @property
    def _headings(self) -> tuple[str, ...]:
        return ("Method", "Verdict", "ε", *(heading for _, heading in _columns(self._found)))

    @cached_property
    def _texts(self) -> list[list[str]]:
        return [row.texts() for row in self.rows]

    @property
    def _notes(self) -> list[tuple[str, str]]:
        """Titles of rows, each with a statement about it."""
        found = []
        for row in self.rows:
            if row.failure:
                found.append((row.title, row.failure))
            elif row.claim is None:
                found.append((row.title, "claims nothing"))
            else:
                found.append((row.title, f"{find(row.claim.definition).words} {_stated(row)}"))
            found += [(row.title, text) for text in (*row.caveats, *row.violations)]
        return found


def _columns(found: board.Table | None) -> tuple[tuple[str, str], ...]:
    """Key and heading of each column, the units of a real target in its own."""
    name = None if found is None or found.facts is None else found.facts.number
    if name is None:
        return (*_OF_CLASSES, *_COLUMNS)
    *others, (key, heading) = _OF_NUMBERS
    return (*others, (key, f"{heading} ({name})"), *_COLUMNS)


def _row(row: board.Row, columns: tuple[tuple[str, str], ...]) -> Row:
    failed = [r.failure.message for r in row.failed.values() if r.failure is not None]
    claim = row.claims[0] if row.claims else None
    caveats = dict.fromkeys(text for one in row.claims for text in one.caveats)
    failure = failed[0] if failed else ("not run" if row.void else "")
    return Row(row.label, row.title, row.verdict, claim, failure, tuple(caveats), row, columns)


def _stated(row: Row) -> str:
    claim = present(row.claim)
    return f"({claim.epsilon:.3g}, {claim.delta:g}), {row.verdict}."


def _ends(estimate: Estimate | None, *, ratio: bool) -> tuple[float | None, float | None]:
    """The ends of an interval; None where there is none."""
    if estimate is None or estimate.spread is None:
        return None, None
    mean, spread = estimate.mean, estimate.spread
    return (mean / spread, mean * spread) if ratio else (mean - spread, mean + spread)


def _text(estimate: Estimate | None, key: str) -> str:
    if estimate is None:
        return _NOTHING
    if BY_KEY[key].ratio:
        spread = f" ×÷ {number(estimate.spread)}" if estimate.spread else ""
        return number(estimate.mean) + spread
    mean, spread = measured(estimate.mean, estimate.spread, signed=key.endswith("_gap"))
    return f"{mean} ± {spread}" if spread else mean
