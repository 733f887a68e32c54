"""Minibatch Adam on many nets in one batched program."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.shadow.stacked import StackedNets


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
        self._optimiser = torch.optim.Adam([weights], lr=rate, fused=True)

    def _step(self, part: Tensor) -> None:
        flat, weights = part.flatten(), self.weights
        self._nets.gradient(
            weights,
            self._x.index_select(0, flat).unflatten(0, part.shape),
            self._one_hot.index_select(0, flat).unflatten(0, part.shape),
            out=weights.grad,
        )
        self._optimiser.step()
        if self._training.radius is not None:
            norms = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
            weights.mul_((self._training.radius / norms).clamp(max=1))
