"""How well two sides of a definition can be told apart: exactly not, as two Gaussians, by a curve.

A guarantee is a number about two distributions, whatever they are about; what they are is said by
a definition, and why the number holds by evidence (`benchmark.contract.claim`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.contract.value import Number
from benchmark.theory.gaussian import delta_for, epsilon_for


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Exact(_Frozen):
    """Equality of the two distributions.

    >>> Exact().epsilon(1e-5)
    0.0
    """

    kind: Literal["exact"] = "exact"

    @property
    def m(self) -> float:
        """0: of no Gaussian shift at all."""
        return 0.0

    def epsilon(self, delta: float) -> float:
        """0 at every delta."""
        return 0.0


class Gaussian(_Frozen):
    """No test tells the sides apart better than N(0, 1) from N(m, 1) (m-GDP; Dong et al. 2022).

    Its m is the Gaussian certifiability of arXiv 2510.13094.

    >>> one = Gaussian(m=0.268)
    >>> round(one.epsilon(1e-5), 3)
    1.0
    """

    kind: Literal["gaussian"] = "gaussian"
    m: Number = Field(gt=0)

    def epsilon(self, delta: float) -> float:
        """The smallest epsilon at `delta` in (0, 1), rounded up."""
        return epsilon_for(self.m, delta)

    def delta(self, epsilon: float) -> float:
        """The smallest delta at `epsilon` >= 0, rounded up."""
        return delta_for(epsilon, self.m)


_Point = tuple[Annotated[Number, Field(ge=0)], Annotated[float, Field(ge=0, lt=1)]]


class Curve(_Frozen):
    """Some points of a trade-off curve, and a Gaussian that is no better than it anywhere.

    Attributes:
        points: pairs (epsilon, delta) that hold; epsilon >= 0, and delta in [0, 1).
        m: of the Gaussian, for everything in between and for composition.
    """

    kind: Literal["curve"] = "curve"
    points: tuple[_Point, ...] = Field(min_length=1)
    m: Number = Field(gt=0)

    def epsilon(self, delta: float) -> float:
        """The smallest epsilon that a point or the Gaussian gives at `delta` in (0, 1)."""
        held = [epsilon for epsilon, at in self.points if at <= delta]
        return min([*held, epsilon_for(self.m, delta)])


Guarantee = Annotated[Exact | Gaussian | Curve, Field(discriminator="kind")]


def compose(guarantees: Iterable[Exact | Gaussian | Curve]) -> Exact | Gaussian | Curve:
    """What several releases together keep: m^2 adds up (Dong, Roth & Su 2022).

    Holds for requests that are fixed in advance, noise that is drawn afresh for each, and
    guarantees that hold whatever was released before.

    >>> ten = compose([Gaussian(m=0.268)] * 10)
    >>> round(ten.epsilon(1e-5), 2)
    3.62
    """
    costly = [one for one in guarantees if not isinstance(one, Exact)]
    if len(costly) <= 1:
        return costly[0] if costly else Exact()
    return Gaussian(m=math.hypot(*(one.m for one in costly)))
