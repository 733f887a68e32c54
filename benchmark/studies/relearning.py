"""Training models again on what they should have forgotten."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median_low

import torch
from torch import Tensor

from benchmark.metrics.relearn import RelearnTime, relearn_time
from benchmark.metrics.utility import losses
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.training.descent import batches
from benchmark.rows import Rows

#: Adam's; small, so that there are epochs to count.
LEARNING_RATE = 3e-3
BATCH = 128
#: Epochs after which it is given up.
LIMIT = 50


def mean_loss(predictor: Predictor, rows: Rows) -> float:
    """The mean negative log-likelihood of the labels, in nats."""
    return float(losses(predictor.log_probabilities(rows.x), rows.y).mean())


def relearn_epochs(
    problem: Problem,
    predictors: list[Predictor],
    rows: Rows,
    target: float,
    generator: Callable[[int], torch.Generator],
    limit: int = LIMIT,
) -> RelearnTime:
    """The median model's epochs on `rows` until their mean loss is `target` or less.

    The median is censored only if half of the models are.

    Args:
        problem: whose objective is trained.
        predictors: one or more models; every member of an ensemble is trained.
        rows: the forgotten ones.
        target: in nats.
        generator: of the batches of model k.
        limit: in epochs.

    Raises:
        LetheError: if a loss stops being a number.
    """
    times = [
        relearn_time(_epochs(problem, predictor, rows, generator(k)), target, limit)
        for k, predictor in enumerate(predictors)
    ]
    middle = median_low((time.steps, time.censored) for time in times)
    return RelearnTime(*middle)


def _epochs(
    problem: Problem, predictor: Predictor, rows: Rows, generator: torch.Generator
) -> Callable[[], float]:
    """A function that trains for one epoch more and gives the loss afterwards."""
    weights = predictor.members.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=LEARNING_RATE, fused=True)

    def loss(part: Rows) -> Tensor:
        return torch.stack([problem.loss(w, part) for w in weights]).sum()

    def epoch() -> float:
        for part in batches(rows, BATCH, generator):
            (weights.grad,) = torch.autograd.grad(loss(part), weights)
            optimiser.step()
        return mean_loss(Predictor(problem.model, weights.detach()), rows)

    return epoch
