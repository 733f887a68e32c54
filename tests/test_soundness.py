"""No proved bound is below the true distance, and how slack the certificates are."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark import cli, json_file, records, registry
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, DidNotConverge, LetheError
from benchmark.experiments import experiment as experiments
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_of
from benchmark.studies import slack, slack_record, soundness
from benchmark.studies.experiments import run as run_experiments
from benchmark.studies.random_problem import draw, in_ball
from benchmark.studies.slack import SWEEPS, Slack, Sweep
from benchmark.studies.slack_record import SlackStudy
from benchmark.studies.soundness import (
    BALL,
    KINDS,
    REQUESTS,
    Answer,
    Examiner,
    Soundness,
    Stream,
    examine,
    kind,
    methods,
)
from benchmark.studies.soundness_record import Check, SoundnessRecord, Tally, added
from benchmark.study.run import run
from leaderboard.board import build, check
from leaderboard.studies.slack import reading
from methods.newton import Newton
from tests import tiny_experiment
from tests.problems import away, every_row, quick

# No proved bound is below the true distance, on any problem that can be drawn.

CPU = torch.device("cpu")
#: Tenths of a second a problem: too slow for hypothesis.
SLOW = {"descent-to-delete", "newton-lissa", "recollection", "rewind"}
#: What every request of theirs is answered with, none refused: noise for a public distance.
UNIFORM = {
    "cone-newton",
    "downdate-fast",
    "newton",
    "newton-chord",
    "newton-iterated",
    "newton-kept",
    "newton-lissa",
    "sekhari",
}


def sound(answers: list[Answer]) -> bool:
    assert all(answer.refusal or answer.checks for answer in answers)
    refused = [a for a in answers if a.refusal and a.method.split(",")[0] in UNIFORM]
    return not refused and not any(c.violated for answer in answers for c in answer.checks)


def asked(names: set[str]) -> list[Method]:
    return [method for method in methods() if method.name in names]


def asked_quickly(names: set[str]) -> list[Method]:
    return [quick(type(method)) for method in asked(names)]


#: Problems on which a bound comes close to the truth: for each bound the closest of sixty that
#: hypothesis drew. A fifth of the bounds come within 1 % of it there, half within 30 %.
CLOSE = (
    *(213, 254, 333, 346, 408, 697, 896, 1743, 2165, 3214, 6713, 9364, 11282),
    *(200_000, 2_093_276, 3_315_669, 2**31 - 1),
)


@pytest.mark.parametrize("seed", CLOSE)
def test_T2_no_bound_is_below_the_true_distance_where_it_is_close(seed: int) -> None:
    assert sound(examine(seed, asked(UNIFORM - SLOW)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_T2_no_bound_is_below_the_true_distance_and_none_is_refused(seed: int) -> None:
    try:
        assert sound(examine(seed, asked(UNIFORM - SLOW)))
    except DidNotConverge:  # the study counts these; there is no reference to compare with
        reject()


@pytest.mark.parametrize("seed", [0, 3, 4, 8])
def test_T2_no_slow_methods_bound_is_either(seed: int) -> None:
    assert sound(examine(seed, asked_quickly(SLOW)))


@pytest.mark.parametrize("seed", [BALL * factor for factor in range(1, 6)])
def test_T2_nor_is_one_in_a_ball(seed: int) -> None:
    stream = Stream.of(seed, 1)
    assert stream.worlds[0].problem.training.radius is not None
    assert sound(examine(seed, asked(UNIFORM)))


@pytest.mark.parametrize("which", KINDS)
def test_T2_a_method_of_one_loss_refuses_a_ball_or_its_bound_holds_there(which: str) -> None:
    """Retrained in a ball, a model may be far from where steps without one end."""
    problem, forget = draw(2)
    inside = in_ball(KINDS[which](problem), 2)
    trained = State(inside.fit(every_row(inside), Seeds().generator("training")), every_row(inside))
    for method in methods():
        if kind(method) == which:
            with suppress(LetheError):
                original = method.prepare(inside, trained, Seeds(), Clock())
                request = Request.of(inside, original, forget, target=Target(distance=0.1))
                release = method.answer(request)
                assert away(request, release) <= release.claim.evidence.reached


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_T2_nor_is_one_in_a_stream(seed: int) -> None:
    """Four requests. The study asks for ten."""
    found = {a.method: a for a in examine(seed, asked_quickly(UNIFORM | {"rewind"}), 4)}
    assert sound(list(found.values()))
    for name in UNIFORM:
        assert sum(c.bound == "certified" for c in found[name].checks) == 4


@pytest.mark.parametrize("seed", [78, 118])
def test_training_within_a_cone_does_not_go_in_circles(seed: int) -> None:
    """Half of the last residual, in place of the least, was met again and again on these."""
    assert sound(examine(seed, asked({"cone-newton"})))


def test_the_sides_of_a_stream_are_those_of_every_request() -> None:
    stream = Stream.of(2, 3)
    sizes = [len(world.problem.train) for world in stream.worlds]
    forgotten = [len(rows) for rows in stream.requests]
    assert [before - after for before, after in pairwise(sizes)] == forgotten
    problem = stream.worlds[0].problem
    assert all(world.problem.declared == problem.declared for world in stream.worlds)
    assert problem.declared.rows_at_least == sizes[-1]


def test_every_method_whose_claims_rest_on_a_distance_is_asked() -> None:
    names = {method.name for method in methods()}
    assert names == UNIFORM | {
        "descent-to-delete",
        "downdate",
        "recollection",
        "rewind",
        "tangent-newton",
    }


@pytest.mark.parametrize("requests", [1, REQUESTS])
def test_an_exact_release_is_at_no_distance_at_all(requests: int) -> None:
    for seed in range(5):
        (answer,) = examine(seed, asked({"downdate"}), requests)
        assert [check.bound for check in answer.checks] == requests * ["exact"]
        assert all(check.value == check.distance == 0 for check in answer.checks)


def test_a_seed_determines_its_problem() -> None:
    (problem, forget), (again, forget_again) = draw(11), draw(11)
    assert problem.objective == again.objective
    assert problem.train.x.equal(again.train.x)
    assert forget.equal(forget_again)
    assert len(draw(12)[0].train) != len(problem.train)


def test_problems_are_wide_apart() -> None:
    drawn = [draw(seed) for seed in range(300)]
    sizes = {len(problem.train) for problem, _ in drawn}
    assert min(sizes) < 10
    assert max(sizes) > 300
    assert {problem.objective.loss for problem, _ in drawn} == {"cross_entropy", "squared"}
    assert {problem.model.classes for problem, _ in drawn} == {2, 3, 4, 5, 6}
    assert all(1 <= len(forget) <= len(problem.train) / 2 for problem, forget in drawn)


def studied(count: int, seed: int) -> Tally:
    """What the blocks of the study find together."""
    units = Soundness(count=count, streams=0, seed=seed).units("cpu")
    blocks = [block for unit in units for block in unit.pieces]
    found = [Examiner(CPU).run(block, lambda _: None) for block in blocks]
    return added([SoundnessRecord.model_validate_json(r.model_dump_json()) for r in found])


def _lethe(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lethe", *arguments])
    tiny_experiment.widen(monkeypatch)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def _wrong(theorem: Callable[..., float]) -> Callable[..., float]:
    return lambda **arguments: 1e-6 * theorem(**arguments)


@pytest.mark.parametrize("option", ["count", "streams"])
def test_a_wrong_theorem_is_reported_with_the_seed_that_shows_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    tmp_path: Path,
) -> None:
    from benchmark.claims import bounds

    newton = asked({"newton-iterated"})
    monkeypatch.setattr(soundness, "methods", lambda: newton)
    monkeypatch.setattr(bounds, "gradient_residual_bound", _wrong(bounds.gradient_residual_bound))
    once = {name: str(int(name == option)) for name in ("count", "streams")}
    again = ("--count", once["count"], "--streams", once["streams"])
    monkeypatch.chdir(tmp_path)
    assert _lethe(monkeypatch, "soundness", *again, "--seed", "8") == 1
    out = capsys.readouterr().out
    assert "VIOLATED newton-iterated, reached, thm5:" in out
    assert f"lethe soundness {' '.join(again)} --seed 8" in out


def test_a_sound_study_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    newton = asked({"newton-iterated", "sekhari"})
    monkeypatch.setattr(soundness, "methods", lambda: newton)
    options = ("--count", "12", "--streams", "1", "--seed", "1")
    assert _lethe(monkeypatch, "soundness", *options) == 0
    out = capsys.readouterr().out
    assert "no bound is violated" in out
    assert "0 were not trained" in out
    assert "where Theorem 6 is what stopped: newton-iterated " in out
    assert "refused" not in out


def test_refusals_and_untrained_problems_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    (newton,) = asked({"newton"})

    def refuse(_: object, request: Request) -> None:
        raise AssumptionBroken(f"{len(request.retain)} rows and 1.5e-3 are not enough")

    def hopeless(seed: int, *, requests: int) -> tuple[Problem, Tensor]:
        problem, forget = draw(seed, requests=requests)
        if seed == 5:
            problem = replace(problem, training=NewtonTraining(tolerance=1e-30))
        return problem, forget

    monkeypatch.setattr(type(newton), "unlearn", refuse)
    monkeypatch.setattr(soundness, "methods", lambda: [newton])
    monkeypatch.setattr(soundness, "draw", hopeless)
    tally = studied(3, 4)
    assert tally.untrained == [5]
    assert tally.asked["newton"] == 2
    assert tally.refused["newton", "# rows and # are not enough"] == 2
    assert not tally.violations


def test_slow_methods_are_asked_about_a_sub_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    newton = asked({"newton"})
    monkeypatch.setattr(soundness, "methods", lambda: newton)
    monkeypatch.setattr(soundness, "SLOW", 0.0)
    monkeypatch.setattr(soundness, "STRIDE", 4)
    tally = studied(8, 6)
    assert tally.slow == {"newton", "newton, varied"}
    assert tally.asked["newton"] == 4  # two of each block


@pytest.mark.parametrize(
    ("value", "distance", "violated"),
    [(1.0, 1.0, False), (0.9, 1.0, True), (float("nan"), 1.0, True), (0.0, 0.0, False)],
)
def test_what_counts_as_violated(value: float, distance: float, violated: bool) -> None:
    check = Check(seed=7, method="m", bound="b", value=value, distance=distance)
    tally = Tally()
    tally.add("m", (check,), None)
    assert check.violated is violated
    assert bool(tally.violations) is violated
    assert tally.table().row_count == 1


def test_slack_where_a_theorem_is_what_stopped_is_told_of_methods_as_they_are() -> None:
    tally = Tally()
    assert tally.reached("thm6") == {}
    bounds = [("m", "reached, thm6", 1.5), ("m, varied", "reached, thm6", 9.0), ("m", "thm6", 9.0)]
    for name, bound, value in bounds:
        check = Check(seed=1, method=name, bound=bound, value=value, distance=1.0)
        tally.add(name, (check,), None)
    assert tally.reached("thm6") == {"m": [1.5]}


# The slack study: what it varies, what it keeps, and how the board shows it.

QUIET = tiny_experiment.QUIET
HEADING = "How slack the bounds are"


def cut_down(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The study cut down to the tiny experiment and two of its settings; a plan to show it by."""
    row = '[rows.newton]\nparams = { noise = "measured" }\n'
    toml = tiny_experiment.write(folder, ("delta = 1e-5\n", f"delta = 1e-5\n{row}"))
    _, ridge, damping, *_ = SWEEPS
    sweeps = (
        replace(ridge, experiment=str(toml), values=(1e-2, 1e-1)),
        replace(damping, experiment=str(toml), values=(1e-2, 1.0)),
    )
    patch.setattr(slack, "SWEEPS", sweeps)
    results = folder / "results"
    experiment = experiments.load(str(toml))
    json_file.write(records.Store(results).plan_path("tiny"), plan_of(experiment))
    return results


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return cut_down(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the study; changed by no test."""
    with pytest.MonkeyPatch.context() as patch:
        results = cut_down(tmp_path_factory.mktemp("slack"), patch)
        measure(results)
    return results


@pytest.fixture
def measured(tiny: Path, run_once: Path) -> Path:
    """A copy of results that are there."""
    shutil.copytree(run_once, tiny, dirs_exist_ok=True)
    return tiny


def measure(results: Path) -> SlackStudy:
    run(Slack(), records.Store(results), torch.device("cpu"), console=QUIET)
    return slack_record.read(results)


def test_a_point_is_what_a_run_of_that_cell_records(measured: Path, tmp_path: Path) -> None:
    study = slack_record.read(measured)
    experiment = experiments.load(str(tmp_path / "tiny.toml"))
    run_experiments(
        [experiment],
        records.Store(measured),
        torch.device("cpu"),
        methods=["newton"],
        console=QUIET,
    )
    (point,) = [p for p in study.panels[0].points if (p.value, p.seed) == (1e-2, 1)]
    path = records.Store(measured).cell_path("tiny", "newton", 1)
    record = records.read_record(path)
    assert point.distance == pytest.approx(record.metrics["distance"].value)
    assert point.bounds["proved"] == record.claim.bound
    assert point.slack("proved") == pytest.approx(record.metrics["slack"].value)


def test_bounds_hold_and_the_first_one_is_the_least_that_is_proved(measured: Path) -> None:
    for panel in slack_record.read(measured).panels:
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


def test_results_folders_do_not_take_it_for_an_experiment(measured: Path) -> None:
    assert [plan.experiment for plan in records.Store(measured).plans()] == ["tiny"]


# --- the board ----------------------------------------------------------------------------------


def test_the_board_shows_the_study_and_check_covers_it(measured: Path, tmp_path: Path) -> None:
    study = slack_record.read(measured)
    first, second = tmp_path / "first", tmp_path / "second"
    names = [path.relative_to(first) for path in build(measured, first)]
    build(measured, second)
    assert Path("plots/slack.svg") in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    page, text = ((first / name).read_text() for name in ("site/study-slack.html", "README.md"))
    assert f">{HEADING}</h1>" in page
    assert f"{HEADING}: " in text
    assert "](plots/slack.svg)" in text
    assert reading(study) in text
    assert check(measured, first) == []
    (first / "plots" / "slack.svg").write_text("<svg/>")
    assert check(measured, first) == ["plots/slack.svg"], "the site has a plot of its own"


def test_without_a_study_there_is_no_section(measured: Path, tmp_path: Path) -> None:
    build(measured, tmp_path / "board")
    shutil.rmtree(measured / "slack.study")
    assert "plots/slack.svg" in check(measured, tmp_path / "board")
    build(measured, tmp_path / "board")
    assert not (tmp_path / "board" / "plots" / "slack.svg").exists()
    for name in ("index.html", "README.md"):
        assert HEADING not in (tmp_path / "board" / name).read_text()


def test_the_reading_has_a_sentence_for_each_experiment_with_its_numbers(measured: Path) -> None:
    study = slack_record.read(measured)
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
    measured: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object] | None,
    words: str,
) -> None:
    path = next((measured / "slack.study").glob("*/*.json"))
    content = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps(content | change))
    with pytest.raises(LetheError, match=words):
        slack_record.read(measured)
    where = ("--results", str(measured), "--to", str(measured.parent / "board"))
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
