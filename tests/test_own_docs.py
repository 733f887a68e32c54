"""What README.md, docs/your-model.md and docs/extend.md show runs as it stands, elsewhere."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lethe
from benchmark import extend
from benchmark.plugins import kinds
from tests.test_tutorials import BLOCK

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


def python(folder: Path, *arguments: str, path: str = "") -> str:
    """What Python prints, in a folder outside the project."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    written("README", tmp_path)
    out = python(tmp_path, "-m", "lethe", "run", "churn.toml", "--seed", "0", "--no-board")
    assert re.search(r"[1-9]\d cells run, 0 kept, 0 failed", out)
    out = python(tmp_path, "churn.py")
    assert re.search(r"Chord Newton +conditional", out), "the columns' mean is fitted"
    assert "features are standardised" in out
    assert "for 50 requests" in out
    assert (tmp_path / "report.html").is_file()


def test_the_study_runs_as_it_stands(tmp_path: Path) -> None:
    written("your-model", tmp_path)
    (command, *_) = blocks("your-model", "sh")
    assert command == "lethe run churn.toml --seed 0\n"
    own = ["--method", "newton-chord", "--no-board"]
    out = python(tmp_path, "-m", "lethe", *shlex.split(command)[1:], *own)
    assert "3 cells run, 0 kept, 0 failed" in out
    found = {path.parent.name for path in (tmp_path / "runs").rglob("seed-0.json")}
    assert found == {"newton-chord", "retrain", "nothing"}
    assert "u17" not in "".join(path.read_text() for path in (tmp_path / "runs").rglob("*.json"))


def test_the_script_runs_as_it_stands(tmp_path: Path) -> None:
    written("your-model", tmp_path)
    out = python(tmp_path, "churn.py")
    assert re.search(r"Chord Newton +proved", out)
    assert re.search(r"Retrain +exact", out)
    assert re.search(r"Shrink the weights +none", out)
    assert "for 50 requests" in out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Chord Newton" in page
    assert "u17" not in page


def test_the_net_runs_as_it_stands(tmp_path: Path) -> None:
    written("your-model", tmp_path)
    out = python(tmp_path, "-m", "lethe", "run", "net.toml", "--no-board")
    assert "5 cells run, 0 kept, 0 failed" in out
    check = blocks("your-model", "sh")[1]
    out = python(tmp_path, "-m", *shlex.split(check))
    assert "The contract is kept." in out


def test_a_table_of_ten_methods_from_a_csv_takes_two_files(tmp_path: Path) -> None:
    """The table and the study; the command is `lethe run`."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [name.replace(" ", "_") for name in found.feature_names]
    pairs = zip(found.data, found.target, strict=True)
    rows = [[*map(float, x), found.target_names[y]] for x, y in pairs]
    lines = [",".join(map(str, row)) for row in [[*names, "diagnosis"], *rows]]
    (tmp_path / "cancer.csv").write_text("\n".join(lines), encoding="utf-8")
    study = '[problem]\ndata = { csv = "cancer.csv", target = "diagnosis" }\n[forget]\nrows = [3]\n'
    (tmp_path / "cancer.toml").write_text(study, encoding="utf-8")
    out = python(tmp_path, "-m", "lethe", "run", "cancer.toml", "--seed", "0", "--no-board")
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
    out = python(tmp_path, "-m", "lethe", "list", path=str(package))
    there = {
        kind: re.search(rf"^{name} +{kind} .*my-package *$", out, re.MULTILINE)
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
    assert re.search(r"^my-method +my-package", out, re.MULTILINE)
    checked = python(tmp_path, "-m", "lethe", "check", "my-method", path=str(package))
    assert "The contract is kept." in checked  # tests/test_extend.py checks the others
    _, study = blocks("extend", "toml")
    (tmp_path / "mine.toml").write_text(study, encoding="utf-8")
    out = python(tmp_path, "-m", "lethe", "run", "mine.toml", path=str(package))
    assert "2 cells run, 0 kept, 0 failed" in out
    board = (tmp_path / "runs" / "leaderboard" / "board.csv").read_text(encoding="utf-8")
    assert "My method" in board
    command = shlex.split(blocks("extend", "sh")[1].splitlines()[0])
    table = python(tmp_path, "-m", *command, path=str(package))
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
