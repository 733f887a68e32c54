"""What docs/graphs.md shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmark.data.graphs import GraphSpec
from benchmark.experiments import experiment
from benchmark.graph.scenarios import WORDS
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "graphs.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(TOML,) = re.findall(r"```toml\n# friends.toml\n(.*?)```", TEXT, re.DOTALL)
(COMMAND,) = re.findall(r"^lethe run friends.toml (.*)$", TEXT, re.MULTILINE)


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
    cells = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([\w-]+)`", " ".join(cells)))
    assert set(GraphSpec.model_fields) - {"alpha"} <= named
    assert "`alpha`" in TEXT
    assert set(WORDS) <= named
