"""Convolutional nets: published sizes, layout, starts, derivatives and their R-operator."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.curvature import convolutional
from benchmark.curvature.convolutional import ConvolutionalHessian, has_rules
from benchmark.curvature.hessian import Differentiated, Hessian, RowMean
from benchmark.curvature.layers import nbytes, split
from benchmark.problem.model import AllCNNSpec, Model, ModelSpec, Predictor, ResNet18Spec
from benchmark.problem.models.convolutional import Images
from benchmark.problem.models.convolutional import names as names_of_statistics
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.products import default
from benchmark.problem.training.adam import AdamTraining
from benchmark.rows import Rows
from tests.problems import FORMS

# Convolutional nets: published sizes, layout, derivatives, starts.

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
    from torchvision.models import resnet18  # slow to import, and not every worker gets here

    theirs = resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.eval()
    published = ResNet18Spec(kind="resnet18", norm="batch", activation="relu")
    ours = published.module((32, 32, 3), 10).eval()
    statistics = names_of_statistics(ours)
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


# The R-operator of convolutional nets against automatic differentiation, in float64.

ROWS = 23
ACTIVATIONS = ["silu", "gelu", "softplus", "tanh", "relu"]


def hessian_problem(
    kind: str, size: int = 8, loss: str = "cross_entropy", **settings: object
) -> Problem:
    """Width 3: groups of three channels and, in ResNet-18's last stage, one place an image."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, size * size * 2, generator=draws, dtype=torch.float64)
    rows = Rows(x, torch.randint(3, (ROWS,), generator=draws))
    model = Model(KINDS[kind](kind=kind, **({"width": 3} | settings)), (size, size, 2), 3)
    training = AdamTraining(algorithm="adam", epochs=2, batch=4, learning_rate=0.01)
    return Problem(model, Objective(loss=loss, ridge=0.02), training, rows, rows, rows)


def weights_of(found: Problem) -> Tensor:
    """Away from the start, where scales are 1 and shifts are 0."""
    draws = torch.Generator().manual_seed(1)
    start = found.model.initial_weights(draws)
    return start + 0.1 * torch.randn(len(start), generator=draws, dtype=torch.float64)


def vector_like(weights: Tensor, seed: int = 2) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(len(weights), generator=draws, dtype=torch.float64).to(weights)


def operator(found: Problem, weights: Tensor, rows: Rows, **form: int) -> ConvolutionalHessian:
    hessian = found.hessian(weights, rows, **form)
    assert isinstance(hessian, ConvolutionalHessian)
    return hessian


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def agree(found: Differentiated, expected: Differentiated, weights: Tensor) -> None:
    v = vector_like(weights)
    assert off(found @ v, expected @ v) < 1e-10
    assert off(found.gradient, expected.gradient) < 1e-10


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("kind", "norm"), list(itertools.product(KINDS, ["group", "none"])))
def test_product_and_gradient_are_autograds(kind: str, norm: str, activation: str) -> None:
    found = hessian_problem(kind, norm=norm, activation=activation)
    weights = weights_of(found)
    expected = Hessian(lambda w: found.loss(w, found.train), weights)
    agree(operator(found, weights, found.train, chunk=9), expected, weights)


@pytest.mark.parametrize(("kind", "size"), [("allcnn", 11), ("resnet18", 32)])
def test_images_of_other_sizes_and_squared_loss(kind: str, size: int) -> None:
    found = hessian_problem(kind, size, "squared", width=4)
    weights, rows = weights_of(found), Rows(found.train.x[:4], found.train.y[:4])
    expected = Hessian(lambda w: found.loss(w, rows), weights)
    agree(operator(found, weights, rows), expected, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_the_product_is_symmetric(kind: str) -> None:
    found = hessian_problem(kind)
    weights = weights_of(found)
    hessian = operator(found, weights, found.train)
    u, v = vector_like(weights, 3), vector_like(weights, 4)
    scale = float(u.norm() * (hessian @ v).norm())
    assert abs(float(u.dot(hessian @ v) - v.dot(hessian @ u))) < 1e-13 * scale


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_may_be_cut_and_kept_in_any_way(kind: str, form: str) -> None:
    found = hessian_problem(kind)
    weights = weights_of(found)
    hessian = operator(found, weights, found.train, **FORMS[form])
    whole = Hessian(lambda w: found.loss(w, found.train), weights)
    agree(hessian, whole, weights)
    v = vector_like(weights)
    assert torch.equal(hessian @ v, hessian @ v), "products leave the passes as they were"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_changes_no_bit(dtype: torch.dtype) -> None:
    found = hessian_problem("resnet18")
    weights = weights_of(found).to(dtype)
    rows = Rows(found.train.x.to(dtype), found.train.y)
    v = vector_like(weights)
    every, some, none = (
        operator(found, weights, rows, chunk=5, kept_rows=kept) for kept in (ROWS, 11, 0)
    )
    assert [len(one._kept) for one in (every, some, none)] == [5, 2, 0]
    for other in (some, none):
        assert torch.equal(every @ v, other @ v)
        assert torch.equal(every.gradient, other.gradient)


def test_a_cpu_keeps_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hessian_problem("allcnn")
    weights = weights_of(found)
    whole = operator(found, weights, found.train, chunk=5)
    assert len(whole._kept) == 5
    monkeypatch.setattr(convolutional, "CPU_KEPT", 3 * nbytes(whole._kept[:1]))
    bounded = operator(found, weights, found.train, chunk=5)
    assert len(bounded._kept) == 3
    v = vector_like(weights)
    assert torch.equal(bounded @ v, whole @ v)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["group", "none"])
