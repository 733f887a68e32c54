"""Tables as LaTeX and CSV, and papers as BibTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from benchmark.contract.claim import Claim, Evidence
from benchmark.contract.guarantee import Guarantee
from benchmark.records import Record, Value
from leaderboard.model.columns import COLUMNS, Column
from leaderboard.model.ranking import in_order
from leaderboard.model.table import Row, Table, predicted_column

# A table as LaTeX, for a paper that loads booktabs.

#: What a backslash in front makes plain.
SPECIAL = {c: rf"\{c}" for c in "&%$#_{}"}
_TEX = {
    "\\": r"\textbackslash{}",
    **SPECIAL,
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "±": r"$\pm$",
    "≤": r"$\le$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "σ": r"$\sigma$",
    "–": "--",
    "\N{NO-BREAK SPACE}": "~",
}
_POWER = re.compile("10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def tex(text: str) -> str:
    """The text with what is special to LaTeX escaped, and signs and powers as mathematics."""
    parts = _POWER.split(text)
    found = ["".join(_TEX.get(c, c) for c in part) for part in parts[::2]]
    powers = [f"$10^{{{part.translate(_DIGITS)}}}$" for part in parts[1::2]]
    whole = "".join(a + b for a, b in zip(found, [*powers, ""], strict=True))
    return whole.replace("$$", "")


def tabular(headings: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A tabular of texts.

    Args:
        headings: of the columns.
        lines: each the group that it stands under, "" for none, and a text a column.
    """
    columns = "l" * len(headings)
    rows = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _row(headings),
    ]
    for group, members in groupby(lines, key=lambda line: line[0]):
        rows.append("\\midrule")
        if group:
            rows.append(f"\\multicolumn{{{len(headings)}}}{{l}}{{\\emph{{{tex(group)}}}}} \\\\")
        rows += [_row(texts) for _, texts in members]
    return "\n".join([*rows, "\\bottomrule", "\\end{tabular}", ""])


def _row(texts: Sequence[str]) -> str:
    return " & ".join(map(tex, texts)) + " \\\\"


# Papers as BibTeX, from the one line that methods name them by.

# Authors: Title (Where 2024), and perhaps a remark
_PAPER = re.compile(
    r"(?P<authors>[^:]+): (?P<title>.+?) \((?P<where>[^()]*?) ?(?P<year>\d{4})\)(?P<remark>.*)"
)
_ARXIV = re.compile(r"https?://arxiv\.org/abs/(?P<number>[\d.]+)")
_SPECIAL = str.maketrans(SPECIAL)


@dataclass(frozen=True)
class Entry:
    """A paper's entry and the key that a text cites it by."""

    key: str
    text: str


def entry(paper: str, url: str) -> Entry:
    """The entry of a paper, e.g. `Zhang, Li: A Title (ICML 2024)`; what has no author is a title.

    Args:
        paper: as a method names it.
        url: of the paper; "" for none.
    """
    found = _PAPER.fullmatch(" ".join(paper.split()))
    if found is None:
        fields = {"title": f"{{{_tex(paper)}}}"}
        key = "-".join(re.findall(r"[a-z0-9]+", paper.casefold())[:4]) or "untitled"
    else:
        names = found["authors"].replace(" et al.", ", others").split(", ")
        fields = {
            "author": _tex(" and ".join(names)),
            "title": f"{{{_tex(found['title'])}}}",
            "howpublished": _tex(found["where"].strip()),
            "year": found["year"],
            "note": _tex(found["remark"].lstrip(", ")),
        }
        key = _key(names[0], found["year"], found["title"])
    if arxiv := _ARXIV.fullmatch(url):
        fields |= {"eprint": arxiv["number"], "archivePrefix": "arXiv"}
    fields["url"] = url
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return Entry(key, "\n".join([f"@misc{{{key},", *lines, "}"]))


def _key(author: str, year: str, title: str) -> str:
    word = next((w for w in re.findall(r"[a-z]+", title.casefold()) if len(w) > 3), "")
    return re.sub(r"[^a-z0-9]", "", author.casefold().split(" ")[-1]) + year + word


def _tex(text: str) -> str:
    return text.translate(_SPECIAL)


# The board as CSV, raw numbers: a line a row of a table, and a line a seed.


def _from_claim(key: str, read: Callable[[Claim], float | None]) -> Column:
    def value(record: Record) -> Value | None:
        return None if record.claim is None else Value(value=read(record.claim))

    return Column(key, key, "", "", value)


