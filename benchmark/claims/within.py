"""Bounds and claims for heads that are trained within a cone: P3 to P6 of docs/properties.md."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.claims.bounds import Bound, least
from benchmark.claims.spectra import head_constants
from benchmark.claims.stated import caveats
from benchmark.contract.claim import Claim, Constant, Distance, Provenance
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.request import Request
from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import Ordered
from benchmark.problem.problem import Problem
from benchmark.problem.training.cone import ConeTraining
from benchmark.theory.gaussian import m_for
from benchmark.theory.within import (
    energy_bound,
    face_bound,
    prox_residual_bound,
    same_face,
    within_residual_bound,
)

_MEANINGS = {
    "distance": "Delta_0, public: the noise is made for it, whatever the data and the request",
    "training_residual": "G, the residual of the variational inequality that training is held to",
    "strong_convexity": "mu, the ridge of a convex loss on a linear model",
    "residual": "e(w), the distance of -grad L(w, D_r) to the normal cone at w",
    "energy_norm": "the norm of that residual by the inverse Hessian at w, less what classes share",
    "curvature": "the least eigenvalue of the Hessian at w, off what all classes share",
    "prox_residual": "||w - P_K(w - t grad L(w, D_r))|| / t",
    "active": "constraints that hold with equality at w, and provably at the retrained weights",
    "steps_taken": "steps within the cone until a bound was within the distance",
}


def constrained_head(problem: Problem) -> ConeTraining:
    """The training of a head that is trained within a cone.

    Raises:
        AssumptionBroken: for any other problem.
    """
    training = problem.training
    if not isinstance(training, ConeTraining) or problem.strong_convexity is None:
        raise AssumptionBroken(
            "bounds within a cone are for a softmax head with a ridge and property.enforce = "
            "'training'"
        )
    return training


def bounds_within(
    problem: Problem, weights: Tensor, gradient: Tensor, matrix: Tensor | None = None
) -> list[Bound]:
    """P3, and with a Hessian P5 and where the face is identified P6, at weights in the cone.

    Args:
        problem: a head trained within a cone.
        weights: (d,), in the cone.
        gradient: (d,) of the objective on the retained rows.
        matrix: (d, d) float64, its Hessian there; None for P3 alone.

    Raises:
        AssumptionBroken: for another problem, or weights outside the cone.
    """
    training, head = constrained_head(problem), head_constants(problem)
    cone, held, mu = training.within, training.residual_bound, head.strong_convexity
    if not cone.has(weights):
        raise AssumptionBroken("the weights lie outside the cone: project them first")
    w, g = weights.double(), gradient.double()
    left = -cone.tangent(w, -g)
    residual = float(left.norm())
    plain = within_residual_bound(residual=residual, retrain_residual=held, strong_convexity=mu)
    base = (_constant("training_residual", held), _constant("strong_convexity", mu))
    found = [Bound("within", plain, (_constant("residual", residual, "measured"), *base))]
    if matrix is None:
        return found
    shared = _shared(problem, cone)
    lifted = matrix + head.gradient_lipschitz * shared
    apart, curvature = left - shared @ left, _curvature(lifted, mu)
    norm = math.sqrt(max(0.0, float(apart.dot(torch.linalg.solve(lifted, apart)))))
    value = energy_bound(
        energy_norm=norm,
        shared_residual=float((shared @ left).norm()),
        retrain_residual=held,
        strong_convexity=mu,
        curvature=curvature,
        self_concordance=head.self_concordance,
        distance=plain,
    )
    measured = (
        _constant("energy_norm", norm, "measured"),
        _constant("curvature", curvature, "measured"),
    )
    found.append(Bound("within-energy", value, (*measured, *base)))
    nearest = min(plain, value)
    active = (cone.margins(w) == 0) & (cone.rotated(g)[cone.below] > 0)
    if not _identified(problem, cone, w, g, active, nearest):
        return found
    face = _on_face(problem, cone, g, lifted, shared @ g, active, nearest)
    count = _constant("active", float(active.sum()), "measured")
    return [*found, Bound("within-face", face, (count, *base))]


def prox_bound(problem: Problem, weights: Tensor, gradient: Tensor) -> tuple[Tensor, Bound]:
    """P4: the weights after one projected gradient step from any (d,), and a bound of theirs.

    Raises:
        AssumptionBroken: for another problem.
    """
    training, head = constrained_head(problem), head_constants(problem)
    step = 2 / (head.gradient_lipschitz + head.strong_convexity)
    after = training.within.project(weights - step * gradient)
    residual = float((weights - after).double().norm()) / step
    value = prox_residual_bound(
        residual=residual,
        step=step,
        retrain_residual=training.residual_bound,
        strong_convexity=head.strong_convexity,
    )
    return after, Bound("within-prox", value, (_constant("prox_residual", residual, "measured"),))


def within_claim(request: Request, bounds: Sequence[Bound], steps: int) -> Claim:
    """The claim of a release within Delta_0: noise for Delta_0, whatever was reached.

    Args:
        request: that is answered.
        bounds: proved ones at the weights, one of them within Delta_0.
        steps: that were taken.
    """
    problem, target = request.problem, request.target
    training, mu = constrained_head(problem), problem.strong_convexity
    m, best = m_for(target.epsilon, target.delta), least(bounds)
    # 0 lies in the cone, so mu / 2 ||w_r||^2 <= L(0) = ln 2 of two classes
    longest = math.sqrt(2 * math.log(problem.model.classes) / mu)
    evidence = Distance(
        bound=target.distance,
        sigma=target.distance / m,
        trivial=2 * (longest + training.residual_bound / mu),
        constants=(
            _constant("distance", target.distance),
            _constant("training_residual", training.residual_bound),
            _constant("strong_convexity", mu),
        ),
        theorem=best.theorem,
        reached=best.value,
        alternatives=tuple(bound.alternative for bound in bounds if bound is not best),
        measured=(
            *(c for c in best.constants if c.provenance == "measured"),
            _constant("steps_taken", steps, "measured"),
        ),
    )
    return Claim.of(
        "unlearn-on-retain",
        Gaussian(m=m),
        evidence,
        delta=target.delta,
        caveats=caveats(request),
    )


def _identified(
    problem: Problem, cone: Ordered, w: Tensor, g: Tensor, active: Tensor, distance: float
) -> bool:
    """Whether the retrained weights have the active pairs of w, and no others."""
    slopes, margins = cone.rotated(g)[cone.below], cone.margins(w) / math.sqrt(2)
    return same_face(
        multipliers=tuple(slopes[active].tolist()),
        gaps=tuple(margins[~active].tolist()),
        gradient_lipschitz=head_constants(problem).gradient_lipschitz,
        retrain_residual=constrained_head(problem).residual_bound,
        distance=distance,
    )


def _shared(problem: Problem, cone: Ordered) -> Tensor:
    """(d, d) float64, the projection onto vectors that are the same for all classes.

    A head's loss does not change along them. Zero if a pair of the cone has a part in them.
    """
    parts = []
    for shape in problem.model.shapes.values():  # (classes, inputs) and (classes,)
        same = torch.full((shape[0], shape[0]), 1 / shape[0], dtype=torch.float64)
        parts.append(torch.kron(same, torch.eye(shape[1:].numel(), dtype=torch.float64)))
    found = torch.block_diag(*parts)
    moved = (found[cone.above] - found[cone.below]).abs().max()
    return found if float(moved) < 1e-12 else torch.zeros_like(found)


def _curvature(matrix: Tensor, strong_convexity: float) -> float:
    """The least eigenvalue (d, d), less round-off, and never below mu."""
    values = torch.linalg.eigvalsh(matrix)
    return max(strong_convexity, float(values[0] - 1e-12 * values[-1]))


def _on_face(
    problem: Problem,
    cone: Ordered,
    g: Tensor,
    lifted: Tensor,
    shared: Tensor,
    active: Tensor,
    distance: float,
) -> float:
    """P6 at a gradient g (d,), of which `shared` (d,) is the same for all classes.

    `lifted` is the Hessian plus L times the projection onto what is shared, which thereby is never
    where it curves least. `active` (pairs,) makes the face, and `distance` is another bound.
    """
    head, free = head_constants(problem), torch.ones(len(g), dtype=torch.bool)
    free[cone.below[active]] = False
    inner = cone.rotated(cone.rotated(lifted).T)[free][:, free]
    slope = cone.rotated(g - shared)[free]
    step = torch.linalg.solve(inner, slope)
    return face_bound(
        step_norm=float(step.norm()),
        step_dot_gradient=float(step.dot(slope)),
        residual=float((slope - inner @ step).norm()),
        shared_gradient=float(shared.norm()),
        retrain_residual=constrained_head(problem).residual_bound,
        strong_convexity=head.strong_convexity,
        curvature=_curvature(inner, head.strong_convexity),
        self_concordance=head.self_concordance,
        distance=distance,
    )


def _constant(name: str, value: float, provenance: Provenance = "exact") -> Constant:
    return Constant(name=name, value=value, provenance=provenance, meaning=_MEANINGS[name])
