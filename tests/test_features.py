"""Fixed features, and which rows are public."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data import features as feature_cache
from benchmark.data.dataset import Dataset, Part
from benchmark.data.features import compute, find, of_images, unit_rows
from benchmark.data.split import PublicIndex, Split, SplitSpec, row_numbers, split
from benchmark.errors import LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import Experiment, load
from benchmark.files import DiskError
from benchmark.runner.cell import Inputs
from benchmark.runner.workbench import Workbench
from tests import tiny_experiment

# Fixed features: one row alone, norms, the cache on disk.

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


# Public rows: how they are declared and drawn, and that no request touches them.

CPU = torch.device("cpu")
TOML = """
title = "Digits with public rows"
description = "Public rows beside private ones."
seeds = [0]
methods = ["nothing", "retrain"]

[problem]
data = "digits"
features = "unit-pixels"
precision = "float64"
split = { test = 300, negatives = 100, train = 200, public = PUBLIC }
model = { kind = "softmax" }
objective = { ridge = 1e-2 }
training = { algorithm = "newton-cg" }

[forget]
count = 5
"""


def experiment(folder: Path, public: str) -> Experiment:
    path = folder / "own.toml"
    path.write_text(TOML.replace("PUBLIC", public), encoding="utf-8")
    return load(str(path))


def dataset(groups: list[int] | None = None) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    part = Part(images, np.arange(12) % 3, "", None if groups is None else np.array(groups))
    return Dataset("tiny", 3, part, None)


def drawn(public: Any, groups: list[int] | None = None, **changes: Any) -> Split:
    spec = SplitSpec(**{"negatives": 2, "test": 2, "public": public} | changes)
    return split(dataset(groups), spec, Seeds())


def parts(found: Split) -> list[list[int]]:
    rows = (found.train, found.negatives, found.test, found.validation, found.public)
    return [part.tolist() for part in rows if part is not None]


@pytest.mark.parametrize("public", [3, 0.25, {"rows": [7, 0, 4]}])
def test_public_rows_are_disjoint_from_all_others(public: Any) -> None:
    found = drawn(public, validation=1)
    together = [row for part in parts(found) for row in part]
    assert sorted(together) == list(range(12))
    assert len(found.public) == 3
    assert found.public.tolist() == sorted(found.public.tolist())


def test_an_index_set_is_taken_as_it_is_whatever_the_seed() -> None:
    spec = SplitSpec(negatives=2, test=2, public={"rows": [7, 0, 4]})
    for seed in range(5):
        assert split(dataset(), spec, Seeds(split=seed)).public.tolist() == [0, 4, 7]


def test_public_rows_are_drawn_by_the_split_seed() -> None:
    spec = SplitSpec(negatives=2, test=2, public=3)
    draws = [split(dataset(), spec, Seeds(split=seed)) for seed in range(6)]
    assert len({tuple(found.public.tolist()) for found in draws}) > 1
    assert len({found.fingerprint for found in draws}) == 6


def test_groups_stay_whole() -> None:
    groups = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    found = drawn(1, groups)
    where = np.array(groups)
    assert len(found.public) == 3
    for part in parts(found):
        for other in parts(found):
            assert part == other or not set(where[part]) & set(where[other])


def test_without_public_rows_nothing_changes() -> None:
    """Splits, fingerprints and keys are those of before there were public rows."""
    spec = SplitSpec(negatives=2, test=3)
    assert "public" not in spec.model_dump(mode="json")
    found = split(dataset(), spec, Seeds())
    assert found.public is None
    known = "c01523fa3019105d"
    assert found.fingerprint.startswith(known)
    with_public = split(dataset(), SplitSpec(negatives=2, test=3, public=2), Seeds())
    assert with_public.negatives.tolist() == found.negatives.tolist()
    assert with_public.test.tolist() == found.test.tolist()
    assert with_public.fingerprint != found.fingerprint


@pytest.mark.parametrize(
    ("public", "message"),
    [
        (0, "public is a number of rows, a share"),
        (1.5, "public is a number of rows, a share"),
        (True, "public is a number of rows, a share"),
        ("3", "public is a number of rows, a share"),
        ({"rows": []}, "1 or more values are wanted, not 0"),
        ({"rows": [1, 1]}, "named twice"),
        ({"rows": [-1]}, "greater than or equal to 0"),
        ({"columns": [1]}, "columns: there is no such setting"),
    ],
)
def test_what_is_no_public_part_is_one_line(tmp_path: Path, public: Any, message: str) -> None:
    with pytest.raises(ValidationError):
        SplitSpec(negatives=1, public=public)
    text = str(public).lower() if isinstance(public, bool) else repr(public)
    with pytest.raises(LetheError, match=message) as caught:
        experiment(tmp_path, text.replace(": ", " = ").replace("{'", "{").replace("' =", " ="))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("public", "groups", "message"),
    [
        (9, None, "asks for 15 rows of tiny, which has 12"),
        ({"rows": [0, 1, 2, 3, 4, 5, 6]}, None, "asks for 13 rows of tiny, which has 12"),
        ({"rows": [12]}, None, "names row 12 of tiny, whose training rows end at 11"),
        ({"rows": [0]}, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "divides the group of row 1"),
    ],
)
def test_public_rows_that_do_not_fit_are_refused(
    public: Any, groups: list[int] | None, message: str
) -> None:
    with pytest.raises(LetheError, match=message):
        drawn(public, groups, train=None if public != 9 else 2)


def test_a_file_of_row_numbers_lies_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "public.txt").write_text("4 2\n9\n", encoding="utf-8")
    found = experiment(tmp_path, "{ file = 'public.txt' }")
    assert found.problem.split.public == PublicIndex(rows=(2, 4, 9))
    again = Experiment.model_validate(found.model_dump())
    assert again.problem == found.problem, "a record's inputs hold the numbers, not the file"


@pytest.mark.parametrize(
    ("content", "public", "message"),
    [
        (None, "{ file = 'public.txt' }", "cannot be read"),
        ("1 two", "{ file = 'public.txt' }", "'two' is not the number of a row"),
        ("1", "{ file = 'public.txt', rows = [1] }", "takes exactly one of these"),
        ("", "{ file = 'public.txt' }", "1 or more values are wanted, not 0"),
    ],
)
def test_a_bad_file_is_one_line(
    tmp_path: Path, content: str | None, public: str, message: str
) -> None:
    if content is not None:
        (tmp_path / "public.txt").write_text(content, encoding="utf-8")
    with pytest.raises(LetheError, match=message) as caught:
        experiment(tmp_path, public)
    assert "\n" not in str(caught.value)


def test_row_numbers_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("1 -2", encoding="utf-8")
    with pytest.raises(LetheError, match="'-2' is not the number of a row"):
        row_numbers(path)


def test_a_public_row_has_no_other_part() -> None:
    found = drawn(3)
    for name in ("train", "negatives", "test"):
        with pytest.raises(LetheError, match=f"one of the split's {name} rows, too"):
            replace(found, public=getattr(found, name)[:1])


def test_a_request_that_touches_public_rows_is_refused() -> None:
    found = drawn(3)
    found.refuse_public(torch.arange(len(found.train)))
    with pytest.raises(LetheError, match="public rows never ask for deletion"):
        found.refuse_public(torch.tensor([len(found.train)]))
    object.__setattr__(found, "public", found.train[2:3])  # as no split can be made
    with pytest.raises(LetheError, match=r"touches row .* never asks for deletion"):
        found.refuse_public(torch.tensor([1, 2]))


def test_a_problem_has_its_public_rows_and_a_run_counts_them(tmp_path: Path) -> None:
    spec = experiment(tmp_path, "150").problem
    problem, found = build(spec, Seeds(), CPU)
    assert len(problem.public) == len(found.public) == 150
    assert not torch.isin(found.public, found.train).any()
    inputs = {
        "recipe": 0,
        "problem": spec,
        "forget": {"count": 5},
        "target": {},
        "seeds": Seeds(),
        "device": "cpu",
        "method": "nothing",
        "method_source": "",
        "params": {},
    }
    bench = Workbench(Inputs.model_validate(inputs), CPU, None)
    assert bench.data.public == 150
    bench.problem.public.x.add_(1)
    assert not bench.intact, "the public rows are sealed like all others"


def test_what_has_no_public_rows_says_nothing_of_them(tmp_path: Path) -> None:
    spec = experiment(tmp_path, "150").problem
    spec = spec.model_copy(update={"split": spec.split.model_copy(update={"public": None})})
    problem, _ = build(spec, Seeds(), CPU)
    assert problem.public is None
    assert "public" not in spec.model_dump(mode="json")["split"]
