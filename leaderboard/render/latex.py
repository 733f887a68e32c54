"""A table as LaTeX, and papers as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

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
