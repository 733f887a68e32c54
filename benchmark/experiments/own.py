"""An experiment's own data and the rows that it names, and what its file may leave out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from benchmark.data import catalogue
from benchmark.data.dataset import Dataset, hashed, text_of
from benchmark.data.own.files import read_csv
from benchmark.data.own.spec import Arrays, OwnData
from benchmark.data.split import SplitSpec
from benchmark.errors import LetheError, explain, present, unknown
from benchmark.parameters import refuse_conversions

# Defaults of what an experiment's file may leave out.

#: The ridge for rows of norm 1 at most: softmax regression loses little accuracy by it.
RIDGE = 1e-3
#: What is held back of data without test rows of their own.
SHARE = 0.2
SEEDS = (0, 1, 2)


def with_defaults(problem: dict[str, Any]) -> dict[str, Any]:
    """A problem's settings with those that follow where they are not given.

    Features are those of the data, or propagated where the data are a graph; a fifth of the rows is
    held back for tests, where the data have no test rows of their own, and a fifth for attacks; the
    model is softmax regression with a ridge, in double precision and trained to convergence; of a
    real target ridge regression by one direct solve.

    Args:
        problem: as a file says it; without data nothing follows.

    Raises:
        LetheError: if own data cannot be read.
    """
    data = problem.get("data")
    if data is None or isinstance(data, dict):
        return problem
    real = _is_known(data) and catalogue.has_real_target(data)
    found = {
        "model": {"kind": "softmax"},
        "objective": {"loss": "squared" if real else "cross_entropy", "ridge": RIDGE},
        "precision": "float64",
    } | problem
    if "training" not in problem:
        found["training"] = {"algorithm": "direct"} if real else _training(found["model"])
    if "graph" in problem:
        return {"features": "propagated", "split": {"negatives": SHARE, "test": SHARE}} | found
    if "features" not in problem and _is_known(data):
        found["features"] = catalogue.default_features(data)
    split = problem.get("split", {})
    if isinstance(split, dict) and _is_known(data):
        own_test = catalogue.has_official_test(data)
        found["split"] = {"negatives": SHARE} | ({} if own_test else {"test": SHARE}) | split
    return found


def _training(model: Any) -> dict[str, Any]:
    """The training: of a linear model until convergence, of a net for some epochs."""
    kind = model.get("kind") if isinstance(model, dict) else getattr(model, "kind", None)
    if kind == "softmax":
        return {"algorithm": "newton-cg"}
    return {"algorithm": "adam"}


def _is_known(data: Any) -> bool:
    """Whether the data can be asked; what are no data are refused elsewhere."""
    if isinstance(data, str):
        return data in catalogue.discover()
    return isinstance(data, OwnData | Arrays)


# An experiment's own data and the rows that it names, read when its file is.

#: How a file names what is to be forgotten.
_NAMES = ("rows", "ids", "class")


def resolved(content: dict[str, Any], folder: Path, where: str) -> dict[str, Any]:
    """An experiment's settings, with own data read, ids hashed and rows by canonical number.

    What was found before, as a dump of an experiment's settings has it, stays as it is.

    Args:
        content: as the file says it.
        folder: of the file, which paths start from.
        where: what is read, for errors.

    Raises:
        LetheError: if the data or the requests cannot be read or are wrong.
    """
    problem, forget = content.get("problem"), content.get("forget")
    if not isinstance(problem, dict):
        return content
    if isinstance(data := problem.get("data"), dict):
        problem = problem | {"data": _own(data, folder, where)}
    if isinstance(problem.get("data"), OwnData | Arrays):
        problem = _with_public(problem, where)
    content = content | {"problem": problem}
    names = [name for name in _NAMES if isinstance(forget, dict) and name in forget]
    if len(names) > 1:
        raise LetheError(f"{where}: forget names {' and '.join(names)}: name what to forget once")
    return content | _named(problem, present(forget), folder, where) if names else content


def _own(data: dict[str, Any], folder: Path, where: str) -> OwnData:
    try:
        found = OwnData.model_validate(data)
    except ValidationError as error:
        raise explain(error, f"{where}: problem.data", OwnData) from error
    refuse_conversions(data, found, f"{where}: problem.data")
    return found.located(folder)


def _with_public(problem: dict[str, Any], where: str) -> dict[str, Any]:
    """The problem with the public rows that it names by canonical number."""
    split = problem.get("split")
    if not isinstance(split, dict):
        return problem
    public = split.get("public")
    if not (isinstance(public, dict) and "rows" in public):
        return problem
    dataset = catalogue.load(problem["data"])
    rows = _numbers(public["rows"], dataset, f"{where}: problem.split.public.rows")
    return problem | {"split": split | {"public": public | {"rows": rows}}}


def _named(
    problem: dict[str, Any], forget: dict[str, Any], folder: Path, where: str
) -> dict[str, Any]:
    """The tables `problem` and `forget`, the latter by canonical numbers, hashes and labels."""
    data = problem.get("data")
    if not isinstance(data, str | OwnData | Arrays):
        return {}
    dataset = catalogue.load(data)
    if "class" in forget:
        return {"forget": _instead(forget, "class_number", _label(forget["class"], dataset))}
    if "rows" in forget:
        numbers = _numbers(forget["rows"], dataset, f"{where}: forget.rows")
        forget = _instead(forget, "numbers", tuple(numbers))
    else:
        header = getattr(data, "id", None) or "id"
        numbers, hashes = _by_ids(forget["ids"], dataset, header, folder, where)
        forget = _instead(forget, "hashes", hashes)
    split = problem.get("split", {})
    named = {"named": tuple(sorted(set(numbers)))}
    if isinstance(split, SplitSpec):
        split = split.model_copy(update=named)
    elif isinstance(split, dict):  # anything else is refused elsewhere
        split = split | named
    return {"problem": problem | {"split": split}, "forget": forget}


def _instead(forget: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The table with what was found for the one name in it."""
    return {key: one for key, one in forget.items() if key not in _NAMES} | {name: value}


