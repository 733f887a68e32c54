"""Forget quality: who is told from retraining, what is kept, and what the board shows."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from baselines.fine_tune import FineTune
from benchmark import code
from benchmark.cli import app
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.data.scenarios import discover
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.metrics.divergence import energy_test
from benchmark.problem.model import Predictor
from benchmark.records import Store, read_record
from benchmark.runner.plans import plan_cells
from benchmark.runner.workbench import ATTACKING, BANK, Workbench
from benchmark.shadow.replicas import compared_with, unlearned
from benchmark.shadow.store import ModelStore, leave_out_effect, shadow_bank
from benchmark.studies.experiments import run
from benchmark.studies.false_alarms import count, false_alarms
from benchmark.studies.forget_quality import ForgetQuality, Row, SharedModels
from benchmark.studies.quality_measures import mean_loss, relearn_epochs
from benchmark.studies.quality_record import (
    QualityRecord,
    Score,
    judge,
    own,
    path_of,
    read_all,
    verdict,
)
from benchmark.study.run import Tally
from benchmark.study.run import run as run_study
from leaderboard.board import build, check
from leaderboard.model.section import Prose, Section
from leaderboard.model.table import Evidence
from leaderboard.studies.quality import HEADING, quality_sections
from tests import tiny_experiment

QUIET = tiny_experiment.QUIET
CPU = torch.device("cpu")
SOFTMAX = 'model = { kind = "softmax" }'
NEWTON = 'training = { algorithm = "newton-cg", tolerance = 1e-9 }'
FORGET = 'scenario = "random"\ncount = 5'

#: A net that is trained until it knows its rows by heart.
MLP = (
    (SOFTMAX, 'model = { kind = "mlp", hidden = [16], activation = "tanh" }'),
    (NEWTON, 'training = { algorithm = "adam", epochs = 30, batch = 20, learning_rate = 1e-2 }'),
    ("ridge = 1e-2", "ridge = 1e-4"),
    ('precision = "float64"', 'precision = "float32"'),
)


def tiny(folder: Path, methods: str, *changes: tuple[str, str], name: str = "tiny") -> Path:
    rows = ("seeds = [0, 1]", f"seeds = [0, 1]\nmethods = [{methods}]")
    return tiny_experiment.write(folder, rows, *changes, name=name)


def study(toml: Path, results: Path, runs: int = 8) -> Tally:
    loaded = [experiments.load(str(toml))]
    quality = ForgetQuality(experiments=tuple(loaded), runs=runs, shadows=8)
    return run_study(quality, Store(results), CPU, console=QUIET)


METHODS = '"nothing", "retrain", "retrain-other-seed", "fine-tune"'


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a study on a net; read by many tests, changed by none."""
    folder = tmp_path_factory.mktemp("quality")
    tally = study(tiny(folder, METHODS, *MLP, (FORGET, FORGET.replace("5", "10"))), folder / "r")
    assert (tally.ran, tally.kept, tally.failed) == (8, 0, [])
    return folder / "r"


def sections_of(results: Path) -> list[Section]:
    """What the board shows of each attacked experiment."""
    return quality_sections(Evidence([], read_all(results), results))


def notes_of(section: Section) -> tuple[str, ...]:
    """What stands below the table."""
    (notes,) = (part for part in section.parts if isinstance(part, Prose))
    return notes.items


def by_row(results: Path) -> dict[str, dict[int, QualityRecord]]:
    found: dict[str, dict[int, QualityRecord]] = {}
    for record in read_all(results):
        found.setdefault(record.method.label, {})[record.seeds.split] = record
    return found


# --- what the numbers say


def test_doing_nothing_is_the_ceiling_and_is_told_from_retraining(done: Path) -> None:
    for record in by_row(done)["nothing"].values():
        for name, score in record.scores.items():
            assert score.value == score.ceiling, name
        assert record.verdict == "distinguishable"
        for name in ("klom", "strongest_gap", "relearn_gap"):
            assert record.scores[name].value > 2 * record.scores[name].floor


