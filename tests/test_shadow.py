"""Many models at once: equal to one after the other, kept, mended, and fit for metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.nothing import Nothing
from baselines.retrain import Retrain
from baselines.sisa import SISA
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import DidNotConverge, LetheError
from benchmark.metrics.divergence import margins
from benchmark.problem.model import MLPSpec, Model, Predictor, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.rows import Rows
from benchmark.shadow import store as store_module
from benchmark.shadow.replicas import compared_with, replica_seeds, trained, unlearned
from benchmark.shadow.store import (
    ModelStore,
    label_margins,
    leave_out_effect,
    log_probabilities,
    members,
    shadow_bank,
)
from benchmark.shadow.training import Run, StackedNets, train
from methods.newton import Newton
from methods.output_perturbation import OutputPerturbation
from tests import problems

TANH = MLPSpec(kind="mlp", hidden=(6, 4), activation="tanh")
RELU = MLPSpec(kind="mlp", hidden=(6, 4), activation="relu")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def adam_problem(
    spec: MLPSpec | SoftmaxSpec = TANH,
    *,
    loss: str = "cross_entropy",
    radius: float | None = None,
    device: str = "cpu",
) -> Problem:
    """In float64, so that round-off cannot hide a difference."""

    def rows(n: int, seed: int) -> Rows:
        return problems.rows(n, 5, 3, seed, torch.float64).to(torch.device(device), torch.float64)

    return Problem(
        model=Model(spec, 5, 3),
        objective=Objective(loss=loss, ridge=1e-2),
        training=AdamTraining(
            algorithm="adam", epochs=6, batch=16, learning_rate=0.02, radius=radius
        ),
        train=rows(60, 0),
        negatives=rows(20, 1000),
        test=rows(30, 2000),
    )


def runs(count: int, size: int = 37) -> list[Run]:
    """Runs on random rows; 37 is no multiple of the batch, so the last batch is ragged."""
    generator = torch.Generator().manual_seed(1)
    chosen = [torch.randperm(60, generator=generator)[:size].sort().values for _ in range(count)]
    return [Run.of(rows, torch.Generator().manual_seed(k)) for k, rows in enumerate(chosen)]


def separately(problem: Problem, each: list[Run]) -> Tensor:
    return torch.stack([problem.fit(run.rows, run.generator) for run in each])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("radius", [None, 2.0])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize("spec", [SoftmaxSpec(), TANH, RELU])
def test_models_trained_together_are_those_trained_apart(
    spec: MLPSpec | SoftmaxSpec, loss: str, radius: float | None, device: str
) -> None:
    problem = adam_problem(spec, loss=loss, radius=radius, device=device)
    each = runs(5)
    together = train(problem, each)
    torch.testing.assert_close(together, separately(problem, each), rtol=1e-9, atol=1e-11)
    if radius is not None:
        assert float(together.norm(dim=1).max()) <= radius * (1 + 1e-12)


def test_the_ball_of_the_last_test_binds() -> None:
    assert float(train(adam_problem(), runs(1)).norm()) > 2


def test_in_single_precision_they_agree_to_its_round_off() -> None:
    problem = problems.mlp()
    torch.testing.assert_close(
        train(problem, runs(5)), separately(problem, runs(5)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
@pytest.mark.parametrize("spec", [SoftmaxSpec(), TANH, RELU])
def test_the_stacked_gradient_is_autograds(spec: MLPSpec | SoftmaxSpec, loss: str) -> None:
    problem = adam_problem(spec, loss=loss)
    generator = torch.Generator().manual_seed(3)
    weights = torch.stack([problem.model.initial_weights(generator) for _ in range(4)])
    nets = StackedNets(spec, problem.objective, 5, 3)
    assert nets.dimension == problem.model.dimension
    index = torch.randint(60, (4, 9), generator=generator)
    x, y = problem.train.x[index], problem.train.y[index]
    found = nets.gradient(
        weights, x, torch.nn.functional.one_hot(y, 3).double(), torch.empty_like(weights)
    )
    expected = torch.stack(
        [problem.gradient(w, problem.train.take(i)) for w, i in zip(weights, index, strict=True)]
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_training_to_a_tolerance_is_the_problems_own() -> None:
    problem = problems.softmax()
    assert torch.equal(train(problem, runs(3)), separately(problem, runs(3)))


def to_tolerance(problem: Problem, tolerance: float, max_epochs: int = 2000) -> Problem:
    settings = {"batch": 60, "gradient_tolerance": tolerance, "max_epochs": max_epochs}
    return replace(problem, training=problem.training.model_copy(update=settings))


@pytest.mark.parametrize("radius", [None, 40.0])
def test_descent_to_a_tolerance_ends_where_the_problem_ends_it(radius: float | None) -> None:
    """Each model leaves the stack at an epoch of its own, and the others go on as before."""
    problem = to_tolerance(adam_problem(radius=radius), 2e-2)
    together = train(problem, runs(3))
    torch.testing.assert_close(together, separately(problem, runs(3)), rtol=1e-7, atol=1e-8)
    for run, w in zip(runs(3), together, strict=True):
        assert float(problem.gradient(w, problem.train.take(run.rows)).norm()) <= 2e-2


def test_a_schedule_is_followed() -> None:
    problem = adam_problem()
    settings = {"schedule": "cosine"}
    problem = replace(problem, training=problem.training.model_copy(update=settings))
    assert torch.equal(train(problem, runs(2)), separately(problem, runs(2)))


def test_a_tolerance_that_some_model_misses_is_said() -> None:
    with pytest.raises(DidNotConverge, match="raise max_epochs"):
        train(to_tolerance(adam_problem(), 1e-2, max_epochs=8), runs(3))


def test_models_of_unequal_size_are_not_trained_together() -> None:
    with pytest.raises(LetheError, match="equally many rows"):
        train(adam_problem(), [*runs(1), *runs(1, size=20)])


def counted(monkeypatch: pytest.MonkeyPatch, fail_after: int | None = None) -> list[int]:
    """Have the store's trainings counted: the size of each batch; stop after some of them."""
    sizes: list[int] = []

    def counting(problem: Problem, each: list[Run]) -> Tensor:
        if len(sizes) == fail_after:
            raise KeyboardInterrupt
        sizes.append(len(each))
        return train(problem, each)

    monkeypatch.setattr(store_module, "train", counting)
    return sizes


