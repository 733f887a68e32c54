"""From a problem and weights to bounds with named constants, and from those to a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmark.certify.composition import noise_delta
from benchmark.certify.constants import HeadConstants
from benchmark.certify.gaussian import epsilon_for, sigma_for
from benchmark.certify.measured import Spectrum, head_constants
from benchmark.certify.newton import theorem_1_paper, theorem_4
from benchmark.certify.strongly_convex import self_concordant_bound, theorem_5
from benchmark.contract.certificate import (
    Alternative,
    Certificate,
    Constant,
    Provenance,
    Target,
)
from benchmark.curvature.hessian import Differentiated
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem

_MEANINGS = {
    "gradient_norm": "||grad L(w, D_r)|| at the weights before noise",
    "training_gradient": "G, the gradient norm that training is held to",
    "strong_convexity": "mu, the ridge of a convex loss on a linear model",
    "self_concordance": "rho = sqrt(2) R of the softmax loss; 0 for squared loss",
    "step_norm": "||x|| of an approximate solution of H x = g at these weights",
    "residual": "||g - (H + damping I) x|| of the step x, recomputed",
    "radius": "C, training projects onto ||w|| <= C",
    "damping": "lambda, added to H",
    "smallest_eigenvalue": "below lambda_min of H, by Lanczos with a random start",
    "failure_probability": "rho, that the bound on lambda_min fails; part of delta",
    "hessian_lipschitz": "M, the Hessian is M-Lipschitz on the ball",
    "sampled_lipschitz": "the largest sampled ratio in place of M: an under-estimate",
    "retrain_gradient": "G, retraining ends at a gradient norm of at most G",
    "sample_gradient": "G, no row's loss has a larger gradient; without the ridge",
    "gradient_lipschitz": "L, of the gradient of the objective",
    "step_size": "eta of gradient descent",
    "steps": "T, steps of training and of retraining",
    "rewound": "K, steps on the retained rows",
    "trained": "n, rows that were trained on",
    "capacity": "n_u, rows forgotten in all that the noise is made for",
}


@dataclass(frozen=True)
class Bound:
    """A bound on the distance to the retrained weights, and what it rests on.

    Attributes:
        proved: whether its hypotheses hold here; one that is only shown never gives a certificate.
    """

    theorem: str
    value: float
    constants: tuple[Constant, ...]
    proved: bool = True


def constant(name: str, value: float, provenance: Provenance = "exact") -> Constant:
    """A constant of the theorems, by its name."""
    return Constant(name=name, value=value, provenance=provenance, meaning=_MEANINGS[name])


def gradient_bound(problem: Problem, gradient: Tensor) -> Bound:
    """Theorem 5 for weights whose gradient on the retained rows is `gradient` (d,).

    Raises:
        AssumptionBroken: if the problem is not strongly convex or not trained to a tolerance.
    """
    return _theorem_5(problem, float(gradient.double().norm()))


def retrained_bound(problem: Problem) -> Bound:
    """Theorem 5 for any weights that training itself returned: 2 G / mu.

    Raises:
        AssumptionBroken: see `gradient_bound`.
    """
    held = problem.training.gradient_bound
    return _theorem_5(problem, 0.0 if held is None else held)


def _theorem_5(problem: Problem, norm: float) -> Bound:
    """For weights at a gradient of this norm."""
    mu, held = problem.strong_convexity, problem.training.gradient_bound
    if mu is None:
        raise AssumptionBroken("Theorem 5 needs a strongly convex objective: a linear model, ridge")
    if held is None:
        raise AssumptionBroken("Theorem 5 needs training to a gradient tolerance (newton-cg)")
    value = theorem_5(gradient_norm=norm, retrain_gradient=held, strong_convexity=mu)
    rests_on = (
        constant("gradient_norm", norm),
        constant("training_gradient", held),
        constant("strong_convexity", mu),
    )
    return Bound("Theorem 5", value, rests_on)


def strongly_convex_bounds(
    problem: Problem, hessian: Differentiated, solve: Callable[[Tensor], Tensor]
) -> list[Bound]:
    """Theorems 5 and 6, and the paper's formula, for any weights of a linear model.

    Theorem 6 costs one linear solve and one product; the residual is measured and charged, so a
    loose solve makes a loose bound and never a wrong one.

    Args:
        problem: with the linear model.
        hessian: of the retained rows at the weights, and their gradient (d,).
        solve: b -> an approximate solution of hessian @ x = b, *without damping*.

    Raises:
        AssumptionBroken: see `gradient_bound`.
    """
    gradient = hessian.gradient
    plain = gradient_bound(problem, gradient)
    step = solve(gradient)
    residual = float((gradient - hessian @ step).norm())
    head = head_constants(problem)
    value = self_concordant_bound(
        gradient_norm=float(gradient.norm()),
        step_norm=float(step.norm()),
        step_dot_gradient=float(step.dot(gradient)),
        residual=residual,
        retrain_gradient=problem.training.gradient_bound,
        strong_convexity=problem.strong_convexity,
        self_concordance=head.self_concordance,
    )
    rests_on = (
        *plain.constants,
        constant("self_concordance", head.self_concordance),
        constant("step_norm", float(step.norm())),
        constant("residual", residual),
    )
    return [Bound("Theorem 6", value, rests_on), plain, _paper_on_head(problem, head)]


def ball_bound(problem: Problem) -> Bound:
    """2 C: original, update and retrained model all lie in the ball that training projects onto.

    Raises:
        AssumptionBroken: if training has no norm constraint.
    """
    radius = problem.training.radius
    if radius is None:
        raise AssumptionBroken(
            "no bound holds: the objective is not strongly convex and training has no radius; "
            "set training.radius"
        )
    return Bound("norm constraint, 2C", 2 * radius, (constant("radius", radius),))


def newton_step_bounds(
    problem: Problem,
    *,
    damping: float,
    spectrum: Spectrum,
    residual: float,
    hessian_lipschitz: float | None,
    sampled: bool,
    retrain_gradient: float | None,
) -> tuple[list[Bound], tuple[str, ...]]:
    """2C, Theorem 4 and the paper's formula for a projected, damped Newton step on a net.

    `hessian_lipschitz` (M) is an assumption of whoever calls, or `sampled`, which
    under-estimates it; `retrain_gradient` (G) is an assumption where training is not held to one.
    Without them, or on a net whose Hessian is not Lipschitz, 2C is all that holds.

    Returns:
        the bounds, and in words which hypotheses are false or were not given.

    Raises:
        AssumptionBroken: if damping + lambda_min is not positive, or there is no ball.
    """
    ball = ball_bound(problem)
    held = problem.training.gradient_bound
    g, provenance = (retrain_gradient, "assumed") if held is None else (held, "exact")
    rests_on = [
        *ball.constants,
        constant("damping", damping),
        constant("smallest_eigenvalue", spectrum.smallest),
        constant("failure_probability", spectrum.failure_probability),
        constant("residual", residual),
    ]
    if hessian_lipschitz is not None:
        name, origin = (
            ("sampled_lipschitz", "estimated") if sampled else ("hessian_lipschitz", "assumed")
        )
        rests_on.append(constant(name, hessian_lipschitz, origin))
    if g is not None:
        rests_on.append(constant("retrain_gradient", g, provenance))
    ball = Bound(ball.theorem, ball.value, tuple(rests_on))
    if hessian_lipschitz is None or g is None:
        caveat = "Theorem 4 was not evaluated: it wants hessian_lipschitz and retrain_gradient"
        return [ball], (caveat,)
    constants = {
        "damping": damping,
        "hessian_lipschitz": hessian_lipschitz,
        "smallest_eigenvalue": spectrum.smallest,
    }
    ours = theorem_4(distance=ball.value, residual=residual, retrain_gradient=g, **constants)
    published = theorem_1_paper(radius=problem.training.radius, **constants)
    smooth = problem.model.spec.smooth
    bounds = [
        ball,
        Bound("Theorem 4", ours, tuple(rests_on), proved=smooth),
        Bound("Zhang et al., 2C(MC + damping) / (damping + lambda_min)", published, (), False),
    ]
    false = "Theorem 4 does not apply: a ReLU net has no Lipschitz Hessian"
    return bounds, () if smooth else (false,)


def gaussian_certificate(
    bounds: Sequence[Bound],
    trivial: Bound,
    target: Target,
    *,
    sigma: float | None = None,
    promise: Bound | None = None,
    failure_probability: float = 0.0,
    caveats: tuple[str, ...] = (),
) -> Certificate:
    """Release noise for the least proved bound, in the sense of `unlearn-on-retain`.

    The target's delta pays for the noise and for what the bounds rest on and may fail.

    Args:
        bounds: for the weights before noise, at least one of them proved.
        trivial: the bound that doing nothing has.
        target: gives delta, and the epsilon that sigma is computed for.
        sigma: noise fixed beforehand; its own epsilon is then reported instead.
        promise: a distance fixed before the request was seen, that a proved bound has met; the
            noise is made for it (mode `budgeted`).
        failure_probability: that a bound is wrong, over the method's own randomness.
        caveats: hypotheses that are false or were not checked.
    """
    reached = min((bound for bound in bounds if bound.proved), key=lambda bound: bound.value)
    best = promise or reached
    epsilon, delta = target.epsilon, noise_delta(target.delta, failure_probability)
    if sigma is None:
        sigma = sigma_for(epsilon, delta, best.value)
    else:
        epsilon = epsilon_for(best.value / sigma, delta)
    return Certificate(
        definition="unlearn-on-retain",
        mode="budgeted" if promise else "instance",
        theorem=best.theorem,
        epsilon=epsilon,
        delta=target.delta,
        sensitivity=best.value,
        sigma=sigma,
        trivial_sensitivity=trivial.value,
        constants=best.constants,
        alternatives=tuple(
            Alternative(
                theorem=bound.theorem,
                sensitivity=bound.value,
                proved=bound.proved and all(c.provenance == "exact" for c in bound.constants),
            )
            for bound in bounds
            if bound is not best
        ),
        caveats=caveats,
    )


def _paper_on_head(problem: Problem, head: HeadConstants) -> Bound:
    """The published formula, with every constant exact and in its favour.

    C is what the ridge implies, mu/2 ||w||^2 <= L(0); no damping; lambda_min >= mu.
    """
    start = math.log(problem.model.classes) if problem.objective.loss == "cross_entropy" else 0.5
    value = theorem_1_paper(
        radius=math.sqrt(2 * start / head.strong_convexity),
        damping=0.0,
        hessian_lipschitz=head.hessian_lipschitz,
        smallest_eigenvalue=head.strong_convexity,
    )
    return Bound("Zhang et al., 2C(MC + damping) / (damping + lambda_min)", value, (), False)
