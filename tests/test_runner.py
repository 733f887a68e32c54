"""Cells, records, resuming, failures, reproduction, and a run killed again and again."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import baselines
from baselines.nothing import Nothing
from baselines.retrain import Retrain
from benchmark import json_file
from benchmark.contract.claim import Claim
from benchmark.contract.request import Release, Request
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.files import DiskError, replace_file
from benchmark.problem.problem import Problem
from benchmark.records import Record, Store, read_record
from benchmark.runner.device import PeakMemory
from benchmark.studies import experiments as runner
from benchmark.study.reproduce import compare, reproduce
from benchmark.theory.gaussian import epsilon_for, m_for
from methods.newton import Newton
from tests import tiny_experiment
from tests.processes import Program

# Cells, records, resuming, failures, reproduction.

CPU = torch.device("cpu")
METHODS = ["newton", "retrain", "nothing", "gradient-ascent"]


def run(folder: Path, *, toml: Path | None = None, **more: object) -> runner.Tally:
    path = toml or tiny_experiment.write(folder)
    more.setdefault("methods", METHODS)
    console = tiny_experiment.QUIET
    loaded = [experiments.load(str(path))]
    return runner.run(loaded, Store(folder / "results"), CPU, console=console, **more)


def cell(folder: Path, label: str = "newton", seed: int = 0) -> Path:
    return folder / "results" / "tiny" / label / f"seed-{seed}.json"


def test_every_cell_gets_a_record_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert (first.ran, first.kept, first.failed) == (8, 0, [])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("seed*.json")}
    assert len(stamps) == 8
    second = run(tmp_path)
    assert (second.ran, second.kept) == (0, 8)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_record_holds_what_it_should(tmp_path: Path) -> None:
    run(tmp_path, methods=["newton"], seeds=[0])
    record = read_record(cell(tmp_path))
    assert record.status == "ok"
    assert record.verdict == "proved"
    assert record.metrics["slack"].value >= 1
    assert record.metrics["steps_taken"].value == 1 + record.metrics["further_steps"].value
    assert record.metrics["noise_cost"].unit == "points"
    assert record.data.forget == 5
    assert record.data.train == 120
    assert set(record.times.phases) >= {"gradient", "inverse_hessian", "certificate", "noise"}
    assert sum(record.times.phases.values()) <= record.times.unlearn
    assert record.times.retrain > 0
    assert record.environment.threads == 1
    assert "torch" in record.environment.versions
    assert record.method.params["tolerance"] == Newton().tolerance
    accuracies = [record.metrics[f"accuracy_{part}"] for part in ("retain", "forget", "test")]
    assert [a.n for a in accuracies] == [115, 5, 60]
    assert all(0 <= a.value <= 100 for a in accuracies)


def test_a_change_of_inputs_runs_the_cell_again(tmp_path: Path) -> None:
    run(tmp_path, methods=["newton"])
    changed = tiny_experiment.write(tmp_path, ("epsilon = 1.0", "epsilon = 2.0"))
    tally = run(tmp_path, toml=changed, methods=["newton"])
    assert tally.ran == 2
    assert read_record(cell(tmp_path)).claim.epsilon == pytest.approx(2.0)


def test_fresh_runs_again(tmp_path: Path) -> None:
    run(tmp_path, methods=["nothing"])
    assert run(tmp_path, methods=["nothing"], fresh=True).ran == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"kind": "cell"}'])
def test_a_damaged_record_is_run_again_but_never_read(tmp_path: Path, damage: str) -> None:
    run(tmp_path, methods=["nothing"], seeds=[0])
    path = cell(tmp_path, "nothing")
    path.write_text(damage)
    with pytest.raises(LetheError, match="record"):
        read_record(path)
    assert run(tmp_path, methods=["nothing"], seeds=[0]).ran == 1
    assert read_record(path).status == "ok"


def test_a_record_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    run(tmp_path, methods=["nothing"], seeds=[0])
    path = cell(tmp_path, "nothing")
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 9'))
    with pytest.raises(LetheError, match="schema 9; this version reads 3"):
        read_record(path)


def test_a_failing_method_leaves_a_record_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(self: Newton, request: Request) -> Release:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Newton, "unlearn", explode)
    tally = run(tmp_path)
    assert tally.ran == 8
    assert len(tally.failed) == 2
    record = read_record(cell(tmp_path))
    assert record.status == "failed"
    assert record.failure.type == "ZeroDivisionError"
    assert record.failure.message == "planted"
    assert record.failure.where.startswith("benchmark/contract/method.py:")
    assert record.seconds > 0
    assert record.metrics == {}
    assert len(run(tmp_path).failed) == 2, "a failure is kept, and still counts as one"


def test_diverged_weights_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(self: Newton, request: Request) -> Release:
        return request.release(request.original.weights * float("nan"))

    monkeypatch.setattr(Newton, "unlearn", diverge)
    run(tmp_path, methods=["newton"], seeds=[0])
    assert "not finite" in read_record(cell(tmp_path)).failure.message


def test_training_that_misses_its_tolerance_fails_the_cell(tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, ("tolerance = 1e-9", "tolerance = 1e-30"))
    tally = run(tmp_path, toml=toml, methods=["newton"], seeds=[0])
    assert tally.failed[0].failure.type == "DidNotConverge"


def test_the_artifacts_spare_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, methods=["nothing"], seeds=[0])
    cell(tmp_path, "nothing").unlink()
    monkeypatch.setattr(Problem, "fit", None)
    assert run(tmp_path, methods=["nothing"], seeds=[0]).failed == []
    for artifact in (tmp_path / "results" / ".artifacts").iterdir():
        artifact.write_bytes(b"damaged")
    monkeypatch.undo()
    cell(tmp_path, "nothing").unlink()
    assert run(tmp_path, methods=["nothing"], seeds=[0]).failed == []


def test_the_row_of_retraining_gives_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody trains it again, and the others find the same numbers where they must."""
    trained, fit = [], Problem.fit

    def counted(problem: Problem, index: torch.Tensor, *args: object) -> torch.Tensor:
        trained.append(len(index))
        return fit(problem, index, *args)

    monkeypatch.setattr(Problem, "fit", counted)
    run(tmp_path, methods=["nothing", "retrain"], seeds=[0])
    assert trained == [120, 115]
    row, other = (read_record(cell(tmp_path, label)) for label in ("retrain", "nothing"))
    assert row.times.unlearn == row.times.retrain == other.times.retrain
    run(tmp_path / "alone", toml=tiny_experiment.write(tmp_path), methods=["nothing"], seeds=[0])
    alone = read_record(cell(tmp_path / "alone", "nothing"))
    assert trained == [120, 115] * 2
    assert all(number.agrees for number in compare(other, alone, rtol=0))


