"""The net that public rows alone have trained, for a tangent to start from."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.problem.model import Model, TangentSpec
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.objective import Objective
from benchmark.problem.rows import Rows
from benchmark.problem.training.affine import affine
from benchmark.problem.training.descent import descend

#: Decay of all weights; it keeps the last layer short.
RIDGE = 1e-4


def train_public(
    spec: TangentSpec, rows: Rows, shape: Shape, classes: int, generator: torch.Generator
) -> Tensor:
    """Weights (d,) of the whole net, float64, trained on `rows` and nothing else.

    Args:
        spec: says how.
        rows: public; flat images if they are augmented.
        shape: height, width and channels of an image.
        classes: number of labels.
        generator: draws start, batches and augmentation.
    """
    net, objective = Model(spec.net, rows.x.shape[1], classes), Objective(ridge=RIDGE)

    def loss(weights: Tensor, part: Rows) -> Tensor:
        x = part.x if spec.augment is None else affine(part.x, shape, generator)
        return objective.data_term(net(weights, x), part.y) + objective.penalty(weights)

    return descend(
        loss,
        net.initial_weights(generator).to(rows.x.device),
        Rows(rows.x.double(), rows.y),
        generator,
        epochs=spec.epochs,
        batch=spec.batch,
        learning_rate=spec.learning_rate,
        schedule="cosine",
    )
