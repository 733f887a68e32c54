"""The uncertified baselines on a convolutional net, which they know as a function of weights."""

from __future__ import annotations

import pytest
import torch

from benchmark import registry
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.problem.model import AllCNNSpec, Model
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training import AdamTraining
from benchmark.problem.units import Units
from tests import problems

ENTRIES = [
    name
    for name, found in registry.discover().items()
    if found.family == "baselines" and found.method.role == "entry" and not found.method.evidence
]
#: Off the defaults where these need it on a net that has hardly been trained.
SETTINGS = {"influence": {"damping": 5.0}, "l-codec": {"damping": 5.0, "perturbations": 10}}


def small_allcnn(norm: str = "group") -> Problem:
    def rows(n: int, seed: int) -> problems.Rows:
        return problems.rows(n, 64, 3, seed, torch.float32)

    return Problem(
        model=Model(AllCNNSpec(kind="allcnn", width=2, norm=norm), (8, 8, 1), 3),
        objective=Objective(ridge=1e-3),
        training=AdamTraining(algorithm="adam", epochs=2, batch=16, learning_rate=1e-2, radius=20),
        train=rows(40, 0),
        negatives=rows(10, 1),
        test=rows(10, 2),
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_it_runs_on_a_convolutional_net_and_moves_it(name: str) -> None:
    problem, method = small_allcnn(), registry.find(name).method(**SETTINGS.get(name, {}))
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    release = method.answer(Request.of(problem, original, torch.tensor([1, 5, 9])))
    assert torch.isfinite(release.state.weights).all()
    assert not torch.equal(release.state.weights, original.weights)


def test_a_convolutions_units_are_its_filters() -> None:
    """Their mean output over the image, by the first layer's convolution itself."""
    problem = small_allcnn(norm="none")
    weights = problem.model.initial_weights(torch.Generator().manual_seed(0)).float()
    units, x = Units(problem.model), problem.train.x
    outputs, logits = units.outputs(weights, x)
    assert torch.allclose(logits, problem.model(weights, x), atol=1e-6)
    images = x.view(-1, 8, 8, 1).permute(0, 3, 1, 2)
    first = torch.nn.functional.conv2d(
        images, weights[:18].view(2, 1, 3, 3), weights[18:20], padding=1
    )
    assert torch.allclose(outputs[:, :2], first.mean(dim=(2, 3)), atol=1e-6)
    assert torch.allclose(outputs[:, -3:], logits, atol=1e-6), "the mean of the last maps"
    assert units.owners()[:20].tolist() == 9 * [0] + 9 * [1] + [0, 1]


def test_normalisation_layers_have_no_units_but_are_layers() -> None:
    model = small_allcnn().model
    first, second = model.layers[:2]
    assert (first.start, first.stop, second.stop) == (0, 18, 22), (
        "2 x 9 weights, 2 x 2 for the norm"
    )
    assert Units(model).owners()[18:22].tolist() == 4 * [-1]
