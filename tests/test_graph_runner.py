"""Experiments on graphs, from the file to the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import LetheError
from benchmark.experiments import experiment
from benchmark.records import Record
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from tests import graphs as small

CPU = torch.device("cpu")
#: One of each kind: exact, by a distance, with noise inside, not certified, and one that refuses.
METHODS = ["retrain", "sisa", "newton", "newton-chord", "certified-removal", "influence", "nothing"]


def cells(
    folder: Path,
    methods: list[str],
    *args: object,
    changes: dict[str, object] | None = None,
    **more: object,
) -> list[Cell]:
    small.write(folder)
    found = experiment.load(str(small.experiment(folder, *args, **more)), None, changes)
    return plan_cells(found, "cpu", methods, [0])


def bench_of(folder: Path, *args: object, **more: object) -> Workbench:
    (cell,) = cells(folder, ["nothing"], *args, **more)
    return Workbench(cell.inputs, CPU, None)


def records(folder: Path, methods: list[str], *args: object, **more: object) -> dict[str, Record]:
    planned = cells(folder, methods, *args, **more)
    bench = Workbench(planned[0].inputs, CPU, None)
    return {cell.info.label: run_cell(cell, bench, lambda _: None) for cell in planned}


@pytest.mark.parametrize("scenario", ["nodes", "edges", "features"])
def test_every_kind_of_method_answers_every_kind_of_request(tmp_path: Path, scenario: str) -> None:
    found = records(tmp_path, METHODS, scenario)
    for name, record in found.items():
        assert record.status == "ok", (name, record.failure)
        assert record.times.phases["propagation"] > 0
        assert record.times.unlearn >= record.times.phases["propagation"]
        assert record.metrics["reach_rows"].value > 0
        lost = record.metrics["accuracy_forget"].value
        assert (lost is None) == (scenario != "nodes")
        assert ("edge_gap" in record.metrics) == (scenario == "edges")
    for name in ("newton", "newton-chord"):
        assert found[name].metrics["slack"].value >= 1
        assert found[name].verdict == "proved"
    assert found["retrain"].metrics["distance"].value == 0
    assert found["retrain"].verdict == found["sisa"].verdict == "exact"
    assert found["nothing"].metrics["distance"].value > 0


def test_a_stream_goes_from_world_to_world(tmp_path: Path) -> None:
    found = records(tmp_path, ["newton", "sisa", "retrain"], "nodes", requests=3)
    assert len(found["newton"].stream) == 3
    assert found["newton"].metrics["slack"].value >= 1
    assert found["retrain"].metrics["distance"].value == 0


def test_who_cannot_alter_rows_is_a_failed_record_that_says_why(tmp_path: Path) -> None:
    small.write(tmp_path)
    path = small.experiment(tmp_path)
    path.write_text(path.read_text() + "\n[rows.recollection]\n", encoding="utf-8")
    found = experiment.load(str(path))
    (cell,) = plan_cells(found, "cpu", ["recollection"], [0])
    record = run_cell(cell, Workbench(cell.inputs, CPU, None), lambda _: None)
    assert record.status == "failed"
    assert record.failure.message.startswith("recollection forgets whole rows, and this request")


def test_models_are_scored_on_the_graph_after_the_request(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    before, after = bench.problem, bench.after
    assert before is bench.problems[0]
    changed = bench.stream.worlds[-1]
    z = changed.propagation.full(changed.graph)
    assert np.array_equal(after.test.x.numpy(), z[changed.roles.test])
    assert not torch.equal(after.train.x, before.train.x)
    outputs, reference = bench.reference_outputs, bench.reference[0]
    again = after.fit(bench.retain, bench._inputs.seeds.generator("training"))
    assert torch.equal(reference, again)
    assert len(outputs.losses["forget"]) == 3


def test_the_row_norm_is_that_of_each_problem(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, graph=', normalisation = "sym", unit_rows = false')
    norms = {problem.row_norm for problem in bench.problems}
    assert bench.problem.declared.feature_norm is None
    assert len(norms) <= 2
    unit = bench_of(tmp_path)
    assert {round(problem.row_norm, 6) for problem in unit.problems} == {round(2**0.5, 6)}


def test_trained_models_are_kept_by_the_features_they_saw(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    rows = bench.retain
    assert bench.weights_key(rows) != bench.weights_key(rows, bench.after)
    assert bench.weights_key(rows, bench.after) == bench.weights_key(rows, bench.after)


def test_what_a_method_changes_in_a_world_is_noticed(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    bench.after.train.x[0, 0] += 1
    with pytest.raises(LetheError, match="inputs of request 0"):
        bench.check("a method")


@pytest.mark.parametrize("scenario", ["nodes", "edges", "features"])
def test_the_published_bounds_stand_beside_ours(tmp_path: Path, scenario: str) -> None:
    loose = {"target.distance": 1.0}  # one step is enough
    record = records(tmp_path, ["newton"], scenario, loss="one_vs_rest", changes=loose)["newton"]
    evidence, distance = record.claim.evidence, record.metrics["distance"].value
    shown = {a.theorem: a for a in evidence.alternatives}
    data, worst = shown["chien22-data"], shown["chien22-worst"]
    assert not data.proved
    assert distance <= evidence.reached < data.value < worst.value
    softmax = records(tmp_path, ["newton"], scenario, changes=loose)["newton"]
    assert "chien22-data" not in {a.theorem for a in softmax.claim.evidence.alternatives}


def test_a_record_names_the_graph(tmp_path: Path) -> None:
    record = records(tmp_path, ["nothing"], "edges")["nothing"]
    assert set(record.data.content_hash) == {"graph"}
    assert (record.data.train, record.data.forget) == (60, 0)
    assert record.inputs["problem"]["graph"]["file"] == "small.npz"
    assert str(tmp_path) not in record.model_dump_json()


def test_studies_of_whole_rows_refuse_a_graph(tmp_path: Path) -> None:
    (cell,) = cells(tmp_path, ["nothing"])
    with pytest.raises(LetheError, match="requests that name whole rows"):
        Workbench.of_rows(cell.inputs, CPU, None)