def test_no_other_row_gives_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a method says of its role."""
    monkeypatch.setattr(Nothing, "role", "reference")
    run(tmp_path, methods=["nothing", "newton"], seeds=[0])
    assert read_record(cell(tmp_path, "nothing")).metrics["distance"].value > 1e-3
    assert read_record(cell(tmp_path)).metrics["slack"].value >= 1


def test_retraining_that_changes_its_inputs_gives_no_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrained = Retrain.unlearn

    def cheat(self: Retrain, request: Request) -> Release:
        request.problem.train.x.mul_(0.5)
        return retrained(self, request)

    monkeypatch.setattr(Retrain, "unlearn", cheat)
    run(tmp_path, methods=["retrain", "nothing"], seeds=[0])
    assert "changed its inputs" in read_record(cell(tmp_path, "retrain")).failure.message
    monkeypatch.undo()
    run(tmp_path / "clean", toml=tiny_experiment.write(tmp_path), methods=["nothing"], seeds=[0])
    found, clean = (read_record(cell(f, "nothing")) for f in (tmp_path, tmp_path / "clean"))
    assert all(number.agrees for number in compare(found, clean, rtol=0))


def test_a_new_file_in_baselines_gets_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.test_plugins import GOOD

    extra = tmp_path / "plugins"
    extra.mkdir()
    (extra / "extra_cells.py").write_text(GOOD.format(name="extra-cells"))
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(extra)])
    run(tmp_path, methods=["extra-cells"], seeds=[0])
    assert read_record(cell(tmp_path, "extra-cells")).method.family == "baselines"
    plan = Store(tmp_path / "results").plans()[0]
    assert "extra-cells" in [row.label for row in plan.rows]


def test_an_edit_of_a_method_puts_its_records_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, methods=["newton", "nothing"], seeds=[0])
    from benchmark.runner import cell as cells

    plain = cells.source_hash
    monkeypatch.setattr(
        cells, "source_hash", lambda m, **more: "x" if m is Newton else plain(m, **more)
    )
    tally = run(tmp_path, methods=["newton", "nothing"], seeds=[0])
    assert (tally.ran, tally.kept) == (1, 1)


def kill_after(records: int, process: Program, results: Path) -> None:
    """Kill a run once it has written so many records, or after two minutes."""
    deadline = time.monotonic() + 120
    while len(list(results.rglob("seed-*.json"))) < records and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, ("seeds = [0, 1]", f"seeds = {list(range(20))}"))
    results = tmp_path / "results"
    ours = ("--method", "newton", "--method", "nothing", "--only", "--no-board")
    where = ("--device", "cpu", "--threads", "1", "--results", str(results))
    process = Program("-m", "benchmark", "run", str(toml), *ours, *where, cwd=tmp_path)
    kill_after(5, process, results)
    done = list(results.rglob("seed-*.json"))
    assert 5 <= len(done) < 40, "the kill came in the middle"
    stamps = {path: path.stat().st_mtime_ns for path in done}
    tally = run(tmp_path, toml=toml, methods=["newton", "nothing"])
    assert tally.kept == len(done)
    assert tally.ran == 40 - len(done)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_write_replaces_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="the disk is full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"], "no debris"


def test_a_full_disk_stops_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, methods=["nothing"])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError):
        run(tmp_path, methods=["nothing", "newton"])
    monkeypatch.undo()
    assert run(tmp_path, methods=["nothing", "newton"]).kept == 2


def test_records_survive_a_round_trip(tmp_path: Path) -> None:
    run(tmp_path, methods=["newton"], seeds=[0])
    record = read_record(cell(tmp_path))
    json_file.write(tmp_path / "copy.json", record)
    assert (tmp_path / "copy.json").read_bytes() == cell(tmp_path).read_bytes()


@pytest.mark.parametrize("label", METHODS)
def test_reproduce_finds_the_same_numbers(tmp_path: Path, label: str) -> None:
    run(tmp_path, methods=[label], seeds=[0])
    record = read_record(cell(tmp_path, label))
    again, remarks = reproduce(record, CPU, lambda _: None)
    assert remarks == []
    assert again.numbers() == record.numbers(), "same inputs, same numbers, to the last bit"
    assert all(row.agrees for row in compare(record, again, rtol=0))


def test_reproduce_sees_a_changed_number(tmp_path: Path) -> None:
    run(tmp_path, methods=["newton"], seeds=[0])
    content = json.loads(cell(tmp_path).read_text())
    content["metrics"]["distance"]["value"] *= 1.001
    del content["digest"]
    forged = Record.model_validate(content)
    again, _ = reproduce(forged, CPU, lambda _: None)
    assert [r.name for r in compare(forged, again, rtol=1e-6) if not r.agrees] == ["distance"]


def test_peak_memory_sees_what_was_allocated() -> None:
    with PeakMemory(CPU) as memory:
        torch.ones(40 * 2**20 // 4).sum()
    if memory.bytes is None:
        pytest.skip("this system does not let a process reset its high-water mark")
    assert 35 * 2**20 < memory.bytes < 80 * 2**20


def test_T16_the_audit_stays_below_epsilon_and_catches_halved_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, methods=["newton"], seeds=[0])
    record = read_record(cell(tmp_path))
    audited, noise = record.metrics["audited_epsilon"].value, record.metrics["noise_p"]
    assert audited <= record.claim.epsilon
    assert noise.value > 1e-4
    assert record.metrics["noise_scale"].value == pytest.approx(1, abs=0.1)
    plain = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, **k: plain(*a, **k) / 2)
    run(tmp_path, methods=["newton"], seeds=[0], fresh=True)
    record = read_record(cell(tmp_path))
    assert record.metrics["noise_p"].value < 1e-4
    assert "noise is 0.5" in record.metrics["noise_p"].note
    assert record.metrics["noise_scale"].value == pytest.approx(0.5, abs=0.05)


def test_the_distance_is_that_of_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of other weights than those that were certified is far from retraining."""
    plain = Request.release

    def elsewhere(self: Request, weights: torch.Tensor, claim: Claim, *more: object) -> Release:
        honest = plain(self, weights, claim, *more)
        published = honest.predictor.members[0] + 1e-3 * weights
        return plain(self, weights, claim, *more, published=published)

    run(tmp_path, methods=["newton"], seeds=[0])
    assert read_record(cell(tmp_path)).metrics["slack"].value >= 1
    monkeypatch.setattr(Request, "release", elsewhere)
    run(tmp_path, methods=["newton"], seeds=[0], fresh=True)
    assert read_record(cell(tmp_path)).metrics["slack"].value < 1


