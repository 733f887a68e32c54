"""Convolutional nets: published sizes, layout, derivatives, starts."""

from __future__ import annotations

import itertools

import pytest
import torch
import torchvision
from torch import nn
from torch.func import vmap

from benchmark.problem.model import AllCNNSpec, Model, ModelSpec, ResNet18Spec
from benchmark.problem.models import batch_norm
from benchmark.problem.models.convolutional import Images
from benchmark.problem.objective import Objective
from benchmark.problem.predictor import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import AdamTraining

SHAPE = (8, 8, 3)
KINDS = {"allcnn": AllCNNSpec, "resnet18": ResNet18Spec}


def spec(kind: str, **settings: object) -> ModelSpec:
    return KINDS[kind](kind=kind, **({"width": 4} | settings))


def rows(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Rows:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 192, generator=draws, dtype=torch.float64)
    return Rows(x.to(dtype), torch.randint(3, (n,), generator=draws))


def problem(kind: str, dtype: torch.dtype = torch.float64, **settings: object) -> Problem:
    part = rows(12, dtype=dtype)
    training = AdamTraining(algorithm="adam", epochs=2, batch=4, learning_rate=0.01)
    model = Model(spec(kind, **settings), SHAPE, 3)
    return Problem(model, Objective(ridge=1e-2), training, part, part, part)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_AllCNN_has_its_published_size() -> None:
    model = Model(AllCNNSpec(kind="allcnn", norm="none"), (32, 32, 3), 10)
    assert model.dimension == 1_369_738


def test_ResNet18_is_torchvisions_but_for_its_first_layer() -> None:
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.eval()
    published = ResNet18Spec(kind="resnet18", norm="batch", activation="relu")
    ours = published.module((32, 32, 3), 10).eval()
    statistics = batch_norm.names(ours)
    trained = [p for name, p in ours.named_parameters() if name not in statistics]
    for a, b in zip(trained, theirs.parameters(), strict=True):
        assert a.shape == b.shape
        a.data.copy_(b.data)
    x = torch.randn(2, 3, 32, 32, generator=generator())
    assert torch.allclose(ours(x.movedim(1, -1).flatten(1)), theirs(x), atol=1e-4)


def test_a_narrower_net_has_narrower_layers() -> None:
    wide, narrow = (ResNet18Spec(kind="resnet18", width=w).module(SHAPE, 3) for w in (8, 2))
    for a, b in zip(wide.parameters(), narrow.parameters(), strict=True):
        assert a.shape[0] in (4 * b.shape[0], 3)


def test_rows_are_viewed_as_images_in_channels_last_order() -> None:
    pixels = torch.arange(2 * 192.0).view(2, *SHAPE)
    images = Images(SHAPE)(pixels.flatten(1))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.data_ptr() == pixels.data_ptr()
    assert torch.equal(images[1, 2], pixels[1, :, :, 2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_of_a_row_depend_on_no_other(kind: str) -> None:
    found = problem(kind)
    weights = found.model.initial_weights(generator())
    whole = found.model(weights, found.train.x)
    alone = torch.cat([found.model(weights, x) for x in found.train.x.split(1)])
    assert torch.allclose(whole, alone)
    assert whole.std(dim=0).min() > 1e-3, "and they depend on the row"


@pytest.mark.parametrize("activation", ["silu", "gelu", "softplus", "tanh"])
@pytest.mark.parametrize(("kind", "norm"), list(itertools.product(KINDS, ["group", "none"])))
def test_the_hessian_is_the_derivative_of_the_gradient(
    kind: str, norm: str, activation: str
) -> None:
    found = problem(kind, norm=norm, activation=activation, width=2)
    weights = found.model.initial_weights(generator())
    v = torch.randn(len(weights), generator=generator(), dtype=torch.float64)
    v /= v.norm()
    h = 1e-5
    ends = [found.gradient(weights + sign * h * v, found.train) for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * h)
    product = found.hessian(weights, found.train) @ v
    assert float((product - expected).norm() / expected.norm()) < 1e-5
    assert found.model.spec.smooth


@pytest.mark.parametrize("kind", KINDS)
def test_passes_over_all_data_go_in_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problem(kind)
    weights = found.model.initial_weights(generator())
    vector = torch.ones_like(weights)

    def passes() -> tuple[torch.Tensor, ...]:
        return (
            found.gradient(weights, found.train),
            found.hessian(weights, found.train) @ vector,
            Predictor(found.model, weights).log_probabilities(found.train.x),
        )

    whole = passes()
    seen: list[int] = []
    plain = Model.__call__
    monkeypatch.setattr(
        Model, "__call__", lambda self, w, x: seen.append(len(x)) or plain(self, w, x)
    )
    found.model.chunk = 5
    for a, b in zip(whole, passes(), strict=True):
        assert torch.allclose(a, b)
    assert set(seen) == {5, 2}


@pytest.mark.parametrize("kind", KINDS)
def test_chains_of_LiSSA_differentiate_the_net_in_one_program(kind: str) -> None:
    found = problem(kind)
    weights = found.model.initial_weights(generator())
    parts = [rows(3, seed) for seed in (1, 2)]
    w = weights.expand(2, -1).clone().requires_grad_()
    x, y = torch.stack([p.x for p in parts]), torch.stack([p.y for p in parts])
    losses = vmap(lambda w, x, y: found.data_loss(w, Rows(x, y)))(w, x, y)
    (gradients,) = torch.autograd.grad(losses.sum(), w)
    for row, part in zip(gradients, parts, strict=True):
        alone = found.gradient(weights, part) - found.objective.ridge * weights
        assert torch.allclose(row, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_starts_as_He_et_al_have_it(kind: str) -> None:
    module = spec(kind, width=16).module(SHAPE, 3)
    model = Model(spec(kind, width=16), SHAPE, 3)
    named = dict(module.named_parameters())
    pieces = model.initial_weights(generator()).split([p.numel() for p in named.values()])
    for (name, parameter), piece in zip(named.items(), pieces, strict=True):
        if parameter.dim() > 1:
            expected = (2 / parameter[0].numel()) ** 0.5
            assert float(piece.std()) == pytest.approx(expected, rel=0.2), name
        else:
            assert set(piece.tolist()) == {float(name.endswith("weight"))}, name


@pytest.mark.parametrize("kind", KINDS)
def test_ReLU_is_not_smooth(kind: str) -> None:
    assert spec(kind).smooth
    assert not spec(kind, activation="relu").smooth


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_and_leaves_the_global_generator_alone(kind: str) -> None:
    found = problem(kind, dtype=torch.float32)
    state = torch.get_rng_state()
    every = torch.arange(12)
    weights = found.fit(every, generator())
    assert torch.equal(weights, found.fit(every, generator()))
    assert torch.equal(torch.get_rng_state(), state)
    start = found.model.initial_weights(generator()).float()
    assert float(found.loss(weights, found.train)) < float(found.loss(start, found.train))
