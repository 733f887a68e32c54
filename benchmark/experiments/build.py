"""From an experiment's settings and a seed to a problem."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue, feature_cache
from benchmark.data.dataset import Part
from benchmark.data.features import DESCRIPTORS, LARGEST_NORM
from benchmark.data.split import Split, split
from benchmark.experiments.experiment import ProblemSpec
from benchmark.experiments.linearised import linearised
from benchmark.problem.declared import Declared
from benchmark.problem.model import Model, TangentSpec
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


def fetch(spec: ProblemSpec) -> None:
    """Read and verify the data, and compute features that are kept on disk, if need be.

    Raises:
        LetheError: if the data cannot be had or the cache cannot be written.
    """
    dataset = catalogue.load(spec.data)
    if spec.features in DESCRIPTORS:
        for part in filter(None, (dataset.train, dataset.test)):
            feature_cache.whole(part, spec.features, catalogue.levels(spec.data))


def build(spec: ProblemSpec, seeds: Seeds, device: torch.device) -> tuple[Problem, Split]:
    """The problem for one split seed, its tensors on `device`, and the rows that went into it.

    Raises:
        LetheError: if the data cannot be had or the split does not fit them.
    """
    dataset = catalogue.load(spec.data)
    chosen = split(dataset, spec.split, seeds)
    levels = catalogue.levels(spec.data)

    def rows(part: Part, index: torch.Tensor | None) -> Rows:
        chosen = np.arange(len(part.labels)) if index is None else index.numpy()
        x = torch.from_numpy(feature_cache.rows(part, spec.features, levels, chosen))
        y = torch.from_numpy(part.labels[chosen])
        if spec.fixed_point is not None:
            x = spec.fixed_point.truncated(x.double())
        return Rows(x, y).to(device, getattr(torch, spec.precision))

    test = rows(dataset.train if dataset.test is None else dataset.test, chosen.test)
    train = rows(dataset.train, chosen.train)
    height, width, *channels = dataset.train.images.shape[1:]
    image = (height, width, *(channels or [1]))
    tangent = isinstance(spec.model, TangentSpec)
    net = spec.model.net if tangent else spec.model
    problem = Problem(
        model=Model(net, image if spec.convolutional else train.x.shape[1], dataset.classes),
        objective=spec.objective,
        training=spec.training,
        train=train,
        negatives=rows(dataset.train, chosen.negatives),
        test=test,
        validation=None if chosen.validation is None else rows(dataset.train, chosen.validation),
        public=None if chosen.public is None else rows(dataset.train, chosen.public),
        declared=Declared(spec.rows_at_least, LARGEST_NORM.get(spec.features), spec.fixed_point),
    )
    if tangent:
        problem = linearised(problem, spec.model, image, seeds)
    return problem, chosen