def test_the_store_trains_what_is_missing_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, heard = counted(monkeypatch), []
    problem = adam_problem()

    def listener(done: int, total: int) -> None:
        heard.append((done, total))

    first = ModelStore(problem, tmp_path, listener, batch=2).train(runs(5))
    assert sizes == [2, 2, 1]
    assert heard == [(0, 5), (2, 5), (4, 5), (5, 5)]
    again = ModelStore(adam_problem(), tmp_path).train(runs(5))
    assert sizes == [2, 2, 1], "nothing is trained twice"
    assert torch.equal(first, again)
    ModelStore(problem, tmp_path).train(runs(6))
    assert sizes[3:] == [1], "a longer list needs the rest alone"
    torch.testing.assert_close(first, separately(problem, runs(5)), rtol=1e-9, atol=1e-11)


def test_a_run_that_is_asked_for_twice_is_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = counted(monkeypatch)
    weights = ModelStore(adam_problem(), None).train([*runs(2), *runs(2)])
    assert sizes == [2]
    assert torch.equal(weights[:2], weights[2:])


def test_training_to_the_one_minimum_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, problem, rows = counted(monkeypatch), problems.softmax(), torch.arange(40)
    store = ModelStore(problem, None)
    seeds = [Run.of(rows, torch.Generator().manual_seed(k)) for k in range(4)]
    weights = store.train([*seeds, Run.of(rows[1:], torch.Generator())])
    assert sizes == [2], "one model for each set of rows"
    for run, w in zip(seeds, weights, strict=False):
        assert torch.equal(w, weights[0])
        assert float((problem.fit(rows, run.generator) - w).norm()) < 1e-8
    assert float((weights[4] - weights[0]).norm()) > 1e-4


