"""Training several models of one problem: the same weights as one run after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import DidNotConverge, LetheError
from benchmark.problem.convex import ball_residual
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.shadow.descent import StackedDescent


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
    up to round-off: each sees its own start and its own batches. Others run one after the other,
    so do those whose learning rate follows a schedule.

    Args:
        problem: whose training rows the runs name.
        runs: one or more.

    Raises:
        LetheError: if runs that are trained together differ in size.
        DidNotConverge: if a training is held to a tolerance and misses it.
    """
    spec, training = problem.model.spec, problem.training
    plain = isinstance(training, AdamTraining) and training.schedule is None
    plain = plain and not problem.constrained and problem.extra is None
    if plain and spec.widths is not None and problem.objective.closed:
        return _together(problem, training, runs)
    return torch.stack([problem.fit(run.rows, run.generator) for run in runs])


def _together(problem: Problem, training: AdamTraining, runs: list[Run]) -> Tensor:
    if len({len(run.rows) for run in runs}) > 1:
        raise LetheError("models that are trained together need equally many rows")
    rows = torch.stack([run.rows for run in runs])
    descent = StackedDescent(problem, training, rows, [run.generator for run in runs])
    for _ in range(training.epochs):
        descent.epoch()
    if training.gradient_tolerance is None:
        return descent.weights
    return _to_tolerance(problem, training, runs, descent)


def _to_tolerance(
    problem: Problem, training: AdamTraining, runs: list[Run], descent: StackedDescent
) -> Tensor:
    """Each model goes on until its own gradient is within the tolerance, then leaves the stack."""
    found = torch.empty_like(descent.weights)
    going = torch.arange(len(runs))
    for epoch in range(training.epochs, max(training.epochs, training.max_epochs) + 1):
        left = zip(going.tolist(), descent.weights, strict=True)
        residuals = torch.tensor([_residual(problem, runs[k].rows, w) for k, w in left])
        wanting = residuals > training.gradient_tolerance
        found[going[~wanting]] = descent.weights[(~wanting).to(found.device)]
        going = going[wanting]
        if len(going) == 0:
            return found
        if epoch < training.max_epochs:
            if not wanting.all():
                descent.keep(wanting)
            descent.epoch()
    raise DidNotConverge(
        f"{len(going)} of {len(runs)} trainings stopped at gradient norms up to "
        f"{float(residuals.max()):.3g}, above their tolerance {training.gradient_tolerance:.3g}: "
        "raise max_epochs or gradient_tolerance"
    )


def _residual(problem: Problem, rows: Tensor, weights: Tensor) -> float:
    gradient = problem.gradient(weights, problem.train.take(rows))
    return ball_residual(weights, gradient, problem.training.radius)
