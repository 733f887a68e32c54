"""Retrain from scratch, for a few epochs."""

from __future__ import annotations

from pydantic import Field

from benchmark.contract.claim import Claim
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend


class RetrainBriefly(Method):
    """A fresh model, trained for a budget of epochs on the retained rows by Adam.

    It is what a certified method of as many epochs has to beat. Exact by construction, but not in
    the sense of `retrain`, whose training is longer: neither the original nor a row to forget is
    looked at. It is a yardstick and no entry, since it gives the original up.
    """

    name = "retrain-briefly"
    title = "Retrain, under a budget of epochs"
    source = Source(
        paper="Koloskova, Allouah, Jha, Guerraoui, Koyejo: Certified Unlearning for Neural "
        "Networks (ICML 2025)",
        url="https://arxiv.org/abs/2506.06985",
    )
    evidence = "construction"
    needs = frozenset({"retain"})
    role = "floor"

    #: Passes over the retained rows.
    epochs: int = Field(15, ge=1)
    batch: int = Field(64, ge=1, examples=[16])
    learning_rate: float = Field(1e-2, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, draws = request.problem, request.generator("training", self.name)
        with request.clock.phase("training"):
            start = problem.model.initial_weights(draws).to(problem.device, problem.dtype)
            weights = descend(
                problem.loss,
                start,
                request.retain_rows,
                draws,
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        reason = "trained from scratch on the retained rows"
        return request.release(weights, Claim.by_construction(reason, "reference"))
