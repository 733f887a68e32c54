"""What docs/your-data.md shows runs as it stands."""

from __future__ import annotations

import json
import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark import plugins
from benchmark.cli import app
from benchmark.data import catalogue
from benchmark.data.own.spec import KINDS, OwnData
from benchmark.experiments.experiment import load

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "your-data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.-]+)\n(.*)", re.DOTALL)
PEOPLE = 240


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with every file that the page shows and customers to fill one."""
    monkeypatch.chdir(tmp_path)
    for _, body in BLOCK.findall(TEXT):
        if named := FILE.match(body):
            Path(named[1]).write_text(named[2], encoding="utf-8")
    header, *_ = Path("customers.csv").read_text(encoding="utf-8").splitlines()
    draws = np.random.default_rng(0)
    lines = [header]
    for number in range(1, PEOPLE + 1):
        age, income = draws.integers(18, 90), draws.integers(10_000, 99_000)
        churn = "yes" if age / 60 + income / 60_000 + draws.normal(0, 0.3) > 2 else "no"
        city = draws.choice(["Bonn", "Köln", "Ulm"])
        lines.append(f"u{number},h{(number + 1) // 2},{age},{income},{city},{churn}")
    Path("customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def commands(word: str) -> list[list[str]]:
    lines = [
        line for kind, body in BLOCK.findall(TEXT) if kind == "sh" for line in body.split("\n")
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"lethe {word} ")]


def test_the_study_runs(here: Path) -> None:
    (command,) = commands("run")
    done = CliRunner().invoke(app, [*command, "--seed", "0", "--no-board"])
    assert done.exit_code == 0, done.output
    assert "cells run, 0 kept, 0 failed" in done.output
    record = json.loads((here / "runs/churn/newton-chord/seed-0.json").read_text("utf-8"))
    assert record["data"]["forget"] == 2
    assert record["verdict"] == "conditional"
    assert len(record["claim"]["caveats"]) == 2


def test_what_is_declared_is_proved(here: Path) -> None:
    command = ["run", "declared.toml", "--seed", "0", "--method", "newton-chord", "--no-board"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    record = json.loads((here / "runs/declared/newton-chord/seed-0.json").read_text("utf-8"))
    assert record["verdict"] == "proved"


def test_the_hash_is_printed(here: Path) -> None:
    outputs = [CliRunner().invoke(app, command) for command in commands("data")]
    assert [done.exit_code for done in outputs] == [0, 0]
    first, second = (done.output.split("\n")[0] for done in outputs)
    assert first == second == load("churn.toml").problem.data.content_hash


def test_arrays_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    for kind, body in BLOCK.findall(TEXT):
        if kind == "python" and not FILE.match(body):
            exec(body, names)
    assert names["dataset"].train.content_hash in capsys.readouterr().out


def test_a_set_is_one_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("moons", "moons:Moons", group)] if group == "lethe.data" else []

    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    monkeypatch.setattr(plugins, "entry_points", points)
    catalogue.clear()
    try:
        assert len(catalogue.load("moons").train.labels) == 300
        assert "moons" in CliRunner().invoke(app, ["list"]).output
    finally:
        monkeypatch.undo()
        catalogue.clear()
        sys.modules.pop("moons", None)


def test_the_page_names_every_setting() -> None:
    named = set(re.findall(r"`(\w+)`", TEXT))
    assert {*KINDS, *OwnData.model_fields} <= named | {"separator"}
