"""Content hashes, canonical order, loading, splits, forget sets, features."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue, images
from benchmark.data.dataset import (
    Dataset,
    Part,
    canonical_order,
    content_hash,
    groups_hash,
    row_digests,
)
from benchmark.data.features import compute
from benchmark.data.forget import ForgetSpec
from benchmark.data.images import Source
from benchmark.data.sets.images import SHIFTS, Mnist, shifted
from benchmark.data.split import Split, SplitSpec, split
from benchmark.errors import LetheError
from tests import problems

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 4, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3


def test_the_content_hash_is_the_documented_one() -> None:
    digests = sorted(
        hashlib.sha256(image.tobytes() + bytes([label])).digest()
        for image, label in zip(IMAGES, LABELS.tolist(), strict=True)
    )
    expected = hashlib.sha256(b"".join(digests)).hexdigest()
    assert content_hash(row_digests(IMAGES, LABELS)) == expected


def test_hash_and_canonical_order_do_not_depend_on_row_order() -> None:
    shuffle = RNG.permutation(12)
    expected = content_hash(row_digests(IMAGES, LABELS))
    one = Part.verified(IMAGES, LABELS, expected, "", "")
    two = Part.verified(IMAGES[shuffle], LABELS[shuffle], expected, "", "")
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.labels, two.labels)
    digests = row_digests(one.images, one.labels)
    assert np.array_equal(canonical_order(digests), np.arange(12))


@pytest.mark.parametrize("what", ["pixel", "label", "row"])
def test_one_changed_byte_changes_the_hash(what: str) -> None:
    expected = content_hash(row_digests(IMAGES, LABELS))
    pixels, labels = IMAGES.copy(), LABELS.copy()
    if what == "pixel":
        pixels[3, 1, 1] ^= 1
    elif what == "label":
        labels[3] = (labels[3] + 1) % 3
    else:
        pixels, labels = pixels[1:], labels[1:]
    with pytest.raises(LetheError, match="content hash"):
        Part.verified(pixels, labels, expected, "the set", "replace it")


def test_digits_are_embedded_and_verified() -> None:
    dataset = catalogue.load("digits")
    assert dataset.train.images.shape == (1797, 8, 8)
    assert dataset.train.images.max() == 16
    assert dataset.test is None


# --- loading from a folder, with a small set of our own ----------------------------------------


def tiny(folder: Path) -> Source:
    """A set of twelve 4 x 4 images as parquet files under `folder`."""
    target = folder / "tiny"
    target.mkdir(parents=True)
    hashes = {}
    for name in ("train", "test"):
        write_parquet(target / f"{name}-00000-of-00001.parquet", IMAGES, LABELS)
        hashes[name] = content_hash(row_digests(IMAGES, LABELS))
    return replace(Mnist.images, name="tiny", title="Tiny", folder="tiny", hashes=hashes, classes=3)


def write_parquet(
    path: Path, pixels: np.ndarray, labels: np.ndarray, paths: list[str] | None = None
) -> None:
    def png(image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        return buffer.getvalue()

    names = paths or [None] * len(pixels)
    column = [
        {"bytes": png(image), "path": name} for image, name in zip(pixels, names, strict=True)
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(column, kind), "label": labels}), path)


@pytest.fixture
def source(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "sets"))
    return tiny(tmp_path / "sets")


def parquet(tmp_path: Path, name: str = "train") -> Path:
    return tmp_path / "sets" / "tiny" / f"{name}-00000-of-00001.parquet"


def test_a_folder_is_read_then_its_decoded_copy(source: Source, tmp_path: Path) -> None:
    first = images.load(source)
    assert images.cached_file(source, "train").exists()
    parquet(tmp_path).write_bytes(b"gone")
    second = images.load(source)
    assert np.array_equal(first.train.images, second.train.images)


def test_a_damaged_cache_is_made_anew(source: Source) -> None:
    images.load(source)
    cached = images.cached_file(source, "train")
    for damage in (b"", b"nonsense", cached.read_bytes()[:200]):
        cached.write_bytes(damage)
        assert len(images.load(source).train.labels) == 12
    with np.load(cached) as arrays:
        changed = dict(arrays)
    changed["images"] = changed["images"] ^ 1
    np.savez(cached, **changed)
    loaded = images.load(source).train
    assert np.array_equal(np.sort(loaded.images.ravel()), np.sort(IMAGES.ravel()))


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "another"])
def test_a_damaged_parquet_file_is_one_line(source: Source, tmp_path: Path, damage: str) -> None:
    path = parquet(tmp_path)
    whole = path.read_bytes()
    if damage == "another":
        write_parquet(path, IMAGES[::-1] ^ 1, LABELS)
    else:
        path.write_bytes({"truncated": whole[:-60], "empty": b"", "garbage": b"x" * 99}[damage])
    expected = "content hash" if damage == "another" else "damaged"
    with pytest.raises(LetheError, match=expected) as caught:
        images.load(source)
    assert "\n" not in str(caught.value)
    assert "replace" in str(caught.value)


def test_wrong_columns_are_named(source: Source, tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [1], "label": [1]}), parquet(tmp_path))
    with pytest.raises(LetheError, match="it wants the columns 'image'"):
        images.load(source)


def test_LETHE_DATA_pointing_nowhere(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_DATA", "/no/such/folder")
    with pytest.raises(LetheError, match="which is no folder"):
        images.load(source)


def test_without_a_network_it_says_what_to_do(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Could not reach the hub\nsecond line")

    monkeypatch.delenv("LETHE_DATA")
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(LetheError, match="check the network, or set LETHE_DATA") as caught:
        images.load(source)
    assert "\n" not in str(caught.value)


def test_the_hubs_copy_is_read_whatever_its_order(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real download code, with `datasets` pointed at local files in another row order."""
    import datasets

    real = datasets.load_dataset
    reverse = tmp_path / "hub.parquet"
    write_parquet(reverse, IMAGES[::-1], LABELS[::-1])

    def from_hub(repository: str, *, split: str) -> datasets.Dataset:
        assert repository == source.hub
        loaded = real(
            "parquet", data_files=str(reverse), split="train", cache_dir=str(tmp_path / "hf")
        )
        return loaded.cast_column("image", datasets.Image())

    expected = images.load(source).train
    images.cached_file(source, "train").unlink()
    images.cached_file(source, "test").unlink()
    monkeypatch.delenv("LETHE_DATA")
    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    assert np.array_equal(images.load(source).train.images, expected.images)


