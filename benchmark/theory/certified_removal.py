"""Certified removal: a gradient residual hidden by a perturbed objective (Guo et al. 2020)."""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken
from benchmark.theory import require


def residual_budget(
    *,
    m: float,
    sigma: float,
    output_sigma: float,
    training_gradient: float,
    strong_convexity: float,
) -> float:
    """The largest gradient residual beta for which removal is m-GDP.

    Training minimises L(w) + b.w with b ~ N(0, sigma^2 I). A residual that does not depend on b
    costs beta / sigma, and training that stops at a gradient G costs (2 G / mu) / output_sigma:
    beta = sigma sqrt(m^2 - (2 G / (mu output_sigma))^2).

    Args:
        m: of the release.
        sigma: of the perturbation b, per coordinate.
        output_sigma: of the noise on the weights, per coordinate.
        training_gradient: G, the gradient norm at which training and retraining stop.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if sigma, output_sigma or mu is not positive, m or G is negative, or the
            tolerance of training alone costs more than m.
    """
    require.positive(sigma=sigma, output_sigma=output_sigma, strong_convexity=strong_convexity)
    require.nonnegative(m=m, training_gradient=training_gradient)
    of_training = 2 * training_gradient / (strong_convexity * output_sigma)
    if of_training > m:
        raise AssumptionBroken(
            f"training's tolerance alone costs m = {of_training:.3g} of {m:.3g}: raise "
            "output_sigma or train further"
        )
    return sigma * math.sqrt(m**2 - of_training**2)