def test_a_stop_loses_the_batch_in_flight_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = adam_problem()
    counted(monkeypatch, fail_after=2)
    with pytest.raises(KeyboardInterrupt):
        ModelStore(problem, tmp_path, batch=2).train(runs(6))
    assert len(list(tmp_path.iterdir())) == 4, "four whole files, and no half one"
    sizes = counted(monkeypatch)
    weights = ModelStore(problem, tmp_path, batch=2).train(runs(6))
    assert sizes == [2]
    torch.testing.assert_close(weights, separately(problem, runs(6)), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other-shape"])
def test_a_damaged_file_is_trained_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(adam_problem(), tmp_path)
    weights = store.train(runs(3))
    path = sorted(tmp_path.iterdir())[1]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1
    path.write_bytes({"empty": b"", "short": content[:-9]}.get(damage, content))
    if damage == "other-shape":
        (key,) = (k for k in map(store.run_key, runs(3)) if path.stem == k[:32])
        store.write(key, torch.zeros(3))
    sizes = counted(monkeypatch)
    torch.testing.assert_close(store.train(runs(3)), weights, rtol=1e-9, atol=1e-11)
    assert sizes == [1]


def test_whatever_determines_a_model_is_in_its_key() -> None:
    problem = adam_problem()
    (run,) = runs(1)
    y = problem.train.y.clone()
    y[0] = (y[0] + 1) % 3
    x = problem.train.x.clone()
    x[3, 2] += 1e-9
    training = problem.training
    changed = [
        replace(problem, train=Rows(problem.train.x, y)),
        replace(problem, train=Rows(x, problem.train.y)),
        replace(problem, model=Model(RELU, 5, 3)),
        replace(problem, objective=Objective(ridge=2e-2)),
        replace(problem, training=training.model_copy(update={"epochs": 7})),
    ]
    keys = [ModelStore(each, None).run_key(run) for each in [problem, *changed]]
    store = ModelStore(problem, None)
    keys += [store.run_key(Run(run.rows[1:], run.seed)), store.run_key(Run(run.rows, 99))]
    assert len(set(keys)) == len(keys)
    same = replace(problem, test=problem.negatives)
    assert ModelStore(same, None).run_key(run) == keys[0], "training never looks at test rows"


def test_a_store_asked_for_nothing_says_so() -> None:
    with pytest.raises(LetheError, match="no model"):
        ModelStore(adam_problem(), None).train([])


@pytest.mark.parametrize("rows", [20, 21])
def test_every_row_is_in_half_of_the_models(rows: int) -> None:
    bits = members(rows, 200, Seeds())
    assert (bits.sum(axis=1) == rows // 2).all()
    if rows % 2 == 0:
        assert (bits.sum(axis=0) == 100).all()
    assert not (bits[::2] & bits[1::2]).any(), "a pair shares no row"
    together = (bits[::2, 0] == bits[::2, 1]).mean()
    chance = (rows / 2 - 1) / (rows - 1)  # that row 1 falls into row 0's half
    assert abs(together - chance) < 4 * 0.5 / 10


def test_a_larger_bank_contains_the_smaller_one_and_seeds_matter() -> None:
    small, large = members(30, 4, Seeds()), members(30, 8, Seeds())
    assert np.array_equal(large[:4], small)
    assert not np.array_equal(members(30, 4, Seeds(evaluation=1)), small)
    assert np.array_equal(members(30, 4, Seeds(training=1, forget=1)), small)


@pytest.mark.parametrize("models", [0, 1, 7])
def test_a_bank_has_pairs(models: int) -> None:
    with pytest.raises(LetheError, match="even number"):
        members(30, models, Seeds())


def test_the_bank_holds_models_of_the_rows_it_says(tmp_path: Path) -> None:
    problem = adam_problem()
    bank = shadow_bank(ModelStore(problem, tmp_path), 4, Seeds())
    assert len(bank) == 4
    for k, (weights, bits) in enumerate(zip(bank.weights, bank.members, strict=True)):
        rows = torch.from_numpy(np.flatnonzero(bits))
        expected = problem.fit(rows, Seeds().generator("evaluation", "shadow", k))
        torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-11)
    part = bank.part(2, 4)
    assert torch.equal(part.weights, bank.weights[2:])
    assert np.array_equal(part.members, bank.members[2:])


def test_outputs_of_many_models_are_those_of_each() -> None:
    problem = adam_problem()
    predictors = [Predictor(problem.model, w) for w in train(problem, runs(3))]
    outputs = log_probabilities(predictors, problem.test)
    labels = problem.test.y.numpy()
    assert outputs.shape == (3, 30, 3)
    for each, predictor in zip(outputs, predictors, strict=True):
        logits = predictor.model(predictor.weights, problem.test.x)
        np.testing.assert_allclose(each, logits.log_softmax(dim=1).numpy(), atol=1e-12)
    expected = np.stack([margins(each, labels) for each in outputs])
    assert np.array_equal(label_margins(predictors, problem.test), expected)


def test_the_leave_out_effect_is_a_difference_of_means() -> None:
    rng = np.random.default_rng(0)
    scores, bits = rng.normal(size=(8, 5)), members(5, 8, Seeds())
    bits[:, 4] = [True, False] * 4
    expected = [
        np.mean([s for s, b in zip(column, inside, strict=True) if b])
        - np.mean([s for s, b in zip(column, inside, strict=True) if not b])
        for column, inside in zip(scores.T, bits.T, strict=True)
    ]
    assert leave_out_effect(scores, bits) == pytest.approx(expected)
    bits[:, 2] = True
    with pytest.raises(LetheError, match="in all shadow models"):
        leave_out_effect(scores, bits)


def test_a_planted_wrong_label_is_the_most_memorised_row() -> None:
    problem = adam_problem()
    x, y = problem.train.x, problem.train.y.clone()
    middle = torch.stack([x[y == c].mean(dim=0) for c in range(3)])
    planted = int(torch.linalg.vector_norm(x - middle[y], dim=1).argmin())  # a typical row
    y[planted] = (y[planted] + 1) % 3
    training = problem.training.model_copy(update={"epochs": 200})
    problem = replace(problem, train=Rows(x, y), training=training, objective=Objective(ridge=1e-4))
    bank = shadow_bank(ModelStore(problem, None, batch=32), 32, Seeds())
    predictors = [Predictor(problem.model, w) for w in bank.weights]
    probability = 1 / (1 + np.exp(-label_margins(predictors, problem.train)))
    effect = leave_out_effect(probability, bank.members)
    assert planted in np.argsort(-effect)[:3]
    assert effect[planted] > 0.3


FORGET = torch.arange(10)


def test_replicas_are_the_runs_that_their_seeds_name(tmp_path: Path) -> None:
    problem, rows = adam_problem(), torch.arange(10, 60)
    weights = trained(ModelStore(problem, tmp_path), rows, Seeds(), "reference", 3)
    for k, each in enumerate(weights):
        own = replica_seeds(Seeds(), "reference", k)
        expected = problem.fit(rows, own.generator("training"))
        torch.testing.assert_close(each, expected, rtol=1e-9, atol=1e-11)
    other = trained(ModelStore(problem, tmp_path), rows, Seeds(), "floor", 3)
    distances = torch.cdist(weights, other)
    assert float(distances.min()) > 1e-3, "another role is another set of models"


def test_replicas_change_training_and_noise_alone() -> None:
    seeds = Seeds.all(3)
    each = [replica_seeds(seeds, role, k) for role in ("a", "b") for k in range(3)]
    assert len({s.training for s in each} | {s.noise for s in each}) == 12
    assert {(s.split, s.forget, s.evaluation) for s in each} == {(3, 3, 3)}


def test_unlearned_replicas_answer_the_request(tmp_path: Path) -> None:
    problem = adam_problem()
    store = ModelStore(problem, tmp_path)
    heard = []
    untouched = unlearned(
        store, Nothing(), (FORGET,), Seeds(), 3, listener=lambda *args: heard.append(args)
    )
    assert heard == [(1, 3), (2, 3), (3, 3)]
    originals = trained(store, torch.arange(60), Seeds(), "unlearned", 3)
    for answer, weights in zip(untouched, originals, strict=True):
        assert torch.equal(answer.predictor.weights, weights)
        assert (answer.sigma, answer.inside) == (0, False)
    for k, answer in enumerate(unlearned(store, Retrain(), (FORGET,), Seeds(), 2)):
        own = replica_seeds(Seeds(), "unlearned", k)
        expected = problem.fit(torch.arange(10, 60), own.generator("training"))
        torch.testing.assert_close(answer.predictor.weights, expected, rtol=1e-9, atol=1e-11)


def test_a_stream_of_requests_is_answered_in_turn() -> None:
    store = ModelStore(adam_problem(), None)
    both = unlearned(store, Retrain(), (FORGET, torch.arange(20, 30)), Seeds(), 1)
    at_once = unlearned(store, Retrain(), (torch.cat([FORGET, torch.arange(20, 30)]),), Seeds(), 1)
    assert torch.equal(both[0].predictor.weights, at_once[0].predictor.weights)


def test_answers_are_kept_also_those_of_ensembles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(adam_problem(), tmp_path)
    method = SISA(shards=2, slices=1)
    first = unlearned(store, method, (FORGET,), Seeds(), 2)
    assert first[0].predictor.weights.shape == (2, store.problem.model.dimension)

    def never(self: SISA, request: object) -> None:
        raise AssertionError("an answer on disk is not computed again")

    monkeypatch.setattr(SISA, "unlearn", never)
    again = unlearned(store, method, (FORGET,), Seeds(), 2)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.predictor.weights, other.predictor.weights)
    with pytest.raises(AssertionError):
        unlearned(store, SISA(shards=3, slices=1), (FORGET,), Seeds(), 2)
    with pytest.raises(AssertionError):
        unlearned(store, method, (FORGET[1:],), Seeds(), 2)


