"""Problems and their tangents, built from an experiment's settings and a seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue, features
from benchmark.data.array_file import WeightFiles
from benchmark.data.dataset import SCALE_CAVEAT, Dataset, Part
from benchmark.data.fitted.features import BITS, CLIP, FittedCache
from benchmark.data.fitted.spec import PublicFeatures, PublicPart
from benchmark.data.split import Split, split
from benchmark.errors import LetheError, present
from benchmark.experiments.experiment import ProblemSpec
from benchmark.experiments.graphs import graph_world, nodes_split
from benchmark.experiments.properties import domain_of, with_property
from benchmark.files import cache_folder
from benchmark.problem.model import Inputs, Model, TangentSpec
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.problem import Problem
from benchmark.problem.tangent import PublicNet, Tangent
from benchmark.problem.training.public_net import train_public
from benchmark.rows import Declared, FixedPoint, Rows

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
    public = present(problem.public).to(torch.device("cpu"), torch.float64)
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


# From an experiment's settings and a seed to a problem.

#: The form of features that are fitted on public rows.
STORED = FixedPoint(clip=CLIP, bits=BITS)


class Features(NamedTuple):
    """How rows become features.

    Attributes:
        compute: from a part and rows of it to their features (n, inputs).
        longest: no row of features is longer; None where nothing is known.
        caveats: what was fitted on rows that a request may name.
    """

    compute: Callable[[Part, np.ndarray], np.ndarray]
    longest: float | None
    caveats: tuple[str, ...] = ()


def fetch(spec: ProblemSpec) -> None:
    """Read and verify the data, and compute features that are kept on disk, if need be.

    Those that are fitted on public rows wait for a split.

    Raises:
        LetheError: if the data cannot be had or the cache cannot be written.
    """
    if spec.graph is not None:
        spec.graph_data()
        return
    dataset = catalogue.load(spec.data)
    if isinstance(spec.features, PublicFeatures) or dataset.train.is_table:
        return
    if features.of_image(spec.features).version is not None:
        for part in filter(None, (dataset.train, dataset.test)):
            features.whole(part, spec.features, catalogue.levels(spec.data))


def build(spec: ProblemSpec, seeds: Seeds, device: torch.device) -> tuple[Problem, Split]:
    """The problem for one split seed, its tensors on `device`, and the rows that went into it.

    Raises:
        LetheError: if the data cannot be had or the split does not fit them.

    >>> from benchmark.experiments.experiment import load
    >>> problem, _ = build(load("digits-softmax").problem, Seeds.all(0), "cpu")
    >>> len(problem.train), len(problem.negatives), len(problem.test)
    (1200, 200, 397)
    """
    if spec.graph is not None:
        world = graph_world(spec, seeds, device)
        return world.problem, nodes_split(world.roles)
    dataset = catalogue.load(spec.data)
    chosen = split(dataset, spec.split, seeds)
    return build_of(dataset, chosen, spec, seeds, device), chosen


def build_of(
    dataset: Dataset, chosen: Split, spec: ProblemSpec, seeds: Seeds, device: torch.device
) -> Problem:
    """The problem that settings make of the rows of a split.

    Raises:
        LetheError: if features or model do not fit the data.
    """
    compute, longest, caveats = _features(spec, dataset, chosen)
    # Features that are kept as such numbers need no copy.
    stored = isinstance(spec.features, PublicFeatures) and spec.fixed_point == STORED

    def rows(part: Part, index: torch.Tensor | None) -> Rows:
        chosen = np.arange(len(part.labels)) if index is None else index.numpy()
        x = torch.from_numpy(compute(part, chosen))
        y = torch.from_numpy(part.labels[chosen])
        if spec.fixed_point is not None and not stored:
            x = spec.fixed_point.truncated(x.double())
            y = y if dataset.target is None else spec.fixed_point.of_targets.truncated(y)
        return Rows(x, y).to(device, getattr(torch, spec.precision))

    test = rows(dataset.train if dataset.test is None else dataset.test, chosen.test)
    train = rows(dataset.train, chosen.train)
    inputs = _inputs(spec, dataset, train)
    net = spec.model.net or spec.model
    net.check(inputs, dataset.classes, train.x.dtype)
    problem = Problem(
        model=Model(net, inputs, dataset.classes),
        objective=spec.objective.model_copy(),  # a method's own to spoil, as the rows are
        training=spec.training.model_copy(),
        train=train,
        negatives=rows(dataset.train, chosen.negatives),
        test=test,
        validation=None if chosen.validation is None else rows(dataset.train, chosen.validation),
        public=None if chosen.public is None else rows(dataset.train, chosen.public),
        declared=Declared(spec.rows_at_least, longest, spec.fixed_point, caveats),
        domain=domain_of(dataset.columns) if spec.features == "declared-ranges" else None,
        target=dataset.target,
    )
    problem = with_property(problem, spec.kept_property)
    if spec.model.net is None:
        return problem
    tangent: Any = spec.model  # no other kind has a net
    return linearised(problem, tangent, _image(dataset), seeds)


def _inputs(spec: ProblemSpec, dataset: Dataset, train: Rows) -> Inputs:
    """The inputs of a model: a number of features, or the shape of an image."""
    return _image(dataset) if spec.convolutional else train.x.shape[1]


def _image(dataset: Dataset) -> Shape:
    """Height, width and channels; the rows of a table count as images of one line."""
    shape = dataset.train.rows.shape[1:]
    height, width, *channels = (1, *shape) if dataset.train.is_table else shape
    return (height, width, *(channels or [1]))


def fitted_features(spec: ProblemSpec, dataset: Dataset, chosen: Split) -> FittedCache | None:
    """The features of a problem that are fitted on public rows; None where they are not.

    The fit is passed the public rows of the split, and has no access to any other.
    """
    if not isinstance(spec.features, PublicFeatures):
        return None
    public = PublicPart.of(dataset, present(chosen.public), catalogue.levels(spec.data))
    return FittedCache(spec.features, public)


def _features(spec: ProblemSpec, dataset: Dataset, chosen: Split) -> Features:
    """How the features of rows are computed."""
    fitted, levels = fitted_features(spec, dataset, chosen), catalogue.levels(spec.data)
    name = spec.features
    if fitted is not None or isinstance(name, PublicFeatures):
        fitted = present(fitted)
        return Features(
            lambda part, rows: fitted.rows(part.images[rows]), fitted.fitted.largest_norm
        )
    if dataset.train.is_table:
        return _of_table(name, dataset, chosen)
    feature = features.find(name)
    if not issubclass(feature, features.ImageFeature):
        raise LetheError(
            f"features '{spec.features}' are for tables, and {dataset.name} holds images: take "
            f"{', '.join(features.of_images())}"
        )
    return Features(
        lambda part, rows: features.rows(part, feature.name, levels, rows),
        feature.largest_norm,
    )


def _of_table(kind: str, dataset: Dataset, chosen: Split) -> Features:
    """Scaled columns; by public rows if there are any, where something is fitted."""
    table, feature = dataset.train, features.find(kind)
    if not issubclass(feature, features.TableFeature):
        raise LetheError(
            f"features '{kind}' are for images, and {dataset.name} is a table: take "
            f"{', '.join(map(repr, features.of_tables()))}"
        )
    by = chosen.train if chosen.public is None else chosen.public
    scale = feature.scale(dataset.columns, table.rows[by.numpy()])
    fitted = feature.fitted and chosen.public is None
    caveats = (*dataset.caveats, *((SCALE_CAVEAT,) if fitted else ()))
    return Features(lambda part, rows: scale(part.rows[rows]), feature.largest_norm, caveats)
