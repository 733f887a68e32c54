"""The command line starts without what a command does not use; make calls it with whole words."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What takes from half a second to three to import.
HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "datasets", "wandb"}
PROGRAM = """
import json, sys
from benchmark.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and every module that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, set(json.loads(done.stderr))


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_and_version_import_no_numerical_library(arguments: tuple[str, ...]) -> None:
    _, modules = loaded_by(*arguments)
    assert "benchmark.cli" in modules
    assert not modules & HEAVY


def test_the_list_imports_only_what_methods_are_written_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text, modules = loaded_by("list")
    assert "digits-softmax-biased  biased" in text, "names are whole"
    assert "newton-lissa" in text
    assert not modules & (HEAVY - {"torch", "numpy", "scipy"} | {"scipy.stats", "opacus"})


def test_a_board_is_made_without_torch() -> None:
    """It takes half a gigabyte, and reading records needs none of it."""
    code = (
        "import sys, leaderboard, benchmark.records; from benchmark.contract import definition; "
        "definition.discover(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )


def test_the_version_is_that_of_the_package() -> None:
    assert loaded_by("--version")[0] == f"lethe {version('lethe')}\n"


def test_what_a_method_needs_is_found_in_the_package() -> None:
    import benchmark
    from benchmark.contract.method import Method

    assert benchmark.Method is Method
    assert all(isinstance(getattr(benchmark, name), type) for name in benchmark.__all__)
    assert not hasattr(benchmark, "Methods")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("name", ["my runs", "it's", 'a "b"', "$(touch x)", "-rf", "a;b"])
@pytest.mark.parametrize("target", ["clean", "slack", "bench", "mnist"])
def test_make_takes_the_folder_of_the_results_as_one_word(target: str, name: str) -> None:
    given = f"RESULTS={name.replace('$', '$$')}"
    command = ["make", "--dry-run", "--no-print-directory", target, given]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shlex.split(printed.replace("\\\n", " "))
    assert name in words
    if target == "clean":
        assert words[:3] == ["rm", "-rf", "--"]
