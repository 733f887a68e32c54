"""From a problem and a set of weights to a bound with named constants."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.certify.gaussian import epsilon_for, sigma_for
from benchmark.certify.theorems import theorem_4, theorem_5
from benchmark.contract.certificate import Certificate, Constant, Mode, Target
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem


@dataclass(frozen=True)
class Bound:
    """A bound on the distance to the retrained weights, and what it rests on."""

    theorem: str
    value: float
    constants: tuple[Constant, ...]
    caveats: tuple[str, ...] = ()


def strongly_convex_bound(problem: Problem, gradient: Tensor) -> Bound:
    """Theorem 5 for weights whose gradient on the retained rows is `gradient` (d,).

    Raises:
        AssumptionBroken: if the problem is not strongly convex or not trained to a tolerance.
    """
    mu, g_retrain = problem.strong_convexity, problem.training.gradient_bound
    if mu is None:
        raise AssumptionBroken("Theorem 5 needs a strongly convex objective: a linear model, ridge")
    if g_retrain is None:
        raise AssumptionBroken("Theorem 5 needs training to a gradient tolerance (newton-cg)")
    norm = float(gradient.double().norm())
    value = theorem_5(gradient_norm=norm, retrain_gradient=g_retrain, strong_convexity=mu)
    constants = (
        Constant(
            name="gradient_norm",
            value=norm,
            provenance="exact",
            meaning="||grad L(w, D_r)|| at the weights before noise",
        ),
        Constant(
            name="retrain_gradient",
            value=g_retrain,
            provenance="exact",
            meaning="G, the gradient norm that training is held to",
        ),
        Constant(
            name="strong_convexity",
            value=mu,
            provenance="exact",
            meaning="mu, the ridge of a convex loss on a linear model",
        ),
    )
    return Bound("Theorem 5", value, constants)


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
    constant = Constant(
        name="radius",
        value=radius,
        provenance="exact",
        meaning="C, training projects onto ||w|| <= C",
    )
    return Bound("norm constraint, 2C", 2 * radius, (constant,))


def newton_step_bound(
    problem: Problem,
    *,
    damping: float,
    smallest_eigenvalue: float,
    residual: float,
    hessian_lipschitz: float | None,
    retrain_gradient: float | None,
) -> Bound:
    """min{2C, Theorem 4} for a projected, damped Newton step on a problem that is not convex.

    `hessian_lipschitz` (M) and `retrain_gradient` (G) are assumptions of whoever calls; without
    both, or on a net whose Hessian is not Lipschitz, 2C is all that holds.

    Raises:
        AssumptionBroken: if damping + lambda_min is not positive, or there is no ball.
    """
    ball = ball_bound(problem)
    measured = (
        Constant(name="damping", value=damping, provenance="exact", meaning="lambda, added to H"),
        Constant(
            name="smallest_eigenvalue",
            value=smallest_eigenvalue,
            provenance="estimated",
            meaning="lambda_min of H by Lanczos: a Ritz value, which lies above the true one",
        ),
        Constant(
            name="residual",
            value=residual,
            provenance="exact",
            meaning="||g - (H + lambda I) x|| of the step x taken",
        ),
    )
    if not problem.model.spec.smooth:
        caveat = "Theorem 4 does not apply: a ReLU net has no Lipschitz Hessian"
        return Bound(ball.theorem, ball.value, ball.constants + measured, (caveat,))
    if hessian_lipschitz is None or retrain_gradient is None:
        caveat = "Theorem 4 was not evaluated: no hessian_lipschitz and retrain_gradient assumed"
        return Bound(ball.theorem, ball.value, ball.constants + measured, (caveat,))
    value = theorem_4(
        distance=ball.value,
        damping=damping,
        hessian_lipschitz=hessian_lipschitz,
        residual=residual,
        retrain_gradient=retrain_gradient,
        smallest_eigenvalue=smallest_eigenvalue,
    )
    assumed = (
        Constant(
            name="hessian_lipschitz",
            value=hessian_lipschitz,
            provenance="assumed",
            meaning="M, the Hessian is M-Lipschitz on the ball",
        ),
        Constant(
            name="retrain_gradient",
            value=retrain_gradient,
            provenance="assumed",
            meaning="G, retraining ends at a gradient norm of at most G",
        ),
        Constant(
            name="theorem_4",
            value=value,
            provenance="assumed",
            meaning="what Theorem 4 gives from these constants",
        ),
    )
    constants = ball.constants + measured + assumed
    if value < ball.value:
        return Bound("Theorem 4", value, constants)
    return Bound(ball.theorem, ball.value, constants)


def gaussian_certificate(
    bound: Bound,
    trivial: Bound,
    target: Target,
    *,
    sigma: float | None = None,
    mode: Mode = "instance",
) -> Certificate:
    """Release noise for `bound`, exactly accounted, in the sense of `unlearn-on-retain`.

    Args:
        bound: for the weights before noise.
        trivial: the bound that doing nothing has.
        target: gives delta, and the epsilon that sigma is computed for.
        sigma: noise fixed beforehand; its own epsilon is then reported instead.
        mode: whether sigma was fixed before the request was seen.
    """
    if sigma is None:
        sigma = sigma_for(target.epsilon, target.delta, bound.value)
        epsilon = target.epsilon
    else:
        epsilon = epsilon_for(bound.value / sigma, target.delta)
    return Certificate(
        definition="unlearn-on-retain",
        mode=mode,
        theorem=bound.theorem,
        epsilon=epsilon,
        delta=target.delta,
        sensitivity=bound.value,
        sigma=sigma,
        trivial_sensitivity=trivial.value,
        constants=bound.constants,
        caveats=bound.caveats,
    )