def test_a_second_retraining_is_the_floor(done: Path) -> None:
    for record in by_row(done)["retrain-other-seed"].values():
        assert all(score.value == score.floor for score in record.scores.values())
        assert record.verdict == "indistinguishable"


def test_retraining_is_not_told_from_retraining(done: Path) -> None:
    """Its models are neither the reference nor the floor, and still like both."""
    for record in by_row(done)["retrain"].values():
        assert record.scores["klom"].value not in (0, record.scores["klom"].floor)
        assert record.verdict == "indistinguishable"
        assert record.scores["klom"].value < record.scores["klom"].ceiling / 4


def test_the_strongest_attack_is_the_largest_gap_of_all(done: Path) -> None:
    for records in by_row(done).values():
        for record in records.values():
            gaps = [record.scores[f"{name}_gap"] for name in ("u-lira", "rmia", "population")]
            found = record.scores["strongest_gap"]
            assert found.value == max(gap.value for gap in gaps)
            assert found.floor == max(gap.floor for gap in gaps)


def test_distributions_are_quantiles(done: Path) -> None:
    for records in by_row(done).values():
        for record in records.values():
            assert set(record.distributions) == {"u-lira", "rmia", "population"}
            for found in record.distributions.values():
                assert list(found.unlearned) == sorted(found.unlearned)
    of_nothing = by_row(done)["nothing"][0].distributions["u-lira"]
    assert np.median(of_nothing.unlearned) > np.median(of_nothing.retrained)


def test_only_a_test_that_doing_nothing_fails_can_be_passed() -> None:
    assert verdict(told=True, nothing_told=False) == "distinguishable"
    assert verdict(told=False, nothing_told=True) == "indistinguishable"
    assert verdict(told=False, nothing_told=False) == "unresolved"


def test_deterministic_training_leaves_no_distribution_to_compare(tmp_path: Path) -> None:
    toml = tiny(tmp_path, '"nothing", "retrain", "newton"', ("seeds = [0, 1]", "seeds = [0]"))
    assert study(toml, tmp_path / "r").failed == []
    rows = by_row(tmp_path / "r")
    for label in ("nothing", "retrain"):
        scores = rows[label][0].scores
        assert scores["klom"].value is None
        assert "same margins" in scores["klom"].note
        assert scores["u-lira_auc"].value is None
        assert "vary" in scores["u-lira_auc"].note
        assert scores["population_gap"].value is not None
    assert rows["retrain"][0].verdict == "indistinguishable"
    assert rows["nothing"][0].verdict == "distinguishable"
    # Release noise is a distribution, and the retrained models that it is held against have it.
    assert rows["newton"][0].scores["klom"].value < rows["newton"][0].scores["klom"].ceiling / 10
    assert rows["newton"][0].verdict == "indistinguishable"


def test_a_method_with_its_own_training_is_held_against_that(tmp_path: Path) -> None:
    """Five small models are unlike one large one, forgotten or not."""
    fast = (MLP[1][0], MLP[1][1].replace("30", "12"))
    toml = tiny(tmp_path, '"nothing"', *MLP[:1], fast, *MLP[2:])
    toml.write_text(
        toml.read_text().replace("seeds = [0, 1]", "seeds = [0]")
        + "[rows.sisa]\nparams = { shards = 2, slices = 1 }\n"
    )
    assert study(toml, tmp_path / "r").failed == []
    rows = by_row(tmp_path / "r")
    ours, shared = rows["sisa"][0].scores, rows["nothing"][0].scores
    assert ours["js_test"].floor != shared["js_test"].floor
    assert rows["sisa"][0].verdict != "distinguishable"
    titles = [line.title for line in sections_of(tmp_path / "r")[0].grids[0].lines]
    assert titles[-3:] == ["SISA", "its floor", "its ceiling"]


