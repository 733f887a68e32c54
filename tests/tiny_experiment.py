"""An experiment on digits that runs in a second, for tests of the machinery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmark import cli
from benchmark.experiments.experiment import load
from benchmark.records import Store
from benchmark.studies import experiments as runner
from benchmark.study.run import Tally

TOML = """
title = "Tiny"
description = "For tests."
seeds = [0, 1]

[problem]
data = "digits"
features = "unit-pixels"
precision = "float64"
split = { test = 60, negatives = 40, train = 120 }
model = { kind = "softmax" }
objective = { loss = "cross_entropy", ridge = 1e-2 }
training = { algorithm = "newton-cg", tolerance = 1e-9 }

[forget]
scenario = "random"
count = 5

[target]
epsilon = 1.0
delta = 1e-5
"""


#: Prints nothing.
QUIET = Console(quiet=True)


def widen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command line's consoles 200 columns; they were made when its module was."""
    for console in (cli.out, cli.err):
        monkeypatch.setattr(console, "_width", 200)


def run(*studies: Path, folder: Path, **more: Any) -> Tally:
    """Run studies on the processor, and print nothing; see `benchmark.studies.experiments.run`."""
    loaded = [load(str(study)) for study in studies]
    return runner.run(loaded, Store(folder), torch.device("cpu"), console=QUIET, **more)


def write(folder: Path, *changes: tuple[str, str], name: str = "tiny") -> Path:
    """The experiment's file, with some text replaced."""
    text = TOML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path
