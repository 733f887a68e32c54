"""From an estimator of scikit-learn to a problem, exactly where that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.errors import LetheError
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem as LearningProblem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import RealTarget, Rows
from lethe.problem import Problem

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_ROUND_OFF = 1e-4


@dataclass(frozen=True)
class Translation:
    """What became of an estimator.

    Attributes:
        problem: with the estimator's loss and ridge, on the rows as they are.
        exact: whether both minimise the same function of the same weights.
        notes: what differs, and what to do, a line each.
        difference: the largest difference of a predicted probability, or of a score where there
            are none, on the rows: the estimator's fit against ours.
        disagreement: the share of rows that get another label; 0 of a number.
    """

    problem: Problem
    exact: bool
    notes: tuple[str, ...]
    difference: float
    disagreement: float

    def __str__(self) -> str:
        """What holds, then the notes."""
        head = "The same function is minimised." if self.exact else "Not the same function:"
        found = f"On these rows predictions differ by {self.difference:.2g} at most"
        if self.problem.dataset.target is None:
            found += f", and {100 * self.disagreement:.2g} % of the labels"
        found += "."
        return "\n".join([head, *self.notes, found])


def from_sklearn(estimator: BaseEstimator, X: Any, y: Any, **arrays: Any) -> Translation:
    """The problem that a LogisticRegression, a RidgeClassifier or a Ridge solves on some rows.

    Lethe minimises the mean loss plus (ridge / 2) ||w||^2, with the biases in w. So C becomes
    ridge = 1 / (C n), twice that for two classes, where scikit-learn has one vector of weights and
    Lethe two. Alpha becomes alpha / n; of a Ridge Lethe scales the target to its range, and the
    weights with it. The ridge stays the same when rows are forgotten;
    scikit-learn would keep C or alpha, which then is a larger ridge.

    Args:
        estimator: not fitted, or fitted; a copy is fitted here.
        X: (n, inputs) rows, scaled as the estimator is given them.
        y: (n,) labels; numbers of a Ridge.
        **arrays: `ids`, `groups`, `name` and settings of `lethe.Problem.from_arrays`.

    Raises:
        LetheError: for an estimator that has no counterpart.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = load_wine(return_X_y=True)
        >>> found = from_sklearn(LogisticRegression(solver="liblinear"), X[:, :2], y > 0)
        >>> found.exact, found.disagreement
        (True, 0.0)
    """
    kind = type(estimator).__name__
    readers = {"LogisticRegression": _logistic, "RidgeClassifier": _ridge, "Ridge": _ridge}
    if kind not in readers:
        raise LetheError(
            f"{kind} has no counterpart: there is {', '.join(readers)}, or "
            "lethe.Problem.from_arrays with a model of your own"
        )
    x, labels = np.asarray(X, dtype=np.float64), np.asarray(y)
    if estimator.get_params().get("class_weight") is not None:
        raise LetheError(f"{kind}: rows have the same weight here: leave class_weight out")
    loss, ridge, differences, remark = readers[kind](estimator, *_sizes(x, labels))
    settings = {"features": "as-is"} | ({"task": "regression"} if kind == "Ridge" else {}) | arrays
    problem = Problem.from_arrays(x, labels, ridge=ridge, loss=loss, **settings)
    if problem.dataset.target is not None:
        difference, disagreement = _apart(estimator, x, labels, ridge, problem.dataset.target), 0.0
    else:
        difference, disagreement = _compared(estimator, x, labels, loss, ridge)
    notes = (*differences, remark)
    return Translation(problem, not differences, notes, difference, disagreement)


def _sizes(x: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
    return len(x), len(np.unique(labels))


def _logistic(estimator: Any, n: int, classes: int) -> tuple[str, float, list[str], str]:
    """Loss, ridge, what differs, and a remark on the ridge."""
    params, found = estimator.get_params(), []
    penalty, l1 = params.get("penalty"), params.get("l1_ratio") or 0.0
    c = params["C"]
    if penalty is None or not np.isfinite(c):
        raise LetheError(
            "LogisticRegression without a penalty has no counterpart: nothing is certified "
            "without a ridge; set C"
        )
    if penalty in ("l1", "elasticnet") or (penalty == "deprecated" and l1):
        found.append(
            "the penalty is l1, which is not smooth and has no certificate; an l2 "
            "penalty of the same C is taken"
        )
    liblinear = params["solver"] == "liblinear"
    unit = liblinear and params["fit_intercept"] and params["intercept_scaling"] == 1
    found += _intercept(params["fit_intercept"], penalised=unit)
    apart = liblinear and classes > 2
    ridge = (2 if classes == 2 else 1) / (c * n)
    remark = (
        f"C = {c:g} on {n:,} rows is ridge = {ridge:.4g}; after a request scikit-learn would keep "
        "C, and so a larger ridge"
    )
    return "one_vs_rest" if apart else "cross_entropy", ridge, found, remark


def _ridge(estimator: Any, n: int, classes: int) -> tuple[str, float, list[str], str]:
    params, kind = estimator.get_params(), type(estimator).__name__
    if params.get("positive"):
        raise LetheError(f"{kind}(positive=True) has no counterpart: leave it out")
    if np.ndim(params["alpha"]):
        raise LetheError(f"{kind}: there is one ridge for all targets here: take one alpha")
    ridge = params["alpha"] / n
    remark = (
        f"alpha = {params['alpha']:g} on {n:,} rows is ridge = {ridge:.4g}; after a request "
        "scikit-learn would keep alpha, and so a larger ridge"
    )
    if not ridge:
        raise LetheError(f"{kind}(alpha=0) has no counterpart: nothing is certified")
    return "squared", ridge, _intercept(params["fit_intercept"], penalised=False), remark


def _intercept(fitted: bool, *, penalised: bool) -> list[str]:
    if penalised:
        return []
    if fitted:
        return [
            "the intercept is free there, and here a weight under the ridge like "
            "all others; centre the columns of X, and it matters less"
        ]
    return ["there is no intercept there, and here each class, or number, has one"]


def _compared(
    estimator: Any, x: np.ndarray, y: np.ndarray, loss: str, ridge: float
) -> tuple[float, float]:
    """The largest difference of predictions, and the share of labels that differ."""
    from sklearn.base import clone

    fitted = clone(estimator).fit(x, y)
    names, labels = np.unique(y, return_inverse=True)
    logits = _ours(x, labels, len(names), loss, ridge)
    disagreement = float((names[logits.argmax(axis=1)] != fitted.predict(x)).mean())
    if loss == "cross_entropy":
        ours, theirs = _softmax(logits), fitted.predict_proba(x)
    else:
        theirs = fitted.decision_function(x)
        ours = 2 * logits - 1 if loss == "squared" else logits  # labels are -1 and 1 there
        ours = ours[:, 1] if theirs.ndim == 1 else ours
    return float(np.abs(ours - theirs).max()), disagreement


def _apart(estimator: Any, x: np.ndarray, y: np.ndarray, ridge: float, target: RealTarget) -> float:
    """The largest difference of predicted numbers."""
    from sklearn.base import clone

    theirs = clone(estimator).fit(x, y).predict(x)
    ours = target.in_units(_ours(x, target.scaled(y), 1, "squared", ridge)[:, 0])
    return float(np.abs(ours - theirs).max())


def _ours(x: np.ndarray, y: np.ndarray, classes: int, loss: str, ridge: float) -> np.ndarray:
    """(n, classes) logits of our minimiser on all rows."""
    labels = torch.from_numpy(y)
    rows = Rows(torch.from_numpy(x), labels if labels.is_floating_point() else labels.long())
    problem = LearningProblem(
        model=Model(SoftmaxSpec(), x.shape[1], classes),
        objective=Objective(loss=loss, ridge=ridge),
        training=NewtonTraining(tolerance=_ROUND_OFF * ridge, max_products=5000),
        train=rows,
        negatives=rows,
        test=rows,
    )
    weights = problem.fit(torch.arange(len(rows)), torch.Generator())
    return problem.model(weights, rows.x).numpy()


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
