"""The tutorials run as they stand, each in an empty folder.

A block of `pycon` is a session whose answers are compared. A block whose first line is a comment
with a file's name is written to that file. Of a block of `sh` the lines that run something or read
what was run are carried out; what sets up a machine or reads the project's board is left out.
"""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import baselines
import methods
from benchmark.cli import app
from tests.dropped_in import dropped_in

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide"
TUTORIALS = ("start", "add-a-method", "tables")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CARRIED_OUT = re.compile(r"lethe run |lethe table .*--results runs")
FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")


class Tutorial:
    """A page, run block by block in the current folder."""

    def __init__(self, name: str) -> None:
        self.name, self.names = name, {}
        self.text = (GUIDE / f"{name}.md").read_text(encoding="utf-8")

    def run(self) -> int:
        """Run every block; the number of blocks that did something."""
        return sum(self._block(language, body) for language, body in BLOCK.findall(self.text))

    def _block(self, language: str, body: str) -> bool:
        if named := FILE.match(body):
            path = Path(named[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
            return True
        if language == "pycon":
            return self._session(body)
        commands = [line for line in body.splitlines() if CARRIED_OUT.match(line)]
        for command in commands if language == "sh" else ():
            done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
            assert done.exit_code == 0, done.output
        return bool(commands)

    def _session(self, body: str) -> bool:
        test = doctest.DocTestParser().get_doctest(body, self.names, self.name, None, 0)
        said: list[str] = []
        done = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=said.append, clear_globs=False
        )
        self.names.update(test.globs)
        assert not done.failed, "".join(said)
        return True


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with dropped_in(baselines, tmp_path / "baselines"), dropped_in(methods, tmp_path / "methods"):
        assert Tutorial(name).run() >= 4
