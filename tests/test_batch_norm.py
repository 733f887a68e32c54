"""BatchNorm whose statistics are weights: against torch's layer, in training, in a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from baselines.cf_k import CatastrophicForgetting
from baselines.eu_k import ExactLastLayers
from baselines.fine_tune import FineTune
from baselines.fisher_forgetting import FisherForgetting
from baselines.influence import Influence
from baselines.l1_sparse import L1Sparse
from baselines.nothing import Nothing
from baselines.random_labels import RandomLabels
from baselines.retrain import Retrain
from baselines.retrain_other_seed import RetrainOtherSeed
from baselines.salun import SalUn
from baselines.sisa import SISA
from baselines.synaptic_dampening import SynapticDampening
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments import experiment as experiments
from benchmark.problem.model import AllCNNSpec, Model, ModelSpec, ResNet18Spec
from benchmark.problem.models.convolutional import BatchNorm
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.risk import Training
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.problem.variants import last_layers, restricted
from benchmark.records import Record, Store, read_record
from benchmark.rows import Rows
from benchmark.studies import experiments as runner
from methods.output_perturbation import OutputPerturbation
from tests import tiny_experiment
from tests.test_fidelity import batches_matter

SHAPE = (8, 8, 3)
KINDS = {"allcnn": AllCNNSpec, "resnet18": ResNet18Spec}
ROWS, BATCH = 45, 10  # the last batch is ragged
SEEDS = Seeds()


def spec(kind: str, norm: str = "batch") -> ModelSpec:
    return KINDS[kind](kind=kind, width=2, norm=norm, activation="relu")


def rows(n: int, seed: int) -> Rows:
    draws = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=draws)
    x = torch.randn(n, 192, generator=draws, dtype=torch.float64) + y[:, None] / 2
    return Rows(x, y)


def problem(kind: str = "allcnn", training: Training | None = None, ridge: float = 0.1) -> Problem:
    training = training or AdamTraining(algorithm="adam", epochs=3, batch=BATCH, learning_rate=0.02)
    parts = (rows(ROWS, 0), rows(12, 1), rows(12, 2))
    return Problem(Model(spec(kind), SHAPE, 3), Objective(ridge=ridge), training, *parts)


def trained(found: Problem) -> State:
    every = torch.arange(ROWS)
    return State(found.fit(every, SEEDS.generator("training")), every)


def answered(method: Method, found: Problem, original: State | None = None) -> Release:
    original = original or trained(found)
    original = method.prepare(found, original, SEEDS, Clock())
    return method.answer(Request.of(found, original, torch.arange(6), seeds=SEEDS))


def twin(kind: str, weights: Tensor) -> nn.Module:
    """The net with torch's own layers, in float64, with the same weights and statistics."""
    module = spec(kind).module(SHAPE, 3).double()
    nn.utils.vector_to_parameters(weights, module.parameters())
    for name, layer in list(module.named_modules()):
        if isinstance(layer, BatchNorm):
            theirs = nn.BatchNorm2d(len(layer.weight)).double()
            theirs.weight, theirs.bias = layer.weight, layer.bias
            theirs.running_mean.copy_(layer.mean.data)
            theirs.running_var.copy_(layer.variance.data)
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, theirs)
    return module


def some_weights(model: Model) -> Tensor:
    """Weights of no training: each kind off its start, variances positive."""
    draws = torch.Generator().manual_seed(3)
    start = model.initial_weights(draws)
    return start + 0.3 * torch.rand(len(start), generator=draws, dtype=torch.float64)


# the layer and the net


