"""What trainings share that go on until the gradient is within a tolerance."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from benchmark.problem.convex import ConvexSet
from benchmark.problem.risk import Risk


class Converging(BaseModel):
    """A training without a norm constraint whose gradient is held to `tolerance`.

    Each derived class declares the field, with a default of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float

    @property
    def gradient_bound(self) -> float | None:
        """G: the gradient norm that training guarantees; None where it guarantees none."""
        return self.tolerance

    @property
    def radius(self) -> ConvexSet | None:
        """No norm constraint."""
        return None

    def check(self, risk: Risk) -> None:
        """See `benchmark.problem.risk.Training`; nothing is refused."""
