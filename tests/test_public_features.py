"""Features fitted on public rows: what they are, what they never see, their cache and controls."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.dataset import Dataset
from benchmark.data.fitted import features as cached
from benchmark.data.fitted.features import Fitted, FittedCache
from benchmark.data.fitted.net import Net, _augmented, _start
from benchmark.data.fitted.patches import Patches
from benchmark.data.fitted.spec import NetSpec, PatchesSpec, PublicFeatures, PublicPart, planes
from benchmark.data.split import SplitSpec, split
from benchmark.errors import LetheError
from benchmark.experiments.build import build, fitted_features
from benchmark.experiments.experiment import ProblemSpec, load
from benchmark.metrics.utility import score_public
from benchmark.records import Store
from benchmark.rows import FixedPoint
from benchmark.runner.plans import plan_of
from benchmark.runner.workbench import best_head, public_controls
from methods.downdate import Downdate
from tests import tiny_experiment

CPU = torch.device("cpu")
PATCHES = PatchesSpec(filters=6, size=3, pad=1, pool=2)
BOTH = PublicFeatures(patches=PATCHES, net=NetSpec(epochs=1, shift=1))
COLOUR = np.random.default_rng(0).integers(0, 256, (40, 9, 9, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


def public(images: np.ndarray = COLOUR) -> PublicPart:
    return PublicPart(images, LABELS[: len(images)], 4, 255)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return Fitted.fit(BOTH, public())


def small(features: PublicFeatures = BOTH) -> ProblemSpec:
    spec = load("digits-public").problem
    sizes = SplitSpec(test=60, negatives=40, public=50, train=120)
    return spec.model_copy(update={"features": features, "split": sizes, "rows_at_least": 90})


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        array.tobytes() == other[name].tobytes() for name, array in one.items()
    )


# --- what a fit sees ----------------------------------------------------------------------------


def scrambled(dataset: Dataset, kept: np.ndarray) -> Dataset:
    """The data set with other images and labels in every row but those that are kept."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 17, dataset.train.images.shape, dtype=np.uint8)
    labels = rng.integers(0, 10, len(images))
    images[kept], labels[kept] = dataset.train.images[kept], dataset.train.labels[kept]
    return replace(dataset, train=replace(dataset.train, rows=images, labels=labels))


def test_a_fit_never_sees_a_private_row() -> None:
    """Every other row may change: filters, net and statistics stay bit for bit."""
    dataset, spec = catalogue.load("digits"), small()
    chosen = split(dataset, spec.split, Seeds())
    other = scrambled(dataset, chosen.public.numpy())
    caches = [fitted_features(spec, data, chosen) for data in (dataset, other)]
    fits = [Fitted.fit(cache.spec, cache.public) for cache in caches]
    assert same(fits[0].arrays(), fits[1].arrays())
    assert caches[0].key == caches[1].key
    changed = scrambled(dataset, chosen.public.numpy()[1:])
    third = fitted_features(spec, changed, chosen)
    assert not same(fits[0].arrays(), Fitted.fit(third.spec, third.public).arrays())
    assert caches[0].key != third.key


def test_a_fit_has_copies_of_the_public_rows_alone() -> None:
    dataset = catalogue.load("digits")
    part = PublicPart.of(dataset, torch.tensor([3, 5]), 16)
    assert part.images.shape == (2, 8, 8)
    assert not np.shares_memory(part.images, dataset.train.images)


def test_a_fit_draws_by_its_own_seed_alone() -> None:
    before = torch.get_rng_state()
    first = Fitted.fit(BOTH, public()).arrays()
    torch.rand(3)
    again = Fitted.fit(BOTH, public()).arrays()
    assert same(first, again)
    torch.set_rng_state(before)
    Fitted.fit(BOTH, public())
    assert torch.equal(torch.get_rng_state(), before)
    net = BOTH.net.model_copy(update={"seed": 1})
    other = Fitted.fit(BOTH.model_copy(update={"net": net}), public()).arrays()
    assert not same(first, other)


# --- patches ------------------------------------------------------------------------------------


