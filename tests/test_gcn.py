"""A graph convolutional net as a model of rows, and the methods that it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.experiments.experiment import load
from benchmark.experiments.facts import facts_of
from benchmark.experiments.graphs import Stream, stream
from benchmark.records import Record
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from leaderboard.overview.track import track
from tests import graphs

TOML = """
title = "A small graph"
seeds = [0]

[problem]
data = "small"
graph = {{ file = "small.npz", normalisation = "{normalisation}" }}
precision = "float64"
split = {{ test = 20, negatives = 15 }}
model = {{ kind = "{kind}", hidden = {hidden} }}
objective = {{ loss = "cross_entropy", ridge = 5e-4 }}
training = {{ algorithm = "adam", epochs = 20, batch = 1000, learning_rate = 1e-2 }}

[forget]
scenario = "{scenario}"
count = 3
requests = {requests}
"""


def file(folder: Path, scenario: str = "nodes", requests: int = 1, **changes: str) -> Path:
    graphs.write(folder)
    path = folder / "small.toml"
    known = {"normalisation": "sym", "kind": "gcn", "hidden": "4"} | changes
    path.write_text(TOML.format(scenario=scenario, requests=requests, **known), encoding="utf-8")
    return path


def worlds(folder: Path, *args: object, **more: str) -> Stream:
    found = load(str(file(folder, *args, **more)))
    return stream(found.problem, found.forget, Seeds.all(0), torch.device("cpu"))


def by_definition(found: Stream, number: int, weights: torch.Tensor) -> np.ndarray:
    """(V, classes) logits of a world, from dense matrices."""
    world = found.worlds[number]
    a = world.graph.a.toarray() + np.eye(len(world.graph))
    d = a.sum(axis=1)
    p = a / d[:, None] if world.propagation._reach.normalisation == "row" else None
    p = a / np.sqrt(np.outer(d, d)) if p is None else p
    x = world.graph.x.toarray()
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(norms > 0, norms, 1)
    w1, b1, w2, b2 = (part.numpy() for part in world.problem.model.named(weights).values())
    return p @ np.maximum(p @ x @ w1.T + b1, 0) @ w2.T + b2


@pytest.mark.parametrize("normalisation", ["row", "sym"])
@pytest.mark.parametrize("scenario", ["nodes", "edges", "features"])
def test_a_net_is_its_definition_in_every_world(
    tmp_path: Path, scenario: str, normalisation: str
) -> None:
    found = worlds(tmp_path, scenario, 2, normalisation=normalisation)
    model = found.start.problem.model
    weights = model.initial_weights(torch.Generator().manual_seed(0))
    for number, world in enumerate(found.worlds):
        logits = model(weights, world.features_of(np.arange(100)))
        np.testing.assert_allclose(logits, by_definition(found, number, weights), atol=1e-12)
        train = world.roles.train[world.trained]
        rows = world.problem.train.x[torch.from_numpy(world.trained)]
        assert torch.equal(model(weights, rows), logits[train])


def test_a_batch_may_hold_rows_of_several_worlds_and_a_row_twice(tmp_path: Path) -> None:
    found = worlds(tmp_path)
    model = found.start.problem.model
    weights = model.initial_weights(torch.Generator().manual_seed(0))
    old, new = (world.features_of(np.arange(100)) for world in found.worlds)
    mixed = torch.cat([new[:7], old, new, old[:3]])
    parts = [model(weights, rows) for rows in (new[:7], old, new, old[:3])]
    torch.testing.assert_close(model(weights, mixed), torch.cat(parts), rtol=0, atol=1e-14)
    assert model(weights, mixed[:0]).shape == (0, model.classes)


def test_rows_that_no_request_reaches_stay_and_altered_ones_are_named(tmp_path: Path) -> None:
    found = worlds(tmp_path, "edges")
    (edit,) = found.edits
    same = found.start.problem.train.x == edit.world.problem.train.x
    assert torch.equal((~same[:, 0]).nonzero()[:, 0], edit.altered)
    assert 0 < len(edit.altered) < len(same)


def test_curvature_is_that_of_the_gradient(tmp_path: Path) -> None:
    """Products for GIF go through the graph twice."""
    problem = worlds(tmp_path).start.problem
    draw = torch.Generator().manual_seed(1)
    weights = problem.model.initial_weights(draw)
    v = torch.randn(len(weights), generator=draw, dtype=torch.float64)
    step = 1e-6 * v
    ends = [problem.gradient(weights + sign * step, problem.train) for sign in (1, -1)]
    product = problem.hessian(weights, problem.train) @ v
    torch.testing.assert_close(product, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


UNCERTIFIED = ["nothing", "retrain", "retrain-other-seed", "sisa", "influence", "fine-tune"]


def records(folder: Path, methods: list[str], scenario: str = "nodes") -> dict[str, Record]:
    cells = plan_cells(load(str(file(folder, scenario))), "cpu", methods)
    bench = Workbench(cells[0].inputs, torch.device("cpu"), None)
    return {cell.info.name: run_cell(cell, bench, lambda _: None) for cell in cells}


@pytest.mark.parametrize("scenario", ["nodes", "edges-planted"])
def test_methods_without_a_certificate_answer(tmp_path: Path, scenario: str) -> None:
    found = records(tmp_path, [*UNCERTIFIED, "gradient-ascent"], scenario)
    assert set(found) == {*UNCERTIFIED, "gradient-ascent"}
    for name, record in found.items():
        assert record.status == "ok", (name, record.failure)
        assert record.metrics["reach_rows"].value > 0
    assert found["retrain"].metrics["distance"].value == 0
    moved = found["influence"].metrics["distance"].value, found["nothing"].metrics["distance"].value
    assert moved[0] != moved[1]


def test_a_certified_method_is_refused_by_name(tmp_path: Path) -> None:
    path = file(tmp_path)
    default = {cell.info.name for cell in plan_cells(load(str(path)), "cpu")}
    assert default >= {"retrain", "sisa", "influence"}
    assert default.isdisjoint({"newton", "dp-sgd", "noisy-fine-tune", "certified-removal"})
    only = 'methods = ["newton"]\n\n[rows.newton]\n\n[problem]'
    text = path.read_text(encoding="utf-8").replace("[problem]", only)
    path.write_text(text, encoding="utf-8")
    (cell,) = plan_cells(load(str(path)), "cpu")
    bench = Workbench(cell.inputs, torch.device("cpu"), None)
    record = run_cell(cell, bench, lambda _: None)
    assert record.status == "failed"
    assert "a GCN trains what passes between neighbours" in record.failure.message
    assert "take model.kind = 'softmax'" in record.failure.message


def test_trained_nets_are_kept_by_the_graph_that_they_saw(tmp_path: Path) -> None:
    cells = plan_cells(load(str(file(tmp_path))), "cpu", ["nothing"])
    bench = Workbench(cells[0].inputs, torch.device("cpu"), None)
    rows = bench.retain
    assert bench.weights_key(rows) != bench.weights_key(rows, bench.after)


def test_a_gcn_without_a_graph_and_another_net_on_one_are_one_line(tmp_path: Path) -> None:
    path = file(tmp_path, kind="mlp", hidden="[4]")
    with pytest.raises(LetheError, match="a linear head or a GCN: set"):
        load(str(path))
    text = file(tmp_path).read_text(encoding="utf-8")
    rows = text.replace('data = "small"', 'data = "digits"').replace('"nodes"', '"random"')
    without = "\n".join(line for line in rows.splitlines() if not line.startswith("graph ="))
    path.write_text(without, encoding="utf-8")
    with pytest.raises(LetheError, match="a GCN sees a graph: set"):
        load(str(path))


def test_a_net_on_a_graph_is_in_a_family_of_its_own(tmp_path: Path) -> None:
    found = facts_of(load(str(file(tmp_path))))
    assert found.problem == "small, GCN"
    assert track(found).slug == "graph-net-random-1"
    assert track(found).title == "Net on a graph: one request, ε = 1"
