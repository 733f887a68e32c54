"""The certified l2 radius of a softmax head: how far a row may move and keep its class."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.properties import round_off
from benchmark.properties.finding import Finding, Pair
from benchmark.properties.property import Property

#: Stands for a distance that has no bound.
FAR = 1e100
#: Radii that are shorter by no more count as long enough: else a tie would be left to round-off.
TOLERANCE = 1e-9


class Radius(Property):
    """Every test row keeps its right class within a ball, in the units of features.

    On a head z_y(x) - z_k(x) falls fastest along w_k - w_y, so the class changes at the distance
    min over k of (z_y - z_k) / ||w_y - w_k||. That is exact but for what round-off of float64 may
    have added, which is taken off. It is a property of rows, and `share` says of how many.
    """

    name = "radius"
    title = "Certified radius"
    source: ClassVar[str] = "Hein, Andriushchenko: Formal Guarantees on Robustness (NeurIPS 2017)"

    #: The radius of the ball, l2.
    radius: float = Field(0.1, gt=0, examples=[0.5])

    def check(self, problem: Problem) -> None:
        """Refuse a model that is not a head."""
        if problem.model.spec.widths != ():
            raise LetheError("property radius is for softmax heads: set model.kind = 'softmax'")

    def certify(self, predictor: Predictor, problem: Problem, budget: int) -> Finding:
        """The least radius of a test row minus the one asked for.

        It is `unknown` for an ensemble, and of weights that are not finite.
        """
        words = f"{len(problem.test)} test rows, moved by {self.radius:g} at most"
        if len(predictor.members) > 1 or not bool(predictor.members.isfinite().all()):
            return Finding(
                verdict="unknown", margin=None, tolerance=TOLERANCE, work=0, domain=words
            )
        radii, towards = self._radii(predictor, problem)
        worst = int(radii.argmin())
        margin = float(radii[worst]) - self.radius
        held = margin >= -TOLERANCE
        pair = None if held else self._pair(predictor, problem, worst, towards[worst])
        verdict = "held" if held else "violated" if pair else "unknown"
        return Finding(
            verdict=verdict,
            margin=margin,
            witness=pair,
            tolerance=TOLERANCE,
            work=len(radii),
            domain=words,
            share=float(self._long_enough(radii).double().mean()),
        )

    def rows(self, predictor: Predictor, problem: Problem) -> Tensor | None:
        """Test rows whose class is right all over the ball, (n,) bool."""
        if len(predictor.members) > 1:
            return None
        return self._long_enough(self._radii(predictor, problem)[0])

    def _long_enough(self, radii: Tensor) -> Tensor:
        return radii >= self.radius - TOLERANCE

    @property
    def _inside(self) -> float:
        """A distance at which a row that has the property keeps its class for certain."""
        return max(0.0, self.radius - TOLERANCE)

    def attack(
        self, predictor: Predictor, problem: Problem, generator: torch.Generator
    ) -> Pair | None:
        """Random directions from the rows that the model is least sure of, and gradient steps."""
        x, y = problem.test.x.double().cpu(), problem.test.y.cpu()
        for row in self._outputs(predictor, x, y).argsort()[:64].tolist():
            moved, label = x[row : row + 1].repeat(64, 1), y[row].repeat(64)
            steps = torch.randn(moved.shape, generator=generator, dtype=torch.float64)
            steps[0] = self._downhill(predictor, x[row], y[row])
            moved = moved + self._inside * steps / steps.norm(dim=1, keepdim=True)
            values = self._outputs(predictor, moved, label)
            if float(values.min()) < -2 * float(round_off.of_outputs(predictor, moved).max()):
                return self._shown(predictor, x[row], moved[values.argmin()], y[row])
        return None

    def _downhill(self, predictor: Predictor, x: Tensor, y: Tensor) -> Tensor:
        start = x.clone().requires_grad_()
        logits = predictor.model(predictor.members[0].double(), start[None])
        return -torch.autograd.grad(self._lead(logits, y[None]).sum(), start)[0]

    def _radii(self, predictor: Predictor, problem: Problem) -> tuple[Tensor, Tensor]:
        """(n,) radii, float64, and (n,) the nearest other class.

        What round-off may have added is taken off. They are negative where a row is wrong.
        """
        weights = predictor.members[0].double().cpu()
        x, y = problem.test.x.double().cpu(), problem.test.y.cpu()
        matrix = predictor.model.named(weights)["weight"]
        logits, number = predictor.model(weights, x), torch.arange(len(x))
        apart = (matrix[y][:, None] - matrix[None]).norm(dim=2)
        lead = logits[number, y][:, None] - logits
        room = round_off.of_outputs(predictor, x)[:, None]
        # classes of the same weights keep their order everywhere
        nowhere = torch.where(lead.abs() > room, torch.sign(lead) * FAR, 0.0)
        radii = torch.where(apart > 0, (lead - room) / apart, nowhere)
        radii[number, y] = FAR
        least = radii.min(dim=1)
        return least.values, least.indices

    def _pair(self, predictor: Predictor, problem: Problem, row: int, other: Tensor) -> Pair | None:
        """The row, and the point of the ball where the other class leads its own by most."""
        x, y = problem.test.x[row].double().cpu(), problem.test.y[row].cpu()
        matrix = predictor.model.named(predictor.members[0].double().cpu())["weight"]
        way = matrix[other] - matrix[y]
        moved = x + self._inside * way / way.norm().clamp(min=1e-300)
        pair = self._shown(predictor, x, moved, y)
        return (
            pair
            if pair.other_value < -2 * float(round_off.of_outputs(predictor, moved[None]))
            else None
        )

    def _shown(self, predictor: Predictor, x: Tensor, moved: Tensor, y: Tensor) -> Pair:
        values = self._outputs(predictor, torch.stack([x, moved]), y.repeat(2)).tolist()
        return Pair(
            x=tuple(x.tolist()),
            other=tuple(moved.tolist()),
            value=values[0],
            other_value=values[1],
        )

    def _outputs(self, predictor: Predictor, x: Tensor, y: Tensor) -> Tensor:
        """Log odds of the right class over the best other one, (n,)."""
        double = Predictor(predictor.model, predictor.weights.double().cpu())
        return self._lead(double.log_probabilities(x), y)

    def _lead(self, logits: Tensor, y: Tensor) -> Tensor:
        number = torch.arange(len(logits))
        others = logits.clone()
        others[number, y] = -torch.inf
        return logits[number, y] - others.max(dim=1).values
