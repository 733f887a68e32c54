"""Public rows: how they are declared and drawn, and that no request touches them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmark.contract.seeds import Seeds
from benchmark.data.dataset import Dataset, Part
from benchmark.data.public import PublicIndex, row_numbers
from benchmark.data.split import Split, SplitSpec, split
from benchmark.errors import LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import Experiment, load
from benchmark.runner.cell import Inputs
from benchmark.runner.workbench import Workbench

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
        ({"rows": []}, "at least 1 item"),
        ({"rows": [1, 1]}, "named twice"),
        ({"rows": [-1]}, "greater than or equal to 0"),
        ({"columns": [1]}, "Field required"),
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
        ("", "{ file = 'public.txt' }", "at least 1 item"),
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
