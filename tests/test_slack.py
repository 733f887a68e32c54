"""The slack study: what it varies, what it keeps, and how the board shows it."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import cli, json_file, records, registry
from benchmark.contract.request import Release, Request
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments import experiment as experiments
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_of
from benchmark.studies import slack, slack_record
from benchmark.studies.experiments import run as run_experiments
from benchmark.studies.slack import SWEEPS, Slack, Sweep
from benchmark.studies.slack_record import SlackStudy
from benchmark.study.run import run
from leaderboard import build, check
from leaderboard.charts.slack import reading
from methods.newton import Newton
from tests import tiny_experiment

QUIET = tiny_experiment.QUIET
HEADING = "How slack the bounds are"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study cut down to the tiny experiment and two of its settings; a plan to show it by."""
    row = '[rows.newton]\nparams = { noise = "measured" }\n'
    toml = tiny_experiment.write(tmp_path, ("delta = 1e-5\n", f"delta = 1e-5\n{row}"))
    _, ridge, damping, *_ = SWEEPS
    sweeps = (
        replace(ridge, experiment=str(toml), values=(1e-2, 1e-1)),
        replace(damping, experiment=str(toml), values=(1e-2, 1.0)),
    )
    monkeypatch.setattr(slack, "SWEEPS", sweeps)
    results = tmp_path / "results"
    experiment = experiments.load(str(toml))
    json_file.write(records.Store(results).plan_path("tiny"), plan_of(experiment))
    return results


def measure(results: Path) -> SlackStudy:
    run(Slack(), records.Store(results), torch.device("cpu"), console=QUIET)
    return slack_record.read(results)


def test_a_point_is_what_a_run_of_that_cell_records(tiny: Path, tmp_path: Path) -> None:
    study = measure(tiny)
    experiment = experiments.load(str(tmp_path / "tiny.toml"))
    run_experiments(
        [experiment], records.Store(tiny), torch.device("cpu"), methods=["newton"], console=QUIET
    )
    (point,) = [p for p in study.panels[0].points if (p.value, p.seed) == (1e-2, 1)]
    path = records.Store(tiny).cell_path("tiny", "newton", 1)
    record = records.read_record(path)
    assert point.distance == pytest.approx(record.metrics["distance"].value)
    assert point.bounds["proved"] == record.claim.bound
    assert point.slack("proved") == pytest.approx(record.metrics["slack"].value)


def test_bounds_hold_and_the_first_one_is_the_least_that_is_proved(tiny: Path) -> None:
    for panel in measure(tiny).panels:
        for point in panel.points:
            proved = min(point.bounds["thm5"], point.bounds["thm6"])
            assert point.bounds["proved"] == proved < point.bounds["zhang24"]
            assert point.slack("proved") >= 1


def leaves(value: object, place: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {place: value}
    return {
        k: v for key, inner in value.items() for k, v in leaves(inner, f"{place}.{key}").items()
    }


def inputs_of(sweep: Sweep) -> list[dict[str, object]]:
    """The cells' inputs for one seed, a number for each leaf."""
    points = slack.points_of(sweep, 0, "cpu")
    return [leaves(point.cell.inputs.model_dump(mode="json")) for point in points]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.words)
def test_a_sweep_changes_one_setting_and_passes_its_usual_value(sweep: Sweep) -> None:
    inputs = inputs_of(sweep)
    (setting,) = {key for each in inputs for key in each if each[key] != inputs[0][key]}
    assert [each[setting] for each in inputs] == list(sweep.values)
    own = experiments.load(sweep.experiment, changes=slack.NOISE | sweep.changes)
    (row,) = (row for row in own.rows if row.label == slack.METHOD)
    cell = Cell.of(own, row, registry.find(slack.METHOD), 0, "cpu")
    assert leaves(cell.inputs.model_dump(mode="json"))[setting] == sweep.usual
    assert sweep.usual is None or sweep.usual in sweep.values