@pytest.mark.parametrize("training", [True, False])
def test_the_layer_is_torchs(training: bool) -> None:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, 5, 5, generator=draws, dtype=torch.float64, requires_grad=True)
    ours, theirs = BatchNorm(4).double(), nn.BatchNorm2d(4).double().train(training)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.rand(4, generator=draws) + 0.5)
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
        theirs.running_mean.copy_(ours.mean)
        theirs.running_var.copy_(ours.variance)
    if training:
        ours.mean = ours.variance = None
    pairs = []
    for layer in (ours, theirs):
        out = layer(x)
        pairs.append([out, *torch.autograd.grad(out.sin().sum(), (x, layer.weight, layer.bias))])
    for a, b in zip(*pairs, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def test_a_batch_with_one_value_a_channel_is_its_shift() -> None:
    """As the last batch of 129 rows by 128 is, where the image has shrunk to a pixel."""
    layer = BatchNorm(3)
    layer.bias.data = torch.tensor([1.0, -2.0, 0.5])
    layer.mean, layer.variance = None, None
    x = torch.randn(1, 3, 1, 1, generator=torch.Generator().manual_seed(0), requires_grad=True)
    out = layer(x)
    assert torch.allclose(out.flatten(), layer.bias.data, atol=1e-4)
    out.sum().backward()
    assert x.grad.abs().max() < 1e-2


def test_a_variance_that_noise_took_below_zero_counts_as_zero() -> None:
    layer, zero = BatchNorm(1), BatchNorm(1)
    nn.init.constant_(layer.variance, -5.0)
    nn.init.zeros_(zero.variance)
    x = torch.ones(2, 1, 3, 3)
    assert torch.isfinite(layer(x)).all()
    assert torch.equal(layer(x), zero(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_net_is_torchs_in_training_and_in_evaluation(kind: str) -> None:
    found, x = problem(kind), rows(8, 5).x
    weights = some_weights(found.model)
    theirs = twin(kind, weights)
    assert torch.allclose(found.model(weights, x), theirs.eval()(x))
    assert torch.allclose(found.model.in_training(weights, x), theirs.train()(x))
    assert not torch.allclose(found.model(weights, x), found.model.in_training(weights, x))


def test_a_row_is_scored_on_its_own_but_trained_on_with_its_batch() -> None:
    model = problem().model
    weights, x = some_weights(model), rows(9, 5).x.numpy()

    def matter(logits) -> bool:
        return batches_matter(
            lambda part: logits(weights, torch.from_numpy(part)).detach().numpy(), x, sizes=(2, 7)
        )

    assert not matter(model)
    assert matter(model.in_training)


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_starts_with_standard_statistics(kind: str) -> None:
    model = problem(kind).model
    module = spec(kind).module(SHAPE, 3)
    nn.utils.vector_to_parameters(
        model.initial_weights(torch.Generator().manual_seed(0)), module.parameters()
    )
    layers = [layer for layer in module.modules() if isinstance(layer, BatchNorm)]
    for layer in layers:
        found = [set(p.tolist()) for p in (layer.weight, layer.bias, layer.mean, layer.variance)]
        assert found == [{1.0}, {0.0}, {0.0}, {1.0}]
    assert int(model.statistics.sum()) == 2 * sum(len(layer.mean) for layer in layers) > 0


# training


@pytest.mark.parametrize("kind", KINDS)
def test_training_ends_with_one_pass_over_the_rows(kind: str) -> None:
    """Every layer's inputs, batch by batch and put together, have these means and variances."""
    found = problem(kind)
    weights = trained(found).weights
    theirs, ours = twin(kind, weights).train(), spec(kind).module(SHAPE, 3).double()
    nn.utils.vector_to_parameters(weights, ours.parameters())
    seen: dict[str, list[Tensor]] = {}
    for name, layer in theirs.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(
                lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0])
            )
    with torch.no_grad():
        for start in range(0, ROWS, BATCH):
            theirs(found.train.x[start : start + BATCH])
    assert seen
    for name, parts in seen.items():
        layer, inputs = ours.get_submodule(name), torch.cat(parts)
        assert torch.allclose(layer.mean, inputs.mean(dim=(0, 2, 3)))
        assert torch.allclose(layer.variance, inputs.var(dim=(0, 2, 3), correction=0))


def test_training_minimises_the_loss_by_batches_and_the_ridge_on_what_is_trained() -> None:
    """One step of Adam on one batch of all rows, by torch's own net."""
    whole = AdamTraining(algorithm="adam", epochs=1, batch=ROWS, learning_rate=0.02)
    found = problem("allcnn", whole, ridge=0.3)
    start = some_weights(found.model)
    weights = found.fit(torch.arange(ROWS), torch.Generator().manual_seed(0), start=start)
    net = twin("allcnn", start.clone()).train()
    loss = nn.functional.cross_entropy(net(found.train.x), found.train.y)
    loss = loss + 0.15 * sum(p.square().sum() for p in net.parameters())
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    loss.backward()
    optimiser.step()
    expected = nn.utils.parameters_to_vector(net.parameters())
    assert torch.allclose(weights[~found.model.statistics], expected, atol=1e-9)


def test_the_objective_does_not_move_statistics() -> None:
    found = problem()
    weights, statistics = some_weights(found.model), found.model.statistics
    gradient = found.gradient(weights, found.train)
    product = found.hessian(weights, found.train) @ torch.ones_like(weights)
    for vector in (gradient, product):
        assert (vector[statistics] == 0).all()
        assert vector[~statistics].abs().max() > 0
    assert float(found.penalty(weights)) == pytest.approx(
        0.05 * float(weights[~statistics].square().sum())
    )


@pytest.mark.parametrize("norm", ["group", "none"])
def test_without_BatchNorm_nothing_is_set_apart(norm: str) -> None:
    model = Model(spec("allcnn", norm), SHAPE, 3)
    weights, x = some_weights(model), rows(4, 0).x
    assert model.statistics is None
    assert model.without_statistics(weights) is weights
    assert model.with_statistics(weights, x, 2) is weights
    assert torch.equal(model.in_training(weights, x), model(weights, x))


@pytest.mark.parametrize(
    "training",
    [
        AdamTraining(algorithm="adam", radius=20.0),
        AdamTraining(algorithm="adam", gradient_tolerance=0.1),
        NewtonTraining(),
    ],
)
def test_no_ball_and_no_tolerance_holds_statistics(training: Training) -> None:
    with pytest.raises(LetheError, match="statistics are set after training") as caught:
        problem(training=training)
    assert "\n" not in str(caught.value)


def test_a_problem_in_some_weights_trains_by_the_statistics_of_all() -> None:
    found = problem()
    weights, x = some_weights(found.model), found.train.x
    part = restricted(found, weights, last_layers(found.model, 3)).model
    own = weights[part.free]
    assert part.statistics.sum() == 0
    assert torch.equal(part.in_training(own, x), found.model(weights, x))
    assert part.with_statistics(own, x, BATCH) is own


# releases


def test_a_release_holds_the_statistics() -> None:
    found = problem()
    released = answered(Nothing(), found).predictor
    module = twin("allcnn", released.weights).eval()
    expected = module(found.test.x).log_softmax(dim=1)
    assert torch.allclose(released.log_probabilities(found.test.x), expected)
    start = found.model.initial_weights(torch.Generator().manual_seed(0))
    statistics = found.model.statistics
    assert not torch.isclose(released.weights[statistics], start[statistics]).any()


@pytest.mark.parametrize(
    "method",
    [
        FineTune(epochs=1),
        RandomLabels(epochs=1),
        SalUn(epochs=1, share=0.9),
        CatastrophicForgetting(layers=3, epochs=1),
        ExactLastLayers(layers=3),
        SynapticDampening(),
        Influence(damping=5.0),
    ],
    ids=lambda method: method.name,
)
def test_what_does_not_retrain_leaves_statistics_alone(method: Method) -> None:
    found = problem()
    original = trained(found)
    released = answered(method, found, original).predictor.weights
    statistics = found.model.statistics
    assert torch.equal(released[statistics], original.weights[statistics])
    assert not torch.equal(released, original.weights)


@pytest.mark.parametrize("method", [L1Sparse(epochs=1), FisherForgetting()])
def test_a_method_that_moves_statistics_as_weights_is_refused(method: Method) -> None:
    with pytest.raises(LetheError, match=f"{method.name} moves BatchNorm's statistics") as caught:
        answered(method, problem())
    assert "\n" not in str(caught.value)


class TrainOn(Method):
    """Train the original on, as it was trained: statistics are set once more."""

    name = "train-on"
    title = "Train on"
    source = Source(paper="None", url="https://example.org")

    def unlearn(self, request: Request) -> Release:
        weights = request.problem.fit(
            request.retain, request.generator("training"), start=request.original.weights
        )
        return request.release(weights)


def test_training_on_may_set_statistics() -> None:
    found = problem()
    original = trained(found)
    released = answered(TrainOn(), found, original).predictor.weights
    statistics = found.model.statistics
    assert not torch.isclose(released[statistics], original.weights[statistics]).all()


@pytest.mark.parametrize("method", [Retrain(), RetrainOtherSeed(), SISA(shards=2, slices=2)])
def test_what_is_exact_by_construction_may_certify(method: Method) -> None:
    found = problem()
    original = method.train(found, torch.arange(ROWS), SEEDS, Clock())
    release = answered(method, found, original)
    assert verdict(release.claim) == "exact"
    assert torch.isfinite(release.predictor.log_probabilities(found.test.x)).all()


def test_a_certificate_by_noise_is_refused() -> None:
    found = problem()
    with pytest.raises(AssumptionBroken, match="minimise a mean of the rows' losses") as caught:
        answered(OutputPerturbation(epochs=0), found)
    assert "\n" not in str(caught.value)
    allowed = replace(found, model=Model(spec("allcnn", "group"), SHAPE, 3))
    assert verdict(answered(OutputPerturbation(epochs=0), allowed).claim) == "proved"


def test_the_runner_refuses_a_certified_row_before_it_starts(tmp_path: Path) -> None:
    path = tiny_experiment.write(
        tmp_path,
        ("unit-pixels", "centred-pixels"),
        ('{ kind = "softmax" }', '{ kind = "allcnn", width = 2, norm = "batch" }'),
        ('"newton-cg", tolerance = 1e-9', '"adam", epochs = 1, radius = "none"'),
    )
    console = tiny_experiment.QUIET
    methods = ["newton", "retrain", "fine-tune"]
    loaded, store = [experiments.load(str(path))], Store(tmp_path / "results")
    runner.run(loaded, store, torch.device("cpu"), console=console, methods=methods, seeds=[0])

    def record(method: str) -> Record:
        return read_record(store.cell_path("tiny", method, 0))

    refused = record("newton").failure
    assert (refused.type, refused.where.split(":")[0]) == (
        "AssumptionBroken",
        "benchmark/contract/batch_statistics.py",
    )
    assert "row's loss depends on its batch" in refused.message
    assert (record("retrain").verdict, record("fine-tune").verdict) == ("exact", "none")
