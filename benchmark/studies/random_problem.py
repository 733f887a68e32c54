"""Random strongly convex problems, each determined by one number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from benchmark.claims.ball_step import newton_in_ball
from benchmark.claims.bounds import diameter, retrained_bound
from benchmark.claims.spectra import head_constants
from benchmark.contract.seeds import Seeds
from benchmark.errors import present
from benchmark.problem.convex import Ordered, project
from benchmark.problem.model import Model, SoftmaxSpec, TangentSpec
from benchmark.problem.models.spec import columns
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.risk import Risk
from benchmark.problem.tangent import PublicNet, Tangent
from benchmark.problem.training.cone import ConeTraining
from benchmark.problem.training.newton import Converging, DirectTraining, NewtonTraining
from benchmark.rows import Declared, FixedPoint, Rows
from benchmark.theory.constants import a_priori_distance


class NewtonInBall(BaseModel):
    """Training in a ball to a tolerance of the residual there, fast enough for many problems."""

    model_config = ConfigDict(frozen=True)

    radius: float
    tolerance: float

    @property
    def gradient_bound(self) -> float:
        """G: the residual that training guarantees."""
        return self.tolerance

    def check(self, risk: Risk) -> None:
        """See `benchmark.problem.risk.Training`; nothing is refused."""

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) in the ball with a residual of at most the tolerance.

        Raises:
            DidNotConverge: if no step helps any more.
        """
        start = project(start, self.radius)
        return newton_in_ball(problem, start, rows, tolerance=self.tolerance)


