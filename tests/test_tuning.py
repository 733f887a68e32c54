"""Tuning: the same trials for everyone, scored without a retrained model, on the clock.

Those of certified methods are blind to the original and to the rows to forget.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.fine_tune import FineTune
from baselines.neggrad_plus import NegGradPlus
from baselines.random_labels import RandomLabels
from baselines.retrain_briefly import RetrainBriefly
from benchmark import collected, registry
from benchmark.checks.problems import real
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.split import SplitSpec, split
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.metrics.utility import accuracy
from benchmark.problem.model import Predictor
from benchmark.records import Record, Store, read_record
from benchmark.rows import Rows
from benchmark.runner import cell as tuning
from benchmark.runner.cell import (
    Inputs,
    TuningSpec,
    blind,
    fingerprint,
    score,
    settings,
    tune,
    tuning_of,
)
from benchmark.runner.judge import judge_of
from benchmark.runner.plans import plan_cells
from benchmark.runner.workbench import Workbench
from benchmark.studies import experiments as runner
from benchmark.study.reproduce import compare, reproduce
from leaderboard.model.columns import BY_KEY
from methods.blockwise import Blockwise
from methods.langevin import Langevin
from methods.model_clipping import ModelClipping
from methods.newton import Newton
from methods.noisy_fine_tune import NoisyFineTune
from methods.output_perturbation import OutputPerturbation
from tests import problems, tiny_experiment

CPU = torch.device("cpu")
RESULTS = Path(__file__).resolve().parents[1] / "leaderboard" / "results"
TUNED = (
    ("seeds = [0, 1]", "seeds = [0]\ntuning = 4"),
    ("train = 120 }", "train = 120, validation = 50 }"),
)


def run(folder: Path, *changes: tuple[str, str], methods: list[str]) -> runner.Tally:
    path = tiny_experiment.write(folder, *TUNED, *changes)
    console = tiny_experiment.QUIET
    loaded = [experiments.load(str(path))]
    return runner.run(loaded, Store(folder / "results"), CPU, console=console, methods=methods)


def record(folder: Path, label: str) -> Record:
    return read_record(folder / "results" / "tiny" / label / "seed-0.json")


def request() -> Request:
    problem = problems.mlp()
    object.__setattr__(problem, "validation", problem.negatives)
    method = FineTune()
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return Request.of(problem, original, torch.tensor([3, 17, 41, 58]))


def test_the_budget_is_respected_and_the_own_setting_comes_first() -> None:
    method = RandomLabels(epochs=3, learning_rate=0.5)
    for trials in (1, 2, 5, 16, 17, 100):
        spec = TuningSpec(trials=trials, search=RandomLabels.search)
        tried = settings(method, spec, Seeds())
        assert tried[0] == {"epochs": 3, "learning_rate": 0.5}
        assert len(tried) == min(trials, 17), "16 in the search space, and its own"
        assert len({json.dumps(setting) for setting in tried}) == len(tried)
        assert all(
            setting[name] in RandomLabels.search[name] for setting in tried[1:] for name in setting
        )
    within = RandomLabels()  # whose defaults are in the search space: not tried twice
    assert len(settings(within, TuningSpec(trials=100, search=RandomLabels.search), Seeds())) == 16


def test_settings_follow_the_evaluation_seed_alone() -> None:
    method = NegGradPlus()
    spec = TuningSpec(trials=6, search=NegGradPlus.search)
    first = settings(method, spec, Seeds())
    assert settings(method, spec, Seeds(training=5, noise=5, split=5, forget=5)) == first
    assert settings(method, spec, Seeds(evaluation=1)) != first


def test_the_score_by_hand() -> None:
    """A linear model that says class 0 to positive inputs and class 1 to negative ones."""
    problem = problems.softmax(inputs=1, classes=2)
    predictor = Predictor(problem.model, torch.tensor([1.0, -1.0, 0.0, 0.0]).double())
    x = torch.tensor([[1.0], [1.0], [1.0], [-1.0]]).double()
    validation = Rows(x, torch.tensor([0, 0, 0, 0]))  # accuracy 3/4
    for labels, expected in (
        ([0, 0, 0, 1], 75 - 25),
        ([0, 0, 0, 0], 75),
        ([1, 1, 1, 1], 75 - 50),
    ):
        forget = Rows(x, torch.tensor(labels))
        found = score(judge_of(problem), predictor, validation, forget)
        assert found == pytest.approx(expected)


def test_tuning_takes_the_best_score_and_the_first_of_equals() -> None:
    spec = TuningSpec(trials=4, search={"learning_rate": (1e-9, 2e-9, 100.0)})
    found, _ = tune(FineTune(learning_rate=1e-8), spec, request())
    scores = {trial.params["learning_rate"]: trial.score for trial in found.trials}
    assert scores[1e-8] == scores[1e-9] == scores[2e-9] > scores[100.0]
    assert found.params == {"learning_rate": 1e-8}
    again, _ = tune(FineTune(learning_rate=100.0), spec, request())
    first = next(trial for trial in again.trials if trial.params["learning_rate"] < 100)
    assert again.params == first.params


def test_a_failing_trial_is_passed_over_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = FineTune.unlearn

    def fragile(self: FineTune, request: Request) -> Release:
        if self.epochs != 2:
            raise ZeroDivisionError("planted")
        return plain(self, request)

    monkeypatch.setattr(FineTune, "unlearn", fragile)
    spec = TuningSpec(trials=3, search={"epochs": (1, 2)})
    found, _ = tune(FineTune(), spec, request())
    assert found.params == {"epochs": 2}
    assert [t.failure for t in found.trials if t.score is None] == 2 * [
        "ZeroDivisionError: planted"
    ]
    with pytest.raises(LetheError, match="all 2 settings failed, the first by ZeroDivisionError"):
        tune(FineTune(), TuningSpec(trials=2, search={"epochs": (1,)}), request())


def test_a_setting_whose_score_is_no_number_is_passed_over() -> None:
    """A real number is predicted by weights that are finite, and too large to compute with."""
    problem = real()
    object.__setattr__(problem, "validation", problem.negatives)
    original = FineTune().train(problem, problems.every_row(problem), Seeds(), Clock())
    spec = TuningSpec(trials=2, search={"learning_rate": (1e153,)})
    asked = Request.of(problem, original, torch.tensor([3, 17, 41, 58]))
    found, _ = tune(FineTune(learning_rate=1e-8), spec, asked)
    assert found.params == {"learning_rate": 1e-8}
    _, other = found.trials
    assert other.score is None
    assert "too large to compute with" in other.failure
    assert "\n" not in other.failure


def test_when_every_trial_fails_so_does_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(self: RandomLabels, request: Request) -> Release:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(RandomLabels, "unlearn", explode)
    tally = run(tmp_path, methods=["random-labels"])
    assert "all 4 settings failed" in tally.failed[0].failure.message


def test_the_record_says_what_was_tried_and_the_clock_what_it_cost(tmp_path: Path) -> None:
    run(tmp_path, methods=["random-labels", "nothing", "newton"])
    found = record(tmp_path, "random-labels")
    assert len(found.tuned.trials) == 4
    assert found.method.params == found.inputs["params"] | found.tuned.params
    assert found.tuned.params in [trial.params for trial in found.tuned.trials]
    assert found.times.tuning > found.times.unlearn
    total = found.times.unlearn + found.times.tuning
    assert BY_KEY["speedup"].read(found).value == pytest.approx(found.times.retrain / total)
    assert BY_KEY["tuning"].read(found).value == found.times.tuning
    for label in ("nothing", "newton"):
        other = record(tmp_path, label)
        assert other.tuned is None
        assert other.times.tuning is None
        assert "tuning" not in other.inputs
        assert BY_KEY["tuning"].read(other) is None


def test_the_chosen_setting_is_what_answers(tmp_path: Path) -> None:
    """As the same method with the chosen parameters and no tuning."""
    run(tmp_path, methods=["random-labels"])
    found = record(tmp_path, "random-labels")
    params = json.dumps(found.tuned.params).replace('":', '" =')
    path = tiny_experiment.write(tmp_path, ("seeds = [0, 1]", "seeds = [0]"), TUNED[1], name="set")
    path.write_text(path.read_text() + f"\n[rows.random-labels]\nparams = {params}\n")
    console = tiny_experiment.QUIET
    loaded, store = [experiments.load(str(path))], Store(tmp_path / "results")
    runner.run(loaded, store, CPU, console=console, methods=["random-labels"])
    alone = read_record(tmp_path / "results" / "set" / "random-labels" / "seed-0.json")
    assert alone.metrics == found.metrics


def test_a_tuned_cell_is_reproduced(tmp_path: Path) -> None:
    run(tmp_path, methods=["random-labels"])
    found = record(tmp_path, "random-labels")
    again, _ = reproduce(found, CPU, lambda name: None)
    assert again.tuned == found.tuned
    assert again.key == found.key
    assert all(comparison.agrees for comparison in compare(found, again, 0.0))


def test_a_search_space_in_the_experiment_file(tmp_path: Path) -> None:
    rows = "\n[rows.fine-tune]\nsearch = { epochs = [1, 2] }\n"
    delta = "delta = 1e-5\n"
    run(tmp_path, (delta, delta + rows), methods=["fine-tune"])
    found = record(tmp_path, "fine-tune")
    assert found.tuned.trials[0].params == {"epochs": 5}
    assert len(found.tuned.trials) == 3
    assert found.inputs["tuning"] == {"trials": 4, "search": {"epochs": [1, 2]}}


def test_candidates_take_the_type_of_their_parameter() -> None:
    """A whole number in a TOML file, for a parameter that is a float."""
    spec = tuning_of(FineTune(), 2, {"learning_rate": (1,)})
    assert isinstance(spec.search["learning_rate"][0], float)


def test_bad_search_spaces_are_refused_in_one_line() -> None:
    with pytest.raises(LetheError, match="newton is not tuned: it certifies"):
        tuning_of(Newton(), 4, {"damping": (0.1,)})
    with pytest.raises(LetheError, match="unknown parameter of fine-tune 'epoch'"):
        tuning_of(FineTune(), 4, {"epoch": (1,)})
    with pytest.raises(LetheError, match="epochs: Input should be greater"):
        tuning_of(FineTune(), 4, {"epochs": (1, 0)})
    assert tuning_of(Newton(), 4, {}) is None
    assert tuning_of(FineTune(), 4, {}) is None
    assert tuning_of(RandomLabels(), None, {}) is None


# --- certified methods: blind trials


NOISY = {
    "output-perturbation": (OutputPerturbation(epochs=6, batch=16), {"radius": (0.02, 0.5, 2.0)}),
    "noisy-fine-tune": (NoisyFineTune(epochs=5, batch=16), {"clip": (0.01, 0.1), "steps": (4, 8)}),
    "model-clipping": (
        ModelClipping(epochs=4, batch=16),
        {"radius": (0.05, 0.1), "sigma": (0.1, 0.3)},
    ),
    "blockwise": (Blockwise(epochs=8, batch=16), {"radius": (0.5, 2.0), "blocks": (2, 4)}),
}
noisy = pytest.mark.parametrize("name", NOISY)


def with_other_secrets(plain: Request) -> Request:
    """The same retained rows; another original, and forgotten rows of other data and labels."""
    problem, forget = plain.problem, plain.forget
    x, y = problem.train.x.clone(), problem.train.y.clone()
    x[forget], y[forget] = 9.0, (y[forget] + 1) % 3
    original = State(3 * plain.original.weights + 1, plain.original.rows, memory="secret")
    return replace(plain, problem=replace(problem, train=Rows(x, y)), original=original)


@noisy
def test_the_choice_depends_on_neither_the_original_nor_the_forgotten_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, search = NOISY[name]
    plain = replace(request(), target=Target(epsilon=100.0, delta=0.5))  # little noise
    many = problems.rows(4000, 5, 3, 7, torch.float32)  # whose accuracy shows the least change
    plain = replace(plain, problem=replace(plain.problem, validation=many))
    spec, other = TuningSpec(trials=4, search=search), with_other_secrets(plain)
    found, _ = tune(method, spec, plain)
    assert tune(method, spec, other)[0] == found, "every score, bit for bit"
    assert all(trial.failure is None for trial in found.trials)
    assert len({trial.score for trial in found.trials}) > 1, "there is something to choose"

    def peeping(request: Request) -> Request:
        original = replace(request.original, rows=torch.arange(len(request.retain)))
        return replace(blind(request), original=original)

    monkeypatch.setattr(tuning, "blind", peeping)
    assert tune(method, spec, other)[0] != tune(method, spec, plain)[0], "it would have shown"


@noisy
def test_a_blind_trial_is_the_control_with_other_draws(name: str) -> None:
    method, plain = NOISY[name][0], request()
    hidden = blind(plain)
    assert len(hidden.forget) == 0
    assert torch.equal(hidden.problem.train.x, plain.retain_rows.x)
    assert torch.equal(hidden.problem.train.y, plain.retain_rows.y)
    assert float(hidden.original.weights.norm()) == 0
    assert hidden.original.memory is None
    nothing = replace(plain.original, weights=torch.zeros_like(plain.original.weights))
    control = method.answer(replace(plain, original=nothing)).predictor.weights
    again = method.answer(replace(hidden, seeds=plain.seeds)).predictor.weights
    assert torch.equal(again, control)
    trial = method.answer(hidden).predictor.weights
    assert not torch.isclose(trial, control).any()


def test_trials_and_release_share_no_draw() -> None:
    plain = request()
    hidden = blind(plain)
    like = torch.zeros(2000)
    for scope in ((), (0,), (5,), ("block", 0)):
        ours, theirs = (one.noise(like, 1.0, *scope) for one in (plain, hidden))
        assert not torch.isclose(ours, theirs, atol=1e-6).any()
        correlation = float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1])
        assert abs(correlation) < 5 / 2000**0.5
    orders = [
        torch.randperm(50, generator=one.generator("training", "x")) for one in (plain, hidden)
    ]
    assert not torch.equal(*orders)
    for axis in ("split", "forget", "evaluation"):
        assert getattr(hidden.seeds, axis) == getattr(plain.seeds, axis)
    assert blind(plain).seeds == hidden.seeds, "the same seeds, the same trials"
    assert blind(replace(plain, seeds=Seeds(noise=1))).seeds.noise != hidden.seeds.noise


def test_a_certified_method_is_chosen_by_validation_accuracy_alone() -> None:
    method, search = NOISY["output-perturbation"]
    plain = request()
    found, _ = tune(method, TuningSpec(trials=9, search=search), plain)
    assert found.trials[0].params == {"radius": 0.02}
    assert len(found.trials) == 3
    rows, by_hand = plain.problem.validation, []
    for trial in found.trials:
        predictor = method.build(method.model_dump() | trial.params).answer(blind(plain)).predictor
        reached = accuracy(predictor.log_probabilities(rows.x), rows.y)
        assert trial.score == pytest.approx(100 * reached)
        by_hand.append(reached)
    assert found.params == found.trials[by_hand.index(max(by_hand))].params


def certified_row(folder: Path, method: str, search: str) -> tuple[Record, Inputs]:
    row = f"\n[rows.{method}]\nsearch = {search}\n"
    tally = run(folder, ("delta = 1e-5\n", "delta = 1e-5\n" + row), methods=[method])
    assert tally.failed == []
    found = record(folder, method)
    return found, Inputs.read(found.inputs, "test")


def test_the_control_and_the_release_use_the_chosen_setting_and_the_clock_counts(
    tmp_path: Path,
) -> None:
    name, search = "output-perturbation", "{ radius = [1e-4, 1e-3], learning_rate = [1e-2, 1e-9] }"
    found, inputs = certified_row(tmp_path, name, search)
    assert len(found.tuned.trials) == 4
    assert found.verdict == "proved"
    assert found.method.params == found.inputs["params"] | found.tuned.params
    assert found.times.tuning > found.times.unlearn
    bench = Workbench(inputs, CPU, None)
    method = OutputPerturbation.build(found.method.params)
    nothing = State(torch.zeros(bench.problem.model.dimension).double(), bench.rows)
    test = bench.problem.test
    for start, metric in (
        (bench.original[0], "accuracy_test"),
        (nothing, "control_accuracy_test"),
    ):
        asked = Request.of(bench.problem, start, bench.forget, seeds=inputs.seeds)
        reached = accuracy(method.answer(asked).predictor.log_probabilities(test.x), test.y)
        assert found.metrics[metric].value == pytest.approx(100 * reached)
    again, _ = reproduce(found, CPU, lambda name: None)
    assert again.tuned == found.tuned
    assert all(comparison.agrees for comparison in compare(found, again, 0.0))


def test_a_budgeted_retraining_is_tuned_blind_as_well(tmp_path: Path) -> None:
    found, _ = certified_row(tmp_path, "retrain-briefly", "{ learning_rate = [1e-9, 0.1] }")
    assert found.verdict == "exact"
    assert found.tuned.params["learning_rate"] > 1e-9
    plain = request()
    spec = TuningSpec(trials=3, search={"learning_rate": (1e-3, 0.1)})
    ours, theirs = (tune(RetrainBriefly(), spec, r)[0] for r in (plain, with_other_secrets(plain)))
    assert ours == theirs


def test_certified_methods_that_cannot_be_blind_are_refused_in_one_line() -> None:
    search = {"radius": (0.1,)}
    with pytest.raises(LetheError, match=r"newton is not tuned: .* has no noise-only control"):
        tuning_of(Newton(), 4, {"damping": (0.1,)})
    with pytest.raises(LetheError, match="langevin is not tuned: it trains its own original"):
        tuning_of(Langevin(), 4, search)
    with pytest.raises(LetheError, match=r"not tuned: .* rows that later requests forget"):
        tuning_of(OutputPerturbation(), 4, search, requests=2)
    assert tuning_of(OutputPerturbation(), 4, {}) is None, "unless its row gives a search space"
    assert tuning_of(OutputPerturbation(), 4, {}, requests=2) is None
    assert tuning_of(OutputPerturbation(), 4, search).trials == 4
    assert tuning_of(RandomLabels(), 4, {}, requests=2).trials == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds = [0, 1]", "seeds = [0]\ntuning = 4"), "set problem.split.validation"),
        (("seeds = [0, 1]", "seeds = [0]\ntuning = 0"), "tuning: Input should be greater"),
        (
            (
                "delta = 1e-5\n",
                'delta = 1e-5\n[rows.a]\nmethod = "fine-tune"\nsearch = { epochs = [1] }\n',
            ),
            "set tuning",
        ),
    ],
)
def test_bad_experiments_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tiny_experiment.write(tmp_path, change)
    with pytest.raises(LetheError, match=message):
        experiments.load(str(path))


@pytest.mark.parametrize("name", registry.discover())
def test_declared_search_spaces_fit_their_methods(name: str) -> None:
    method = registry.find(name).method
    assert not (method.search and method.evidence)
    spec = tuning_of(method(), 3, {})
    assert (spec is None) == (not method.search)


def test_validation_rows_are_in_no_other_part() -> None:
    dataset = catalogue.load("digits")
    sizes = {"negatives": 200, "test": 397}
    plain = split(dataset, SplitSpec(**sizes), Seeds())
    held = split(dataset, SplitSpec(**sizes, validation=150), Seeds())
    assert torch.equal(plain.negatives, held.negatives)
    assert torch.equal(plain.test, held.test)
    assert len(held.validation) == 150
    together = torch.cat([held.train, held.validation]).sort().values
    assert torch.equal(together, plain.train)
    assert held.fingerprint != plain.fingerprint
    with pytest.raises(LetheError, match="the split asks for"):
        split(dataset, SplitSpec(**sizes, validation=1200), Seeds())


def test_keys_of_experiments_that_do_not_tune_are_what_they_were() -> None:
    """The inputs of committed records, as they are stored, against those of today."""
    checked = 0
    for name in ("digits-softmax", "digits-stream", "digits-mlp"):
        for cell in plan_cells(experiments.load(name), "cpu", seeds=[0]):
            path = RESULTS / name / cell.info.label / "seed-0.json"
            if not collected.exists(path):
                continue
            stored, now = read_record(path).inputs, cell.inputs.model_dump(mode="json")
            for part in ("problem", "forget", "target", "seeds"):
                assert fingerprint({part: stored[part]}) == fingerprint({part: now[part]})
            assert set(stored) == set(now)
            checked += 1
    assert checked >= 10
