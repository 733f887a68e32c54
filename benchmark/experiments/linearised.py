"""From a net's problem to that of its tangent at weights that public rows have trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.files import cache_folder
from benchmark.problem.model import TangentSpec
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.problem import Problem
from benchmark.problem.tangent import PublicNet, Tangent
from benchmark.problem.training.public_net import train_public
from benchmark.rows import Rows
from benchmark.weights import WeightFiles

#: Raise this when a change to the public training changes weights.
RECIPE = 1


def linearised(problem: Problem, spec: TangentSpec, shape: Shape, seeds: Seeds) -> Problem:
    """The same rows, objective and training, to first order around public weights.

    The public net owes nothing to any other row, and is trained on the CPU whatever the device.

    Args:
        problem: of the net, with public rows.
        spec: of the tangent.
        shape: height, width and channels of an image.
        seeds: of which the training seed draws the public net.
    """
    public = problem.public.to(torch.device("cpu"), torch.float64)
    weights = _public_weights(spec, public, shape, problem.model.classes, seeds)
    net = PublicNet.of(weights, public).to(problem.device)
    model = Tangent(spec, problem.train.x.shape[1], problem.model.classes, net)
    parts: dict[str, Any] = {}
    for part in ("train", "negatives", "test", "validation", "public"):
        rows: Rows | None = getattr(problem, part)
        parts[part] = None if rows is None else model.rows(rows)
    declared = replace(problem.declared, feature_norm=spec.clip)
    return replace(problem, model=model, declared=declared, **parts)


def _public_weights(
    spec: TangentSpec, rows: Rows, shape: Shape, classes: int, seeds: Seeds
) -> Tensor:
    """(d,) of the public net; kept, as another number of threads may train other last digits."""
    content = {
        "recipe": RECIPE,
        # neither has to do with the net itself
        "spec": spec.model_dump(mode="json", exclude={"clip", "layers"}),
        "rows": [hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in (rows.x, rows.y)],
        "shape": shape,
        "training": seeds.training,
    }
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    files = WeightFiles(cache_folder() / "public-nets")
    if (found := files.read(key, rows.x.device)) is not None:
        return found[0]
    generator = seeds.generator("training", "public-net")
    weights = train_public(spec, rows, shape, classes, generator)
    files.write(key, weights)
    return weights
