"""An experiment on digits that runs in a second, for tests of the machinery."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

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


def write(folder: Path, *changes: tuple[str, str], name: str = "tiny") -> Path:
    """The experiment's file, with some text replaced."""
    text = TOML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def kill_after(records: int, process: subprocess.Popen, results: Path) -> None:
    """Kill a run once it has written so many records, or after two minutes."""
    deadline = time.monotonic() + 120
    while len(list(results.rglob("seed-*.json"))) < records and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