def by_hand(fit: Patches, image: np.ndarray) -> np.ndarray:
    """The features of one image (height, width, channel), a place at a time, in float64."""
    spec = fit.spec
    side = ((spec.pad, spec.pad), (spec.pad, spec.pad), (0, 0))
    image = np.pad(image.astype(np.float64), side)
    places = image.shape[0] - spec.size + 1
    responses = np.empty((places, places, spec.filters))
    for row in range(places):
        for column in range(places):
            patch = image[row : row + spec.size, column : column + spec.size]
            patch = patch.transpose(2, 0, 1).ravel()
            patch = (patch - patch.mean()) / math.sqrt(patch.var() + spec.contrast)
            responses[row, column] = patch @ fit.filters.double().numpy() - fit.offsets.numpy()
    sides = []
    for z in (responses, -responses):
        kept = np.maximum(z - spec.threshold, 0)
        cells = np.empty((spec.pool, spec.pool, spec.filters))
        for i in range(spec.pool):
            rows = slice(i * places // spec.pool, -(-(i + 1) * places // spec.pool))
            for j in range(spec.pool):
                columns = slice(j * places // spec.pool, -(-(j + 1) * places // spec.pool))
                cells[i, j] = kept[rows, columns].mean(axis=(0, 1))
        sides.append(cells)
    return np.stack(sides).ravel()


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_patches_are_what_the_docs_say(pool: int) -> None:
    fit = Patches.fit(PATCHES.model_copy(update={"pool": pool}), public())
    found = fit.features(planes(COLOUR[:3], 255)).numpy()
    assert found.shape == (3, 2 * PATCHES.filters * pool**2)
    for features, image in zip(found, COLOUR[:3], strict=True):
        assert features == pytest.approx(by_hand(fit, image), abs=1e-5)


def test_filters_are_whitened_patches() -> None:
    """Responses have mean 0 and deviation 1 over the patches of public rows."""
    spec = PatchesSpec(filters=6, size=3, whitening=1e-6, contrast=1e-6)
    smooth = (COLOUR[:, :, :, :1].astype(int) + np.roll(COLOUR[:, :, :, :1], 1, 2)) // 2
    fit = Patches.fit(spec, public(smooth.astype(np.uint8)))
    patches = planes(smooth.astype(np.uint8), 255).unfold(2, 3, 1).unfold(3, 3, 1)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 9)
    centred = patches - patches.mean(dim=1, keepdim=True)
    unit = centred / centred.square().mean(dim=1, keepdim=True).sqrt()
    responses = unit @ fit.filters - fit.offsets
    assert responses.mean(dim=0).abs().max() < 0.1
    assert (responses.std(dim=0) - 1).abs().max() < 0.1


def test_mirrored_features_are_those_of_the_mirror_image() -> None:
    for mirrored in (True, False):
        spec = PATCHES.model_copy(update={"mirrored": mirrored})
        fit = Patches.fit(spec, public())
        there, back = (fit.features(planes(x, 255)) for x in (COLOUR, COLOUR[:, :, ::-1].copy()))
        assert there.shape[1] == 2 * PATCHES.filters * 4
        assert torch.allclose(there, back, atol=1e-5) == mirrored


# --- the net ------------------------------------------------------------------------------------


def test_the_net_has_the_weights_and_features_that_the_docs_say() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    net = Net.fit(NetSpec(epochs=1, batch=6), PublicPart(images, np.arange(12) % 10, 10, 255))
    assert sum(weights.numel() for weights in net.weights.values()) == 70_890
    assert net.features(planes(images, 255)).shape == (12, 3 * 64 * 16 + 10)


def test_cifar_10_has_the_weights_and_features_that_the_docs_say() -> None:
    spec = load("cifar10-public").problem.features
    assert [width for width, *_ in spec.net.convolutions[-3:]] == [128] * 3
    weights = _start(spec.net, 3, 10, torch.Generator().manual_seed(0))
    assert sum(one.numel() for one in weights.values()) == 296_650
    patches, maps = 2 * spec.patches.filters * spec.patches.pool**2, 3 * 128 * spec.net.pool**2
    assert patches + maps + 10 == 7_946


def test_convolutions_of_ones_own_and_coarser_cells() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16), dtype=np.uint8)
    convolutions = ((8, 3, 1), (8, 3, 2), (16, 3, 1), (24, 1, 1))
    spec = NetSpec(epochs=1, batch=6, pool=2, convolutions=convolutions)
    net = Net.fit(spec, PublicPart(images, np.arange(12) % 3, 3, 255))
    kernels = 9 * (1 * 8 + 8 * 8 + 8 * 16) + 16 * 24
    others = 3 * (8 + 8 + 16 + 24) + 24 * 3 + 3
    assert sum(weights.numel() for weights in net.weights.values()) == kernels + others
    assert net.features(planes(images, 255)).shape == (12, (8 + 16 + 24) * 4 + 3)