def test_a_stream_composes_and_ends_where_retraining_on_the_rest_does(tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, ("count = 5", "count = 5\nrequests = 4"))
    run(tmp_path, toml=toml, methods=["newton", "retrain", "nothing"], seeds=[0])
    record = read_record(cell(tmp_path))
    assert record.data.forget == 20
    m = m_for(1.0, 1e-5)
    for step in record.stream:
        assert (step.epsilon, step.m, step.bound) == (pytest.approx(1.0), m, 1e-3)
        assert step.sigma == pytest.approx(1e-3 / m)
        assert step.reached <= step.bound
        assert step.steps >= 1
    composed = [step.composed_epsilon for step in record.stream]
    assert all(a < b for a, b in pairwise(composed))
    # four releases of m are one of 2 m (docs/theory/noise.md)
    assert composed[3] == pytest.approx(epsilon_for(2 * m, 1e-5), rel=1e-6)
    measured = [step.measured_epsilon for step in record.stream]
    assert all(a < b for a, b in zip(measured, composed, strict=True)), "none used up its distance"
    assert record.metrics["slack"].value >= 1, "the last release, to retraining without all 20"
    assert record.metrics["uniform_capacity"].value == 1
    assert record.metrics["deletion_capacity"].value >= 1
    assert read_record(cell(tmp_path, "retrain")).metrics["distance"].value == 0
    assert read_record(cell(tmp_path, "nothing")).stream == ()


