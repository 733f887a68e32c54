"""Rewind-to-Delete: full-batch gradient descent, rewound (Mu & Klabjan 2024)."""

from __future__ import annotations

import math

from benchmark.errors import LetheError
from benchmark.theory import require
from benchmark.theory.contraction import contraction


def rewind_bound(
    *,
    trained: int,
    forgotten: int,
    sample_gradient: float,
    gradient_lipschitz: float,
    step_size: float,
    steps: int,
    rewound: int,
) -> float:
    """Distance of rewound and retrained weights, 2 n_u G h(K) / (L n), for an L-smooth loss.

    h(K) = (1 + eta L)^T - (1 + eta L)^K. Convexity is not needed.

    Args:
        trained: n, rows of the descent that is rewound.
        forgotten: n_u, of them, at most.
        sample_gradient: G, a bound on the gradient of one row's loss, without the ridge: a term
            that all rows share drops out.
        gradient_lipschitz: L, of the whole objective.
        step_size: eta.
        steps: T, of training and of retraining.
        rewound: K, steps on the retained rows from the weights of step T - K.

    Returns:
        the bound, infinite where it exceeds what a float holds.

    Raises:
        AssumptionBroken: if a constant is negative, or L or the step size is not positive.
        LetheError: if the counts leave no row to keep, or K is not in [0, T].
    """
    require.positive(gradient_lipschitz=gradient_lipschitz)
    reach = _reach(trained, forgotten, sample_gradient, step_size, steps, rewound)
    growth = math.log1p(step_size * gradient_lipschitz)
    if reach == 0 or rewound == steps:
        return 0.0
    # h(K) = (1 + eta L)^K ((1 + eta L)^(T - K) - 1), in logarithms
    log_h = rewound * growth + _log_expm1((steps - rewound) * growth)
    log_bound = math.log(reach / (step_size * gradient_lipschitz)) + log_h
    return math.exp(log_bound) if log_bound < 700 else math.inf


def contracting_rewind_bound(
    *,
    trained: int,
    forgotten: int,
    sample_gradient: float,
    strong_convexity: float,
    gradient_lipschitz: float,
    step_size: float,
    steps: int,
    rewound: int,
) -> float:
    """The same distance for a mu-strongly convex objective, 2 n_u G (c^K - c^T) / (mu n).

    With eta <= 2 / (L + mu) a step brings any two points closer by c = 1 - eta mu.

    Args:
        trained: n.
        forgotten: n_u.
        sample_gradient: G, of one row's loss without the ridge.
        strong_convexity: mu.
        gradient_lipschitz: L.
        step_size: eta.
        steps: T.
        rewound: K.

    Raises:
        AssumptionBroken: if the step is too long to contract, or a constant is out of its range.
        LetheError: if the counts leave no row to keep, or K is not in [0, T].
    """
    require.positive(strong_convexity=strong_convexity, gradient_lipschitz=gradient_lipschitz)
    reach = _reach(trained, forgotten, sample_gradient, step_size, steps, rewound)
    c = contraction(
        step_size=step_size,
        strong_convexity=strong_convexity,
        gradient_lipschitz=gradient_lipschitz,
    )
    return reach / (step_size * strong_convexity) * (c**rewound - c**steps)


def _reach(
    trained: int,
    forgotten: int,
    sample_gradient: float,
    step_size: float,
    steps: int,
    rewound: int,
) -> float:
    """How far one step on other rows leads away at most: eta 2 n_u G / n."""
    require.nonnegative(sample_gradient=sample_gradient)
    require.positive(step_size=step_size)
    if not 0 <= forgotten < trained:
        raise LetheError(f"{forgotten} of {trained} rows to forget: at least one must be kept")
    if not 0 <= rewound <= steps:
        raise LetheError(f"of {steps} steps 0 to {steps} can be rewound, not {rewound}")
    return step_size * 2 * forgotten * sample_gradient / trained


def _log_expm1(x: float) -> float:
    """Log(e^x - 1) for x > 0 of any size."""
    return x + math.log(-math.expm1(-x))
