"""A table as LaTeX, for a paper that loads booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

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