def test_originals_of_a_method_with_its_own_training_are_those_it_unlearned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tiny(tmp_path, '"sisa"', *MLP)
    (cell,) = plan_cells(experiments.load(str(toml)), "cpu", seeds=[0])
    bench = Workbench(cell.inputs, CPU, folder=None)
    store = ModelStore(bench.problem, tmp_path / "models")
    seeds = cell.inputs.seeds
    answers = unlearned(store, cell.method, bench.requests, seeds, 1)

    def never(*_: object) -> None:
        raise AssertionError("an original on disk is not trained again")

    monkeypatch.setattr(type(cell.method), "_train_shard", never)
    (kept,) = compared_with(store, cell.method, answers, bench.rows, seeds, "unlearned")
    assert kept.weights.shape[0] == cell.method.shards
    with pytest.raises(AssertionError):
        compared_with(store, cell.method, answers, bench.retain, seeds, "unlearned")


# --- the permutation test


def test_the_permutation_test_is_exact_where_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.standard_cauchy((2, 8, 5)) for _ in range(300)]
    p_values = np.array([energy_test(a, b, rng, draws=99) for a, b in draws])
    for level in (0.05, 0.2, 0.5):
        spread = np.sqrt(level * (1 - level) / len(draws))
        assert abs((p_values <= level).mean() - level) < 4 * spread


def test_the_permutation_test_finds_shifts_and_spreads() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(12, 6))
    assert energy_test(a, rng.normal(size=(12, 6)) + 1.5, rng) == 0.001
    assert energy_test(a, 5 * rng.normal(size=(12, 6)), rng) <= 0.01
    with pytest.raises(LetheError, match="same examples"):
        energy_test(a, a[:, 1:], rng)


def test_round_off_is_no_difference_and_a_constant_shift_is_one() -> None:
    rng = np.random.default_rng(2)
    same = np.tile(rng.normal(size=6), (8, 1))
    assert energy_test(same, same + 1e-10, rng) == 1
    assert energy_test(same, same + 1e-2, rng) == 0.001


# --- relearning


def test_relearning_trains_until_the_target_and_mutates_nothing(tmp_path: Path) -> None:
    toml = tiny(tmp_path, '"nothing"', *MLP)
    (cell,) = plan_cells(experiments.load(str(toml)), "cpu", seeds=[0])
    problem = Workbench(cell.inputs, CPU, folder=None).problem
    rows = problem.train.take(torch.arange(4))
    starts = [problem.model.initial_weights(torch.Generator().manual_seed(k)) for k in range(3)]
    models = [Predictor(problem.model, weights.to(problem.dtype)) for weights in starts]
    before = [model.weights.clone() for model in models]
    start = mean_loss(models[0], rows)

    def epochs(target: float, limit: int) -> object:
        return relearn_epochs(
            problem, models, rows, target, lambda k: torch.Generator().manual_seed(k), limit
        )

    easy, hard = epochs(0.95 * start, 50), epochs(0.7 * start, 50)
    assert 1 <= easy.steps < hard.steps
    assert not hard.censored
    assert epochs(0.0, 3).censored
    assert all(torch.equal(a, b.weights) for a, b in zip(before, models, strict=True))


# --- records


def test_nothing_is_run_twice_and_cells_are_not_disturbed(done: Path, tmp_path: Path) -> None:
    toml = done.parent / "tiny.toml"
    before = {path: path.read_bytes() for path in done.glob("*/*/quality-*.json")}
    tally = study(toml, done)
    assert (tally.ran, tally.kept) == (0, 8)
    assert {path: path.read_bytes() for path in before} == before
    assert Store(done).records("tiny") == []


def test_what_is_missing_damaged_or_out_of_date_is_made_again(tmp_path: Path) -> None:
    toml = tiny(tmp_path, '"nothing", "retrain"', ("seeds = [0, 1]", "seeds = [0]"))
    results = tmp_path / "r"
    study(toml, results)
    path = results / path_of("tiny", "nothing", 0)
    first = Store(results).read(path, QualityRecord)
    path.write_text(path.read_text()[:-30])
    with pytest.raises(LetheError, match="damaged"):
        read_all(results)
    tally = study(toml, results)
    assert (tally.ran, tally.kept) == (1, 1)
    again = Store(results).read(path, QualityRecord)
    assert again.scores == first.scores, "the same inputs give the same numbers"
    assert study(toml, results, runs=9).ran == 2, "the number of runs is part of the key"
    path.write_text(json.dumps({"kind": "other"}))
    with pytest.raises(LetheError, match="schema"):
        Store(results).read(path, QualityRecord)


