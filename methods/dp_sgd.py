"""DP-SGD, whose model may forget a group of rows for nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field
from torch import Tensor

from benchmark.claims.algorithmic import algorithmic_claim, setting
from benchmark.claims.rows import rows_constant
from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.guarantee import Curve
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.problem import Problem
from benchmark.problem.training.noisy import private_descent
from benchmark.theory.group_privacy import group_epsilon, group_m, group_noise_multiplier


@dataclass(frozen=True)
class Kept:
    """Numbers of training that later requests ask for.

    Attributes:
        trained: rows that were trained on.
        altered: rows that requests have altered since, each as often as it was.
        rows: n of the divisor q n of a step: declared, or those trained on.
    """

    trained: int
    rows: int
    altered: int = 0


class DPSGD(Method):
    """Poisson batches, clipped gradients of single rows and Gaussian noise; the steps are Opacus'.

    Retraining without any `group` rows is (epsilon, delta)-indistinguishable from what was trained
    already, which is therefore the answer to a request. One for more rows in all, or for a stricter
    target than training was given, is answered by training anew. The ridge, which looks at no row,
    is neither clipped nor noised.

    The defaults of training look at no data, test rows least of all: C = 1, ten passes (q T = 10)
    and eta = 1 / (q T). The noise of all steps is about k sqrt(d) / (m n) times the longest way,
    C eta T, that they can go, m that of the target: no choice of C, eta or T helps.
    """

    name = "dp-sgd"
    title = "DP-SGD, group privacy"
    source = Source(
        paper="Abadi et al.: Deep Learning with Differential Privacy (CCS 2016)",
        url="https://arxiv.org/abs/1607.00133",
    )
    evidence = "algorithm"
    does_nothing = True
    needs = frozenset({"retain"})

    #: That the noise is made for, at training, before any request is known.
    epsilon: float = Field(1.0, gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)
    #: k, rows forgotten in all that this holds for.
    group: int = Field(20, ge=1)
    #: q, the probability of a row to be in a batch, and T, how many batches.
    rate: float = Field(0.1, gt=0, le=1)
    steps: int = Field(100, ge=1)
    #: C, the norm that every row's gradient is clipped to.
    clip: float = Field(1.0, gt=0)
    #: Of a step along the mean clipped gradient.
    learning_rate: float = Field(0.1, gt=0)

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("training"):
            return self._train(problem, rows, seeds)

    def unlearn(self, request: Request) -> Release:
        original, target = request.original, request.target
        kept: Kept = original.memory
        kept = replace(kept, altered=kept.altered + len(request.altered))
        original = replace(original, memory=kept)
        forgotten = kept.trained - len(request.retain) + kept.altered
        with request.clock.phase("certificate"):
            settings = self._settings()
            epsilon = group_epsilon(delta=target.delta, **settings)
        beyond = forgotten > self.group
        if kept.altered:
            beyond = not self._covers_altered(forgotten, epsilon, target.delta, settings)
        if beyond or epsilon > target.epsilon:
            with request.clock.phase("training"):
                original = self._train(
                    request.problem, request.retain, request.seeds, request.number
                )
        if epsilon > target.epsilon:
            claim = Claim.by_construction("trained anew: the target is stricter than training's")
        else:  # whatever was done: an observer is not told how many rows are gone
            claim = self._claim(request, original.memory.rows, epsilon, settings)
        return request.release(original.weights, claim, original.memory)

    def _covers_altered(
        self, changed: int, epsilon: float, delta: float, settings: dict[str, float]
    ) -> bool:
        """Whether training covers so many lost and altered rows as well as `group` lost ones.

        An altered row moves a sum of clipped gradients by up to 2 C, with one coin for both of its
        versions: that is one row of the group at half the noise multiplier.
        """
        if 2 * changed > self.group:
            return False
        halved = settings | {"group": changed, "noise_multiplier": settings["noise_multiplier"] / 2}
        return group_epsilon(delta=delta, **halved) <= epsilon

    def _claim(
        self, request: Request, rows: int, epsilon: float, settings: dict[str, float]
    ) -> Claim:
        problem, z, steps = request.problem, settings["noise_multiplier"], self.steps
        problem.rows_at_least(len(request.retain))  # checked, if any are declared
        return algorithmic_claim(
            request,
            "retrain",
            Curve(
                points=((epsilon, request.target.delta),),
                m=group_m(group=self.group, steps=steps, noise_multiplier=z),
            ),
            "group-privacy",
            sigma=self.learning_rate / (self.rate * rows) * z * self.clip,
            steps=steps,
            settings=(
                *(setting(k, v) for k, v in settings.items() if k != "steps"),
                setting("clip", self.clip),
                rows_constant(problem, rows),
            ),
        )

    def _train(self, problem: Problem, rows: Tensor, seeds: Seeds, *scope: object) -> State:
        stream, n = (self.name, *scope), problem.rows_at_least(len(rows))
        start = problem.model.initial_weights(seeds.generator("training", *stream, "start"))
        weights = private_descent(
            problem,
            start.to(problem.device, problem.dtype),
            problem.train.take(rows),
            rate=self.rate,
            steps=self.steps,
            clip=self.clip,
            noise_multiplier=self._settings()["noise_multiplier"],
            learning_rate=self.learning_rate,
            divisor=self.rate * n,
            sampling=seeds.generator("training", *stream, "batches"),
            # of both seeds: another sample of training has other noise as well
            noise=seeds.generator("noise", *stream, seeds.training),
        )
        return State(weights, rows, Kept(len(rows), n))

    def _settings(self) -> dict[str, float]:
        """What epsilon follows from: k, q, T and z, made for the parameters' own target."""
        settings = self.model_dump(include={"group", "rate", "steps"})
        z = group_noise_multiplier(epsilon=self.epsilon, delta=self.delta, **settings)
        return settings | {"noise_multiplier": z}
