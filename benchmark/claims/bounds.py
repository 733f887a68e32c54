"""Bounds on the distance to the retrained weights, and the constants that they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.claims.spectra import Spectrum, head_constants
from benchmark.contract.claim import HOLDS, Alternative, Constant, Provenance
from benchmark.curvature.hessian import Differentiated
from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import ball_residual
from benchmark.problem.problem import Problem
from benchmark.theory.damped_newton import published_step_bound, step_residual_bound
from benchmark.theory.strongly_convex import gradient_residual_bound, self_concordant_bound

#: Gradients carry round-off of about this many units in the last place of R.
_ULPS = 8

#: b -> an approximate solution x of H x = b, given H, *without damping*.
Solve = Callable[[Differentiated, Tensor], Tensor]

_MEANINGS = {
    "distance": "Delta_0, public: the noise is made for it, whatever the data and the request",
    "gradient_norm": "||grad L(w, D_r)|| at the weights before noise; in a ball its residual there",
    "round_off": "what float64 may have lost of the gradients of both models",
    "training_gradient": "G, the gradient norm that training is held to",
    "strong_convexity": "mu, the ridge of a convex loss on a linear model",
    "self_concordance": "rho = sqrt(2) R of the softmax loss; R of one class against the rest, "
    "0 of squared loss",
    "step_norm": "||x|| of an approximate solution of H x = g at these weights",
    "residual": "||g - (H + damping I) x|| of the step x, recomputed",
    "radius": "C, weights are projected onto ||w|| <= C",
    "damping": "lambda, added to H",
    "smallest_eigenvalue": "below lambda_min of H, by Lanczos with a random start",
    "failure_probability": "rho, that the bound on lambda_min fails",
    "hessian_lipschitz": "M, the Hessian is M-Lipschitz on the ball",
    "sampled_lipschitz": "the largest sampled ratio in place of M: an under-estimate",
    "retrain_gradient": "G, retraining ends at a gradient norm of at most G",
    "sample_gradient": "g, no row's loss has a larger gradient; without the ridge",
    "gradient_lipschitz": "L, of the gradient of the objective",
    "row_norm": "R, no row is longer, its bias column included",
    "step_size": "eta of gradient descent",
    "steps": "T, steps of training and of retraining",
    "rewound": "K, steps on the retained rows",
    "rows": "n, rows that any request leaves",
    "capacity": "n_u, rows forgotten that the noise is made for",
    "unlearning_steps": "K, steps on the retained rows",
    "steps_taken": "steps on the retained rows until the bound was within the distance",
    "further_steps": "of them, those beyond the method's own",
}


@dataclass(frozen=True)
class Bound:
    """A bound on the distance to the retrained weights, and what it rests on.

    Attributes:
        theorem: the statement's id, see `benchmark.theory.statements`.
        proved: whether its hypotheses hold here; one that is only shown never gives a claim.
    """

    theorem: str
    value: float
    constants: tuple[Constant, ...]
    proved: bool = True

    @property
    def alternative(self) -> Alternative:
        """The bound as a claim shows it."""
        exact = all(c.provenance in ("measured", *HOLDS) for c in self.constants)
        return Alternative(theorem=self.theorem, value=self.value, proved=self.proved and exact)


def constant(name: str, value: float, provenance: Provenance = "exact") -> Constant:
    """A constant of the theorems, by its name."""
    return Constant(name=name, value=value, provenance=provenance, meaning=_MEANINGS[name])


def least(bounds: Sequence[Bound]) -> Bound:
    """The least of those whose hypotheses hold; at least one has to."""
    return min((bound for bound in bounds if bound.proved), key=lambda bound: bound.value)


def tolerance(problem: Problem) -> tuple[float, float]:
    """Mu of the objective and G of training.

    Raises:
        AssumptionBroken: if the problem is not strongly convex or not trained to a tolerance.
    """
    mu, held = problem.strong_convexity, problem.training.gradient_bound
    if mu is None:
        raise AssumptionBroken(
            "this certificate needs a strongly convex objective: a linear model with a ridge"
        )
    if held is None:
        raise AssumptionBroken(
            "this certificate needs training to a gradient tolerance (newton-cg)"
        )
    return mu, held


def gradient_residual(problem: Problem, weights: Tensor, gradient: Tensor) -> Bound:
    """Theorem 5 for weights in the ball of training, if it has one.

    Where training is constrained its gradient does not vanish, and the residual of the variational
    inequality takes the gradient's place (docs/theory/bounds.md).

    Args:
        problem: strongly convex, trained to a tolerance.
        weights: (d,).
        gradient: (d,) of the objective on the retained rows, at `weights`.

    Raises:
        AssumptionBroken: see `tolerance`; or if the weights lie outside the ball.
    """
    mu, held = tolerance(problem)
    norm = ball_residual(weights, gradient, problem.training.radius)
    value = gradient_residual_bound(gradient_norm=norm, retrain_gradient=held, strong_convexity=mu)
    return Bound("thm5", value, (constant("gradient_norm", norm, "measured"), *_of(problem)))


def retrained_bound(problem: Problem) -> Bound:
    """Theorem 5 for any weights that training itself returned: 2 G / mu.

    Raises:
        AssumptionBroken: see `tolerance`.
    """
    mu, held = tolerance(problem)
    return Bound("thm5", 2 * held / mu, _of(problem))


def round_off(problem: Problem) -> float:
    """About how far round-off moves the minimiser of a strongly convex problem.

    No smaller distance can be promised.
    """
    lost = _ULPS * torch.finfo(problem.dtype).eps * problem.row_norm
    return lost / problem.strong_convexity


@dataclass(frozen=True)
class Solved:
    """A step x near H^{-1} g, (d,), and what it leaves of the gradient, g - H x (d,)."""

    step: Tensor
    left: Tensor

    @classmethod
    def by(cls, hessian: Differentiated, step: Tensor) -> Solved:
        """The step with what it leaves, by one product."""
        return cls(step, hessian.gradient - hessian @ step)

    @property
    def residual(self) -> float:
        """||g - H x||."""
        return float(self.left.norm())

    def refined(self, hessian: Differentiated, solve: Callable[[Tensor], Tensor]) -> Solved:
        """The step with an approximate H^{-1} of what it leaves added: one product more."""
        return Solved.by(hessian, self.step + solve(self.left))


def self_concordance(
    problem: Problem, weights: Tensor, hessian: Differentiated, solved: Solved
) -> Bound | None:
    """Theorem 6 from any step near H^{-1} g; None where a ball may be active.

    The residual is charged, so a loose step makes a loose bound and never a wrong one.

    Raises:
        AssumptionBroken: see `tolerance`.
    """
    plain, radius = gradient_residual(problem, weights, hessian.gradient), problem.training.radius
    if radius is not None and float(weights.norm()) + plain.value >= radius:
        return None
    mu, held = tolerance(problem)
    gradient, rho = hessian.gradient, head_constants(problem).self_concordance
    step, residual = solved.step, solved.residual
    value = self_concordant_bound(
        gradient_norm=float(gradient.norm()),
        step_norm=float(step.norm()),
        step_dot_gradient=float(step.dot(gradient)),
        residual=residual,
        retrain_gradient=held,
        strong_convexity=mu,
        self_concordance=rho,
    )
    rests_on = (
        *plain.constants,
        constant("self_concordance", rho, _of_rows(problem)),
        constant("step_norm", float(step.norm()), "measured"),
        constant("residual", residual, "measured"),
    )
    return Bound("thm6", value, rests_on)


def strongly_convex_bounds(
    problem: Problem, weights: Tensor, hessian: Differentiated, solve: Solve
) -> list[Bound]:
    """Theorems 5 and 6, and the paper's formula, for any weights of a linear model.

    Args:
        problem: with the linear model.
        weights: (d,).
        hessian: of the retained rows at the weights, and their gradient (d,).
        solve: gives the step of Theorem 6.

    Raises:
        AssumptionBroken: see `tolerance`.
    """
    plain = gradient_residual(problem, weights, hessian.gradient)
    solved = Solved.by(hessian, solve(hessian, hessian.gradient))
    tight = self_concordance(problem, weights, hessian, solved)
    return [*([tight] if tight else []), plain, published_on_head(problem)]


def of_head(problem: Problem, *names: str) -> tuple[Constant, ...]:
    """Constants of a linear model by their names; `exact` unless they follow from measured rows."""
    head, measured = head_constants(problem), _of_rows(problem)
    return tuple(
        constant(name, getattr(head, name), "exact" if name == "strong_convexity" else measured)
        for name in names
    )


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
    return Bound("2C", 2 * radius, (constant("radius", radius),))


def diameter(problem: Problem) -> float:
    """A bound on the distance of any two models that training may return, whatever the data.

    Training ends within G / mu of a minimiser, whose norm is at most what the ridge implies:
    mu / 2 ||w||^2 <= L(0).

    Raises:
        AssumptionBroken: see `tolerance`.
    """
    mu, held = tolerance(problem)
    return 2 * (_ridge_radius(problem) + held / mu)


def newton_step_bounds(
    problem: Problem,
    *,
    damping: float,
    spectrum: Spectrum,
    residual: float,
    hessian_lipschitz: float | None,
    sampled: bool,
    retrain_gradient: float | None,
) -> list[Bound]:
    """Theorem 4 and the paper's formula for a projected, damped Newton step on a net.

    `hessian_lipschitz` (M) is an assumption of whoever calls, or `sampled`, which
    under-estimates it; `retrain_gradient` (G) is an assumption where training is not held to one.
    Without them there is neither bound. On a net whose Hessian is not Lipschitz they are shown.

    Raises:
        AssumptionBroken: if damping + lambda_min is not positive, or there is no ball.
    """
    radius = ball_bound(problem).value / 2
    held = problem.training.gradient_bound
    g, provenance = (retrain_gradient, "assumed") if held is None else (held, "exact")
    if hessian_lipschitz is None or g is None:
        return []
    lipschitz = (
        constant("sampled_lipschitz", hessian_lipschitz, "estimated")
        if sampled
        else constant("hessian_lipschitz", hessian_lipschitz, "assumed")
    )
    constants = {
        "damping": damping,
        "hessian_lipschitz": hessian_lipschitz,
        "smallest_eigenvalue": spectrum.smallest,
    }
    ours = step_residual_bound(
        distance=2 * radius, residual=residual, retrain_gradient=g, **constants
    )
    rests_on = (
        constant("radius", radius),
        constant("retrain_gradient", g, provenance),
        lipschitz,
    )
    published = published_step_bound(radius=radius, **constants)
    return [
        Bound("thm4", ours, rests_on, proved=problem.model.spec.smooth),
        Bound("zhang24", published, (), proved=False),
    ]


def published_on_head(problem: Problem) -> Bound:
    """The paper's formula, with every constant exact and in its favour: only shown.

    C is what the ridge implies, no damping, lambda_min >= mu.
    """
    head = head_constants(problem)
    value = published_step_bound(
        radius=_ridge_radius(problem),
        damping=0.0,
        hessian_lipschitz=head.hessian_lipschitz,
        smallest_eigenvalue=head.strong_convexity,
    )
    return Bound("zhang24", value, (), proved=False)


def _ridge_radius(problem: Problem) -> float:
    """No minimiser is longer: mu / 2 ||w||^2 <= L(0); and it lies in the ball of training."""
    classes = problem.model.classes
    at_zero = {
        "cross_entropy": math.log(classes),
        "squared": 0.5,
        "one_vs_rest": classes * math.log(2),
    }
    start = at_zero[problem.objective.loss]
    implied, radius = math.sqrt(2 * start / problem.strong_convexity), problem.training.radius
    return implied if radius is None else min(implied, radius)


def _of(problem: Problem) -> tuple[Constant, ...]:
    mu, held = tolerance(problem)
    return (constant("training_gradient", held), constant("strong_convexity", mu))


def _of_rows(problem: Problem) -> Provenance:
    """The provenance of what follows from R."""
    return "measured" if problem.declared.feature_norm is None else "declared"
