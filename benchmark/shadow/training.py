"""Training several models of one problem: the same weights as one run after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.model import MLPSpec, SoftmaxSpec
from benchmark.problem.problem import Problem
from benchmark.problem.training import AdamTraining
from benchmark.shadow.stacked import StackedNets


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        rows: (m,) sorted indices into the problem's training rows.
        seed: of the generator that draws the initial weights and the batches.
    """

    rows: Tensor
    seed: int

    @classmethod
    def of(cls, rows: Tensor, generator: torch.Generator) -> Run:
        """The run that a fresh `generator` would drive."""
        return cls(rows.to("cpu", torch.int64), generator.initial_seed())

    @property
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def train(problem: Problem, runs: list[Run]) -> Tensor:
    """Weights (models, d); row k is what `problem.fit` gives for the rows and generator of run k.

    Fully connected nets in minibatch training run in one batched program, equal to separate runs
    up to round-off: each sees its own start and its own batches. Others run one after the other.

    Args:
        problem: whose training rows the runs name.
        runs: one or more.

    Raises:
        LetheError: if runs that are trained together differ in size.
        DidNotConverge: if a training is held to a tolerance and misses it.
    """
    spec, training = problem.model.spec, problem.training
    # Held to a tolerance, each model would stop at an epoch of its own.
    by_the_clock = isinstance(training, AdamTraining) and training.gradient_bound is None
    if by_the_clock and isinstance(spec, SoftmaxSpec | MLPSpec):
        return _descend(problem, training, runs)
    return torch.stack([problem.fit(run.rows, run.generator) for run in runs])


def _descend(problem: Problem, training: AdamTraining, runs: list[Run]) -> Tensor:
    """As `benchmark.problem.training.descent`; Adam works elementwise, so that one serves all."""
    sizes = {len(run.rows) for run in runs}
    if len(sizes) > 1:
        raise LetheError("models that are trained together need equally many rows")
    x, y = problem.train.x, problem.train.y
    one_hot = torch.eye(problem.model.classes, dtype=x.dtype, device=x.device)[y]
    nets = StackedNets(problem.model.spec, problem.objective, x.shape[1], problem.model.classes)
    generators = [run.generator for run in runs]
    rows = torch.stack([run.rows for run in runs])
    weights = torch.stack([problem.model.initial_weights(g) for g in generators])
    weights = weights.to(x.device, x.dtype)
    weights.grad = torch.empty_like(weights)
    optimiser = torch.optim.Adam([weights], lr=training.learning_rate, fused=True)
    for _ in range(training.epochs):
        order = torch.stack([torch.randperm(rows.shape[1], generator=g) for g in generators])
        for part in rows.gather(1, order).to(x.device).split(training.batch, dim=1):
            flat = part.flatten()
            nets.gradient(
                weights,
                x.index_select(0, flat).unflatten(0, part.shape),
                one_hot.index_select(0, flat).unflatten(0, part.shape),
                out=weights.grad,
            )
            optimiser.step()
            if training.radius is not None:
                norms = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
                weights.mul_((training.radius / norms).clamp(max=1))
    return weights
