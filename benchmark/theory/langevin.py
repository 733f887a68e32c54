"""Langevin unlearning: how many noisy steps a request needs (Chien et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.theory.constants import HeadConstants
from benchmark.theory.contraction import (
    contraction,
    learning_distance,
    noisy_contraction_m,
    noisy_contraction_steps,
)


@dataclass(frozen=True)
class Chain:
    """Projected noisy gradient descent, as training fixes it for every later request.

    Attributes:
        step_size: eta.
        contraction: c = 1 - eta mu.
        sigma: noise per coordinate and step.
        diameter: 2 C, of any two starts.
        learned: how far apart training may have ended without noise, for the rows it allows for;
            None where nothing is known, so that only the ball is left.
        learning_steps: T.
        rows: that any request leaves, which `learned` follows from.
    """

    step_size: float
    contraction: float
    sigma: float
    diameter: float
    learned: float | None
    learning_steps: int
    rows: int

    @classmethod
    def of(
        cls,
        head: HeadConstants,
        *,
        step_size: float,
        sigma: float,
        radius: float,
        learning_steps: int,
        rows: int,
        capacity: int,
    ) -> Chain:
        """From the constants of a linear head and the settings of training.

        Args:
            head: mu, L and g; without a g, of squared loss, only the ball gives a bound.
            step_size: eta.
            sigma: noise per coordinate and step.
            radius: C.
            learning_steps: T.
            rows: n, that any request leaves; one for n_u of them was trained on n + n_u at least.
            capacity: n_u that training allows for.

        Raises:
            AssumptionBroken: if the step is too long to contract.
        """
        c = contraction(
            step_size=step_size,
            strong_convexity=head.strong_convexity,
            gradient_lipschitz=head.gradient_lipschitz,
        )
        learned = None
        if head.sample_gradient is not None:
            push = step_size * 2 * capacity * head.sample_gradient / (rows + capacity)
            learned = learning_distance(contraction=c, push=push, steps=learning_steps)
        return cls(step_size, c, sigma, 2 * radius, learned, learning_steps, rows)

    def steps(self, m: float) -> tuple[int, float]:
        """The fewest steps K for a release that is `m`-GDP, and the m that they give.

        Raises:
            AssumptionBroken: if no number of steps is found.
        """
        routes = [(self.diameter, 0)]
        if self.learned is not None:
            routes.append((self.learned, self.learning_steps))
        found = []
        for apart, learned in routes:
            shared = {
                "apart": apart,
                "learned": learned,
                "contraction": self.contraction,
                "sigma": self.sigma,
            }
            steps = noisy_contraction_steps(m=m, **shared)
            found.append((steps, noisy_contraction_m(steps=steps, **shared)))
        return min(found)
