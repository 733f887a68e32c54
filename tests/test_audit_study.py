"""The audit's record: what is kept, what is run again, after a kill too; its place on the board."""

from __future__ import annotations

import io
import json
import multiprocessing
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmark import cli, json_file, records, registry
from benchmark.contract.request import Release, Request
from benchmark.data.forget import ForgetSpec
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments import experiment as experiments
from benchmark.runner.cell import Cell
from benchmark.runner.run import plan_of
from benchmark.runner.shard import Shard
from benchmark.studies import audit_record, audit_study
from benchmark.studies.audit_record import AuditStudy, Finding
from benchmark.studies.audit_study import PLAN, Part
from benchmark.studies.model_audit import Runs
from leaderboard import build
from methods.newton import Newton
from tests import tiny_experiment

RUNS = 6
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
    monkeypatch.setattr(audit_study, "PLAN", plan(toml))
    return toml


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the rows that were run, as they are."""

    def spy(cell: Cell, runs: Runs, count: int) -> Finding:
        seen.append(cell.method.name)
        return genuine(cell, runs, count)

    genuine, seen = audit_study.finding, []
    monkeypatch.setattr(audit_study, "finding", spy)
    return seen


def audit(results: Path) -> tuple[AuditStudy, int]:
    return audit_study.audit_study(results, Console(file=io.StringIO()))


def numbers(study: AuditStudy) -> dict:
    """All but the environments, of which the load average is never the same."""
    content = study.model_dump(mode="json")
    content["origins"] = {name: origin["key"] for name, origin in content["origins"].items()}
    return content


def held(results: Path) -> int:
    study = audit_record.read(results)
    return 0 if study is None else len(study.outcomes)


def test_an_audit_killed_after_every_row_ends_with_the_record_of_one_left_alone(
    tiny: str, tmp_path: Path
) -> None:
    whole, computed = audit(tmp_path / "whole")
    assert (computed, [found.title for found in whole.findings]) == (len(METHODS), TITLES)
    results, counts = tmp_path / "killed", [0]
    for _ in METHODS[1:]:
        process = multiprocessing.get_context("fork").Process(target=audit, args=(results,))
        process.start()
        while process.is_alive() and held(results) == counts[-1]:
            time.sleep(0.001)
        process.kill()
        process.join()
        counts.append(held(results))
    assert any(0 < count < len(METHODS) for count in counts), "some kill came in the middle"
    assert counts == sorted(counts), "nothing finished is lost"
    study, computed = audit(results)
    assert computed == len(METHODS) - counts[-1]
    assert numbers(study) == numbers(whole) == numbers(audit_record.read(results))
    assert audit(results) == (study, 0)


def test_shards_at_the_same_time_lose_no_row_of_each_other(
    tiny: str, tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_shard_first(*arguments: object) -> Finding:
        monkeypatch.setattr(audit_study, "finding", genuine)
        audit_study.audit_study(tmp_path, Console(file=io.StringIO()), Shard(2, 2))
        return genuine(*arguments)

    genuine = audit_study.finding
    monkeypatch.setattr(audit_study, "finding", other_shard_first)
    study, count = audit_study.audit_study(tmp_path, Console(file=io.StringIO()), Shard(1, 2))
    assert (count, sorted(ran)) == (2, METHODS)
    assert [found.title for found in study.findings] == TITLES
    assert audit(tmp_path) == (study, 0)


def test_a_changed_parameter_makes_its_row_alone_run_again(
    tiny: str, tmp_path: Path, ran: list[str]
) -> None:
    first, _ = audit(tmp_path)
    ran.clear()
    row = "[rows.newton]\nparams = { damping = 0.5 }\n"
    write(tmp_path, METHODS, row)
    second, count = audit(tmp_path)
    assert (count, ran) == (1, ["newton"])
    assert set(second.origins) == set(first.origins)
    changed = [name for name in first.origins if first.origins[name] != second.origins[name]]
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
    assert [found.title for found in study.findings] == ["Output perturbation", "Retrain"]
    assert audit_record.read(tmp_path) == study


def test_more_runs_another_confidence_or_recipe_make_all_rows_run_again(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ["retrain", "newton"])
    audit(tmp_path)
    for name, value in {"PLAN": plan(tiny, RUNS + 2), "CONFIDENCE": 0.9, "RECIPE": -1}.items():
        monkeypatch.setattr(audit_study, name, value)
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

    monkeypatch.setattr(audit_study, "finding", stop)
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
    assert [found.title for found in study.findings] == TITLES[1:]
    assert audit(tmp_path) == (study, 0)


@pytest.mark.parametrize("damage", ["cut", '{"schema_version": 2}', "[]"])
def test_a_damaged_study_is_one_line_and_made_again(tiny: str, tmp_path: Path, damage: str) -> None:
    write(tmp_path, ["retrain"])
    study, _ = audit(tmp_path)
    path = audit_record.path_in(tmp_path)
    path.write_text(path.read_text()[:-20] if damage == "cut" else damage)
    with pytest.raises(LetheError, match=r"damaged|does not fit the schema") as caught:
        audit_record.read(tmp_path)
    assert "\n" not in str(caught.value)
    again, computed = audit(tmp_path)
    assert computed == 1
    assert numbers(again) == numbers(study)


def test_a_study_of_a_newer_version_is_left_alone(tiny: str, tmp_path: Path) -> None:
    write(tmp_path, ["retrain"])
    path = audit_record.path_in(tmp_path)
    path.write_text('{"schema_version": 9}')
    with pytest.raises(LetheError, match="update Lethe"):
        audit(tmp_path)
    assert path.read_text() == '{"schema_version": 9}'


def test_two_rows_of_one_title_are_refused(tiny: str, tmp_path: Path) -> None:
    rows = [f'[rows.{label}]\nmethod = "newton"\n' for label in ("one", "two")]
    write(tmp_path, ["newton"], "".join(rows))
    with pytest.raises(LetheError, match="two rows have the title 'Single-step Newton'"):
        audit(tmp_path)


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

    genuine = audit_study.finding
    monkeypatch.setattr(audit_study, "finding", interrupted)
    assert command(monkeypatch, tmp_path) == 130
    assert "stopped: the same command goes on from here" in capsys.readouterr().err
    monkeypatch.setattr(audit_study, "finding", genuine)
    for counts in ("3 rows run, 1 kept", "0 rows run, 4 kept"):
        assert command(monkeypatch, tmp_path) == 0
        assert counts in capsys.readouterr().out


def test_the_board_shows_what_was_found(tiny: str, tmp_path: Path) -> None:
    write(tmp_path, ["newton", "retrain"])
    results = tmp_path / "results"
    audit(results)
    json_file.write(records.Store(results).plan_path("tiny"), plan_of(experiments.load(tiny)))
    build(results, tmp_path / "board")
    for name in ("index.html", "README.md"):
        text = (tmp_path / "board" / name).read_text()
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
        suffix=", tight",
    )
    monkeypatch.setattr(audit_study, "PLAN", (usual, one))
    study, computed = audit(tmp_path)
    assert computed == len(METHODS) + 1
    *others, last = study.findings
    assert [found.title for found in others] == TITLES
    assert (last.title, last.runs) == ("Single-step Newton, tight", 3)
    (cell,) = one.cells()
    assert (cell.inputs.forget, cell.inputs.target.distance) == (one.forget, one.distance)
    assert audit(tmp_path) == (study, 0)


def test_every_certified_row_of_both_experiments_is_audited() -> None:
    work = [(part, cell) for part in PLAN for cell in part.cells()]
    titles = [(cell.experiment, cell.info.title) for _, cell in work]
    assert len(titles) == len(set(titles))
    on_head = {cell.method.name for _, cell in work if cell.experiment == "digits-softmax"}
    assert on_head == {name for name, one in registry.discover().items() if one.method.evidence}
    assert all(part.count(cell) >= 2 for part, cell in work)
    slow = {name for part in PLAN for name in part.slow}
    assert slow <= on_head
