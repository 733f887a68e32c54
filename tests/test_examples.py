"""The examples in docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import benchmark

ROOT = Path(__file__).resolve().parents[1]
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
