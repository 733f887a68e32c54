"""Certified unlearning by rewinding gradient descent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field
from torch import Tensor

from benchmark.claims.altered import beyond_capacity, check_counted
from benchmark.claims.bounds import Bound, ball_bound, constant, of_head, round_off
from benchmark.claims.rows import rows_constant, rows_left
from benchmark.claims.spectra import head_constants
from benchmark.claims.stated import caveats
from benchmark.contract.claim import Claim, Constant, Distance
from benchmark.contract.clock import Clock
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory.gaussian import m_for
from benchmark.theory.rewind import contracting_rewind_bound, rewind_bound


@dataclass(frozen=True)
class Kept:
    """What training leaves for every later request.

    Attributes:
        checkpoint: (d,) weights of step T - K, on all rows that were trained on; secret.
        trained: how many those were.
        step_size: eta, the same for training, requests and retraining.
        bounds: on the distance to retraining, before any request; the first gives the noise.
        trivial: the bound for doing nothing.
        caveats: of the claim.
        rows: that a request within the capacity leaves, as the bounds have it.
        altered: rows that requests have altered so far, each as often as it was.
    """

    checkpoint: Tensor
    trained: int
    step_size: float
    bounds: list[Bound]
    trivial: float
    caveats: tuple[str, ...]
    rows: int
    altered: int = 0


class Rewind(Method):
    """Back to the weights of step T - K of gradient descent, and K steps on the retained rows.

    Training is T full-batch steps, within the problem's ball if it has one. The noise is fixed by
    declared constants, for `capacity` forgotten rows in all; a request beyond that goes back to
    the start, which is to retrain. The claim is against retraining itself, definition `retrain`,
    where whatever training publishes carries the same noise as a release.
    """

    name = "rewind"
    title = "Rewind-to-Delete"
    source = Source(
        paper="Mu, Klabjan: Rewind-to-Delete: Certified Machine Unlearning for Nonconvex "
        "Functions (NeurIPS 2025)",
        url="https://arxiv.org/abs/2409.09778",
    )
    evidence = "distance"
    needs = frozenset({"retain"})

    #: T, of training.
    steps: int = Field(400, ge=1)
    #: K, of a request.
    rewound: int = Field(350, ge=1)
    #: eta; by default 2 / (L + mu) of a linear model, else 0.1.
    step_size: float | None = Field(None, gt=0, examples=[0.01])
    #: n_u that the noise is made for.
    capacity: int = Field(20, ge=1)
    #: L of the objective and G of a row's loss, where no proof gives them: assumed.
    gradient_lipschitz: float | None = Field(None, gt=0, examples=[1.0])
    sample_gradient: float | None = Field(None, gt=0, examples=[1.0])

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        if self.rewound > self.steps:
            raise LetheError(f"of {self.steps} steps at most as many can be rewound")
        with clock.phase("training"):
            data = problem.train.take(rows)
            start, eta = self._start(problem, seeds), self._step_size(problem)
            checkpoint = _descend(problem, start, data, eta, self.steps - self.rewound)
            weights = _descend(problem, checkpoint, data, eta, self.rewound)
        return State(weights, rows, self._kept(problem, checkpoint, len(rows), eta))

    def unlearn(self, request: Request) -> Release:
        problem, kept = request.problem, request.original.memory
        problem.rows_at_least(len(request.retain))  # checked, if any are declared
        check_counted(request)
        kept = replace(kept, altered=kept.altered + len(request.altered))
        beyond = beyond_capacity(
            kept.trained - len(request.retain) + kept.altered,
            capacity=self.capacity,
            trained=kept.trained,
            rows=kept.rows,
            altered=kept.altered > 0,
        )
        with request.clock.phase("descent"):
            start = self._start(problem, request.seeds) if beyond else kept.checkpoint
            steps = self.steps if beyond else self.rewound
            weights = _descend(problem, start, request.retain_rows, kept.step_size, steps)
        return request.release(weights, self._claim(request, kept, beyond), kept)

    def _claim(self, request: Request, kept: Kept, beyond: bool) -> Claim:
        if self.rewound == self.steps:
            return Claim.by_construction("rewound to the start: retrained from scratch")
        best, *others = kept.bounds
        m = m_for(request.target.epsilon, request.target.delta)
        evidence = Distance(
            bound=best.value,
            sigma=best.value / m,
            trivial=kept.trivial,
            constants=best.constants,
            theorem="rewound to the start" if beyond else best.theorem,
            reached=0.0 if beyond else best.value,
            alternatives=tuple(bound.alternative for bound in others),
        )
        return Claim.of(
            "retrain",
            Gaussian(m=m),
            evidence,
            delta=request.target.delta,
            caveats=(*kept.caveats, *caveats(request)),
        )

    def _start(self, problem: Problem, seeds: Seeds) -> Tensor:
        """Initial weights (d,), in the ball: retraining starts from the same ones."""
        weights = problem.model.initial_weights(seeds.generator("training"))
        return project(weights.to(problem.device, problem.dtype), problem.training.radius)

    def _step_size(self, problem: Problem) -> float:
        if self.step_size is not None:
            return self.step_size
        if not problem.model.spec.linear:
            return 0.1
        head = head_constants(problem)
        return 2 / (head.gradient_lipschitz + head.strong_convexity)

    def _kept(self, problem: Problem, checkpoint: Tensor, trained: int, step_size: float) -> Kept:
        """Bounds for as many rows as the capacity, from constants known before any request."""
        lipschitz, gradient = self._smoothness(problem)
        named = {"gradient_lipschitz": lipschitz, "sample_gradient": gradient}
        missing = [name for name, value in named.items() if value is None]
        rows = rows_left(problem, trained, self.capacity)
        within = [] if problem.training.radius is None else [ball_bound(problem)]
        if missing and not within:
            raise AssumptionBroken(
                f"rewinding needs {' and '.join(missing)}, or a training with a radius"
            )
        if missing:
            caveat = f"Rewind-to-Delete's bound was not evaluated: it wants {' and '.join(missing)}"
            return Kept(checkpoint, trained, step_size, within, within[0].value, (caveat,), rows)
        given = (problem, rows, step_size, lipschitz, gradient)
        bounds = [*self._bounds(*given, self.rewound), *within]
        idle = [*self._bounds(*given, 0), *within]
        best, trivial = _least(bounds), _least(idle).value
        others = [bound for bound in bounds if bound is not best and bound.value < float("inf")]
        smooth = problem.model.spec.smooth
        caveats = () if smooth else ("a ReLU net's gradient is not Lipschitz",)
        return Kept(checkpoint, trained, step_size, [best, *others], trivial, caveats, rows)

    def _smoothness(self, problem: Problem) -> tuple[Constant | None, Constant | None]:
        """L and G: exact of a linear model, as far as there are any, else as assumed."""
        found = []
        for name in ("gradient_lipschitz", "sample_gradient"):
            linear, assumed = problem.model.spec.linear, getattr(self, name)
            if linear and getattr(head_constants(problem), name) is not None:
                found += of_head(problem, name)
            else:
                found.append(None if assumed is None else constant(name, assumed, "assumed"))
        return found[0], found[1]

    def _bounds(
        self,
        problem: Problem,
        rows: int,
        step_size: float,
        lipschitz: Constant,
        gradient: Constant,
        rewound: int,
    ) -> list[Bound]:
        """The theorem for L-smooth losses, and of a strongly convex one what contraction gives."""
        mu = problem.strong_convexity
        shared = {
            "trained": rows + self.capacity,
            "forgotten": self.capacity,
            "sample_gradient": gradient.value,
            "gradient_lipschitz": lipschitz.value,
            "step_size": step_size,
            "steps": self.steps,
            "rewound": rewound,
        }
        rests_on = (
            lipschitz,
            gradient,
            constant("step_size", step_size),
            constant("steps", self.steps),
            constant("rewound", rewound),
            rows_constant(problem, rows),
            constant("capacity", self.capacity),
        )
        smooth = problem.model.spec.smooth
        general = Bound("rewind-growth", rewind_bound(**shared), rests_on, smooth)
        if mu is None:
            return [general]
        value = max(contracting_rewind_bound(strong_convexity=mu, **shared), round_off(problem))
        rests_on = (*rests_on, constant("strong_convexity", mu))
        return [Bound("rewind-contraction", value, rests_on), general]


def _descend(problem: Problem, weights: Tensor, rows: Rows, step_size: float, steps: int) -> Tensor:
    """So many steps of projected gradient descent on the mean over `rows`; returns (d,)."""
    for _ in range(steps):
        step = step_size * problem.gradient(weights, rows)
        weights = project(weights - step, problem.training.radius)
    return weights


def _least(bounds: list[Bound]) -> Bound:
    """The least of those whose hypotheses hold.

    Raises:
        AssumptionBroken: if none of them is a finite number.
    """
    proved = [bound for bound in bounds if bound.proved and bound.value < float("inf")]
    if not proved:
        raise AssumptionBroken(
            "no bound on rewinding is a finite number: take fewer steps or shorter ones, or set "
            "training.radius"
        )
    return min(proved, key=lambda bound: bound.value)