@pytest.mark.parametrize("mirrored", [True, False])
def test_maps_of_a_mirrored_image_are_those_of_the_image_mirrored(mirrored: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
    part = PublicPart(images, np.arange(6) % 3, 3, 255)
    net = Net.fit(NetSpec(epochs=1, batch=6, mirrored=mirrored), part)
    pixels = planes(images, 255)
    there, back = (net.features(x)[:, :-3].view(6, -1, 4, 4) for x in (pixels, pixels.flip(3)))
    assert torch.allclose(there, back.flip(3), atol=1e-5) == mirrored


@pytest.mark.parametrize("side", [3, 4])
def test_a_square_of_each_image_is_blotted_out(side: int) -> None:
    images, centre = torch.zeros(400, 2, 10, 12), torch.ones(1, 2, 1, 1)
    draws, spec = torch.Generator().manual_seed(0), NetSpec(shift=0, cutout=side)
    seen = _augmented(images, spec, centre, draws)
    assert torch.equal(seen[:, 0], seen[:, 1]), "all channels at the same places"
    covered = seen[:, 0].sum(dim=(1, 2))
    assert covered.max() == side**2, "whole squares"
    assert covered.min() < covered.max(), "and squares across an edge"
    assert (seen[:, 0].mean(dim=0) > 0).all(), "anywhere"


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("convolutions", [[12, 3, 1]] * 3, "multiple of 8"),
        ("convolutions", [[8, 3, 1]] * 2, "3 or more values are wanted, not 2"),
        ("pool", 0, "greater than or equal to 1"),
        ("cutout", -1, "greater than or equal to 0"),
    ],
)
def test_settings_of_a_net_that_make_none_are_one_line(
    setting: str, value: Any, words: str
) -> None:
    with pytest.raises(LetheError, match=words) as caught:
        load("digits-public", changes={f"problem.features.net.{setting}": value})
    assert "\n" not in str(caught.value)


