"""How the project puts things into words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("baselines", "benches", "benchmark", "docs", "leaderboard", "lethe", "methods", "tests")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(package: str) -> Iterator[tuple[str, str]]:
    """Each docstring of a package, and the file and line of what it describes."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.parametrize("package", PACKAGES)
def test_a_docstring_begins_with_a_noun_or_a_verb(package: str) -> None:
    stumbling = [
        f"{place} begins with '{found[0]}'"
        for place, text in docstrings(package)
        if (found := re.match(r"(Of|That of|Those of|This of)\b", text))
    ]
    assert not stumbling