def _label(value: Any, dataset: Dataset) -> int:
    """The number of a class that a file names as its data do."""
    if dataset.target is not None:
        raise LetheError(
            f"forget.class names a class, and the target '{dataset.target.name}' is a real number: "
            "name forget.rows or forget.ids, or take a scenario"
        )
    names = dataset.label_names or tuple(map(str, range(dataset.classes)))
    if not isinstance(value, str | int | float):
        raise LetheError("forget.class is one label, as the data have it, not a list")
    if isinstance(value, bool) or text_of(value) not in names:
        raise unknown("class in forget.class:", str(value), names)
    return names.index(text_of(value))


def _numbers(rows: Any, dataset: Dataset, where: str) -> list[int]:
    """Canonical numbers of the rows that stand at some places; `where` names the list."""
    whole = isinstance(rows, list | tuple) and all(type(row) is int for row in rows)
    if not whole or not rows:
        raise LetheError(f"{where} is a list of row numbers, counted from 0")
    try:
        return dataset.train.canonical(np.array(rows, dtype=np.int64)).tolist()
    except LetheError as error:
        raise LetheError(f"{where}: {error}") from error


def _by_ids(
    ids: Any, dataset: Dataset, header: str, folder: Path, where: str
) -> tuple[list[int], tuple[str, ...]]:
    """Canonical numbers and hashes of the rows that ids name.

    Args:
        ids: the path of a csv file, or a list.
        dataset: with ids.
        header: what the column of ids is called.
        folder: which the path starts from.
        where: what is read, for errors.

    Raises:
        LetheError: if the data have no ids, or no row has one of them; no id is printed.
    """
    part = dataset.train
    if part.ids is None:
        raise LetheError(
            f"{where}: forget.ids names rows by ids, and the data have none: set data.id, or name "
            "forget.rows"
        )
    if isinstance(ids, str):
        texts, place = _listed(folder / ids, header)
    elif isinstance(ids, list | tuple) and all(type(one) in (str, int) for one in ids):
        texts, place = list(map(text_of, ids)), lambda index: f"{where}: forget.ids, entry {index}"
    else:
        raise LetheError(f"{where}: forget.ids is the path of a csv file or a list of ids")
    if not texts:
        raise LetheError(f"{where}: forget.ids names no row: list at least one id")
    number = {one: row for row, one in enumerate(part.ids)}
    hashes = hashed(texts, part.content_hash)
    first: dict[str, int] = {}
    for index, one in enumerate(hashes):
        if one not in number:
            raise LetheError(
                f"{place(index)}: no row of {dataset.name} has this id, so it was not trained on: "
                "take it out of the request"
            )
        if (other := first.setdefault(one, index)) != index:
            raise LetheError(f"{place(index)}: the same id as {place(other)}: name it once")
    return [number[one] for one in hashes], hashes


def _listed(path: Path, header: str) -> tuple[list[str], Callable[[int], str]]:
    """The ids in a csv file, and what to call the place of one.

    Args:
        path: of the file.
        header: the name of the column of ids; without it the first id would pass for a name.
    """
    table = read_csv(path)
    if header not in table.columns:
        raise LetheError(
            f"{path.name}: line 1 does not name the column of ids: write '{header}' above them, as "
            "the data call it"
        )
    return list(table.columns[header]), lambda index: f"{path.name}, {table.row(index)}"
