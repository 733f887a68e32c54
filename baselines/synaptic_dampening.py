"""Selective synaptic dampening: shrink the weights that matter most for what is forgotten."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.output_loss import mean_squared_gradient
from benchmark.problem.problem import Problem
from benchmark.rows import Rows


class SynapticDampening(Method):
    """w_i <- min(lambda I_D,i / I_f,i, 1) w_i where I_f,i > alpha I_D,i.

    I is the diagonal of the empirical Fisher information, over all rows that were trained on (D,
    computed once, after training) and over those to forget (f).
    """

    name = "synaptic-dampening"
    title = "Selective synaptic dampening"
    source = Source(
        paper="Foster, Schoepf, Brintrup: Fast Machine Unlearning Without Retraining Through "
        "Selective Synaptic Dampening (AAAI 2024)",
        url="https://arxiv.org/abs/2308.07707",
    )
    needs = frozenset({"forget"})
    search: ClassVar = {
        "alpha": (2.0, 5.0, 10.0, 20.0, 40.0),
        "strength": (0.3, 1.0, 3.0, 10.0),
    }

    #: Above how many times its importance in training a weight is selected; the paper's 10 for
    #: whole classes selects none where a few random rows are to be forgotten.
    alpha: float = Field(2.0, gt=0)
    #: Lambda: at 1 importance is levelled out, the lower, the more is dampened.
    strength: float = Field(1.0, gt=0)

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("importance"):
            trained = importance(problem, original.weights, problem.train.take(original.rows))
        return State(original.weights, original.rows, memory=trained)

    def unlearn(self, request: Request) -> Release:
        weights, trained = request.original.weights, request.original.memory
        with request.clock.phase("importance"):
            forgotten = importance(request.problem, weights, request.forget_rows)
        with request.clock.phase("dampening"):
            factor = (self.strength * trained / forgotten).clamp(max=1)
            dampened = weights.where(forgotten <= self.alpha * trained, factor * weights)
        return request.release(dampened, memory=trained)


def importance(problem: Problem, weights: Tensor, rows: Rows) -> Tensor:
    """(d,): the mean squared gradient of a row's loss, without the ridge."""

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return problem.data_loss(w, Rows(x, y))

    return mean_squared_gradient(loss, weights, rows.x, rows.y)
