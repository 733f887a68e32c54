"""Training several models of one problem, as one batched program over stacked weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import DidNotConverge, LetheError, present
from benchmark.optimisers import Adam
from benchmark.problem.convex import ball_residual
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining

# Many small nets of one architecture as one batched program over stacked weights.

_Layer = tuple[Tensor, Tensor]


class StackedNets:
    """The objective's gradient for `models` fully connected nets at once.

    Weights are (models, d), each row a flat vector as `benchmark.problem.model.Model` lays it out.
    The backward pass is written out: a net of this size spends most of its time in autograd's
    bookkeeping otherwise.

    Args:
        spec: softmax regression or a fully connected net.
        objective: what is trained.
        inputs: features per row.
        classes: number of labels.
    """

    def __init__(self, spec: Any, objective: Objective, inputs: int, classes: int) -> None:
        widths = (inputs, *spec.widths, classes)
        self._shapes = [(after, before) for before, after in pairwise(widths)]
        self._sizes = [size for out, into in self._shapes for size in (out * into, out)]
        self._relu = bool(spec.widths) and spec.activation == "relu"
        self._objective = objective
        self.dimension = sum(self._sizes)

    def layers(self, weights: Tensor) -> list[_Layer]:
        """Views into `weights` (models, d): a matrix and a bias for each layer."""
        pieces = torch.split(weights, self._sizes, dim=1)
        return [
            (matrix.unflatten(1, shape), bias.unsqueeze(1))
            for matrix, bias, shape in zip(pieces[::2], pieces[1::2], self._shapes, strict=True)
        ]

    def gradient(self, weights: Tensor, x: Tensor, target: Tensor, out: Tensor) -> Tensor:
        """Write the gradient of each net's objective on its own rows to `out` and return it.

        Args:
            weights: (models, d).
            x: (models, n, inputs).
            target: (models, n, classes), one-hot.
            out: (models, d).
        """
        layers = self.layers(weights)
        activations = [x]
        for number, (matrix, bias) in enumerate(layers):
            x = torch.baddbmm(bias, x, matrix.transpose(1, 2))
            if number < len(layers) - 1:
                activations.append(x.relu_() if self._relu else x.tanh_())
        if self._objective.loss == "cross_entropy":
            x = x.softmax(dim=2)
        elif self._objective.loss == "one_vs_rest":
            x = x.sigmoid()
        error = x.sub_(target).div_(x.shape[1])  # d loss / d logits, for any loss
        pairs = zip(layers, self.layers(out), activations, strict=True)
        for number, ((matrix, _), (d_matrix, d_bias), before) in reversed(list(enumerate(pairs))):
            d_matrix.copy_(torch.bmm(error.transpose(1, 2), before))
            d_bias.copy_(error.sum(dim=1, keepdim=True))
            if number > 0:
                slope = before > 0 if self._relu else 1 - before.square()
                error = torch.bmm(error, matrix).mul_(slope)
        return out.add_(weights, alpha=self._objective.ridge)


# Minibatch Adam on many nets in one batched program.


class StackedDescent:
    """As `benchmark.problem.training.descent`, each net with its own start, rows and batches.

    Adam works elementwise, so that one optimiser serves all.

    Args:
        problem: a fully connected net in minibatch training.
        training: of the problem.
        rows: (models, n) indices into the training rows.
        generators: of each model's start and batches.
    """

    def __init__(
        self,
        problem: Problem,
        training: AdamTraining,
        rows: Tensor,
        generators: list[torch.Generator],
    ) -> None:
        x, classes = problem.train.x, problem.model.classes
        self._x, self._one_hot = (
            x,
            torch.eye(classes, dtype=x.dtype, device=x.device)[problem.train.y],
        )
        self._nets = StackedNets(problem.model.spec, problem.objective, x.shape[1], classes)
        self._training, self._rows, self._generators = training, rows, generators
        starts = torch.stack([problem.model.initial_weights(g) for g in generators])
        self._optimise(starts.to(x.device, x.dtype))

    def epoch(self) -> None:
        """Every model once through its rows, in an order of its own; the last batch is ragged."""
        shuffled = [torch.randperm(self._rows.shape[1], generator=g) for g in self._generators]
        rows = self._rows.gather(1, torch.stack(shuffled)).to(self._x.device)
        for part in rows.split(self._training.batch, dim=1):
            self._step(part)

    def keep(self, which: Tensor) -> None:
        """Go on with some of the models, (models,) bool."""
        state = self._optimiser.state[self.weights]
        self._rows = self._rows[which]
        self._generators = [g for g, kept in zip(self._generators, which, strict=True) if kept]
        which = which.to(self.weights.device)
        self._optimise(self.weights[which])
        moments = {name: value[which] if value.dim() else value for name, value in state.items()}
        self._optimiser.state[self.weights] = moments

    def _optimise(self, weights: Tensor) -> None:
        self.weights = weights
        self.weights.grad = torch.empty_like(weights)
        rate = self._training.learning_rate
        self._optimiser = Adam([weights], lr=rate, fused=True)

    def _step(self, part: Tensor) -> None:
        flat, weights = part.flatten(), self.weights
        self._nets.gradient(
            weights,
            self._x.index_select(0, flat).unflatten(0, part.shape),
            self._one_hot.index_select(0, flat).unflatten(0, part.shape),
            out=present(weights.grad),
        )
        self._optimiser.step()
        if self._training.radius is not None:
            norms = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
            weights.mul_((self._training.radius / norms).clamp(max=1))


# Training several models of one problem: the same weights as one run after the other.


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
    plain = not problem.constrained and problem.extra is None
    plain = plain and spec.widths is not None and problem.objective.closed
    if plain and isinstance(training, AdamTraining) and training.schedule is None:
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
        wanting = residuals > present(training.gradient_tolerance)
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