def test_the_net_learns_its_public_rows() -> None:
    images = np.zeros((60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 3] = 200
    net = Net.fit(NetSpec(epochs=15, batch=10, shift=0), PublicPart(images, labels, 3, 255))
    outputs = net.log_probabilities(planes(images, 255))
    assert (outputs.argmax(dim=1).numpy() == labels).mean() > 0.9


# --- fixed point --------------------------------------------------------------------------------


def test_features_are_in_fixed_point_and_their_rows_are_no_longer_than_declared(
    fitted: Fitted,
) -> None:
    wild = np.concatenate([COLOUR, np.zeros_like(COLOUR[:1]), np.full_like(COLOUR[:1], 255)])
    x = torch.from_numpy(fitted.integers(wild)).double() / 2**11
    FixedPoint(clip=16, bits=11).check(x)
    assert x.norm(dim=1).max() <= fitted.largest_norm
    assert fitted.largest_norm == pytest.approx(2 * math.sqrt(x.shape[1]))
    tight = Fitted.fit(BOTH.model_copy(update={"longest": 0.5}), public())
    short = torch.from_numpy(tight.integers(COLOUR)).double() / 2**11
    assert short.norm(dim=1).max() <= tight.largest_norm
    assert short.norm(dim=1).max() > 0.9 * tight.largest_norm


def test_features_have_mean_0_and_deviation_1_over_public_rows(fitted: Fitted) -> None:
    x = fitted.integers(COLOUR) / 2**11
    varied = x.std(axis=0) > 0
    assert varied.mean() > 0.5
    assert np.abs(x.mean(axis=0)).max() < 0.02
    assert np.abs(x[:, varied].std(axis=0) - 1).max() < 0.05


def test_a_feature_that_is_constant_over_public_rows_is_0() -> None:
    blank = COLOUR.copy()
    blank[:, :4] = 0  # no contrast, so that no response changes there
    fit = Fitted.fit(PublicFeatures(patches=PatchesSpec(filters=3, size=2, pool=8)), public(blank))
    constant = (fit.scale == 0).numpy()
    assert constant.any()
    assert not constant.all()
    assert not fit.integers(COLOUR)[:, constant].any()


def test_an_images_numbers_do_not_depend_on_the_others(fitted: Fitted) -> None:
    together = fitted.integers(COLOUR)
    for rows in (slice(0, 1), slice(7, 30)):
        assert np.array_equal(fitted.integers(COLOUR[rows]), together[rows])


# --- the cache ----------------------------------------------------------------------------------


def test_fits_and_features_are_kept_by_content(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FittedCache(BOTH, public()).rows(COLOUR)
    assert first.dtype == np.float64
    fit = Fitted.fit

    def refuse(*_: Any) -> None:
        raise AssertionError("it is on disk")

    monkeypatch.setattr(Fitted, "fit", refuse)
    monkeypatch.setattr(Fitted, "integers", refuse)
    again = FittedCache(BOTH, public())
    assert np.array_equal(again.rows(COLOUR), first)
    assert again.fitted.net_log_probabilities(COLOUR).shape == (40, 4)
    for other in (
        FittedCache(BOTH, public(COLOUR[1:])),
        FittedCache(BOTH.model_copy(update={"longest": 3.0}), public()),
        FittedCache(BOTH, replace(public(), labels=LABELS[::-1].copy())),
        FittedCache(BOTH, replace(public(), levels=256)),
    ):
        with pytest.raises(AssertionError, match="it is on disk"):
            other.rows(COLOUR)
    monkeypatch.setattr(cached.net, "VERSION", 99)
    with pytest.raises(AssertionError, match="it is on disk"):
        FittedCache(BOTH, public()).rows(COLOUR)
    assert same(fit(BOTH, public()).arrays(), again.fitted.arrays())


@pytest.mark.parametrize("damage", ["flipped", "short", "empty"])
def test_what_is_damaged_on_disk_is_made_again(own_cache: Path, damage: str) -> None:
    first = FittedCache(BOTH, public()).rows(COLOUR)
    files = [path for path in (own_cache / "features").iterdir() if path.stat().st_size]
    assert len(files) == 2
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        kept = {"flipped": len(content), "short": len(content) - 9, "empty": 0}[damage]
        path.write_bytes(bytes(content[:kept]))
    again = FittedCache(BOTH, public())
    assert np.array_equal(again.rows(COLOUR), first)
    assert same(again.fitted.arrays(), Fitted.fit(BOTH, public()).arrays())


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ({"size": 12, "pad": 1}, "patches of 12 x 12, and an image with its padding is 11 x 11"),
        ({"size": 9, "pool": 2}, "pools over 2 x 2 cells, and there are 1 x 1 places"),
        ({"filters": 200_000}, "asks for 200000 filters and"),
    ],
)
def test_settings_that_do_not_fit_the_images_are_one_line(
    patches: dict[str, int], message: str
) -> None:
    spec = PublicFeatures(patches=PatchesSpec(**{"filters": 2, "size": 3} | patches))
    with pytest.raises(LetheError, match=message) as caught:
        Fitted.fit(spec, public())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem.features": "hogg"}, r"features are 'hog', .* not 'hogg'"),
        ({"problem.features": 3}, r"features are 'hog', .* not 3"),
        ({"problem.features.patches.filters": 0}, "greater than or equal to 1"),
        ({"problem.features.patches.filters": True}, "true is not a number"),
        ({"problem.features.kind": "patches"}, "there is no such setting"),
        ({"problem.split": {"test": 60, "negatives": 40, "public": None}}, "set problem.split"),
    ],
)
def test_features_that_are_none_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LetheError, match=message) as caught:
        load("digits-public", changes=changes)
    assert "\n" not in str(caught.value)


def test_features_of_public_rows_need_a_part() -> None:
    with pytest.raises(ValidationError, match="need patches, a net or both"):
        PublicFeatures()


# --- a problem, its deletion and its controls -----------------------------------------------------


