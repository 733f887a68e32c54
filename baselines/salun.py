"""SalUn: random labels, in the weights that matter for what is forgotten."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from baselines.random_labels import relabelled
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend
from benchmark.problem.variants import restricted


class SalUn(Method):
    """The weights whose gradient of the forgotten rows' loss is largest learn random labels.

    The others stay as they are, bit for bit.
    """

    name = "salun"
    title = "SalUn"
    source = Source(
        paper="Fan, Liu, Zhang, Wong, Wei, Liu: SalUn, Empowering Machine Unlearning via "
        "Gradient-based Weight Saliency (ICLR 2024)",
        url="https://arxiv.org/abs/2310.12508",
    )
    search: ClassVar = {
        "share": (0.1, 0.3, 0.5, 0.7),
        "epochs": (2, 5, 10),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    }

    #: Of the weights that are salient; at a half the threshold is the median, as in the paper.
    share: float = Field(0.5, gt=0, le=1, examples=[0.2])
    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        weights = request.original.weights
        with request.clock.phase("saliency"):
            free = self._salient(request)
            part = restricted(request.problem, weights, free)
        with request.clock.phase("descent"):
            learned = descend(
                part.loss,
                weights[free],
                relabelled(request, request.generator("training", self.name, "labels")),
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=part.training.radius,
            )
        return request.release(part.model.whole(learned))

    def _salient(self, request: Request) -> Tensor:
        """(d,) bool: the largest |d loss(forgotten rows) / dw|."""
        problem, w = request.problem, request.original.weights
        ridge = problem.objective.ridge * w
        gradient = problem.gradient(w, request.forget_rows) - ridge
        largest = gradient.abs().topk(max(1, round(self.share * len(w)))).indices
        return torch.zeros_like(w, dtype=torch.bool).index_fill(0, largest, True)