def draw(seed: int, *, requests: int = 1) -> tuple[Problem, Tensor]:
    """A linear model with a ridge on Gaussian clusters, in float64, and the rows to forget.

    5 to 400 rows of 1 to 12 features at scale 0.01 to 10, 2 to 6 classes from inseparable to
    separable, either loss, ridge 1e-4 to 1, a training tolerance of 1e-10 to 1e-3; from one row
    to half of them is forgotten. What spans decades is uniform in its logarithm. The problem
    declares how many rows are left in the end, and the norm of the longest.

    Args:
        seed: of all that is drawn.
        requests: rows that are forgotten at least, in (n_u,); there are five times as many in all.
    """
    generator = Seeds.all(seed).generator("split", "random problem")
    shares = iter(torch.rand(9, generator=generator, dtype=torch.float64).tolist())
    n = _log_integer(next(shares), 5 * requests, 400)
    forgotten = _log_integer(next(shares), requests, n // 2)
    inputs, classes = _log_integer(next(shares), 1, 12), 2 + int(5 * next(shares))
    scale, separation = _log_uniform(next(shares), 1e-2, 10), 3 * next(shares)
    objective = Objective(
        loss="cross_entropy" if next(shares) < 0.75 else "squared",
        ridge=_log_uniform(next(shares), 1e-4, 1),
    )
    # Loose training makes G, which the bounds charge, as large as the rest.
    training = NewtonTraining(tolerance=_log_uniform(next(shares), 1e-10, 1e-3))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    y = torch.randint(classes, (n,), generator=generator)
    rows = Rows(scale * (separation * normal(classes, inputs)[y] + normal(n, inputs)), y)
    problem = Problem(
        Model(SoftmaxSpec(), inputs, classes),
        objective,
        training,
        train=rows,
        negatives=rows,
        test=rows,
        declared=Declared(n - forgotten, rows.largest_norm(bias=False)),
    )
    return problem, torch.randperm(n, generator=generator)[:forgotten]


def in_ball(problem: Problem, seed: int) -> Problem:
    """The same problem trained in a ball, of a radius of 0.02 to 2.

    Its ridge is 1e-2 at least and its tolerance 1e-6, or projected steps would take minutes.
    """
    generator = Seeds.all(seed).generator("split", "ball")
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    ridge = max(problem.objective.ridge, 1e-2)
    return replace(
        problem,
        objective=problem.objective.model_copy(update={"ridge": ridge}),
        training=NewtonInBall(
            radius=_log_uniform(share, 0.02, 2),
            tolerance=max(_tolerance(problem), 1e-6),
        ),
    )


def squared(problem: Problem) -> Problem:
    """The same problem with squared loss."""
    objective = problem.objective.model_copy(update={"loss": "squared"})
    return replace(problem, objective=objective)


def one_vs_rest(problem: Problem) -> Problem:
    """The same problem with a binary logistic loss for each class."""
    objective = problem.objective.model_copy(update={"loss": "one_vs_rest"})
    return replace(problem, objective=objective)


def in_fixed_point(problem: Problem) -> Problem:
    """The same problem with squared loss, features in fixed point and direct training."""
    clip = 2.0 ** math.ceil(math.log2(float(problem.train.x.abs().max())))
    spare = 53 - math.log2(len(problem.train) * max(clip, 1.0) ** 2)
    form = FixedPoint(clip=clip, bits=min(20, int(spare / 2)))
    rows = Rows(form.truncated(problem.train.x), problem.train.y)
    return replace(
        squared(problem),
        train=rows,
        negatives=rows,
        test=rows,
        training=DirectTraining(tolerance=_tolerance(problem)),
        declared=replace(problem.declared, fixed_point=form),
    )


def linearised(problem: Problem) -> Problem:
    """The same rows under a small net linearised at random weights, with softmax's loss.

    About every second row is clipped. The ridge is 0.3 at most, or no net has a last layer that is
    short enough.
    """
    inputs, classes = columns(problem.model.inputs), problem.model.classes
    generator = Seeds.all(len(problem.train)).generator("split", "random net")
    spec = TangentSpec(kind="tangent", hidden=(5, 4), clip=1e9)
    weights = Model(spec.net, inputs, classes).initial_weights(generator)
    units = Rows(torch.eye(inputs, dtype=torch.float64), torch.arange(inputs) % classes)
    device = problem.train.x.device
    public, units = PublicNet.of(weights, units).to(device), units.to(device, torch.float64)
    norms = Tangent(spec, inputs, classes, public).rows(problem.train).x[:, -1]
    spec = spec.model_copy(update={"clip": float(norms.median())})
    model = Tangent(spec, inputs, classes, public)
    rows, ridge = model.rows(problem.train), min(problem.objective.ridge, 0.3)
    return replace(
        problem,
        model=model,
        objective=Objective(ridge=ridge),
        train=rows,
        negatives=rows,
        test=rows,
        public=model.rows(units),
        declared=replace(problem.declared, feature_norm=spec.clip),
    )


def within_cone(problem: Problem) -> Problem:
    """The same rows in two classes with softmax's loss, trained and released within a cone.

    About half of the features, and one at least, may only raise or only lower the log odds.
    """
    inputs = columns(problem.model.inputs)
    generator = Seeds.all(len(problem.train)).generator("split", "random cone")
    signed = torch.randperm(inputs, generator=generator)[: 1 + inputs // 2]
    up = torch.rand(len(signed), generator=generator) < 0.5
    first, second = signed, signed + inputs
    cone = Ordered(torch.where(up, first, second), torch.where(up, second, first))
    parts = {part: getattr(problem, part) for part in ("train", "negatives", "test")}
    two: dict[str, Any] = {part: Rows(rows.x, rows.y % 2) for part, rows in parts.items()}
    return replace(
        problem,
        model=Model(SoftmaxSpec(), inputs, 2),
        objective=problem.objective.model_copy(update={"loss": "cross_entropy"}),
        training=ConeTraining(tolerance=_tolerance(problem), within=cone),
        released_within=cone,
        **two,
    )


def public_distance(problem: Problem, forgotten: int, seed: int) -> float:
    """A Delta_0 for the problem that can be met, and need not be met at the start.

    It is log-uniform from three times what training itself guarantees up to how far that many
    forgotten rows can move the minimiser.
    """
    generator = Seeds.all(seed).generator("split", "public distance")
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    least, head = 3 * _retrained(problem), head_constants(problem)
    if head.sample_gradient is None:
        most = diameter(problem)
    else:
        most = a_priori_distance(
            trained=len(problem.train),
            forgotten=forgotten,
            sample_gradient=head.sample_gradient,
            strong_convexity=head.strong_convexity,
        )
    return _log_uniform(share, least, max(least, most))


def _retrained(problem: Problem) -> float:
    """What training itself guarantees: 2 G / mu, within a cone with G of the residual there."""
    if isinstance(problem.training, ConeTraining):
        return 2 * problem.training.residual_bound / present(problem.strong_convexity)
    return retrained_bound(problem).value


def _tolerance(problem: Problem) -> float:
    """Tolerance of the training, which ends by one."""
    assert isinstance(problem.training, Converging)
    return problem.training.tolerance


def _log_uniform(share: float, low: float, high: float) -> float:
    """From a number in [0, 1) to one in [low, high)."""
    return low * (high / low) ** share


def _log_integer(share: float, low: int, high: int) -> int:
    """From a number in [0, 1) to one of low, ..., high."""
    return min(high, int(_log_uniform(share, low, high + 1)))