@pytest.mark.real_data
def test_real_mnist_has_its_published_hash_and_is_decoded_once(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = catalogue.load("mnist")
    assert dataset.train.images.shape == (60000, 28, 28)
    assert dataset.test.images.shape == (10000, 28, 28)
    assert np.bincount(dataset.train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    monkeypatch.setattr(images, "_decode", None)
    assert len(images.load(Mnist.images).train.labels) == 60000, "from the decoded copy"


@pytest.mark.real_data
def test_real_cifar10_has_its_published_hash(real_data: Path) -> None:
    dataset = catalogue.load("cifar10")
    assert dataset.train.images.shape == (50000, 32, 32, 3)
    assert dataset.test.images.shape == (10000, 32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert dataset.train.groups is None


@pytest.mark.real_data
def test_real_svhn_is_a_part_grouped_by_photograph(real_data: Path) -> None:
    dataset = catalogue.load("svhn-part")
    assert dataset.train.images.shape == (45000, 32, 32, 3)
    assert dataset.test is None
    assert np.bincount(dataset.train.labels).tolist() == [
        3083, 8477, 6486, 5266, 4615, 4185, 3497, 3447, 3068, 2876,
    ]  # fmt: skip
    assert len(np.unique(dataset.train.groups)) == 20551
    parts = split(dataset, SplitSpec(negatives=5000, test=8000, train=20000), Seeds())
    assert len(parts.train) == 20000
    assert_no_group_straddles(dataset.train, parts)


# --- grouped rows -------------------------------------------------------------------------------

GROUPS = np.array([7, 7, 7, 1, 1, 5, 4, 4, 4, 4, 2, 2])


def assert_no_group_straddles(part: Part, parts: Split) -> None:
    held = [set(part.groups[rows.numpy()]) for rows in (parts.train, parts.negatives, parts.test)]
    assert sum(map(len, held)) == len(set.union(*held))


def grouped(folder: Path, groups: np.ndarray = GROUPS) -> Source:
    """A set of twelve images, train only, that no hub has."""
    source = tiny(folder)
    order = canonical_order(row_digests(IMAGES, LABELS))
    paths = [f"{group:05d}_{number}.png" for number, group in enumerate(groups)]
    write_parquet(folder / "tiny" / "train-00000-of-00001.parquet", IMAGES, LABELS, paths)
    return replace(
        source,
        hub=None,
        hashes={"train": source.hashes["train"]},
        groups={"train": groups_hash(GROUPS[order])},
    )


def test_groups_follow_their_rows_into_the_canonical_order_and_the_cache(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "sets"))
    source = grouped(tmp_path / "sets")
    order = canonical_order(row_digests(IMAGES, LABELS))
    for _ in ("from parquet", "from the cache"):
        assert np.array_equal(images.load(source).train.groups, GROUPS[order])
    parquet(tmp_path).unlink()
    assert np.array_equal(images.load(source).train.groups, GROUPS[order])


def test_other_groups_or_none_are_refused(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path / "sets"))
    source = grouped(tmp_path / "sets", GROUPS[::-1])
    with pytest.raises(LetheError, match=r"not grouped as they should be; replace the file$"):
        images.load(source)
    write_parquet(parquet(tmp_path), IMAGES, LABELS)
    with pytest.raises(LetheError, match="do not name their source image"):
        images.load(source)
    parquet(tmp_path).unlink()
    with pytest.raises(LetheError, match="it is not on the hub; set LETHE_DATA to a folder"):
        images.load(source)


@pytest.mark.parametrize("seed", range(20))
def test_whole_groups_are_held_out(seed: int) -> None:
    part = Part(IMAGES, LABELS, "", GROUPS)
    parts = split(Dataset("tiny", 3, part, None), SplitSpec(negatives=2, test=2), Seeds(split=seed))
    assert_no_group_straddles(part, parts)
    assert 2 <= len(parts.negatives) <= 5
    assert 2 <= len(parts.test) <= 5
    together = torch.cat([parts.train, parts.negatives, parts.test])
    assert together.sort().values.tolist() == list(range(12))


def test_groups_of_one_row_split_like_independent_rows() -> None:
    alone = Part(IMAGES, LABELS, "", np.arange(12)[::-1].copy())
    spec = SplitSpec(negatives=2, test=3, train=4)
    parts = split(Dataset("tiny", 3, alone, None), spec, Seeds())
    assert [len(parts.negatives), len(parts.test), len(parts.train)] == [2, 3, 4]


def test_groups_that_leave_too_few_rows_are_refused() -> None:
    part = Part(IMAGES, LABELS, "", np.zeros(12, dtype=np.int64))
    with pytest.raises(LetheError, match="which has 12"):
        split(Dataset("tiny", 3, part, None), SplitSpec(negatives=1, test=1), Seeds())


def test_the_split_of_independent_rows_is_what_it_always_was() -> None:
    """Committed records name the split's hash."""
    parts = split(dataset(False), SplitSpec(negatives=2, test=3), Seeds())
    order = torch.randperm(12, generator=Seeds().generator("split"))
    assert parts.negatives.tolist() == order[:2].sort().values.tolist()
    assert parts.test.tolist() == order[2:5].sort().values.tolist()
    assert parts.train.tolist() == order[5:].sort().values.tolist()


# --- features, splits, forget sets --------------------------------------------------------------


def test_unit_pixels_have_norm_one_and_are_functions_of_one_row() -> None:
    pixels = IMAGES.copy()
    pixels[0] = 0
    features = compute("unit-pixels", pixels, 255)
    norms = np.linalg.norm(features, axis=1)
    assert norms[0] == 0
    assert np.allclose(norms[1:], 1)
    assert np.array_equal(features[3:5], compute("unit-pixels", pixels[3:5], 255))


def test_centred_pixels_span_minus_one_to_one() -> None:
    ends = np.array([[[0, 16], [8, 16]]], dtype=np.uint8)
    assert compute("centred-pixels", ends, 16).tolist() == [[-1, 1, 0, 1]]


def dataset(with_test: bool) -> Dataset:
    part = Part(IMAGES, LABELS, "")
    return Dataset("tiny", 3, part, part if with_test else None)


def test_the_parts_of_a_split_are_disjoint_and_complete() -> None:
    parts = split(dataset(False), SplitSpec(negatives=2, test=3), Seeds())
    together = torch.cat([parts.train, parts.negatives, parts.test])
    assert together.sort().values.tolist() == list(range(12))
    assert [len(parts.train), len(parts.negatives), len(parts.test)] == [7, 2, 3]
    other = split(dataset(False), SplitSpec(negatives=2, test=3), Seeds(split=1))
    assert other.fingerprint != parts.fingerprint
    same = split(dataset(False), SplitSpec(negatives=2, test=3), Seeds(training=1, forget=1))
    assert same.fingerprint == parts.fingerprint


def test_an_official_test_split_is_used_and_the_training_rows_can_be_capped() -> None:
    parts = split(dataset(True), SplitSpec(negatives=2, train=4), Seeds())
    assert parts.test is None
    assert len(parts.train) == 4
    assert not torch.isin(parts.train, parts.negatives).any()


@pytest.mark.parametrize(
    ("with_test", "spec", "message"),
    [
        (True, SplitSpec(negatives=1, test=1), "leave out split.test"),
        (False, SplitSpec(negatives=1), "set split.test"),
        (False, SplitSpec(negatives=9, test=9), "which has 12"),
        (True, SplitSpec(negatives=3, train=10), "which has 12"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    with_test: bool, spec: SplitSpec, message: str
) -> None:
    with pytest.raises(LetheError, match=message):
        split(dataset(with_test), spec, Seeds())


def test_T8_the_forget_set_is_drawn_from_what_was_trained_on() -> None:
    trained = torch.tensor([2, 3, 5, 7, 11, 13])
    (drawn,) = ForgetSpec(count=4).draw(trained, Seeds())
    assert torch.isin(drawn, trained).all()
    assert len(drawn.unique()) == 4
    draws = {
        tuple(ForgetSpec(count=3).draw(trained, Seeds(forget=s))[0].tolist()) for s in range(9)
    }
    assert len(draws) > 1
    with pytest.raises(LetheError, match="forget fewer"):
        ForgetSpec(count=6).draw(trained, Seeds())
    with pytest.raises(LetheError, match="forget fewer"):
        ForgetSpec(count=3, requests=2).draw(trained, Seeds())
    stream = ForgetSpec(count=2, requests=2).draw(trained, Seeds())
    assert len(torch.cat(stream).unique()) == 4, "requests never name a row twice"
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        ForgetSpec(count=0)


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        ([1, 1], "names a row twice"),
        ([50], "not trained on"),
        (list(range(10)), "nothing is left"),
    ],
)
def test_T8_a_request_audits_its_split(forget: list[int], message: str) -> None:
    problem = problems.softmax()
    weights = torch.zeros(problem.model.dimension)
    original = State(weights, torch.arange(10))
    with pytest.raises(LetheError, match=message):
        Request.of(problem, original, torch.tensor(forget))


def test_T8_retain_is_exactly_what_was_trained_on_minus_forget() -> None:
    problem = problems.softmax()
    original = State(torch.zeros(problem.model.dimension), torch.arange(5, 40))
    request = Request.of(problem, original, torch.tensor([30, 7]))
    assert request.forget.tolist() == [7, 30]
    assert set(request.retain.tolist()) == set(range(5, 40)) - {7, 30}
    assert torch.equal(request.forget_rows.x, problem.train.x[[7, 30]])


def test_a_shift_moves_a_digit_and_brings_in_nothing():
    digits = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    moved = shifted(digits, 1, -2)
    assert np.array_equal(moved[:, 1:, :2], digits[:, :-1, 2:])
    assert not moved[:, 0].any()
    assert not moved[:, :, 2:].any()
    assert np.array_equal(shifted(digits, 0, 0), digits)
    assert len(set(SHIFTS)) == 10


@pytest.mark.real_data
def test_shifted_mnist_has_600_000_rows_no_two_alike_and_a_group_a_digit(real_data: Path) -> None:
    dataset = catalogue.load("mnist-shifted")
    digests = row_digests(dataset.train.images, dataset.train.labels)
    assert len(np.unique(digests.view("S32"))) == 600_000
    assert np.bincount(dataset.train.groups).tolist() == [10] * 60_000
    assert dataset.test is not None
    assert len(dataset.test.labels) == 10_000
    parts = split(dataset, SplitSpec(negatives=5000, train=5500), Seeds())
    train, negatives = (
        set(dataset.train.groups[r.numpy()]) for r in (parts.train, parts.negatives)
    )
    assert not train & negatives
