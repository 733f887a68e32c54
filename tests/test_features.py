"""Fixed features: one row alone, norms, the cache on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue, feature_cache
from benchmark.data.dataset import Part
from benchmark.data.features import compute, find, of_images, unit_rows
from benchmark.errors import LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import load
from benchmark.files import DiskError
from tests import tiny_experiment

KINDS = ["unit-pixels", "centred-pixels", "pooled-pixels", "hog", "scattering"]
DESCRIPTORS = [name for name in of_images() if find(name).version is not None]
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 12, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (9, 12, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_is_a_function_of_one_row(kind: str, pixels: np.ndarray) -> None:
    whole = compute(kind, pixels, 255)
    assert np.array_equal(whole, compute(kind, pixels, 255))
    assert np.array_equal(whole[2:5], compute(kind, pixels[2:5], 255))
    others = pixels.copy()
    others[1:] ^= 0xFF
    assert np.array_equal(whole[0], compute(kind, others, 255)[0])


@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY // 128], ids=["grey", "colour", "faint"])
@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_a_descriptors_norm_is_one_and_never_more(kind: str, pixels: np.ndarray) -> None:
    features = compute(kind, pixels, 255)
    assert features.dtype == np.float32
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    assert norms.max() <= 1
    assert norms.min() >= 1 - 3e-7
    with_bias = torch.from_numpy(features).double().square().sum(dim=1) + 1
    assert with_bias.max().sqrt() <= 2**0.5


@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY // 128, 0 * GREY])
@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_that_is_declared_holds_whatever_the_image(kind: str, pixels: np.ndarray) -> None:
    norms = np.linalg.norm(compute(kind, pixels, 255).astype(np.float64), axis=1)
    largest = find(kind).largest_norm
    assert largest is None or norms.max() <= largest * (1 + 1e-12)
    assert (largest is None) == (kind == "centred-pixels")


@pytest.mark.parametrize("width", [1, 3, 5000])
def test_rounding_never_lifts_a_norm_above_one(width: int) -> None:
    raw = RNG.lognormal(sigma=3, size=(500, width)) * RNG.choice([-1, 1], (500, width))
    norms = np.linalg.norm(unit_rows(raw).astype(np.float64), axis=1)
    assert norms.max() <= 1
    assert norms[np.linalg.norm(raw, axis=1) >= 0.01].min() >= 1 - 3e-7


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_a_blank_image_has_no_features(kind: str) -> None:
    blank = np.stack([np.full((12, 12), level, dtype=np.uint8) for level in (0, 200)])
    assert np.linalg.norm(compute(kind, blank, 255), axis=1).max() < 0.05


def test_pooled_pixels_are_the_means_of_blocks_scaled_to_norm_one() -> None:
    pooled = compute("pooled-pixels", COLOUR, 255)
    own = np.array(
        [
            [
                image[4 * i : 4 * i + 4, 4 * j : 4 * j + 4, k].mean()
                for i in range(3)
                for j in range(3)
                for k in range(3)
            ]
            for image in COLOUR
        ]
    )
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    assert np.allclose(pooled, own, rtol=0, atol=1e-6)
    assert np.linalg.norm(pooled.astype(np.float64), axis=1).max() <= 1


def test_pooled_pixels_of_sides_that_do_not_divide_are_refused_in_one_line() -> None:
    with pytest.raises(LetheError, match=r"multiples of 4, not 12 x 10$"):
        compute("pooled-pixels", GREY[:, :, :10], 255)


def test_hog_of_an_edge_points_across_it() -> None:
    """Dark left, light right: all of the gradient lies in the bin of angle 0, none beside it."""
    edge = np.zeros((1, 8, 8), dtype=np.uint8)
    edge[:, :, 4:] = 255
    bins = compute("hog", edge, 255).reshape(24, 2, 2)
    signed, unsigned = bins[:16], bins[16:]
    assert (signed[0] > 0.1).all()
    assert np.abs(signed[1:]).max() < 1e-6
    assert np.allclose(unsigned[0], signed[0])
    mirrored = compute("hog", edge[:, :, ::-1].copy(), 255).reshape(24, 2, 2)
    assert np.allclose(mirrored[8], signed[0][:, ::-1])


def test_an_unknown_feature_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LetheError, match="unknown feature 'hogg': did you mean 'hog'"):
        compute("hogg", GREY, 255)
    path = tiny_experiment.write(tmp_path, ('"unit-pixels"', '"hogg"'))
    with pytest.raises(LetheError, match=r"problem\.features") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


# --- the cache on disk --------------------------------------------------------------------------


@pytest.fixture
def part(own_cache: Path) -> Part:
    n = feature_cache.BATCH + 20  # more than one batch, the last one ragged
    return Part(RNG.integers(0, 256, (n, 8, 8), dtype=np.uint8), np.zeros(n, int), "c0ffee" * 10)


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_what_is_read_is_what_was_computed(part: Part, kind: str) -> None:
    fresh = compute(kind, part.images, 255)
    for _ in ("made", "read"):
        assert np.array_equal(feature_cache.whole(part, kind, 255), fresh)
    index = np.array([1, 5, 260])
    assert np.array_equal(feature_cache.rows(part, kind, 255, index), fresh[index])
    folder = feature_cache.cached_file(part, kind).parent
    assert len(list(folder.iterdir())) == 1, "no temporary file stays behind"


def test_a_second_load_computes_nothing(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(feature_cache.whole(part, "hog", 255))
    monkeypatch.setattr(find("hog"), "compute", None)
    assert np.array_equal(feature_cache.whole(part, "hog", 255), first)


def test_the_cache_knows_content_and_version(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    here = feature_cache.cached_file(part, "hog")
    other = Part(part.images, part.labels, "decaf" * 12)
    assert feature_cache.cached_file(other, "hog") != here
    monkeypatch.setattr(find("hog"), "version", 99)
    assert feature_cache.cached_file(part, "hog") != here


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "rows", "precision"])
def test_a_damaged_cache_is_made_anew(part: Part, damage: str) -> None:
    expected = np.array(feature_cache.whole(part, "hog", 255))
    path = feature_cache.cached_file(part, "hog")
    if damage == "rows":
        np.save(path, expected[1:])
    elif damage == "precision":
        np.save(path, expected.astype(np.float64))
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "garbage": b"x" * 999, "truncated": whole[:-9]}[damage])
    assert np.array_equal(feature_cache.whole(part, "hog", 255), expected)
    assert np.array_equal(np.load(path), expected)


@pytest.mark.parametrize("place", [0.3, 0.9, -1])
def test_a_flipped_bit_means_computing_again(part: Part, place: float) -> None:
    expected = feature_cache.whole(part, "hog", 255).copy()
    path = feature_cache.cached_file(part, "hog")
    content = bytearray(path.read_bytes())
    content[place if place < 0 else int(place * len(content))] ^= 0x10
    path.write_bytes(content)
    assert np.array_equal(feature_cache.whole(part, "hog", 255), expected)
    assert np.array_equal(np.load(path), expected)


def test_an_interrupt_leaves_nothing_behind(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    batches, compute_all = [], find("hog").compute

    def interrupted(*arguments: object) -> np.ndarray:
        if batches:
            raise KeyboardInterrupt
        batches.append(compute_all(*arguments))
        return batches[0]

    monkeypatch.setattr(find("hog"), "compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        feature_cache.whole(part, "hog", 255)
    assert list(feature_cache.cached_file(part, "hog").parent.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line(part: Part, own_cache: Path) -> None:
    own_cache.write_text("a file, no folder", encoding="utf-8")
    with pytest.raises(DiskError, match="set LETHE_CACHE to another folder") as caught:
        feature_cache.whole(part, "hog", 255)
    assert "\n" not in str(caught.value)


# --- in experiments -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_build_takes_the_rows_of_the_split(own_cache: Path, tmp_path: Path, kind: str) -> None:
    path = tiny_experiment.write(tmp_path, ('"unit-pixels"', f'"{kind}"'))
    problem, split = build(load(str(path)).problem, Seeds(), torch.device("cpu"))
    digits = catalogue.load("digits").train
    for rows, index in (
        (problem.train, split.train),
        (problem.negatives, split.negatives),
        (problem.test, split.test),
    ):
        expected = compute(kind, digits.images[index.numpy()], 16)
        assert rows.x.dtype == torch.float64
        assert np.array_equal(rows.x.numpy(), expected)
        assert np.array_equal(rows.y.numpy(), digits.labels[index.numpy()])


@pytest.mark.parametrize("name", ["mnist-hog", "mnist-scattering", "cifar10-hog", "svhn-hog"])
def test_the_projects_experiments_on_features_are_valid(name: str) -> None:
    experiment = load(name)
    assert experiment.problem.data in catalogue.discover()
    assert experiment.problem.features in DESCRIPTORS
    if experiment.problem.data == "svhn-part":
        assert "not the official split" in experiment.title
