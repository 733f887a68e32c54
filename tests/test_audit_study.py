"""The audits' studies: what is kept, what refutes a claim, and their place on the board."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from benchmark import cli, json_file, records, registry
from benchmark.contract.request import Release, Request
from benchmark.data.forget import ForgetSpec
from benchmark.errors import AssumptionBroken
from benchmark.experiments import experiment as experiments
from benchmark.problem.model import Predictor
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_cells, plan_of
from benchmark.runner.workbench import Workbench
from benchmark.studies import audit as audits
from benchmark.studies import audit_record
from benchmark.studies.audit import ALONG, LOSS, PLAN, Audit, Part, Runs, finding
from benchmark.studies.audit_record import AuditRecord, AuditStudy, Finding
from benchmark.study.run import run
from leaderboard.board import build
from leaderboard.studies.audit import audit_grid
from methods.chord_newton import ChordNewton
from methods.newton import Newton
from tests import tiny_experiment

# The audit's record: what is kept, what is run again, after a kill too; its place on the board.

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
            signal.raise_signal(signal.SIGINT)
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


def test_both_sides_of_a_tangent_say_the_same_but_for_the_centre_of_the_noise() -> None:
    """The clip is declared and the net is of public rows, which are the same in both worlds."""
    (part,) = (one for one in PLAN if one.experiment == "digits-tangent")
    (cell,) = part.cells("cpu")
    sides = audits.BothSides(cell, CPU, None)
    record = sides.run(audits.AuditedRow(cell, 3, ""), lambda _: None)
    assert record.status == "ok"
    assert (record.finding.verdict, record.finding.outcome) == ("proved", "not falsifiable")
    assert record.finding.reason == ""


# The audit of whole runs: its two sides, what it looks at, and what refutes a claim.

NAMES = (
    "certified-removal",
    "newton",
    "newton-chord",
    "noisy-fine-tune",
    "retrain",
    "retrain-other-seed",
    "sisa",
)
HARDEST = ('scenario = "random"\ncount = 5', 'scenario = "influential"\ncount = 1')
NET = ('{ kind = "softmax" }', '{ kind = "mlp", hidden = [6], activation = "tanh" }')
ADAM = (
    '{ algorithm = "newton-cg", tolerance = 1e-9 }',
    '{ algorithm = "adam", epochs = 2, batch = 16, learning_rate = 1e-2, radius = 20.0 }',
)


def cells(folder: Path, *changes: tuple[str, str]) -> dict[str, Cell]:
    """The certified rows of the tiny experiment, by method."""
    experiment = experiments.load(str(tiny_experiment.write(folder, *changes)))
    found = plan_cells(experiment, "cpu", list(NAMES), seeds=[0])
    return {cell.method.name: cell for cell in found}


def runs(cell: Cell) -> Runs:
    bench = Workbench(cell.inputs, torch.device("cpu"), folder=None)
    return Runs(bench.problem, bench.forget, cell.inputs.target)


def audited(folder: Path, name: str, count: int, *changes: tuple[str, str]) -> Finding:
    cell = cells(folder, *changes)[name]
    return finding(cell, runs(cell), count)


def test_an_honest_claim_is_not_refuted_though_it_could_have_been(tmp_path: Path) -> None:
    found = audited(tmp_path, "newton-chord", 100)
    assert (found.outcome, found.reason) == ("not refuted", "")
    assert found.epsilon == pytest.approx(1.0)
    assert found.lower <= found.epsilon < found.resolution
    assert found.runs == 90, "a tenth of the runs chooses the threshold"
    assert (found.verdict, found.score) == ("proved", ALONG)


def tight(folder: Path) -> tuple[tuple[str, str], ...]:
    """The hardest row, and a Delta_0 that its removal just keeps: nothing needs to be unlearned."""
    hardest = (HARDEST, ("ridge = 1e-2", "ridge = 1e-1"))
    apart = float(runs(cells(folder, *hardest)["newton-chord"]).direction().norm())
    return *hardest, ("delta = 1e-5", f"delta = 1e-5\ndistance = {1.25 * apart}")


def test_a_tight_claim_is_bounded_from_below_and_not_refuted(tmp_path: Path) -> None:
    on_it = tight(tmp_path)
    found = audited(tmp_path, "newton-chord", 600, *on_it)
    assert 0.2 < found.lower <= found.epsilon
    assert found.outcome == "not refuted"


def test_a_claim_is_audited_at_the_experiments_target(tmp_path: Path) -> None:
    change = ("epsilon = 1.0\ndelta = 1e-5", "epsilon = 3.0\ndelta = 1e-3")
    found = audited(tmp_path, "newton-chord", 4, change)
    assert (found.epsilon, found.delta) == pytest.approx((3.0, 1e-3))


@pytest.mark.parametrize("name", ["retrain", "retrain-other-seed", "sisa"])
def test_an_exact_release_is_the_same_in_distribution(tmp_path: Path, name: str) -> None:
    """On a head all seeds agree to some 1e-12, which must not be taken for a difference.

    So many runs refute where that tells the sides apart.
    """
    small = "delta = 1e-5\n[rows.sisa]\nparams = { shards = 2, slices = 2 }\n"
    assert audited(tmp_path, name, 14, ("delta = 1e-5\n", small)).outcome == "not refuted"


@pytest.mark.parametrize("name", ["newton", "noisy-fine-tune", "retrain-other-seed"])
def test_a_net_is_scored_by_its_loss(tmp_path: Path, name: str) -> None:
    found = audited(tmp_path, name, 12, NET, ADAM)
    assert (found.score, found.reason) == (LOSS, "")


def test_too_few_runs_falsify_nothing(tmp_path: Path) -> None:
    assert audited(tmp_path, "newton-chord", 3).text == "not falsifiable at 2"


def test_the_sides_share_no_noise(tmp_path: Path) -> None:
    cell = cells(tmp_path)["newton-chord"]
    several = runs(cell)
    released = [several.released(cell.method, k) for k in range(3)]
    references = [several.reference(cell.method, k, r) for k, r in enumerate(released)]
    noises = [r.predictor.weights - r.state.weights for r in released + references]
    assert len({tuple(noise.tolist()) for noise in noises}) == 6
    assert len({r.claim.release_sigma for r in released + references}) == 1


def test_only_what_a_claim_rests_on_is_trained_anew(tmp_path: Path) -> None:
    rows = cells(tmp_path)
    several = runs(rows["newton"])
    for name in ("newton", "newton-chord", "noisy-fine-tune"):
        assert {
            several.seeds(rows[name].method, k, s).training for k in (0, 5) for s in (0, 1)
        } == {0}
    for name in ("certified-removal", "retrain", "sisa"):
        seeds = [several.seeds(rows[name].method, k, s) for k in (0, 5) for s in (0, 1)]
        assert len({each.training for each in seeds}) == 4


# --- planted faults -----------------------------------------------------------------------------


def publish(weights: Callable[[Request, Release], Tensor], request: Request) -> Release:
    honest = genuine(ChordNewton(), request)
    return replace(honest, predictor=Predictor(request.problem.model, weights(request, honest)))


genuine = ChordNewton.unlearn
FAULTS: dict[str, tuple[Callable[[Request, Release], Tensor], str]] = {
    "no noise": (lambda request, honest: honest.state.weights, "noise is 0.00 of what is claimed"),
    "the original": (
        lambda request, honest: (
            request.original.weights + request.release_noise(honest.state.weights, honest.claim)
        ),
        "of what is claimed",
    ),
    "the same noise in every run": (
        lambda request, honest: (
            honest.state.weights
            + replace(request, seeds=request.seeds.model_copy(update={"noise": 7})).noise(
                honest.state.weights, honest.claim.release_sigma
            )
        ),
        "are correlated",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_noise_that_is_not_what_is_claimed_refutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    weights, words = FAULTS[fault]
    monkeypatch.setattr(ChordNewton, "unlearn", lambda self, request: publish(weights, request))
    found = audited(tmp_path, "newton-chord", 20)
    assert found.outcome == "refuted"
    assert words in found.reason


def test_another_sigma_on_the_other_side_refutes_and_the_board_is_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise that follows from the request: what is published gives itself away."""

    def telling(self: ChordNewton, request: Request) -> Release:
        wider = request.target.distance * (2 - 1 / (1 + len(request.forget)))
        target = request.target.model_copy(update={"distance": wider})
        return genuine(self, replace(request, target=target))

    monkeypatch.setattr(ChordNewton, "unlearn", telling)
    found = audited(tmp_path, "newton-chord", 4)
    assert found.outcome == "refuted"
    assert found.reason.startswith("noise of ")
    info = cells(tmp_path)["newton-chord"].info
    record = AuditRecord.model_construct(experiment="tiny", method=info, finding=found)
    (line,) = audit_grid(AuditStudy((record,), {})).lines
    assert "🔴" in line.cells[-1].text


def test_scores_that_prove_more_than_is_claimed_refute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original under noise for a Delta_0 that is far below its distance, and a state to fit."""

    def never(self: ChordNewton, request: Request) -> Release:
        claim = genuine(self, request).claim
        return request.release(request.original.weights, claim, request.original.memory)

    monkeypatch.setattr(ChordNewton, "unlearn", never)
    found = audited(tmp_path, "newton-chord", 60)
    assert found.outcome == "refuted"
    assert found.reason == f"epsilon is at least {found.lower:.3g}"
    assert found.lower > 1.0
