"""What the pages on data, models and extensions of one's own show runs as it stands, elsewhere."""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lethe
from benchmark import extend, plugins
from benchmark.cli import app
from benchmark.data import catalogue
from benchmark.data.graphs import GraphSpec
from benchmark.data.own.spec import KINDS, OwnData
from benchmark.experiments import experiment
from benchmark.experiments.experiment import load
from benchmark.graph.scenarios import WORDS
from benchmark.plugins import kinds
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from tests.conftest import Run
from tests.processes import Program
from tests.test_docs import BLOCK

# What README.md, docs/your-model.md and docs/extend.md show runs as it stands, elsewhere.

ROOT = Path(__file__).resolve().parents[1]
FILE = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")


def blocks(page: str, language: str) -> list[str]:
    path = ROOT / "README.md" if page == "README" else ROOT / "docs" / f"{page}.md"
    text = path.read_text(encoding="utf-8")
    return [body for name, body in BLOCK.findall(text) if name == language]


def written(page: str, folder: Path) -> None:
    """Write the files of a page, and the table that its examples are about."""
    for body in blocks(page, "toml") + blocks(page, "python"):
        if name := FILE.match(body):
            (folder / name[1]).write_text(body, encoding="utf-8")
    draws = np.random.default_rng(0)
    lines = ["id,household,age,income,churn"]
    for number in range(120):
        age, income = int(draws.integers(20, 80)), int(draws.integers(15_000, 90_000))
        churn = "yes" if age - income / 1500 + draws.normal() * 8 > 10 else "no"
        lines.append(f"u{number},h{number // 2},{age},{income},{churn}")
    (folder / "customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "requests.csv").write_text("id\nu17\nu81\n", encoding="utf-8")


#: Runs what `python ...` would for each list of arguments, one after the other.
PROGRAM = """
import json, runpy, sys
for first, *rest in json.loads(sys.argv[1]):
    sys.argv = rest if first == "-m" else [first, *rest]
    try:
        if first == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(first, run_name="__main__")
    except SystemExit as stopped:
        if stopped.code:
            raise
    print("-- next --", flush=True)
"""


def python(folder: Path, *commands: list[str], path: str = "") -> list[str]:
    """What Python prints for each of its command lines, in a folder outside the project.

    One process runs them all: what they import takes longer than most of them.
    """
    script = folder / ".commands.py"
    script.write_text(PROGRAM, encoding="utf-8")
    path = f"{ROOT}{os.pathsep}{path}"
    done = Program(str(script), json.dumps(commands), cwd=folder, PYTHONPATH=path, COLUMNS="200")
    output, error = done.communicate(timeout=600)
    assert done.returncode == 0, error
    *printed, _ = output.split("-- next --\n")
    return printed


def test_the_examples_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    written("README", tmp_path)
    run = ["-m", "lethe", "run", "churn.toml", "--seed", "0", "--no-board"]
    ran, out = python(tmp_path, run, ["churn.py"])
    assert re.search(r"[1-9]\d cells run, 0 kept, 0 failed", ran)
    assert re.search(r"Chord Newton +conditional", out), "the columns' mean is fitted"
    assert "features are standardised" in out
    assert "for 50 requests" in out
    assert (tmp_path / "report.html").is_file()


def test_the_page_on_a_model_of_ones_own_runs_as_it_stands(tmp_path: Path) -> None:
    written("your-model", tmp_path)
    command, check = blocks("your-model", "sh")[:2]
    assert command == "lethe run churn.toml --seed 0\n"
    own = ["--method", "newton-chord", "--no-board"]
    study, out, net, checked = python(
        tmp_path,
        ["-m", "lethe", *shlex.split(command)[1:], *own],
        ["churn.py"],
        ["-m", "lethe", "run", "net.toml", "--no-board"],
        ["-m", *shlex.split(check)],
    )
    assert "3 cells run, 0 kept, 0 failed" in study
    found = {path.parent.name for path in (tmp_path / "runs" / "churn").rglob("seed-0.json")}
    assert found == {"newton-chord", "retrain", "nothing"}
    assert "u17" not in "".join(path.read_text() for path in (tmp_path / "runs").rglob("*.json"))
    assert "5 cells run, 0 kept, 0 failed" in net
    assert "The contract is kept." in checked
    assert re.search(r"Chord Newton +proved", out)
    assert re.search(r"Retrain +exact", out)
    assert re.search(r"Shrink the weights +none", out)
    assert "for 50 requests" in out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Chord Newton" in page
    assert "u17" not in page


def test_a_table_of_ten_methods_from_a_csv_takes_two_files(lethe: Run, tmp_path: Path) -> None:
    """The table and the study; the command is `lethe run`."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [name.replace(" ", "_") for name in found.feature_names]
    pairs = zip(found.data[:200], found.target[:200], strict=True)
    rows = [[*map(float, x), found.target_names[y]] for x, y in pairs]
    lines = [",".join(map(str, row)) for row in [[*names, "diagnosis"], *rows]]
    (tmp_path / "cancer.csv").write_text("\n".join(lines), encoding="utf-8")
    study = '[problem]\ndata = { csv = "cancer.csv", target = "diagnosis" }\n[forget]\nrows = [3]\n'
    (tmp_path / "cancer.toml").write_text(study, encoding="utf-8")
    code, out, error = lethe("run", "cancer.toml", "--seed", "0", "--no-board")
    assert code == 0, error
    ran = int(re.search(r"(\d+) cells run, 0 kept, 0 failed", out)[1])
    assert ran >= 10


@pytest.mark.parametrize("page", ["your-model", "extend"])
def test_its_sessions_run(page: str) -> None:
    names: dict = {}
    for body in blocks(page, "pycon"):
        test = doctest.DocTestParser().get_doctest(body, names, page, None, 0)
        said: list[str] = []
        done = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=said.append, clear_globs=False
        )
        names.update(test.globs)
        assert not done.failed, "".join(said)


MINE = {
    "my_study.py": '''
from typing import Literal

import lethe
from benchmark.records import Envelope


class Found(Envelope):
    """Nothing."""

    schema_version: Literal[1] = 1
    kind: Literal["nothing-found"] = "nothing-found"


class Nothing(lethe.Study):
    """A study of nothing."""

    name = "nothing-at-all"
    title = "Nothing"
    source = lethe.Source(paper="None", url="https://example.org")
    record = Found

    def units(self, device):
        return []

    @classmethod
    def open(cls, pieces, device, folder):
        raise NotImplementedError

    @classmethod
    def again(cls, record, device):
        raise NotImplementedError
''',
}
POINTS = """
[lethe.studies]
nothing = my_study:Nothing
[lethe.properties]
bounded = bounded:Bounded
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one of each kind, as an installer leaves it, written as the page says."""
    place = tmp_path / "installed"
    place.mkdir()
    for line in "".join(blocks("extend", "sh")).splitlines():
        if line.startswith("lethe new"):
            _, _, kind, name = shlex.split(line)
            extend.write(kind, name, place)
    for name, text in MINE.items():
        (place / name).write_text(text, encoding="utf-8")
    for body in blocks("properties", "python"):
        (place / FILE.match(body)[1]).write_text(body, encoding="utf-8")
    toml, _ = blocks("extend", "toml")
    points = re.sub(r'\[project.entry-points."([\w.]+)"\]', r"[\1]", toml.partition("\n\n")[2])
    info = place / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points.replace('"', "") + POINTS)
    return place


def test_a_package_with_one_of_each_kind_is_found(package: Path, tmp_path: Path) -> None:
    _, study = blocks("extend", "toml")
    (tmp_path / "mine.toml").write_text(study, encoding="utf-8")
    command = shlex.split(blocks("extend", "sh")[1].splitlines()[0])
    listed, checked, ran, table = python(
        tmp_path,
        ["-m", "lethe", "list"],
        ["-m", "lethe", "check", "my-method"],
        ["-m", "lethe", "run", "mine.toml"],
        ["-m", *command],
        path=str(package),
    )
    there = {
        kind: re.search(rf"^{name} +{kind} .*my-package *$", listed, re.MULTILINE)
        for kind, name in {
            "attack": "my-attack",
            "data set": "my-set",
            "definition": "my-definition",
            "executor": "my-executor",
            "feature": "my-feature",
            "loss": "my-loss",
            "metric": "my-metric",
            "model": "my-net",
            "property": "my-property",
            "scenario": "my-scenario",
            "solver": "my-solver",
            "study": "nothing-at-all",
        }.items()
    }
    assert set(there) == set(kinds())
    assert all(there.values()), there
    assert re.search(r"^my-method +my-package", listed, re.MULTILINE)
    assert "The contract is kept." in checked  # tests/test_own_models.py checks the others
    assert "2 cells run, 0 kept, 0 failed" in ran
    board = (tmp_path / "runs" / "leaderboard" / "board.csv").read_text(encoding="utf-8")
    assert "My method" in board
    assert "| My method |" in table
    assert "not kept" not in table


def test_the_page_names_every_kind_and_every_name_of_the_front_door() -> None:
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    for kind in kinds().values():
        assert f"`{kind.group}`" in text
    hidden = {"Advice", "AssumptionBroken", "Choice", "DidNotConverge", "Finding", "LetheError"}
    hidden |= {"ModelCase", "Outcome", "Row", "RowCase", "Rows", "Translation"}
    for name in set(lethe.__all__) - hidden:
        assert re.search(rf"`(lethe\.)?{name}`", text), name


# What docs/your-data.md shows runs as it stands.

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "your-data.md").read_text(encoding="utf-8")
YOUR_DATA_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
YOUR_DATA_FILE = re.compile(r"# ([\w.-]+)\n(.*)", re.DOTALL)
PEOPLE = 240


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with every file that the page shows and customers to fill one."""
    monkeypatch.chdir(tmp_path)
    for _, body in YOUR_DATA_BLOCK.findall(TEXT):
        if named := YOUR_DATA_FILE.match(body):
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
        line
        for kind, body in YOUR_DATA_BLOCK.findall(TEXT)
        if kind == "sh"
        for line in body.split("\n")
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
    for kind, body in YOUR_DATA_BLOCK.findall(TEXT):
        if kind == "python" and not YOUR_DATA_FILE.match(body):
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


# What docs/graphs.md shows runs as it stands.

GRAPHS_TEXT = (Path(__file__).resolve().parents[1] / "docs" / "graphs.md").read_text(
    encoding="utf-8"
)
(CODE,) = re.findall(r"```python\n(.*?)```", GRAPHS_TEXT, re.DOTALL)
(TOML,) = re.findall(r"```toml\n# friends.toml\n(.*?)```", GRAPHS_TEXT, re.DOTALL)
(COMMAND,) = re.findall(r"^lethe run friends.toml (.*)$", GRAPHS_TEXT, re.MULTILINE)


def test_a_strangers_graph_runs_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(CODE, {})
    (tmp_path / "friends.toml").write_text(TOML, encoding="utf-8")
    methods = re.findall(r"--method (\S+)", COMMAND)
    assert len(methods) == 4
    cells = plan_cells(experiment.load("friends.toml"), "cpu", methods, [0])
    bench = Workbench(cells[0].inputs, torch.device("cpu"), None)
    found = {cell.info.label: run_cell(cell, bench, lambda _: None) for cell in cells}
    assert {record.status for record in found.values()} == {"ok"}
    assert found["newton"].verdict == found["newton-chord"].verdict == "proved"
    assert found["retrain"].metrics["accuracy_test"].value > 60


def test_every_setting_and_scenario_is_there() -> None:
    cells = [line.split("|")[1] for line in GRAPHS_TEXT.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([\w-]+)`", " ".join(cells)))
    assert set(GraphSpec.model_fields) - {"alpha"} <= named
    assert "`alpha`" in GRAPHS_TEXT
    assert set(WORDS) <= named
