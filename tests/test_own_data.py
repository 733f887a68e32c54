"""Data of one's own: every format, every mistake, ids, groups, named rows, scales."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from benchmark import plugins
from benchmark.cli import app
from benchmark.contract.claim import Claim
from benchmark.contract.definition import verdict
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.dataset import SCALE_CAVEAT, Column, Dataset, hashed, text_of
from benchmark.data.features import find
from benchmark.data.forget import ForgetSpec
from benchmark.data.named import NamedSet
from benchmark.data.own.arrays import from_arrays
from benchmark.data.own.spec import Arrays, OwnData
from benchmark.data.own.table import CAVEAT as CATEGORIES
from benchmark.data.split import SplitSpec, split
from benchmark.errors import LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import Experiment, ProblemSpec, load
from benchmark.experiments.own import resolved
from benchmark.rows import FixedPoint
from tests import tiny_experiment

N = 60
DRAWS = np.random.default_rng(0)
AGE = DRAWS.integers(18, 90, N).astype(float)
INCOME = DRAWS.integers(100, 900, N) / 7
CITY = DRAWS.choice(["Bonn", "Köln", "Ulm"], N)
CHURN = np.where(AGE + DRAWS.normal(0, 15, N) > 55, "yes", "no")
IDS = [f"secret-{i}" for i in range(N)]
HOUSES = [f"house-{i // 3}" for i in range(N)]
HEADER = ("id", "house", "age", "income", "city", "churn")
ROWS = [
    [i, h, repr(a), repr(x), c, y]
    for i, h, a, x, c, y in zip(
        IDS, HOUSES, AGE.tolist(), INCOME.tolist(), CITY, CHURN, strict=True
    )
]
ROLES = {"target": "churn", "id": "id", "group": "house"}


def write_csv(path: Path, rows: list[list[Any]] = ROWS, header: Any = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(folder: Path, **settings: Any) -> Dataset:
    return OwnData.model_validate(settings).located(folder).load()


def table() -> pa.Table:
    columns = dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))
    columns |= {"age": AGE, "income": INCOME}
    return pa.table({name: list(cells) for name, cells in columns.items()})


def as_csv(folder: Path) -> Dataset:
    return read(folder, csv=write_csv(folder / "set.csv").name, **ROLES)


def as_gzip(folder: Path) -> Dataset:
    content = write_csv(folder / "set.csv").read_bytes()
    (folder / "set.csv.gz").write_bytes(gzip.compress(content))
    return read(folder, csv="set.csv.gz", **ROLES)


def as_semicolons(folder: Path) -> Dataset:
    text = write_csv(folder / "set.csv").read_text(encoding="utf-8").replace(",", ";")
    (folder / "set.csv").write_text("\ufeff" + text, encoding="utf-8")  # as a spreadsheet saves it
    return read(folder, csv="set.csv", separator=";", **ROLES)


def as_parquet(folder: Path) -> Dataset:
    pq.write_table(table(), folder / "set.parquet")
    return read(folder, parquet="set.parquet", **ROLES)


def as_saved(folder: Path) -> Dataset:
    import datasets

    datasets.Dataset(table()).save_to_disk(str(folder / "set"))
    return read(folder, datasets="set", **ROLES)


def as_shuffled(folder: Path) -> Dataset:
    order = np.random.default_rng(1).permutation(N)
    return read(folder, csv=write_csv(folder / "set.csv", [ROWS[i] for i in order]).name, **ROLES)


@pytest.mark.parametrize("form", [as_gzip, as_semicolons, as_parquet, as_saved, as_shuffled])
def test_the_same_rows_are_the_same_data_whatever_they_are_read_from(
    form: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = as_csv(tmp_path / "a").train, form(tmp_path / "b").train
    assert one.content_hash == two.content_hash
    assert np.array_equal(one.rows, two.rows)
    assert np.array_equal(one.labels, two.labels)
    assert np.array_equal(one.groups, two.groups)
    assert one.ids == two.ids


def test_arrays_an_npz_file_and_a_csv_are_the_same_data(tmp_path: Path) -> None:
    x = np.stack([AGE, INCOME], axis=1)
    y = (CHURN == "yes").astype(int)
    arrays = from_arrays(x, y, ids=IDS, groups=HOUSES).train
    np.savez(tmp_path / "set.npz", X=x, y=y, ids=IDS, groups=HOUSES, columns=["age", "income"])
    from_npz = read(tmp_path, npz="set.npz").train
    rows = [[i, h, a, x, int(y == "yes")] for i, h, a, x, _, y in ROWS]
    write_csv(tmp_path / "set.csv", rows, ("id", "house", "age", "income", "churn"))
    from_csv = read(tmp_path, csv="set.csv", **ROLES).train
    for other in (from_npz, from_csv):
        assert arrays.content_hash == other.content_hash
        assert np.array_equal(arrays.rows, other.rows)
        assert arrays.ids == other.ids
        assert np.array_equal(arrays.groups, other.groups)


def test_one_changed_cell_is_other_content(tmp_path: Path) -> None:
    before = as_csv(tmp_path).train.content_hash
    for column in (2, 4, 5):
        changed = [list(row) for row in ROWS]
        changed[7][column] = {2: "17.5", 4: "Ulm" if ROWS[7][4] != "Ulm" else "Bonn"}.get(
            column, "yes" if ROWS[7][5] == "no" else "no"
        )
        found = read(tmp_path, csv=write_csv(tmp_path / "other.csv", changed).name, **ROLES)
        assert found.train.content_hash != before
    renamed = [["x" + row[0], *row[1:]] for row in ROWS]
    ids = read(tmp_path, csv=write_csv(tmp_path / "other.csv", renamed).name, **ROLES)
    assert ids.train.content_hash == before  # ids name rows, and are none of their content


def test_scikit_learns_sets_are_read() -> None:
    found = read(Path(), sklearn="iris")
    assert (found.classes, len(found.train.labels), len(found.columns)) == (3, 150, 4)
    with pytest.raises(LetheError, match="unknown set of scikit-learn: 'boston'"):
        read(Path(), sklearn="boston")


def test_a_data_frame_and_a_tensor_are_arrays() -> None:
    class Frame:
        columns = ("age", "income")

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.stack([AGE, INCOME], axis=1)

    found = from_arrays(Frame(), torch.arange(N) % 3)
    assert [column.name for column in found.columns] == ["age", "income"]
    assert found.classes == 3


def test_images_are_data_too(tmp_path: Path) -> None:
    pixels = DRAWS.integers(0, 256, (12, 4, 4), dtype=np.uint8)
    found = from_arrays(pixels, np.arange(12) % 2, ids=range(12), groups=np.arange(12) // 2)
    assert found.train.images.shape == (12, 4, 4)
    assert np.array_equal(found.train.images, pixels[found.train.places])
    assert found.train.ids == hashed(found.train.places, found.train.content_hash)
    spec = ProblemSpec(data=Arrays.of(found), split={"negatives": 2, "test": 2})
    assert spec.features == "unit-pixels"
    with pytest.raises(LetheError, match="are for tables, and arrays holds images"):
        build(spec.model_copy(update={"features": "as-is"}), Seeds(), torch.device("cpu"))


def test_images_of_a_saved_data_set_are_read(tmp_path: Path) -> None:
    import datasets
    from PIL import Image

    pixels = DRAWS.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)
    columns = {"image": [Image.fromarray(one) for one in pixels], "label": list(range(3)) * 4}
    found = datasets.Dataset.from_dict(columns | {"name": [f"secret-{i}" for i in range(12)]})
    found.save_to_disk(str(tmp_path / "set"))
    saved = read(tmp_path, datasets="set", target="label", id="name").train
    given = from_arrays(pixels, columns["label"]).train
    assert saved.content_hash == given.content_hash
    assert np.array_equal(saved.images, given.images)
    with pytest.raises(LetheError, match=r"column 'name' lies beside images.*data.drop"):
        read(tmp_path, datasets="set", target="label")
    found.remove_columns("name").to_parquet(str(tmp_path / "set.parquet"))
    assert np.array_equal(
        read(tmp_path, parquet="set.parquet", target="label").train.rows, saved.rows
    )
    columns["image"][7] = Image.fromarray(pixels[7, :3])
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(LetheError, match=r"row 7, column 'image': an image of another shape"):
        read(tmp_path, datasets="other", target="label")


# --- what is wrong is one line that says where, and never what a cell holds ----------------------


def cell(row: int, column: str, value: str) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[row][HEADER.index(column)] = value

    return change


def every(column: str, value: Callable[[int], str]) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        for number, row in enumerate(rows):
            row[HEADER.index(column)] = value(number)

    return change


SECRET = "hush"
WRONG = {
    "missing": (cell(4, "age", " "), {}, r"line 6, column 'age' is empty: fill it in"),
    "missing text": (cell(4, "city", ""), {}, r"line 6, column 'city' is empty"),
    "missing target": (
        cell(4, "churn", ""),
        {},
        r"line 6, column 'churn' is empty: .* row out$",
    ),
    "missing id": (cell(4, "id", ""), {}, r"line 6, column 'id' is empty: .* leave the row out$"),
    "missing group": (
        cell(4, "house", ""),
        {},
        r"line 6, column 'house' is empty: .* row out$",
    ),
    "no number": (cell(9, "age", SECRET), {}, r"line 11, column 'age': not a number.*mend it"),
    "infinite": (cell(9, "age", "1e999"), {}, r"line 11, column 'age': not a finite number"),
    "constant": (every("age", lambda _: "7"), {}, r"column 'age' is the same in every row.*drop"),
    "one class": (every("churn", lambda _: SECRET), {}, r"'churn' is the same in every row"),
    "fractions as classes": (
        every("churn", lambda i: f"{i}.5"),
        {"task": "classification"},
        r"'churn' has numbers with fractions, which are no classes: .*data.task = 'regression'",
    ),
    "classes or numbers": (
        every("churn", lambda i: f"{i}"),
        {},
        r"60 different whole numbers.*set data.task = 'classification' or 'regression'",
    ),
    "a missing number": (
        every("churn", lambda i: "" if i == 9 else f"{i}.5"),
        {},
        r"line 11, column 'churn' is empty",
    ),
    "text among numbers": (
        every("churn", lambda i: SECRET if i == 9 else f"{i}.5"),
        {"task": "regression"},
        r"line 11, column 'churn': not a number, as other cells .*: mend it or leave the row out$",
    ),
    "an endless number": (
        every("churn", lambda i: "1e999" if i == 9 else f"{i}.5"),
        {},
        r"line 11, column 'churn': not a finite number",
    ),
    "a number outside": (
        every("churn", lambda i: f"{i}.5"),
        {"ranges": {"churn": [0, 30]}},
        r"line 32, column 'churn': outside its declared range \[0, 30\]: widen data.ranges.churn",
    ),
    "one number": (every("churn", lambda _: "1.5"), {}, r"'churn' is the same in every row"),
    "texts as numbers": (
        None,
        {"task": "regression"},
        r"no cell of the target 'churn' is a number, and data.task is 'regression'",
    ),
    "classes of numbers": (
        every("churn", lambda i: f"{i}.5"),
        {"task": "regression", "classes": ["0.5", "1.5"]},
        r"data.classes are for classification, and data.task is 'regression'",
    ),
    "many classes": (every("churn", lambda i: f"{SECRET}{i}"), {}, r"60 different values in 60"),
    "names": (every("city", lambda i: f"{SECRET}{i}"), {}, r"60 different texts in 60 rows, as na"),
    "id twice": (cell(9, "id", IDS[2]), {}, r"line 4 and line 11 have the same 'id'"),
    "no target": (
        None,
        {"target": "chrun"},
        r"data.target names the column 'chrun', which is not there: .*'churn'\?",
    ),
    "no id": (None, {"id": "name"}, r"data.id names the column 'name', which"),
    "no group": (
        None,
        {"group": "household"},
        r"data.group names the column 'household', which",
    ),
    "no drop": (None, {"drop": ["salary"]}, r"data.drop names the column 'salary', which"),
    "no range": (
        None,
        {"ranges": {"agee": [0, 1]}},
        r"data.ranges names the column 'agee', which.*'age'\?",
    ),
    "outside": (None, {"ranges": {"age": [0, 20]}}, r"column 'age': outside its declared range"),
    "range of a label": (
        None,
        {"ranges": {"churn": [0, 1]}},
        r"data.ranges names 'churn', whose numbers are classes",
    ),
    "category": (None, {"categories": {"city": ["Ulm"]}}, r"a category that is not among data.cat"),
    "class": (None, {"classes": ["no", "maybe"]}, r"a class that is not among data.classes"),
    "content": (None, {"content_hash": "0" * 64}, r"the file has changed, or data.content_hash"),
    "a number too large": (cell(9, "age", "1e200"), {}, r"line 11, column 'age': a number beyond"),
    "range of texts": (
        None,
        {"ranges": {"city": [0, 1]}},
        r"data.ranges names 'city', which holds",
    ),
    "all dropped": (None, {"drop": ["age", "income", "city"]}, r"no column is left to learn from"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_table_is_one_line(what: str, tmp_path: Path) -> None:
    change, settings, message = WRONG[what]
    rows = [list(row) for row in ROWS]
    if change is not None:
        change(rows)
    write_csv(tmp_path / "set.csv", rows)
    with pytest.raises(LetheError, match=message) as caught:
        read(tmp_path, csv="set.csv", **(ROLES | settings))
    said = str(caught.value)
    assert "\n" not in said
    assert SECRET not in said
    assert "secret" not in said


FILES = {
    "empty": (b"", r"set.csv: the file is empty: it wants a line of column names"),
    "header alone": (b"id,house,age,churn\n", r"set.csv: there is no row in it"),
    "Latin-1": ("age,churn\nK\xf6ln,1\n".encode("latin-1"), r"not UTF-8 but .*in line 2.*save it"),
    "UTF-16": ("age,churn\n1,1\n".encode("utf-16"), r"not UTF-8 but UTF-16: save it as UTF-8"),
    "short line": (b"age,churn\n1,1\n2\n", r"line 3 has 1 cells and the header 2: mend the line"),
    "long line": (b"age,churn\n1,1,1\n", r"line 2 has 3 cells and the header 2"),
    "quotes": (b'age,churn\n"1,1\n', r"line 2 cannot be read as separated values"),
    "same names": (b"age,age,churn\n1,1,1\n", r"line 1, column 1 has the name of another one"),
    "no name": (b"age,,churn\n1,1,1\n", r"line 1, column 2 has no name"),
    "no names": (b"hush,34,Ulm\nhush,36,Bonn\n", r"data.target names the column 'churn'"),
    "semicolons": (b"age;churn\n1;1\n", r"separated by ';': set data.separator = ';'"),
    "parquet": (b"PAR1....", r"no text: it looks like a file for data = \{ parquet"),
    "zip": (b"PK\x03\x04....", r"looks like a file for data = \{ npz"),
    "damaged inside": (
        gzip.compress(b"id,house,age,churn")[:12] + b"\xff" * 30,
        r"cannot be read \(damaged\): correct its name, .* or write it again",
    ),
    "damaged gzip": (b"\x1f\x8b....", r"cannot be read \(damaged\)|cannot be read"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_wrong_file_is_one_line(what: str, tmp_path: Path) -> None:
    content, message = FILES[what]
    (tmp_path / "set.csv").write_bytes(content)
    with pytest.raises(LetheError, match=message) as caught:
        read(tmp_path, csv="set.csv", target="churn")
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "datasets"])
def test_what_is_not_there_or_something_else_is_one_line(kind: str, tmp_path: Path) -> None:
    target = {} if kind == "npz" else {"target": "y"}
    with pytest.raises(LetheError, match=rf"correct problem.data.{kind}, which starts from the"):
        read(tmp_path, **{kind: "nowhere"}, **target)
    (tmp_path / "file").write_text("nothing\nof the kind\n", encoding="utf-8")
    with pytest.raises(LetheError) as caught:
        read(tmp_path, **{kind: "file"}, **target)
    assert re.search("write it again|write it with|no folder|which is not there", str(caught.value))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "some").write_text("", encoding="utf-8")
    with pytest.raises(LetheError) as caught:
        read(tmp_path, **{kind: "folder"}, **target)
    assert "\n" not in str(caught.value)


def test_a_name_with_a_nul_is_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LetheError, match=r"its name has a NUL in it"):
        read(tmp_path, csv="a\0b.csv", target="y")


def test_a_folder_of_splits_says_to_name_one(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict(part=datasets.Dataset(table())).save_to_disk(str(tmp_path / "sets"))
    with pytest.raises(LetheError, match=r"name the folder of one, e.g. 'sets/part'"):
        read(tmp_path, datasets="sets", **ROLES)
    assert len(read(tmp_path, datasets="sets/part", **ROLES).train.labels) == N


def test_an_npz_file_without_its_arrays_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", X=np.eye(4))
    with pytest.raises(LetheError, match=r"there is no array 'y' in it: write it with numpy.savez"):
        read(tmp_path, npz="set.npz")
    np.savez(tmp_path / "set.npz", X=np.eye(4), y=np.arange(4), z=1)
    with pytest.raises(LetheError, match=r"unknown array in set.npz: 'z'"):
        read(tmp_path, npz="set.npz")
    np.savez(tmp_path / "set.npz", X=np.eye(4), y=np.array([None, 1, 2, 3]))
    with pytest.raises(LetheError, match=r"no npz file without pickles"):
        read(tmp_path, npz="set.npz")


def test_a_column_of_neither_numbers_nor_texts_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1], [2]], "churn": ["x", "y"]}), tmp_path / "set.parquet")
    with pytest.raises(LetheError, match=r"column 'a' is of type list.*write it as numbers"):
        read(tmp_path, parquet="set.parquet", target="churn")


@pytest.mark.parametrize(
    ("x", "y", "more", "message"),
    [
        (np.eye(4), np.arange(3), {}, "X has 4 rows and y is of shape 3: give one value a row"),
        (np.eye(4), [0, 1, 0, 1], {"ids": [1, 2]}, "X has 4 rows and ids is of shape 2"),
        (np.eye(4), [0, 1, 0, 1], {"ids": [1, 2, 2, 3]}, "row 1 and row 2 have the same 'id'"),
        (np.eye(4), [0, 1, 0, 1], {"ids": [1, None, 2, 3]}, "row 1, column 'id' is empty"),
        (np.arange(4), [0, 1, 0, 1], {}, "X has 1 dimensions: a table has 2"),
        (np.eye(4).astype(str), [0, 1, 0, 1], {}, "not of numbers: encode texts first"),
        (None, [0, 1, 0, 1], {}, "X has 0 dimensions: a table has 2"),
        (np.eye(4), None, {}, "X has 4 rows and y is no list: give one value a row"),
        (torch.eye(4, requires_grad=True), [0, 1, 0, 1], {}, "X is no array: Can't call numpy"),
        (np.eye(2), [0, 1], {"columns": ["a", "a"]}, "two columns are called 'a': rename one"),
        (np.array([[1, None], [2, True]], dtype=object), [0, 1], {}, "row 0, column 'x1' is empty"),
        ([[1, 2], [3]], [0, 1], {}, "X is no array: its rows differ in length"),
        (np.zeros((4, 2, 2)), [0, 1, 0, 1], {}, "images of type float64: turn their pixels into"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], {}, "row 0, column 'x0' is empty"),
        (np.eye(4), [0, 0, 0, 0], {}, "the target 'target' is the same in every row"),
        (np.eye(4), [0, 1, 0, 1], {"columns": ["a"]}, "1 names for 4 columns: give one name a"),
        (np.eye(4), [0, 1, 0, 1], {"ranges": {"x1": (2, 3)}}, "row 0, column 'x1': outside its"),
    ],
)
def test_wrong_arrays_are_one_line(x: Any, y: Any, more: dict, message: str) -> None:
    with pytest.raises(LetheError, match=message):
        from_arrays(x, y, **more)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"csv": "a.csv", "npz": "b.npz"},
            "data takes exactly one of csv, parquet, npz, datasets, sklearn",
        ),
        ({}, "data takes exactly one of csv"),
        ({"csv": "a.csv"}, "set data.target, the column to predict"),
        ({"npz": "a.npz", "id": "id"}, "data.id is for tables: leave it out, the file's arrays"),
        ({"parquet": "a", "target": "y", "separator": ";"}, "data.separator is for csv files"),
        ({"csv": "a.csv", "target": "y", "ranges": {"a": [1, 1]}}, "low below high"),
        (
            {"csv": "a.csv", "target": "y", "ranges": {"a": ["0", 1]}},
            "ranges.a.0: '0' is not a num",
        ),
        ({"csv": "a.csv", "target": "y", "ranges": {"a": [0, 1e300]}}, "wider than"),
        ({"csv": "a.csv", "target": "y", "categories": {"a": "some"}}, "are a list of texts, or"),
        ({"csv": "a.csv", "target": "y", "categories": {"a": ["b", "b"]}}, "listed twice: list"),
        ({"csv": "a.csv", "target": "y", "classes": ["b", "c", "b"]}, "a class is listed twice"),
        ({"csv": "a.csv", "target": "y", "drop": ["y"]}, "data.target and data.drop both name 'y'"),
        ({"csv": "a.csv", "target": "y", "group": "y"}, "data.target and data.group both name 'y'"),
        (
            {"csv": "a.csv", "target": "y", "ranges": {"a": [0, 1]}, "categories": {"a": "all"}},
            "data.ranges and data.categories both name 'a'",
        ),
        ({"csv": "a.csv", "traget": "y"}, "did you mean 'target'"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(
    data: dict[str, Any], message: str, tmp_path: Path
) -> None:
    study = write(tmp_path, data=data)
    with pytest.raises(LetheError, match=message) as caught:
        load(str(study))
    assert str(caught.value).startswith("experiment file study.toml: problem.data: ")


# --- scales, and what they cost a claim ----------------------------------------------------------


def test_declared_ranges_bound_the_norm_of_every_row() -> None:
    columns = (Column("a", None, 0.0, 10.0), Column("b", 3), Column("c", None, -1.0, 1.0))
    extreme = np.array([[0, 0, 0, 1, -1], [10, 1, 0, 0, 1], [5, 0, 1, 0, 0]], dtype=float)
    scaled = find("declared-ranges").scale(columns, extreme)(extreme) * np.sqrt(3)
    expected = [[-1, 0, 0, 1, -1], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert np.allclose(scaled, expected, atol=1e-15)
    with pytest.raises(LetheError, match=r"add 'a' = \[low, high\] to data.ranges"):
        find("declared-ranges").scale((Column("a"),), extreme[:, :1])


def test_standardised_rows_have_mean_0_and_deviation_1_and_are_no_longer_than_1() -> None:
    columns = (Column("a"), Column("b", 2), Column("c"))
    rows = DRAWS.normal(5, 3, (400, 4))
    rows[:, 1:3] = np.eye(2)[DRAWS.integers(0, 2, 400)]
    rows[:, 3] = 7.0  # constant
    rows[0, 0] = 1e6
    fitted_on = rows[1:]
    scaled = find("standardised").scale(columns, fitted_on)(rows) * 2 * np.sqrt(3)
    assert np.allclose(scaled[1:, 0].mean(), 0, atol=0.05)
    assert np.allclose(scaled[1:, 0].std(), 1, atol=0.05)
    assert np.array_equal(scaled[1:, 1:3], rows[1:, 1:3])
    assert not scaled[:, 3].any()
    assert np.linalg.norm(scaled, axis=1).max() == pytest.approx(2 * np.sqrt(3))


def of(tmp_path: Path, **settings: Any) -> ProblemSpec:
    write_csv(tmp_path / "set.csv")
    data = OwnData.model_validate({"csv": "set.csv", **ROLES, **settings.pop("data", {})})
    return ProblemSpec(data=data.located(tmp_path), **settings)


DECLARED = {
    "ranges": {"age": [0, 120], "income": [0, 200]},
    "categories": {"city": ["Bonn", "Köln", "Ulm"]},
}


@pytest.mark.parametrize(
    ("settings", "features", "caveats"),
    [
        ({}, "standardised", (CATEGORIES, SCALE_CAVEAT)),
        ({"data": {"categories": DECLARED["categories"]}}, "standardised", (SCALE_CAVEAT,)),
        ({"split": {"public": 0.2}}, "standardised", (CATEGORIES,)),
        ({"data": DECLARED}, "declared-ranges", ()),
    ],
)
def test_what_is_fitted_on_rows_that_may_be_forgotten_is_a_caveat(
    settings: dict[str, Any], features: str, caveats: tuple[str, ...], tmp_path: Path
) -> None:
    spec = of(tmp_path, **settings)
    assert spec.features == features
    problem, _ = build(spec, Seeds(), torch.device("cpu"))
    assert problem.declared.caveats == caveats
    assert problem.declared.feature_norm == 1.0
    assert problem.row_norm == pytest.approx(np.sqrt(2))


def test_a_standardised_table_is_fitted_on_public_rows_alone(tmp_path: Path) -> None:
    spec = of(tmp_path, split={"negatives": 0.1, "test": 0.1, "public": 0.3})
    problem, chosen = build(spec, Seeds(), torch.device("cpu"))
    found = catalogue.load(spec.data)
    scale = find("standardised").scale(found.columns, found.train.rows[chosen.public.numpy()])
    expected = scale(found.train.rows[chosen.train.numpy()])
    assert np.array_equal(problem.train.x.numpy(), expected)


def test_features_of_images_are_refused_for_a_table_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(LetheError, match=r"'hog' are for images, and set is a table: take 'as-is'"):
        build(of(tmp_path, features="hog"), Seeds(), torch.device("cpu"))
    spec = ProblemSpec(data="digits", features="standardised")
    with pytest.raises(LetheError, match=r"for tables, and digits holds images: take hog"):
        build(spec, Seeds(), torch.device("cpu"))


# --- groups, ids, and the rows that a request names ----------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_divided_and_named_rows_are_trained_on(seed: int, tmp_path: Path) -> None:
    found = as_csv(tmp_path)
    named = (3, 17, 40)
    spec = SplitSpec(negatives=0.2, test=0.2, validation=5, named=named)
    chosen = split(found, spec, Seeds.all(seed))
    parts = [chosen.train, chosen.negatives, chosen.test, chosen.validation]
    groups = [set(found.train.groups[rows.numpy()].tolist()) for rows in parts]
    assert sum(map(len, groups)) == len(set().union(*groups)) == N // 3
    assert sum(map(len, parts)) == N
    assert set(named) <= set(chosen.train.tolist())
    fewer = SplitSpec(negatives=6, test=6, train=12, named=named)
    chosen = split(found, fewer, Seeds.all(seed))
    assert len(chosen.train) == 12
    assert set(named) <= set(chosen.train.tolist())


def test_a_named_row_is_not_public(tmp_path: Path) -> None:
    found = as_csv(tmp_path)
    group = np.flatnonzero(found.train.groups == found.train.groups[3]).tolist()
    spec = SplitSpec(negatives=3, test=3, public={"rows": group}, named=(3,))
    with pytest.raises(LetheError, match="a public row never asks for deletion"):
        split(found, spec, Seeds())


def write(
    folder: Path, forget: str = "count = 4", data: dict[str, Any] | None = None, more: str = ""
) -> Path:
    """A study beside its data, as short as it can be."""
    write_csv(folder / "set.csv")
    settings = {"csv": "set.csv", **ROLES} if data is None else data
    (folder / "study.toml").write_text(
        f"[problem]\ndata = {toml(settings)}\n{more}\n[forget]\n{forget}\n", encoding="utf-8"
    )
    return folder / "study.toml"


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {toml(v)}' for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "inf" if value == float("inf") else json.dumps(value, ensure_ascii=False)


def test_a_study_of_four_lines_runs_and_no_record_names_anybody(tmp_path: Path) -> None:
    (tmp_path / "requests.csv").write_text(
        "day,id\nMonday,secret-17\nTuesday,secret-41\n", encoding="utf-8"
    )
    study = write(tmp_path, 'ids = "requests.csv"')
    assert len(study.read_text(encoding="utf-8").split("\n")) <= 6
    found = load(str(study))
    assert (found.name, found.title, found.description) == ("study", "study", "")
    assert found.forget.hashes == hashed(
        ["secret-17", "secret-41"], found.problem.data.content_hash
    )
    results = tmp_path / "results"
    done = tiny_experiment.run(
        study, folder=results, methods=["retrain", "newton-chord"], seeds=[0]
    )
    assert (done.ran, done.failed) == (2, [])
    texts = {path: path.read_text(encoding="utf-8") for path in results.rglob("*.json")}
    assert len(texts) == 3  # a plan and two cells
    for text in texts.values():
        assert "secret" not in text
        assert "house-" not in text
        assert str(tmp_path) not in text
        assert "Köln" not in text
    record, retrained = (
        json.loads(texts[results / "study" / method / "seed-0.json"])
        for method in ("newton-chord", "retrain")
    )
    assert record["data"]["content_hash"] == {"train": found.problem.data.content_hash}
    assert record["data"]["forget"] == 2
    assert record["claim"]["caveats"] == [CATEGORIES, SCALE_CAVEAT]
    assert record["verdict"] == "conditional"
    assert retrained["verdict"] == "conditional"  # of rows that were scaled by what is forgotten
    claim = Claim.model_validate(retrained["claim"])
    assert verdict(claim.model_copy(update={"caveats": ()})) == "exact"


def test_with_all_declared_it_is_proved(tmp_path: Path) -> None:
    data = {"csv": "set.csv", **ROLES, **DECLARED}
    study = write(tmp_path, 'ids = ["secret-17"]', data, "rows_at_least = 20\n")
    done = tiny_experiment.run(
        study, folder=tmp_path / "results", methods=["newton-chord"], seeds=[0]
    )
    assert (done.ran, done.failed) == (1, [])
    path = tmp_path / "results" / "study" / "newton-chord" / "seed-0.json"
    assert json.loads(path.read_text(encoding="utf-8"))["verdict"] == "proved"


def test_a_key_knows_the_content_and_not_the_folder(tmp_path: Path) -> None:
    specs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        specs.append(load(str(write(tmp_path / name))).problem)
    assert specs[0].model_dump_json() == specs[1].model_dump_json()
    changed = [list(row) for row in ROWS]
    changed[3][2] = "18.25"
    write_csv(tmp_path / "b" / "set.csv", changed)
    other = load(str(tmp_path / "b" / "study.toml")).problem
    assert other.model_dump_json() != specs[0].model_dump_json()
    with pytest.raises(LetheError, match="the file has changed"):
        specs[1].data.load()  # what was asked for is no longer there


def test_a_record_is_made_again_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load(str(write(tmp_path))).problem
    again = ProblemSpec.model_validate(spec.model_dump(mode="json"))
    monkeypatch.setenv("LETHE_DATA", str(tmp_path))
    assert again.data.load().train.content_hash == spec.data.content_hash
    monkeypatch.delenv("LETHE_DATA")
    with pytest.raises(LetheError, match="cannot be read"):
        again.data.load()
    monkeypatch.chdir(tmp_path)
    assert again.data.load().train.content_hash == spec.data.content_hash


def test_rows_are_named_by_their_place_in_the_file(tmp_path: Path) -> None:
    found = load(str(write(tmp_path, "rows = [0, 59, 7]")))
    part = found.problem.data.load().train
    expected = hashed([IDS[0], IDS[59], IDS[7]], part.content_hash)
    assert tuple(part.ids[row] for row in found.forget.numbers) == expected
    assert found.problem.split.named == tuple(sorted(found.forget.numbers))


@pytest.mark.parametrize("forget", ["rows = [0, 59, 7]", 'ids = ["secret-9"]', 'class = "no"'])
def test_settings_that_were_found_are_not_looked_for_again(forget: str, tmp_path: Path) -> None:
    found = load(str(write(tmp_path, forget)))
    content = found.model_dump(mode="json", include={"problem", "forget"})
    again = resolved(content, tmp_path, "again")
    assert ForgetSpec.model_validate(again["forget"]) == found.forget
    assert ProblemSpec.model_validate(again["problem"]).split == found.problem.split


def test_public_rows_are_named_by_their_place_too(tmp_path: Path) -> None:
    more = "split = { negatives = 6, public = { rows = [0, 1, 2] } }"
    found = load(str(write(tmp_path, "rows = [9]", more=more)))
    part = found.problem.data.load().train
    assert sorted(part.places[list(found.problem.split.public.rows)]) == [0, 1, 2]


def test_a_stream_takes_named_rows_in_their_order(tmp_path: Path) -> None:
    found = load(str(write(tmp_path, "rows = [0, 30, 7, 12, 50]\nrequests = 2")))
    problem, chosen = build(found.problem, Seeds(), torch.device("cpu"))
    from benchmark.data.scenarios import Context

    context = Context(problem.train.y, problem.train.x, numbers=tuple(chosen.train.tolist()))
    sets = found.forget.draw(torch.arange(len(problem.train)), Seeds(), context)
    places = catalogue.load(found.problem.data).train.places
    assert [sorted(places[chosen.train[rows].numpy()].tolist()) for rows in sets] == [
        [0, 7, 30],
        [12, 50],
    ]


@pytest.mark.parametrize(("kind", "more"), [("csv", {"target": "y"}), ("npz", {})])
def test_a_folder_in_place_of_a_file_is_called_one(tmp_path: Path, kind: str, more: dict) -> None:
    (tmp_path / f"set.{kind}").mkdir()
    with pytest.raises(LetheError, match=rf"cannot be read \(it is a folder\): .*data.{kind}"):
        read(tmp_path, **{kind: f"set.{kind}"}, **more)


REQUESTS = {
    'ids = "nowhere.csv"': r"nowhere.csv cannot be read",
    'ids = "bare.csv"': r"bare.csv: line 1 does not name the column of ids: write 'id' above them",
    'ids = "unknown.csv"': r"unknown.csv, line 3: no row of set has this id, so it was not trained",
    'ids = "twice.csv"': r"twice.csv, line 4: the same id as twice.csv, line 2: name it once",
    'ids = "none.csv"': r"forget.ids names no row",
    "ids = 3": r"forget.ids is the path of a csv file or a list of ids",
    'ids = ["secret-1", "hush"]': r"forget.ids, entry 1: no row of set has this id",
    "rows = [60]": r"forget.rows: there is no row 60: the data have 60 rows, numbered from 0",
    "rows = [-1]": r"there is no row -1",
    "rows = [1, 1]": r"a row to forget is named twice",
    "rows = []": r"forget.rows is a list of row numbers",
    'rows = ["1"]': r"forget.rows is a list of row numbers",
    "rows = [1]\nrequests = 2": r"1 rows are named for 2 requests",
    'rows = [1]\nids = ["secret-1"]': r"forget names rows and ids: name what to forget once",
    "rows = [1]\ncount = 2": r"takes neither count nor share",
    'rows = [1]\nscenario = "random"\ncount = 1': r"without a scenario",
    'class = ["yes"]': r"forget.class is one label, as the data have it, not a list",
    'ids = "a\\u0000b.csv"': r"cannot be read \(damaged\): correct its name",
    'class = "maybe"': r"unknown class in forget.class: 'maybe'",
    'scenario = "named"': r"name the rows to forget by rows or by ids",
}


@pytest.mark.parametrize("forget", REQUESTS)
def test_a_wrong_request_is_one_line_that_names_nobody(forget: str, tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("secret-1\nsecret-2\n", encoding="utf-8")
    (tmp_path / "unknown.csv").write_text("id\nsecret-1\nhush\n", encoding="utf-8")
    (tmp_path / "twice.csv").write_text("id\nsecret-1\nsecret-2\nsecret-1\n", encoding="utf-8")
    (tmp_path / "none.csv").write_text("id\n", encoding="utf-8")
    with pytest.raises(LetheError, match=REQUESTS[forget]) as caught:
        load(str(write(tmp_path, forget)))
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    assert "hush" not in said


def test_a_study_of_no_method_is_refused(tmp_path: Path) -> None:
    study = write(tmp_path)
    study.write_text("methods = []\n" + study.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(LetheError, match=r"study lists no method: name one, or leave it out"):
        tiny_experiment.run(study, folder=tmp_path / "r", seeds=[0])


def test_ids_of_data_without_ids_are_refused(tmp_path: Path) -> None:
    study = write(tmp_path, 'ids = ["u1"]', {"csv": "set.csv", "target": "churn", "drop": ["id"]})
    with pytest.raises(LetheError, match=r"column 'house' has|set data.id, or name forget.rows"):
        load(str(study))
    without = {"csv": "set.csv", "target": "churn", "drop": ["id", "house"]}
    with pytest.raises(LetheError, match=r"the data have none: set data.id, or name forget.rows"):
        load(str(write(tmp_path, 'ids = ["u1"]', without)))


def test_a_class_is_named_as_the_data_name_it(tmp_path: Path) -> None:
    found = load(str(write(tmp_path, 'class = "yes"')))
    assert found.forget.model_dump() == {"scenario": "class", "requests": 1, "class_number": 1}


def test_a_class_of_a_set_with_a_name_is_its_number(tmp_path: Path) -> None:
    study = tmp_path / "digits.toml"
    study.write_text('[problem]\ndata = "digits"\n[forget]\nclass = 3\n', encoding="utf-8")
    found = load(str(study))
    done = tiny_experiment.run(study, folder=tmp_path / "r", methods=["retrain"], seeds=[0])
    assert (done.ran, done.failed) == (1, [])
    assert found.problem.split == SplitSpec(negatives=0.2, test=0.2)
    assert found.problem.features == "unit-pixels"


def test_arrays_of_a_record_are_not_there_again() -> None:
    found = from_arrays(np.eye(8)[:, :3] + np.arange(8)[:, None], np.arange(8) % 2, name="mine")
    spec = ProblemSpec(data=Arrays.of(found), split={"negatives": 1, "test": 1})
    assert catalogue.load(spec.data) is found
    again = ProblemSpec.model_validate(spec.model_dump(mode="json"))
    assert again.model_dump() == spec.model_dump()
    with pytest.raises(LetheError, match="arrays in memory, which no record holds"):
        catalogue.load(again.data)


@pytest.mark.parametrize(
    ("value", "text"),
    [(17, "17"), (17.0, "17"), ("17", "17"), (" u17 ", "u17"), (np.int64(3), "3"), (0.5, "0.5")],
)
def test_an_id_is_the_same_text_whatever_it_was_read_from(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("size", [0, 1.0, -0.5, "5"])
def test_a_size_is_a_number_of_rows_or_a_share(size: Any) -> None:
    with pytest.raises(ValueError, match="a number of rows, 1 or more, or a share of them below 1"):
        SplitSpec(negatives=size)


# --- sets with a name ----------------------------------------------------------------------------


class Coins(NamedSet):
    """A set of one file, found by an entry point."""

    name = "coins"
    title = "Coins"
    source = "a test"
    features = "as-is"

    @classmethod
    def load(cls) -> Dataset:
        x = np.arange(40.0).reshape(20, 2)
        return replace(from_arrays(x, np.arange(20) % 2), name=cls.name)


def test_a_data_set_is_one_class_of_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        found = [EntryPoint("coins", "tests.test_own_data:Coins", group)]
        return found if group == "lethe.data" else []

    monkeypatch.setattr(plugins, "entry_points", points)
    catalogue.clear()
    try:
        spec = ProblemSpec(data="coins")
        assert spec.features == "as-is"
        problem, _ = build(spec, Seeds(), torch.device("cpu"))
        assert len(problem.train) == 12
    finally:
        monkeypatch.undo()
        catalogue.clear()
    with pytest.raises(LetheError, match="unknown data set 'coins'"):
        catalogue.load("coins")


def test_what_is_found_declares_what_it_must() -> None:
    for name, one in catalogue.discover().items():
        assert one.name == name
        assert one.source
        if one.made_of is not None:
            assert one.made_of in catalogue.discover()


def test_breast_cancer_is_embedded_and_declared() -> None:
    found = catalogue.load("breast-cancer")
    assert found.train.rows.shape == (569, 30)
    assert found.label_names == ("malignant", "benign")
    assert found.caveats == ()
    for number, column in enumerate(found.columns):
        values = found.train.rows[:, number]
        assert column.low <= values.min() < values.max() <= column.high


@pytest.mark.real_data
def test_adult_and_compas_are_whole_and_name_nobody(real_data: Path) -> None:
    adult = catalogue.load("adult")
    assert (adult.train.rows.shape, adult.test.rows.shape) == ((32561, 91), (16281, 91))
    compas = catalogue.load("compas")
    assert compas.train.rows.shape == (6172, 15)
    assert {c.name for c in compas.columns} == {
        "sex",
        "age",
        "race",
        "juv_fel_count",
        "juv_misd_count",
        "juv_other_count",
        "priors_count",
        "c_charge_degree",
    }
    for found in (adult, compas):
        assert found.caveats == ()
        assert found.train.ids is None


def test_a_table_that_is_not_there_says_where_it_is_looked_for(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LETHE_DATA", raising=False)
    with pytest.raises(LetheError, match=r"to a folder that holds tabular/adult.data.gz"):
        catalogue.load("adult")
    assert catalogue.find("adult").absent().startswith("set LETHE_DATA to a folder")


def test_a_file_in_place_of_a_name_says_how_to_write_it(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text('[problem]\ndata = "a.csv"\n[forget]\nrows = [1]\n', encoding="utf-8")
    with pytest.raises(LetheError, match=r"of a file write data = \{ csv = 'a.csv', target = "):
        load(str(study))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["set.csv"], "name the column to predict with --target"),
        (["set.txt", "--target", "churn"], "is no .csv, .tsv, .parquet, .npz, .toml or folder"),
        (["set.npz", "--id", "id"], "data.id is for tables"),
        (["study.toml", "--target", "churn"], "says what its columns are for"),
        (["set.csv", "--target", "churn", "--drop", "house"], "as names or dates have"),
    ],
)
def test_a_wrong_hash_command_is_one_line(
    command: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    found = CliRunner().invoke(app, ["data", "hash", *command])
    assert isinstance(found.exception, LetheError)
    assert words in str(found.exception)


@pytest.mark.parametrize("name", ["breast-cancer", "adult", "compas"])
def test_the_experiments_of_tables_declare_all_that_they_rest_on(name: str) -> None:
    found = load(name)
    assert found.problem.features == "declared-ranges"
    assert found.problem.rows_at_least is not None
    assert "smoke" in found.profiles
    assert isinstance(found, Experiment)


def test_fixed_point_sums_are_of_tables_too(tmp_path: Path) -> None:
    spec = of(tmp_path, data=DECLARED, fixed_point=FixedPoint(clip=1.0, bits=11))
    problem, _ = build(spec, Seeds(), torch.device("cpu"))
    assert problem.fixed_point is not None
