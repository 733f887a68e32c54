"""Defaults of what an experiment's file may leave out."""

from __future__ import annotations

from typing import Any

from benchmark.data import catalogue

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
    """Whether the data can be asked; an unknown name is refused elsewhere."""
    return not isinstance(data, str) or data in catalogue.discover()