def test_an_edit_of_the_attacks_puts_a_row_out_of_date_and_a_comment_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = experiments.load(str(tiny(tmp_path, '"nothing"')))
    row = ForgetQuality(experiments=(loaded,), runs=8, shadows=8).units("cpu")[0].pieces[0]
    attacks = inspect.getmodule(type(row.attacks[0]))
    text, real = inspect.getsource(attacks), code.file_of

    def key(module: str, edited: str) -> str:
        copy = tmp_path / "edited.py"
        copy.write_text(edited, encoding="utf-8")
        monkeypatch.setattr(code, "file_of", lambda name: copy if name == module else real(name))
        return row.key

    before = row.key
    assert key(attacks.__name__, f"{text}\n# a comment\n") == before
    assert key(attacks.__name__, f"{text}\nANOTHER = 1\n") != before
    assert key("benchmark.metrics.scores", "ANOTHER = 1\n") == before, "RECIPE vouches for it"


def test_a_row_that_fails_is_recorded_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FineTune, request: Request) -> Release:
        raise ZeroDivisionError("no rows to divide by")

    monkeypatch.setattr(FineTune, "unlearn", broken)
    methods = '"nothing", "retrain", "fine-tune"'
    toml = tiny(tmp_path, methods, ("seeds = [0, 1]", "seeds = [0]"))
    tally = study(toml, tmp_path / "r")
    assert [record.method.label for record in tally.failed] == ["fine-tune"]
    assert study(toml, tmp_path / "r").kept == 3, "a failure is a result"
    (section,) = sections_of(tmp_path / "r")
    assert any("ZeroDivisionError: no rows to divide by" in note for note in notes_of(section))


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    toml = str(tiny(tmp_path, '"nothing"'))
    for option, message in (("--runs=3", "8 runs or more"), ("--shadows=7", "even number")):
        result = CliRunner().invoke(
            app, ["forget-quality", toml, option, "--results", str(tmp_path / "r")]
        )
        assert isinstance(result.exception, LetheError)
        assert message in str(result.exception)


# --- the board


def test_the_board_has_a_section_a_plot_and_checks_it(done: Path, tmp_path: Path) -> None:
    build(done, tmp_path)
    assert check(done, tmp_path) == []
    for name in ("index.html", "README.md"):
        assert HEADING in (tmp_path / name).read_text()
    text = (tmp_path / "site" / "study-forgotten.html").read_text()
    assert "indistinguishable from retrain at 2 × 8 runs" in text
    assert "plots/tiny-forgotten.svg" in text
    (tmp_path / "site" / "plots" / "tiny-forgotten.svg").write_text("other")
    assert check(done, tmp_path) == ["site/plots/tiny-forgotten.svg"]
    (section,) = sections_of(done)
    verdicts = {line.title: line.cells[0].text for line in section.grids[0].lines}
    assert verdicts["Do nothing"].startswith("told apart by margins")
    assert verdicts["Retrain"].startswith("indistinguishable")


def test_what_has_no_record_is_missing(done: Path, tmp_path: Path) -> None:
    for path in done.glob("tiny/*/quality-*.json"):
        if path.parent.name != "retrain":
            target = tmp_path / path.relative_to(done)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "tiny" / "plan.json").write_bytes((done / "tiny" / "plan.json").read_bytes())
    (section,) = sections_of(tmp_path)
    assert "Retrain: missing, seeds 0, 1." in notes_of(section)
    (line,) = (line for line in section.grids[0].lines if line.title == "Retrain")
    assert {cell.text for cell in line.cells} == {"–"}


