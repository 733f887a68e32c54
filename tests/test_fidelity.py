"""Errors of published forgetting scores: a detector each, over all there is and over a culprit."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from scipy.special import log_softmax

from benchmark import registry
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.metrics import attacks as membership
from benchmark.metrics.attacks import ModelAttack, attack_models
from benchmark.metrics.divergence import (
    energy_test,
    jensen_shannon_to_retrain,
    kl_from_retrain,
    klom_measure,
)
from benchmark.metrics.scores import attack_measures, clopper_pearson
from benchmark.problem.model import Model, Predictor
from benchmark.problem.models.fully_connected import MLPSpec
from benchmark.problem.training.descent import descend
from benchmark.shadow.replicas import trained, unlearned
from benchmark.shadow.store import ModelStore, shadow_bank
from benchmark.studies.quality_measures import Models, Setting, measure
from tests import problems, test_contract

# Detectors.


#: Relative to the larger of 1 and the value, for sums taken in another order.
ROUND_OFF = 1e-9


def order_matters(
    metric: Callable[..., float], arrays: Sequence[np.ndarray], rng: np.random.Generator
) -> bool:
    """Whether the metric changes when the examples are put into another order.

    Args:
        metric: of arrays like `arrays`.
        arrays: all with the same examples along their last axis.
        rng: for the order.
    """
    order = rng.permutation(np.shape(arrays[0])[-1])
    return _differ(metric(*arrays), metric(*(array[..., order] for array in arrays)))


def batches_matter(
    predict: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, sizes: Sequence[int] = (1, 7)
) -> bool:
    """Whether a row's output depends on the rows it is scored with.

    BatchNorm in training mode, or scores normalised over a batch, show here: and so do statistics
    that scoring moves, since the first rows are scored twice.

    Args:
        predict: from (k, ...) rows to (k, ...) outputs.
        rows: (n, ...).
        sizes: of the batches to try, besides all rows at once.
    """
    whole = predict(rows)
    for size in sizes:
        parts = [predict(rows[start : start + size]) for start in range(0, len(rows), size)]
        if not same_scores(np.concatenate(parts), whole):
            return True
    return False


def same_scores(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether float32 scores are equal to round-off, which grows with the largest of them."""
    return np.allclose(first, second, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(second).max()))


