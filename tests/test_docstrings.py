"""Docstrings begin as they should, their examples run, and every public name has one."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmark

# --- How the project puts things into words ------------------------------------------------------

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


# --- The examples in docstrings run, and every public name has one -------------------------------

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for package in ("benchmark", "lethe", "methods", "baselines")
    for path in (ROOT / package).rglob("*.py")
    if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str) -> None:
    done = doctest.testmod(importlib.import_module(module), optionflags=FLAGS)
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize("name", benchmark.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in getattr(benchmark, name).__doc__