def test_a_problem_on_public_features_forgets_to_the_last_bit(own_cache: Path) -> None:
    problem, chosen = build(small(), Seeds(), CPU)
    inputs = 2 * 6 * 4 + 3 * 64 * 4 + 10  # the last maps of an image of 8 x 8 are 2 x 2
    assert problem.train.x.shape == (120, inputs)
    assert problem.row_norm == pytest.approx(math.hypot(2 * math.sqrt(inputs), 1))
    assert problem.public.x.std() == pytest.approx(1, abs=0.2)
    method, rows = Downdate(), torch.arange(120)
    original = method.train(problem, rows, Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    request = Request.of(problem, original, rows[::9])
    weights = method.answer(request).state.weights
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert weights.numpy().tobytes() == retrained.numpy().tobytes()
    chosen.refuse_public(request.forget)


def test_the_controls_are_of_public_rows_alone(own_cache: Path) -> None:
    spec = small()
    problem, chosen = build(spec, Seeds(), CPU)
    found = public_controls(spec, problem, chosen, Seeds())
    assert set(found) == {"head", "net"}
    assert all(right.shape == (60,) and right.dtype == bool for right in found.values())
    assert found["head"].mean() > 0.5
    scrambled = replace(problem, train=replace(problem.train, x=problem.train.x.flip(0)))
    assert np.array_equal(best_head(scrambled, Seeds()), found["head"])
    without = spec.model_copy(update={"features": PublicFeatures(patches=PATCHES)})
    assert set(public_controls(without, *build(without, Seeds(), CPU), Seeds())) == {"head"}
    assert public_controls(spec, replace(problem, public=None), chosen, Seeds()) == {}


def test_the_better_ridge_speaks_for_the_control(own_cache: Path) -> None:
    problem, _ = build(load("digits-public", "smoke").problem, Seeds(), CPU)
    best = best_head(problem, Seeds()).mean()
    for ridge in (1.0, len(problem.train) / len(problem.public)):
        objective = problem.objective.model_copy(update={"ridge": ridge * problem.objective.ridge})
        alone = replace(problem, objective=objective, train=problem.public)
        weights = alone.fit(torch.arange(len(problem.public)), Seeds().generator("training"))
        right = problem.model(weights, problem.test.x).argmax(dim=1) == problem.test.y
        assert best >= right.double().mean()


def test_a_gain_has_the_interval_of_its_rows() -> None:
    ours, theirs = np.array([1, 1, 1, 0], dtype=bool), np.array([1, 0, 1, 0], dtype=bool)
    scores = score_public(ours, {"head": theirs})
    assert scores["public_accuracy_test"].value == 50
    gap = scores["public_accuracy_test_gap"]
    assert (gap.value, gap.unit, gap.direction, gap.n) == (25, "points", "higher", 4)
    half = 3.182446 * 0.5 / 2  # Student's, three degrees of freedom
    assert f"{25 - 100 * half:+.2f} to {25 + 100 * half:+.2f}" in gap.note
    assert score_public(ours, {}) == {}
    with pytest.raises(LetheError, match="same test rows"):
        score_public(ours, {"head": theirs[:2]})


PUBLIC = """
[problem.features]
patches = { filters = 6, size = 3, pad = 1 }
"""


def test_every_row_of_a_run_has_the_controls(own_cache: Path, tmp_path: Path) -> None:
    study = tiny_experiment.write(
        tmp_path,
        ('features = "unit-pixels"', ""),
        ("train = 120", "train = 120, public = 50"),
        ("[forget]", f"{PUBLIC}\n[forget]"),
        ("seeds = [0, 1]", 'seeds = [0]\nmethods = ["nothing", "newton"]'),
    )
    tiny_experiment.run(study, folder=tmp_path / "results")
    records = Store(tmp_path / "results").records("tiny")
    assert len(records) == 2
    for record in records:
        assert record.status == "ok"
        gap = record.metrics["public_accuracy_test_gap"].value
        control = record.metrics["public_accuracy_test"].value
        assert gap == pytest.approx(record.metrics["accuracy_test"].value - control)
        assert record.data.public == 50
        assert "public_net_accuracy_test" not in record.metrics


@pytest.mark.parametrize("name", ["digits", "mnist", "svhn", "cifar10"])
def test_the_projects_experiments_on_public_features_are_valid(name: str) -> None:
    for profile in (None, "smoke"):
        experiment = load(f"{name}-public", profile)
        spec = experiment.problem
        assert {"exact_sums", "squared_loss"} <= spec.offers
        assert spec.fixed_point == FixedPoint(clip=16, bits=11)
        mirrored = (spec.features.patches, spec.features.net)
        assert all(part.mirrored == (name == "cifar10") for part in mirrored if part)
        plan = plan_of(experiment)
        assert plan.facts.features.startswith("public-")
        assert "public" in plan.settings