def alters_inputs(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> bool:
    """Whether a call writes to the arrays it is given."""
    before = [array.copy() for array in arrays]
    function(*arrays)
    same = (np.array_equal(a, b, equal_nan=True) for a, b in zip(before, arrays, strict=True))
    return not all(same)


def alarm_rate(alarm: Callable[[int], bool], repeats: int) -> tuple[float, float]:
    """The interval (Clopper-Pearson, 99 %) of how often `alarm(seed)` goes off over seeds 0, 1, ...

    On scores of two identical distributions this is the false-alarm rate of an attack or a
    verdict. An attack that is fitted on what it scores gives itself away by a rate far above the
    nominal one, whatever it finds elsewhere.

    Raises:
        LetheError: if there is no repeat.
    """
    if repeats < 1:
        raise LetheError("an alarm rate needs at least one repeat")
    return clopper_pearson(sum(bool(alarm(seed)) for seed in range(repeats)), repeats, 0.99)


def _differ(first: float, second: float) -> bool:
    return abs(first - second) > ROUND_OFF * max(1.0, abs(first))


# Over all there is, and over a culprit.


METHODS = registry.discover()
ATTACKS = membership.discover()
FORGET = torch.tensor([3, 17, 41, 58])
RUNS, SEEDS = 4, 40


# --- culprits, caught by the contract that every method is held to


class Culprit(Method):
    """Distils its original into a student, and gets something wrong."""

    name = "culprit"
    title = "Culprit"
    source = Source(paper="An example", url="https://example.org/culprit")

    def unlearn(self, request: Request) -> Release:
        teacher = request.original.weights
        student = self._student(teacher)
        draws = request.generator("training", self.name)

        def loss(w: torch.Tensor, rows: object) -> torch.Tensor:
            return (w - self._target(teacher, w)).square().sum()

        settings = {"epochs": 1, "batch": 16, "learning_rate": 0.1}
        trained = descend(loss, student, request.retain_rows, draws, **settings)
        return request.release(self._published(student, trained))

    def _student(self, teacher: torch.Tensor) -> torch.Tensor:
        return teacher

    def _target(self, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return 0.9 * teacher

    def _published(self, student: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        return trained


class SharedTeacher(Culprit):
    """Its teacher is the student: there is nothing to learn from it."""

    def _target(self, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return student.detach()


class InPlace(Culprit):
    """The teacher's weights are the student's, written to in place."""

    def _published(self, student: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        return student.copy_(trained)


class WrongModel(Culprit):
    """It trains one model and publishes another."""

    def _published(self, student: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        return student


class IdleOption(Culprit):
    """Its option changes nothing."""

    strength: float = Field(1.0, gt=0)


@pytest.fixture
def convict(monkeypatch: pytest.MonkeyPatch):
    """Register a culprit, as a file in `baselines/` would."""

    def register(cls: type[Method]) -> str:
        found = types.SimpleNamespace(method=cls)
        monkeypatch.setitem(test_contract.METHODS, cls.name, found)
        return cls.name

    return register


def test_without_its_error_the_culprit_passes(convict) -> None:
    name = convict(Culprit)
    test_contract.test_it_does_something_unless_declared_otherwise(name, "mlp")
    test_contract.test_inputs_and_the_global_generator_are_left_alone(name, "mlp")


@pytest.mark.parametrize("cls", [SharedTeacher, WrongModel])
def test_a_student_that_learns_nothing_is_caught(convict, cls: type[Method]) -> None:
    with pytest.raises(AssertionError):
        test_contract.test_it_does_something_unless_declared_otherwise(convict(cls), "mlp")


def test_weights_that_teacher_and_student_share_are_caught(convict) -> None:
    with pytest.raises(AssertionError):
        test_contract.test_inputs_and_the_global_generator_are_left_alone(convict(InPlace), "mlp")


def test_an_option_that_changes_nothing_is_caught(convict) -> None:
    with pytest.raises(AssertionError, match="strength changes nothing"):
        test_contract.test_every_parameter_changes_something(convict(IdleOption), "strength")


# --- scoring


class BatchNormSpec(MLPSpec):
    """A net whose scores depend on the rows that it last saw."""

    def module(self, inputs: int, classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.BatchNorm1d(inputs), torch.nn.Linear(inputs, classes))


def test_a_net_with_running_statistics_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="running statistics"):
        Model(BatchNormSpec(kind="mlp"), 5, 3)


@pytest.mark.parametrize("name", METHODS)
def test_scores_do_not_depend_on_batch_or_order_and_move_nothing(name: str) -> None:
    kind = test_contract.kinds(name)[-1]
    problem = test_contract.KINDS[kind]()
    _, release = test_contract.ask(test_contract.made(name), problem)
    members, predictor = release.predictor.members.clone(), release.predictor
    scores = predictor.log_probabilities if problem.target is None else predictor.numbers

    def predict(rows: np.ndarray) -> np.ndarray:
        return scores(torch.from_numpy(rows)).numpy()

    rows = problem.test.x.numpy()
    assert not batches_matter(predict, rows)
    assert same_scores(predict(rows[::-1].copy())[::-1], predict(rows))
    assert torch.equal(release.predictor.members, members)


# --- every metric, of every method


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ModelStore, Setting]]:
    """Problems and what models are asked, with trained models that all methods share."""
    found = {}
    for kind, build in test_contract.KINDS.items():
        store = ModelStore(build(), tmp_path_factory.mktemp(kind))
        attacks = tuple(cls() for cls in ATTACKS.values())
        shadows = shadow_bank(store, 8, Seeds())
        found[kind] = store, Setting(store.problem, FORGET, None, Seeds(), attacks, shadows)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_every_metric_has_a_value_within_its_bounds_or_a_reason(
    name: str, bench: dict[str, tuple[ModelStore, Setting]]
) -> None:
    of_classes = [kind for kind in test_contract.kinds(name) if kind != "real"]
    store, setting = bench[of_classes[-1]]
    problem, method = store.problem, test_contract.made(name)
    retain = torch.tensor([k for k in problems.every_row(problem) if k not in FORGET])
    answers = unlearned(store, method, (FORGET,), Seeds(), RUNS)
    models = Models(setting, [answer.predictor for answer in answers])
    reference = Models(setting, predictors(store, trained(store, retain, Seeds(), "ref", RUNS)))
    target = models.loss()
    found = measure(models, reference, target, reference.relearnt(target))
    wanted = {"p_value", "klom", "u-lira_auc", "rmia_gap", "population_gap", "strongest_gap"}
    wanted |= {"js_forget", "kl_forget", "js_test", "relearn_ratio", "relearn_gap"}
    assert wanted <= set(found.measures)
    for metric, value in found.measures.items():
        low, high = value.bounds
        assert value.note if value.value is None else low <= value.value <= high, metric
        if value.interval is not None:
            assert low <= value.interval[0] <= value.interval[1] <= high, metric


def predictors(store: ModelStore, weights: torch.Tensor) -> list[Predictor]:
    return [Predictor(store.problem.model, w) for w in weights]


#: From margins (models, n) of two sets of models.
METRICS = {
    "klom": lambda p, q: klom_measure(p, q).value,
    "auc": lambda p, q: attack_measures([(p, q)])["auc"].value,
    "js": lambda p, q: jensen_shannon_to_retrain(outputs(p), outputs(q))["js_mean"].value,
    "kl": lambda p, q: kl_from_retrain(outputs(p), outputs(q)).value,
    "energy": lambda p, q: energy_test(p, q, np.random.default_rng(0)),
}


def outputs(margins: np.ndarray) -> np.ndarray:
    """(n, 2) log-probabilities of the mean model."""
    mean = margins.mean(axis=0)
    return log_softmax(np.stack([mean, np.zeros_like(mean)], axis=1), axis=1)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shift", [0.0, 1e-9, 3.0, 600.0])
def test_metrics_stay_within_bounds_and_ignore_the_order(name: str, shift: float) -> None:
    """Measures refuse a value out of bounds; identical, near and separated masses give none."""
    rng = np.random.default_rng(1)
    ours = rng.normal(size=(8, 40))
    theirs = ours + shift if shift < 1 else rng.normal(size=(8, 40)) + shift
    assert np.isfinite(METRICS[name](ours, theirs))
    assert not order_matters(METRICS[name], (ours, theirs), rng)


@pytest.mark.parametrize(
    "name", [name for name, cls in ATTACKS.items() if issubclass(cls, ModelAttack)]
)
def test_an_attack_on_models_that_do_not_differ_finds_what_chance_does(name: str) -> None:
    """Fitted on what it scores, it would find more."""
    areas = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        sides = log_softmax(rng.normal(size=(2, 12, 20, 3)), axis=-1)
        folds = attack_models(ATTACKS[name](), *sides, rng.integers(3, size=20), rng)
        areas.append(attack_measures(folds)["auc"].value)
    assert abs(np.mean(areas) - 0.5) < 4 * np.std(areas) / SEEDS**0.5