def scores(value: float, ceiling: float, p_value: float, ceiling_p: float) -> dict[str, Score]:
    klom = {"value": value, "floor": 0.1, "ceiling": ceiling, "direction": "lower"}
    p = {"value": p_value, "floor": 0.5, "ceiling": ceiling_p, "direction": "none", "n": 8}
    return {"klom": Score(**klom), "p_value": Score(**p)}


def test_a_verdict_over_seeds_needs_a_ceiling_that_is_told() -> None:
    low = {seed: scores(0.1, 5 + seed / 10, 0.6, 0.001) for seed in range(3)}
    assert judge(low, own) == ("indistinguishable", [])
    blind = {seed: scores(0.1, 0.1, 0.6, 0.4) for seed in range(3)}
    assert judge(blind, own) == ("unresolved", [])
    high = {seed: scores(3 + seed / 10, 5, 0.3, 0.001) for seed in range(3)}
    assert judge(high, own) == ("distinguishable", ["KLoM"])
    single = {0: scores(3, 5, 0.001, 0.001)}
    assert judge(single, own) == ("distinguishable", ["margins"])


# --- false alarms


def test_false_alarms_are_counted_over_groups_of_seeds() -> None:
    """Retraining is told apart for seeds 0 and 1, doing nothing for all but seed 4."""
    p_values = [(0.001, 0.001), (0.03, 0.001), (0.6, 0.001), (0.7, 0.001), (0.8, 0.4)]
    records = [
        SimpleNamespace(seeds=Seeds.all(k), scores=scores(0.1 + k / 100, 5 + k / 10, *pair))
        for k, pair in enumerate(p_values)
    ]
    alone, in_pairs = count(records, 1), count(records, 2)
    assert (alone.verdicts, alone.retrain, alone.nothing) == (5, 2, 4)
    assert (in_pairs.verdicts, in_pairs.retrain, in_pairs.nothing) == (2, 1, 2), "seed 4 is left"
    assert alone.interval == pytest.approx((0.0527, 0.8534), abs=1e-4)
    assert not alone.sound
    assert in_pairs.sound, "one of two is no evidence"


def test_the_false_alarm_study_keeps_its_records_apart(tmp_path: Path) -> None:
    fast = (MLP[1][0], MLP[1][1].replace("30", "8"))
    loaded = experiments.load(str(tiny(tmp_path, '"nothing"', MLP[0], fast, *MLP[2:])))
    settings = {"seeds": 2, "group": 2, "runs": 8, "shadows": 8, "console": QUIET}
    alone, together = false_alarms(loaded, tmp_path / "r", CPU, **settings)
    assert (alone.verdicts, together.verdicts) == (2, 1)
    assert read_all(tmp_path / "r") == []
    with pytest.raises(LetheError, match="--group must be from 2 to"):
        false_alarms(loaded, tmp_path / "r", CPU, **settings | {"group": 3})


def test_a_row_is_compared_with_the_setting_that_was_tuned(tmp_path: Path) -> None:
    """Where an experiment tunes, forget quality judges what the board's row runs with."""
    toml = tiny(tmp_path, '"nothing", "fine-tune"', *MLP, ("seeds = [0, 1]", "seeds = [0]"))
    loaded = experiments.load(str(toml))
    split = loaded.problem.split.model_copy(update={"validation": 10})
    problem = loaded.problem.model_copy(update={"split": split})
    searched = experiments.Row(method="fine-tune", label="fine-tune", search={"epochs": (1, 9)})
    changes = {"tuning": 3, "problem": problem, "rows": (searched,)}
    tuned = loaded.model_copy(update=changes)
    cells = plan_cells(tuned, "cpu")
    one = SharedModels(Row(cells[0], 8, 8, ()), CPU, tmp_path / "r" / ".artifacts")
    (cell,) = (cell for cell in cells if cell.method.name == "fine-tune")
    run([tuned], Store(tmp_path / "r"), CPU, console=QUIET)
    record = read_record(Store(tmp_path / "r").cell_path("tiny", "fine-tune", 0))
    assert len(record.tuned.trials) == 3
    assert one.method(cell).epochs == record.tuned.params["epochs"]


