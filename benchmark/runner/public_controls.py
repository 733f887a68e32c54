"""The controls of a problem with public rows: models that have seen no private row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.split import Split
from benchmark.experiments.build import fitted_features
from benchmark.experiments.experiment import ProblemSpec
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem


def public_controls(
    spec: ProblemSpec, problem: Problem, chosen: Split, seeds: Seeds
) -> dict[str, np.ndarray]:
    """Whether each control is right on each test row, (n,) bool, by its name among the metrics'.

    Args:
        spec: the problem's settings.
        problem: built from them.
        chosen: the rows that went into it.
        seeds: of which the training seed counts.

    Raises:
        LetheError: if the control's training fails.
    """
    if problem.public is None:
        return {}
    found = {"head": best_head(problem, seeds)}
    if (outputs := _net_outputs(spec, problem, chosen)) is not None:
        found["net"] = (outputs.argmax(dim=1) == problem.test.y.cpu()).numpy()
    return found


def best_head(problem: Problem, seeds: Seeds) -> np.ndarray:
    """(n,) bool, whether the model trained on the public rows alone is right on each test row.

    It is trained with the ridge of the mean, and again with that of the sum, which weighs more on
    fewer rows. The one with the higher test accuracy counts, which favours the control.
    """
    public, ridge = problem.public, problem.objective.ridge
    ridges = {ridge, ridge * len(problem.train) / len(public)}
    answers = [_head(problem, r, seeds) for r in sorted(ridges)]
    return max(answers, key=np.sum)


def _head(problem: Problem, ridge: float, seeds: Seeds) -> np.ndarray:
    objective = problem.objective.model_copy(update={"ridge": ridge})
    alone = replace(problem, objective=objective, train=problem.public)
    weights = alone.fit(torch.arange(len(problem.public)), seeds.generator("training"))
    outputs = Predictor(problem.model, weights).log_probabilities(problem.test.x)
    return (outputs.argmax(dim=1) == problem.test.y).cpu().numpy()


def _net_outputs(spec: ProblemSpec, problem: Problem, chosen: Split) -> Tensor | None:
    """(n, classes) on the test rows; None where no net was trained on the public rows."""
    if problem.model.tangent is not None:
        public = torch.zeros(problem.model.dimension, dtype=problem.dtype, device=problem.device)
        return Predictor(problem.model, public).log_probabilities(problem.test.x).cpu()
    dataset = catalogue.load(spec.data)
    cache = fitted_features(spec, dataset, chosen)
    if cache is None or cache.spec.net is None:
        return None
    images = dataset.test.images if chosen.test is None else dataset.train.images[chosen.test]
    return cache.fitted.net_log_probabilities(images)