def test_a_stream_of_nothing_but_retraining_spends_nothing(tmp_path: Path) -> None:
    """Beyond its capacity Rewind-to-Delete goes back to the start every time."""
    rows = "params = { capacity = 1, steps = 20, rewound = 15 }"
    toml = tiny_experiment.write(tmp_path, ("count = 5", "count = 5\nrequests = 3"))
    toml.write_text(toml.read_text() + f"\n[rows.rewind]\n{rows}\n")
    assert run(tmp_path, toml=toml, methods=["rewind"], seeds=[0]).failed == []
    record = read_record(cell(tmp_path, "rewind"))
    assert [step.reached for step in record.stream] == [0, 0, 0]
    assert [step.measured_epsilon for step in record.stream] == [0, 0, 0]
    assert record.metrics["budget_spent"].value == 0
    assert record.metrics["deletion_capacity"].value is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epsilon = 1.0", "epsilon = 1.0\ndistance = 1e-8"), r"2 G / mu = 2e-07: raise it or"),
        (
            ('precision = "float64"', 'precision = "float64"\nrows_at_least = 118'),
            "115 rows are left, fewer than the 118 that the experiment declares",
        ),
    ],
)
def test_a_target_that_cannot_be_met_and_a_broken_bound_are_recorded_failures(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    toml = tiny_experiment.write(tmp_path, change)
    run(tmp_path, toml=toml, methods=["newton", "descent-to-delete"], seeds=[0])
    label = "newton" if "distance" in change[1] else "descent-to-delete"
    record = read_record(cell(tmp_path, label))
    assert (record.status, record.claim) == ("failed", None)
    assert record.failure.type == "AssumptionBroken"
    assert re.search(message, record.failure.message)
    assert "\n" not in record.failure.message


# A run that is killed again and again ends with the records of one that was left alone.

KILLED_METHODS = ["nothing", "newton", "gradient-ascent"]
SEEDS = [0, 1, 2]


def finish(toml: str, folder: str) -> runner.Tally:
    return tiny_experiment.run(Path(toml), folder=Path(folder), methods=KILLED_METHODS, seeds=SEEDS)


def contents(folder: Path) -> dict[str, dict]:
    return {record.key: record.numbers() for record in Store(folder).records("tiny")}


def finished(folder: Path) -> int:
    """How many cells have a record."""
    return len(list(folder.rglob("seed-*.json")))


def test_a_run_killed_at_ten_random_moments_ends_with_the_same_records(tmp_path: Path) -> None:
    toml = str(tiny_experiment.write(tmp_path))
    finish(toml, str(tmp_path / "whole"))
    expected = contents(tmp_path / "whole")
    assert len(expected) == len(KILLED_METHODS) * len(SEEDS)

    moments = random.Random(0)
    killed = tmp_path / "killed"
    counts = [0]
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(
            target=finish, args=(toml, str(killed))
        )
        process.start()
        while process.is_alive() and finished(killed) == counts[-1]:
            time.sleep(0.001)
        process.join(moments.uniform(0, 0.02))  # and then somewhere in the next cell
        process.kill()
        process.join()
        counts.append(finished(killed))
    assert any(0 < count < len(expected) for count in counts), "some kill came in the middle"
    assert counts == sorted(counts), "nothing finished is lost"
    assert finish(toml, str(killed)).kept >= counts[-1]
    assert contents(killed) == expected