# --- what the answers are compared with


def drawn(models: list[Predictor], base: Tensor) -> Tensor:
    return torch.stack([model.weights for model in models]) - base


def test_release_noise_is_on_both_sides(tmp_path: Path) -> None:
    """Retrained models get the noise of the answers, of the same size and other draws."""
    problem = problems.softmax()
    store = ModelStore(problem, tmp_path)
    answers = unlearned(store, Newton(), (FORGET,), Seeds(), 40)
    assert answers[0].sigma > 0
    assert not answers[0].inside
    rows = torch.arange(10, len(problem.train))
    retrained = trained(store, rows, Seeds(), "reference", 1)[0]
    sides = {
        role: drawn(compared_with(store, Newton(), answers, rows, Seeds(), role), retrained)
        for role in ("reference", "floor")
    }
    for noise in sides.values():
        assert float(noise.std() / answers[0].sigma) == pytest.approx(1, abs=0.15)
        assert float(noise.mean().abs()) < 4 * answers[0].sigma / noise.numel() ** 0.5
    distances = torch.cdist(*sides.values())
    assert float(distances.min()) > 0.5 * answers[0].sigma * noise.shape[1] ** 0.5


def test_without_noise_they_are_retrained_models() -> None:
    store, rows = ModelStore(adam_problem(), None), torch.arange(10, 60)
    answers = unlearned(store, Nothing(), (FORGET,), Seeds(), 2)
    found = compared_with(store, Nothing(), answers, rows, Seeds(), "reference")
    assert not drawn(found, trained(store, rows, Seeds(), "reference", 2)).any()


