"""Random strongly convex problems, each determined by one number."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import NewtonTraining


def draw(seed: int) -> tuple[Problem, Tensor]:
    """A linear model with a ridge on Gaussian clusters, in float64, and the rows to forget.

    5 to 400 rows of 1 to 12 features at scale 0.01 to 10, 2 to 6 classes from inseparable to
    separable, either loss, ridge 1e-4 to 1, a training tolerance of 1e-10 to 1e-3; from one row
    to half of them is forgotten. What spans decades is uniform in its logarithm.
    """
    generator = Seeds.all(seed).generator("split", "random problem")
    shares = iter(torch.rand(9, generator=generator, dtype=torch.float64).tolist())
    n = _log_integer(next(shares), 5, 400)
    forgotten = _log_integer(next(shares), 1, n // 2)
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
    model = Model(SoftmaxSpec(), inputs, classes)
    problem = Problem(model, objective, training, train=rows, negatives=rows, test=rows)
    return problem, torch.randperm(n, generator=generator)[:forgotten]


def _log_uniform(share: float, low: float, high: float) -> float:
    """From a number in [0, 1) to one in [low, high)."""
    return low * (high / low) ** share


def _log_integer(share: float, low: int, high: int) -> int:
    """From a number in [0, 1) to one of low, ..., high."""
    return min(high, int(_log_uniform(share, low, high + 1)))
