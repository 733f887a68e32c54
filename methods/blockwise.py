"""Certified noisy fine-tuning, one block of weights at a time."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request
from benchmark.errors import LetheError
from benchmark.problem.convex import project
from benchmark.problem.training.descent import descend
from benchmark.problem.training.noisy import epochs_left, noisy_descent
from benchmark.rows import Rows
from benchmark.theory.blockwise import blockwise_m
from benchmark.theory.gaussian import m_for

#: Parameters that the noise depends on.
PROVED = {"blocks", "radius", "clip", "step_size", "weight_decay", "steps"}


class Blockwise(Method):
    """Noisy fine-tuning with clipped gradients on one block of coordinates after another.

    A block is projected and takes its noisy steps on the retained rows while the others stand
    still, and no block is trained again until all have had theirs: a block that was done already
    would learn anew from those that were not. Fine-tuning of all weights without noise follows.
    Every block costs m^2, so B blocks take sqrt(B) times the noise of one; the smaller blocks may
    in turn have smaller radii. Nothing is assumed of the loss.
    """

    name = "blockwise"
    title = "Noisy fine-tuning, block by block"
    source = Source(
        paper="Dolgova, Stich: Sequential Subspace Noise Injection Prevents Accuracy Collapse in "
        "Certified Unlearning (2026)",
        url="https://arxiv.org/abs/2601.05134",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain"})

    #: B, runs of neighbouring coordinates of the flat weights, of nearly equal length.
    blocks: int = Field(4, ge=1)
    #: C0, of the ball that every block is projected onto; all of them lie in one of sqrt(B) C0.
    radius: float = Field(0.01, ge=0)
    #: C1, the norm that every step's gradient of a block is clipped to.
    clip: float = Field(0.001, ge=0)
    #: T of each block, eta and lambda of its noisy steps; 1 - eta lambda must lie in [0, 1].
    steps: int = Field(2, ge=1)
    step_size: float = Field(0.3, gt=0)
    weight_decay: float = Field(1.0, ge=0)
    #: Passes over the retained rows in all, with noise and without.
    epochs: int = Field(15, ge=1)
    batch: int = Field(64, ge=1, examples=[16])
    #: Of the fine-tuning, by Adam.
    learning_rate: float = Field(1e-2, gt=0)

    def unlearn(self, request: Request) -> Release:
        rows, weights = request.retain_rows, request.original.weights
        settings = self.model_dump(include=PROVED)
        m = m_for(request.target.epsilon, request.target.delta)
        sigma = blockwise_m(sigma=1.0, **settings) / m
        if self.blocks > len(weights):
            raise LetheError(f"{len(weights)} weights make no {self.blocks} blocks: use fewer")
        steps = self.blocks * self.steps
        left = epochs_left(self.epochs, len(rows), steps=steps, batch=self.batch)
        draws = request.generator("training", self.name)
        with request.clock.phase("noisy_descent"):
            order = torch.arange(len(weights), device=weights.device)
            for block in order.tensor_split(self.blocks):
                part, centre = self._noisy(request, weights, block, sigma, draws)
                weights = weights.index_copy(0, block, part)
            last = NoisyStep(centre, part, sigma)
        with request.clock.phase("fine_tuning"):
            weights = descend(
                request.problem.loss,
                weights,
                rows,
                draws,
                epochs=left,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=request.problem.training.radius,
            )
        claim = algorithmic_claim(
            request,
            "reference",
            Gaussian(m=m),
            "blocks",
            sigma=sigma,
            steps=steps,
            settings={
                "blocks": self.blocks,
                "radius": self.radius,
                "gradient_clip": self.clip,
                "step_size": self.step_size,
                "weight_decay": self.weight_decay,
            },
        )
        return request.release(weights, claim, noisy=last)

    def _noisy(
        self, request: Request, w: Tensor, block: Tensor, sigma: float, draws: Generator
    ) -> tuple[Tensor, Tensor]:
        """The coordinates `block` of `w` (d,) after their noisy steps, and before the last noise.

        The others stand still.
        """

        def step(part: Tensor, rows: Rows) -> Tensor:
            gradient = request.problem.gradient(w.index_copy(0, block, part), rows)[block]
            return part - self.step_size * (project(gradient, self.clip) + self.weight_decay * part)

        start, rows = project(w[block], self.radius), request.retain_rows
        noise = partial(request.noise, start, sigma, "block", int(block[0]))
        return noisy_descent(start, rows, step, noise, draws, steps=self.steps, batch=self.batch)