def test_what_is_planned_no_more_leaves_the_study(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(measure(tiny).panels) == 2
    monkeypatch.setattr(slack, "SWEEPS", slack.SWEEPS[:1])
    assert len(measure(tiny).panels) == 1


def test_an_answer_that_fails_is_recorded_and_said(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Newton, request: Request) -> Release:
        raise AssumptionBroken("the ball is too small")

    monkeypatch.setattr(Newton, "unlearn", refuse)
    assert measure(tiny) is None
    monkeypatch.undo()


def test_results_folders_do_not_take_it_for_an_experiment(tiny: Path) -> None:
    measure(tiny)
    assert [plan.experiment for plan in records.Store(tiny).plans()] == ["tiny"]


# --- the board ----------------------------------------------------------------------------------


def test_the_board_shows_the_study_and_check_covers_it(tiny: Path, tmp_path: Path) -> None:
    study = measure(tiny)
    first, second = tmp_path / "first", tmp_path / "second"
    names = [path.relative_to(first) for path in build(tiny, first)]
    build(tiny, second)
    assert Path("plots/slack.svg") in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    page, text = ((first / name).read_text() for name in ("site/study-slack.html", "README.md"))
    assert f">{HEADING}</h1>" in page
    assert f"{HEADING}: " in text
    assert "](plots/slack.svg)" in text
    assert reading(study) in text
    assert check(tiny, first) == []
    (first / "plots" / "slack.svg").write_text("<svg/>")
    assert check(tiny, first) == ["plots/slack.svg"], "the site has a plot of its own"


def test_without_a_study_there_is_no_section(tiny: Path, tmp_path: Path) -> None:
    measure(tiny)
    build(tiny, tmp_path / "board")
    shutil.rmtree(tiny / "slack.study")
    assert "plots/slack.svg" in check(tiny, tmp_path / "board")
    build(tiny, tmp_path / "board")
    assert not (tmp_path / "board" / "plots" / "slack.svg").exists()
    for name in ("index.html", "README.md"):
        assert HEADING not in (tmp_path / "board" / name).read_text()


def test_the_reading_has_a_sentence_for_each_experiment_with_its_numbers(tiny: Path) -> None:
    study = measure(tiny)
    points = [
        point.model_copy(update={"distance": 1.0, "bounds": {"proved": b, "thm5": 9.0}})
        for point, b in zip(study.panels[0].points, [1.0, 2.0, 1.5] * 2, strict=True)
    ]
    panel = replace(study.panels[0], points=tuple(points))
    other = replace(panel, experiment="Other")
    text = reading(replace(study, panels=(panel, panel, other), lacking=("Third: missing",)))
    assert text == (
        "On “Tiny” the least proved bound is 1.0 to 2.0 times the measured distance; gradient "
        "residual (thm5) is 9.0 times it. On “Other” the least proved bound is 1.0 to 2.0 times "
        "the measured distance; gradient residual (thm5) is 9.0 times it. "
        "Not in it: Third: missing."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "is damaged"),
        ({"schema_version": 4}, "update"),
        ({"bounds": 3}, "does not fit the schema"),
        ({"kind": "cell"}, "does not fit the schema"),
    ],
)
def test_a_damaged_study_is_one_line(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object] | None,
    words: str,
) -> None:
    measure(tiny)
    path = next((tiny / "slack.study").glob("*/*.json"))
    content = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps(content | change))
    with pytest.raises(LetheError, match=words):
        slack_record.read(tiny)
    where = ("--results", str(tiny), "--to", str(tiny.parent / "board"))
    monkeypatch.setattr(sys, "argv", ["lethe", "leaderboard", *where])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.startswith("error: record ")
    assert error.count("\n") == 1


def test_the_command_says_what_it_ran_and_how_to_plot_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lethe", "slack", "--results", str(tiny)])
    for kept in (False, True):
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        out = capsys.readouterr().out
        assert ("0 points run, 12 kept" if kept else "12 points run, 0 kept") in out
        assert f"lethe leaderboard --results {tiny}" in out