def test_noise_inside_is_that_of_a_retrained_model_with_nothing_to_forget(tmp_path: Path) -> None:
    problem, method = problems.softmax(), OutputPerturbation()
    store, rows = ModelStore(problem, tmp_path), torch.arange(10, len(problem.train))
    answers = unlearned(store, method, (FORGET,), Seeds(), 2)
    assert answers[0].inside
    found = compared_with(store, method, answers, rows, Seeds(), "reference")
    own = replica_seeds(Seeds(), "reference", 1)
    state = State(trained(store, rows, Seeds(), "reference", 2)[1], rows)
    request = Request.of(problem, state, torch.tensor([], dtype=torch.int64), seeds=own)
    assert torch.equal(found[1].weights, method.answer(request).predictor.weights)


def test_a_training_of_its_own_is_on_both_sides(tmp_path: Path) -> None:
    store, rows, method = ModelStore(adam_problem(), tmp_path), torch.arange(10, 60), SISA(slices=1)
    answers = unlearned(store, method, (FORGET,), Seeds(), 2)
    found = compared_with(store, method, answers, rows, Seeds(), "reference")
    own = replica_seeds(Seeds(), "reference", 0)
    expected = method.train(store.problem, rows, own, Clock()).weights
    assert torch.equal(found[0].weights, expected)
    again = ModelStore(adam_problem(), tmp_path)
    reread = compared_with(again, method, answers, rows, Seeds(), "reference")
    assert torch.equal(reread[0].weights, expected)
