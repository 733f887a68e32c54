"""`import lethe`: every public name is there, and what it costs to import."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lethe
from benchmark.runner.theory_source import Theory
from benchmark.syntax import parsed

ROOT = Path(__file__).resolve().parents[1]


def python(*arguments: str, cwd: Path = ROOT) -> str:
    """What Python prints, started in a folder of its own."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def test_every_name_is_there_and_has_words() -> None:
    assert sorted(lethe._MODULES) == lethe.__all__
    assert set(lethe.__all__) <= set(dir(lethe))
    for name in lethe.__all__:
        assert inspect.getdoc(getattr(lethe, name)), name
    with pytest.raises(AttributeError, match="no attribute 'Methods'"):
        lethe.Methods  # noqa: B018


def test_it_waits_for_no_numerical_library(tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'sklearn', 'pandas', 'pydantic'}"
    code = f"import sys, lethe; print(lethe.__version__, sorted({heavy} & set(sys.modules)))"
    assert python("-c", code, cwd=tmp_path).endswith("[]\n")


def test_it_is_the_command_line(tmp_path: Path) -> None:
    assert python("-m", "lethe", "--version", cwd=tmp_path).startswith("lethe ")


def test_a_theorem_that_comes_in_by_the_door_counts() -> None:
    by_door, by_name = (
        parsed(f"from {module} import Gaussian\nGaussian(m=1.0)".encode())
        for module in ("lethe", "benchmark.contract.guarantee")
    )
    theory = Theory(ROOT)
    assert theory.digests([by_door]) == theory.digests([by_name])
    assert any("Gaussian" in name for name in theory.digests([by_door]))
