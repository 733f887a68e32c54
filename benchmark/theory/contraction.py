"""Gradient steps that contract, without noise (Neel et al. 2021) and with (Chien et al. 2024)."""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require

#: Noisy steps that are tried at most.
MOST = 100_000


def contraction(*, step_size: float, strong_convexity: float, gradient_lipschitz: float) -> float:
    """C = 1 - eta mu, by which w - eta grad L(w) brings any two points closer.

    At the longest step, eta = 2 / (L + mu), it is (L - mu) / (L + mu).

    Args:
        step_size: eta.
        strong_convexity: mu.
        gradient_lipschitz: L.

    Raises:
        AssumptionBroken: if the step is too long to contract, or a constant is not positive.
    """
    check_step(step_size, strong_convexity, gradient_lipschitz)
    # 0 where L = mu and the step is the longest
    return max(0.0, 1 - step_size * strong_convexity)


def check_step(step_size: float, strong_convexity: float, gradient_lipschitz: float) -> None:
    """Refuse a gradient step that may lead two points apart.

    Raises:
        AssumptionBroken: if eta > 2 / (L + mu), or a constant is not positive.
    """
    require.positive(
        step_size=step_size,
        strong_convexity=strong_convexity,
        gradient_lipschitz=gradient_lipschitz,
    )
    longest = 2 / (gradient_lipschitz + strong_convexity)
    if step_size > longest * (1 + 1e-12):
        raise AssumptionBroken(
            f"a gradient step contracts for step_size <= 2 / (L + mu) = {longest:.3g}; it is "
            f"{step_size:.3g}"
        )


def noisy_contraction_m(
    *, apart: float, contraction: float, sigma: float, steps: int, learned: int = 0
) -> float:
    """GDP parameter of two runs of x <- step(x) + N(0, sigma^2 I) that end with K shared steps.

    m = c^K Z / (sigma sqrt(sum c^2j)), the sum over j < T + K. Z is how far apart the runs would be
    before the K steps without noise: of two starts in a ball, with T = 0, its diameter; of T
    steps of learning on rows that differ, from one start, `learning_distance`.

    Args:
        apart: Z.
        contraction: c of every step.
        sigma: noise per coordinate and step, drawn afresh at each.
        steps: K, at least one.
        learned: T, noisy steps before them that the two runs began together.

    Raises:
        AssumptionBroken: if c lies outside [0, 1], sigma is not positive or Z negative.
        LetheError: if there is no step.
    """
    require.nonnegative(apart=apart)
    require.positive(sigma=sigma)
    _valid(contraction, learned)
    if steps < 1:
        raise LetheError(f"noisy descent needs at least one step, not {steps}")
    noise = _geometric(contraction**2, learned + steps)
    return contraction**steps * apart / (sigma * math.sqrt(noise))


def learning_distance(*, contraction: float, push: float, steps: int) -> float:
    """How far T steps on other rows lead two runs from one start apart: push sum_{j<T} c^j.

    Args:
        contraction: c.
        push: how far one step leads them apart, eta 2 n_u g / n.
        steps: T.

    Raises:
        AssumptionBroken: if c lies outside [0, 1], or the push is negative or not finite.
        LetheError: if T is negative.
    """
    require.nonnegative(push=push)
    _valid(contraction, steps)
    return push * _geometric(contraction, steps)


def noisy_contraction_steps(
    *, apart: float, contraction: float, sigma: float, m: float, learned: int = 0
) -> int:
    """The fewest steps K after which `noisy_contraction_m` is at most m.

    Raises:
        AssumptionBroken: if `MOST` steps do not suffice, m is not positive, or as there.
    """
    require.positive(m=m)

    def enough(steps: int) -> bool:
        reached = noisy_contraction_m(
            apart=apart, contraction=contraction, sigma=sigma, steps=steps, learned=learned
        )
        return reached <= m

    above = 1
    while not enough(above):  # m decreases in K
        if above >= MOST:
            raise AssumptionBroken(
                f"{above} noisy steps do not reach m = {m:.3g} with a contraction of "
                f"{contraction:.6g}: raise sigma"
            )
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def _valid(contraction: float, steps: int) -> None:
    require.finite(contraction=contraction)
    if not 0 <= contraction <= 1:
        raise AssumptionBroken(f"a contraction must lie in [0, 1]; it is {contraction:.3g}")
    if steps < 0:
        raise LetheError(f"the number of steps must be at least 0; it is {steps}")


def _geometric(ratio: float, terms: int) -> float:
    """The sum of ratio^j over j < terms."""
    if ratio == 1:
        return float(terms)
    if ratio == 0:
        return float(terms > 0)
    return math.expm1(terms * math.log(ratio)) / math.expm1(math.log(ratio))