# --- scenarios


def workbench(toml: Path, folder: Path | None = None) -> Workbench:
    (cell,) = plan_cells(experiments.load(str(toml)), "cpu", seeds=[0])
    return Workbench(cell.inputs, CPU, folder)


def test_mislabelled_rows_are_trained_on_with_wrong_labels_and_restored(tmp_path: Path) -> None:
    wrong = (FORGET, 'scenario = "mislabelled"\ncount = 10')
    rows = ('methods = ["nothing"]', 'methods = ["nothing", "retrain"]')
    longer = (MLP[1][0], MLP[1][1].replace("30", "40").replace("1e-2", "3e-2"))
    one = tiny(tmp_path, '"nothing"', MLP[0], longer, *MLP[2:], wrong, name="wrong")
    plain = workbench(tiny(tmp_path, '"nothing"', MLP[0], longer, *MLP[2:]), tmp_path / "plain")
    bench = workbench(one, tmp_path / "wrong")
    changed = bench.problem.train.y != plain.problem.train.y
    assert torch.equal(changed.nonzero()[:, 0], bench.forget)
    assert torch.equal(bench.true_labels, plain.problem.train.y[bench.forget])
    assert plain.true_labels is None
    assert bench.weights_key(bench.rows) != plain.weights_key(plain.rows)
    one.write_text(one.read_text().replace(*rows).replace("seeds = [0, 1]", "seeds = [0]"))
    results = Store(tmp_path / "r")
    run([experiments.load(str(one))], results, CPU, console=QUIET)
    restored = {
        label: read_record(results.cell_path("wrong", label, 0)).metrics["accuracy_restored"].value
        for label in ("nothing", "retrain")
    }
    assert restored["retrain"] > restored["nothing"] + 30
    study(one, tmp_path / "r")
    for record in by_row(tmp_path / "r")["nothing"].values():
        score = record.scores["restored_accuracy"]
        assert score.value == score.ceiling < score.floor - 30


def test_memorised_rows_are_ranked_by_models_that_do_not_attack(tmp_path: Path) -> None:
    fast = (MLP[1][0], MLP[1][1].replace("30", "4"))
    chosen = (FORGET, 'scenario = "memorised"\ncount = 10')
    bench = workbench(tiny(tmp_path, '"nothing"', *MLP[:1], fast, chosen))
    problem, y = bench.problem, bench.problem.train.y
    bank = shadow_bank(ModelStore(problem, None), BANK, bench._inputs.seeds)
    outputs = [Predictor(problem.model, w).log_probabilities(problem.train.x) for w in bank.weights]
    chance = torch.stack([o.exp()[torch.arange(len(y)), y] for o in outputs]).numpy()
    effect = leave_out_effect(chance[ATTACKING:], bank.members[ATTACKING:])
    assert set(bench.forget.tolist()) == set(np.argsort(-effect)[:10].tolist())


@pytest.mark.parametrize("scenario", ["class", "subpopulation"])
def test_scenarios_that_look_at_the_data_are_drawn_from_it(tmp_path: Path, scenario: str) -> None:
    size = "" if scenario == "class" else "\ncount = 10"
    bench = workbench(tiny(tmp_path, '"nothing"', (FORGET, f'scenario = "{scenario}"{size}')))
    y, x = bench.problem.train.y, bench.problem.train.x
    if scenario == "class":
        assert len(y[bench.forget].unique()) == 1
        assert not torch.isin(y[bench.retain], y[bench.forget]).any()
    else:
        within = torch.cdist(x[bench.forget], x[bench.forget]).mean()
        assert within < 0.8 * torch.cdist(x, x).mean()


def test_the_experiments_of_each_scenario_are_there() -> None:
    rows = [one for one in experiments.every() if one.problem.graph is None]
    assert {one.forget.scenario for one in rows} == set(discover())


def test_records_have_a_place_of_their_own() -> None:
    path = Path(path_of("e", "label", 3))
    assert path.name == "quality-3.json"
    assert not path.match("seed-*.json")
