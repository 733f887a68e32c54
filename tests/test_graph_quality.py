"""Forget quality of requests on a graph: U-LiRA and the population attack on nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.errors import LetheError
from benchmark.experiments.experiment import load
from benchmark.studies.forget_quality import ForgetQuality, SharedModels
from benchmark.studies.quality_record import QualityRecord
from tests.test_gcn import file

METHODS = ("nothing", "influence")


def shared(path: Path, *methods: str, folder: Path | None = None) -> tuple[SharedModels, list]:
    study = ForgetQuality(experiments=(load(str(path)),), runs=8, shadows=2, methods=methods)
    (unit,) = study.units("cpu")
    return ForgetQuality.open(unit.pieces, torch.device("cpu"), folder), unit.pieces


def records(path: Path, *methods: str) -> dict[str, QualityRecord]:
    models, rows = shared(path, *methods)
    return {row.cell.info.name: models.run(row, lambda _: None) for row in rows}


def test_nodes_are_attacked_as_they_were_and_retraining_is_on_the_graph_without_them(
    tmp_path: Path,
) -> None:
    models, _ = shared(file(tmp_path), "nothing")
    bench = models.bench
    assert models.store.problem is bench.problem
    assert models.stores[-1].problem is bench.after
    (edit,) = models.requests
    assert torch.equal(edit.lost, bench.requests[0])
    assert torch.equal(edit.altered, bench.altered[0])
    setting = models.setting
    assert setting.problem.train is bench.problem.train
    assert setting.problem.negatives is bench.problem.negatives
    assert setting.problem.test is bench.after.test
    reference = models.shared.reference.predictors[0].weights
    assert not torch.equal(reference, models.shared.originals.predictors[0].weights)


def test_every_row_has_scores_beside_the_floor_and_the_ceiling(tmp_path: Path) -> None:
    found = records(file(tmp_path), *METHODS)
    assert set(found) == set(METHODS)
    for name, record in found.items():
        assert record.status == "ok", (name, record.failure)
        assert {"u-lira", "population"} <= set(record.distributions)
        assert "strongest_gap" in record.scores


def test_a_proved_head_is_attacked_under_its_noise(tmp_path: Path) -> None:
    path = file(tmp_path)
    text = path.read_text(encoding="utf-8")
    text = text.replace('{ kind = "gcn", hidden = 4 }', '{ kind = "softmax" }')
    text = text.replace("ridge = 5e-4", "ridge = 1e-2")
    lines = [line for line in text.splitlines() if not line.startswith("training =")]
    path.write_text("\n".join([*lines, "[target]", "distance = 1e-3"]), encoding="utf-8")
    (record,) = records(path, "newton").values()
    assert record.status == "ok", record.failure


def test_answers_are_kept_by_the_graphs_that_the_net_was_shown(tmp_path: Path) -> None:
    """Rows of a net are numbers: they alone would not tell one request from another."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _ = shared(file(tmp_path / "a"), "nothing")
    other, _ = shared(file(tmp_path / "b", "nodes-any"), "nothing")
    assert one.bench.problem.model.shown != other.bench.problem.model.shown
    rows = one.bench.rows
    assert one.stores[-1].key(rows=0) != other.stores[-1].key(rows=0)
    assert one.bench.weights_key(rows) != other.bench.weights_key(rows)


def test_requests_that_lose_no_row_are_refused(tmp_path: Path) -> None:
    models, _ = shared(file(tmp_path, "edges"), "nothing")
    with pytest.raises(LetheError, match="these requests lose none: take one that names nodes"):
        _ = models.bench