def test_float32_is_float64_to_its_precision(kind: str, norm: str) -> None:
    found = hessian_problem(kind, norm=norm)
    weights = weights_of(found)
    v = vector_like(weights)
    double = operator(found, weights, found.train)
    rows = Rows(found.train.x.float(), found.train.y)
    single = operator(found, weights.float(), rows)
    assert (single @ v.float()).dtype == single.gradient.dtype == torch.float32
    assert off((single @ v.float()).double(), double @ v) < 1e-3
    assert off(single.gradient.double(), double.gradient) < 1e-4


def test_the_order_of_rows_is_irrelevant_and_weights_are_copied() -> None:
    found = hessian_problem("allcnn")
    weights = weights_of(found)
    v = vector_like(weights)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(5))
    hessian = operator(found, weights, found.train, chunk=5, kept_rows=5)
    shuffled = operator(found, weights, found.train.take(order), chunk=5)
    first = hessian @ v
    assert off(shuffled @ v, first) < 1e-12
    weights.zero_()
    assert torch.equal(hessian @ v, first)


def test_layers_that_no_published_net_combines() -> None:
    net = nn.Sequential(
        Images((6, 6, 2)),
        nn.Conv2d(2, 4, 3, 2, 2, dilation=2),
        nn.GELU(),
        nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.GroupNorm(2, 6)),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    ).double()
    assert has_rules(net)
    draws = torch.Generator().manual_seed(6)
    weights = torch.randn(sum(p.numel() for p in net.parameters()), generator=draws).double()
    x = torch.randn(7, 72, generator=draws).double()
    y = torch.randint(3, (7,), generator=draws)

    def loss(w: Tensor) -> Tensor:
        ends = w.split([p.numel() for p in net.parameters()])
        named = {
            name: part.view(p.shape)
            for (name, p), part in zip(net.named_parameters(), ends, strict=True)
        }
        return Objective(ridge=0.1).data_term(functional_call(net, named, (x,)), y) + 0.05 * w @ w

    hessian = ConvolutionalHessian(net, x, y, weights, loss="cross_entropy", ridge=0.1, chunk=3)
    agree(hessian, Hessian(loss, weights), weights)


@pytest.mark.parametrize(
    "net",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 1)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")),
        nn.Sequential(nn.Conv2d(2, 2, 3, padding="same")),
        nn.Sequential(nn.Conv2d(2, 2, 3, groups=2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.GroupNorm(1, 2, affine=False)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.GELU("tanh")),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.Softplus(2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.AdaptiveAvgPool2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(2, 2, bias=False)),
    ],
)
def test_what_has_no_rule_is_told(net: nn.Module) -> None:
    assert not has_rules(net)


def test_batch_norm_is_left_to_automatic_differentiation() -> None:
    found = hessian_problem("allcnn", norm="batch")
    assert default(found) == "kept-graph"
    start = found.model.initial_weights(torch.Generator().manual_seed(0))
    assert isinstance(found.hessian(start, found.train), RowMean)


def test_weights_are_split_in_the_order_of_the_parameters() -> None:
    net = hessian_problem("resnet18").model.module
    count = sum(p.numel() for p in net.parameters())
    parts = split(net, torch.arange(count))
    flat = torch.cat([part.flatten() for name in parts.values() for part in name])
    assert torch.equal(flat, torch.arange(count))
    owner, _, own = list(dict(net.named_parameters()))[-2].rpartition(".")
    assert own == "weight"
    assert parts[net.get_submodule(owner)][0].shape == net.get_parameter(f"{owner}.weight").shape
    with pytest.raises(ValueError, match="weights"):
        split(net, torch.zeros(count + 1))


def test_bytes_are_counted_once() -> None:
    one, two = torch.zeros(6), torch.zeros(4, dtype=torch.float64)
    assert nbytes([one, [two, one], nn.Linear(3, 3)]) == 24 + 32
