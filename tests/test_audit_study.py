"""The audit's record: what is kept, what is run again, after a kill too; its place on the board."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark import cli, json_file, records, registry
from benchmark.contract.request import Release, Request
from benchmark.data.forget import ForgetSpec
from benchmark.errors import AssumptionBroken
from benchmark.experiments import experiment as experiments
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_of
from benchmark.studies import audit as audits
from benchmark.studies import audit_record
from benchmark.studies.audit import PLAN, Audit, Part
from benchmark.studies.audit_record import AuditStudy, Finding
from benchmark.studies.model_audit import Runs
from benchmark.study.run import run
from leaderboard import build
from methods.newton import Newton
from tests import tiny_experiment

RUNS = 6
CPU = torch.device("cpu")
METHODS = ["newton", "output-perturbation", "retrain", "retrain-other-seed"]
TITLES = ["Single-step Newton", "Output perturbation", "Retrain", "Retrain, other seed"]


def write(folder: Path, methods: list[str], rows: str = "") -> str:
    """The tiny experiment with these methods and rows."""
    chosen = f"seeds = [0, 1]\nmethods = {json.dumps(methods)}"
    changes = ("seeds = [0, 1]", chosen), ("delta = 1e-5\n", f"delta = 1e-5\n{rows}")
    return str(tiny_experiment.write(folder, *changes))


def plan(toml: str, runs: int = RUNS) -> tuple[Part, ...]:
    """Every row of the experiment, by as many runs whatever its claim rests on."""
    return (Part(toml, runs=dict.fromkeys(("distance", "algorithm", "construction"), runs)),)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    toml = write(tmp_path, METHODS)
    monkeypatch.setattr(audits, "PLAN", plan(toml))
    return toml


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the rows that were run, as they are."""

    def spy(cell: Cell, runs: Runs, count: int) -> Finding:
        seen.append(cell.method.name)
        return genuine(cell, runs, count)

    genuine, seen = audits.finding, []
    monkeypatch.setattr(audits, "finding", spy)
    return seen


def audit(results: Path) -> tuple[AuditStudy, int]:
    tally = run(Audit(), records.Store(results), CPU, console=Console(file=io.StringIO()))
    return audit_record.read(results), tally.ran


def titles(study: AuditStudy) -> list[str]:
    return [record.method.title for record in study.findings]


def keys(study: AuditStudy) -> dict[str, str]:
    return {record.title: record.key for record in study.findings}


def test_a_changed_parameter_makes_its_row_alone_run_again(
    tiny: str, tmp_path: Path, ran: list[str]
) -> None:
    first, _ = audit(tmp_path)
    ran.clear()
    row = "[rows.newton]\nparams = { damping = 0.5 }\n"
    write(tmp_path, METHODS, row)
    second, count = audit(tmp_path)
    assert (count, ran) == (1, ["newton"])
    then, now = keys(first), keys(second)
    assert set(now) == set(then)
    changed = [name for name in then if then[name] != now[name]]
    assert changed == ["tiny, Single-step Newton"]


def test_a_method_that_is_new_is_run_alone_and_one_that_is_gone_leaves(
    tiny: str, tmp_path: Path, ran: list[str]
) -> None:
    write(tmp_path, ["retrain", "newton"])
    audit(tmp_path)
    ran.clear()
    write(tmp_path, ["output-perturbation", "retrain"])
    study, _ = audit(tmp_path)
    assert ran == ["output-perturbation"]
    assert titles(study) == ["Output perturbation", "Retrain"]
    assert audit_record.read(tmp_path) == study


def test_more_runs_another_confidence_or_recipe_make_all_rows_run_again(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ["retrain", "newton"])
    audit(tmp_path)
    for name, value in {"PLAN": plan(tiny, RUNS + 2), "CONFIDENCE": 0.9, "RECIPE": -1}.items():
        monkeypatch.setattr(audits, name, value)
        assert audit(tmp_path)[1] == 2
    assert audit(tmp_path)[1] == 0