def _from_evidence(key: str) -> Column:
    return _from_claim(key, lambda claim: getattr(claim.evidence, key, None))


_COLUMNS = (
    _from_claim("epsilon", lambda claim: claim.epsilon),
    _from_claim("delta", lambda claim: claim.delta),
    _from_claim("m", lambda claim: claim.guarantee.m),
    *map(_from_evidence, ("bound", "sigma", "reached")),
    *COLUMNS,
)


def render_csv(tables: list[Table]) -> str:
    """One line for each row of each table, after a line of names.

    A column gives three fields: mean, half-width of the 95 % interval and number of seeds; the
    geometric mean has the interval's factor in place of the half-width.
    """
    return _written(_line(table, row) for table in tables for row in in_order(table))


def render_seeds(tables: list[Table]) -> str:
    """One line for each seed of each row that has a record, after a line of names."""
    return seeds_of((table, row) for table in tables for row in in_order(table))


def seeds_of(rows: Iterable[tuple[Table, Row]]) -> str:
    """The same of some rows, each with its table.

    Metrics of kept predictions have columns where some record of these rows has them; the others
    then say that nothing was kept of them.
    """
    rows = list(rows)
    names = {name for _, row in rows for record in row.found for name in record.metrics}
    further = [column for name in sorted(names) if (column := predicted_column(name))]
    return _written(
        _seed(table, row, record, further) for table, row in rows for record in row.found
    )


def _written(lines: Iterable[dict[str, object]]) -> str:
    """The lines as CSV; the first one has the names of all."""
    file = io.StringIO()
    lines = iter(lines)
    first = next(lines, {})
    writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
    writer.writeheader()
    writer.writerows(line for line in chain([first], lines) if line)
    return file.getvalue()


def _seed(table: Table, row: Row, record: Record, further: list[Column]) -> dict[str, object]:
    """Every metric of a record; of a failed one, that it failed."""
    done = record.status == "ok"
    found = {c.key: c.read(record) if done else None for c in _COLUMNS}
    read = {c.key: c.read(record) if done else None for c in further}
    kept = {
        key: "" if value is None else value.note or _raw(value.value) for key, value in read.items()
    }
    return (
        {
            "experiment": table.experiment,
            "device": table.device,
            "role": row.role,
            "label": row.label,
            "seed": record.seeds.split,
            "status": record.status,
            "verdict": record.verdict if done else "",
            "definition": record.claim.definition if done and record.claim else "",
        }
        | {key: _raw(value.value if value else None) for key, value in found.items()}
        | kept
    )


def _line(table: Table, row: Row) -> dict[str, object]:
    method = row.found[0].method if row.found else None
    line: dict[str, object] = {
        "experiment": table.experiment,
        "device": table.device,
        "role": row.role,
        "label": row.label,
        "title": row.title,
        "method": method.name if method else "",
        "paper": method.paper if method else "",
        "url": method.url if method else "",
        "params": json.dumps(method.params, sort_keys=True) if method else "",
        "status": row.void or ("complete" if row.complete else "incomplete"),
        "verdict": row.verdict,
        "violated": "; ".join(dict.fromkeys(x for texts in row.violations.values() for x in texts)),
        "definition": ", ".join(row.definitions),
        "guarantee": _kinds(claim.guarantee for claim in row.claims),
        "evidence": _kinds(claim.evidence for claim in row.claims),
        "seeds_planned": len(row.cells),
        "seeds_ok": len(row.done),
        "seeds_failed": len(row.failed),
        "seeds_missing": len(row.missing),
    }
    for column in _COLUMNS:
        mean, spread = ("geometric_mean", "factor") if column.ratio else ("mean", "half_width")
        estimate = row.estimate(column)
        line[f"{column.key}_{mean}"] = _raw(estimate.mean if estimate else None)
        line[f"{column.key}_{spread}"] = _raw(estimate.spread if estimate else None)
        line[f"{column.key}_n"] = estimate.n if estimate else 0
    return line


def _kinds(parts: Iterable[Guarantee | Evidence]) -> str:
    return ", ".join(sorted({part.kind for part in parts}))


def _raw(value: float | None) -> str:
    # ten digits: the last ones of a double differ between versions of the maths library
    return "" if value is None else f"{value:.10g}"