def test_an_out_of_date_row_stays_until_it_is_replaced(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = audit(tmp_path)
    row = "[rows.newton]\nparams = { damping = 0.5 }\n"
    write(tmp_path, METHODS, row)

    def stop(*_: object) -> Finding:
        raise KeyboardInterrupt

    monkeypatch.setattr(audits, "finding", stop)
    with pytest.raises(KeyboardInterrupt):
        audit(tmp_path)
    assert audit_record.read(tmp_path) == before


def test_a_method_without_an_answer_is_recorded_and_kept(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Newton, request: Request) -> Release:
        raise AssumptionBroken("the ball is too small")

    monkeypatch.setattr(Newton, "unlearn", refuse)
    study, _ = audit(tmp_path)
    assert study.failures == {"tiny, Single-step Newton": "the ball is too small"}
    assert titles(study) == TITLES[1:]
    assert audit(tmp_path) == (study, 0)


def command(monkeypatch: pytest.MonkeyPatch, results: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["lethe", "audit", "--results", str(results)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code or 0


def test_the_command_is_stopped_goes_on_and_says_what_it_kept(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(cell: Cell, runs: Runs, count: int) -> Finding:
        if cell.method.name == METHODS[1]:
            raise KeyboardInterrupt
        return genuine(cell, runs, count)

    genuine = audits.finding
    monkeypatch.setattr(audits, "finding", interrupted)
    assert command(monkeypatch, tmp_path) == 130
    assert "stopped: the same command goes on from here" in capsys.readouterr().err
    monkeypatch.setattr(audits, "finding", genuine)
    for counts in ("3 rows run, 1 kept", "0 rows run, 4 kept"):
        assert command(monkeypatch, tmp_path) == 0
        assert counts in capsys.readouterr().out


def test_the_board_shows_what_was_found(tiny: str, tmp_path: Path) -> None:
    write(tmp_path, ["newton", "retrain"])
    results = tmp_path / "results"
    audit(results)
    json_file.write(records.Store(results).plan_path("tiny"), plan_of(experiments.load(tiny)))
    build(results, tmp_path / "board")
    text = (tmp_path / "board" / "site" / "study-audit.html").read_text()
    assert "not falsifiable at 3" in text


def test_a_part_may_ask_for_other_rows_another_distance_and_some_methods(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (usual,) = plan(tiny)
    one = replace(
        usual,
        slow={"newton": 4},
        forget=ForgetSpec(scenario="influential", count=1),
        distance=0.5,
        methods=("newton",),
        variant="tight",
    )
    monkeypatch.setattr(audits, "PLAN", (usual, one))
    study, computed = audit(tmp_path)
    assert computed == len(METHODS) + 1
    *others, last = study.findings
    assert [record.method.title for record in others] == TITLES
    assert (last.method.title, last.finding.runs) == ("Single-step Newton, tight", 3)
    (cell,) = one.cells("cpu")
    assert (cell.inputs.forget, cell.inputs.target.distance) == (one.forget, one.distance)
    assert audit(tmp_path) == (study, 0)


def test_every_certified_method_is_audited() -> None:
    work = [(part, cell) for part in PLAN for cell in part.cells("cpu")]
    named = [(cell.experiment, cell.info.title) for _, cell in work]
    assert len(named) == len(set(named))
    on_head = {cell.method.name for _, cell in work if cell.experiment != "digits-mlp"}
    certified = {name for name, one in registry.discover().items() if one.method.evidence}
    assert on_head == certified
    assert all(part.count(cell) >= 2 for part, cell in work)
    slow = {name for part in PLAN for name in part.slow}
    assert slow <= on_head


def test_both_sides_of_a_tangent_have_the_same_public_rows() -> None:
    """The clip is declared and the net public, so that all but the noise's centre is the same."""
    (part,) = (one for one in PLAN if one.experiment == "digits-tangent")
    (cell,) = part.cells("cpu")
    (row,) = (unit.pieces[0] for unit in Audit().units("cpu") if "tangent" in unit.name)
    assert row.cell.method.name == cell.method.name == "tangent-newton"
    sides = audits.BothSides(cell, CPU, None)
    record = sides.run(replace(row, runs=3), lambda _: None)
    assert record.status == "ok"
    assert record.finding.verdict.startswith("not falsifiable")
    problem = sides._bench.problem
    assert problem.declared.feature_norm == problem.row_norm == 10
    assert not torch.isin(sides._bench.forget, sides._bench.split.public).any()
