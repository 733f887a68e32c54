"""Claims of methods whose noise is drawn inside the algorithm."""

from __future__ import annotations

from benchmark.claims.stated import caveats
from benchmark.contract.claim import Algorithm, Claim, Constant, Provenance
from benchmark.contract.guarantee import Curve, Gaussian
from benchmark.contract.request import Request

_MEANINGS = {
    "radius": "C0, weights are projected onto ||w|| <= C0",
    "model_clip": "C2, the weights of every step are projected onto ||w|| <= C2 before noise",
    "gradient_clip": "C1, the norm that every step's gradient is clipped to",
    "step_size": "eta",
    "weight_decay": "lambda",
    "blocks": "B, each with radius, clip and steps of its own; m^2 adds up",
    "residual_budget": "beta, norm of the retained gradient that the perturbation hides",
    "output_sigma": "noise per coordinate of what is published, for the tolerance of training",
    "training_gradient": "G, the gradient norm that training is held to",
    "strong_convexity": "mu, the ridge of a convex loss on a linear model",
    "gradient_lipschitz": "L, of the gradient of the objective",
    "learning_steps": "T, steps of training",
    "rows": "n, rows that any request leaves",
    "capacity": "n_u, rows forgotten that the steps are made for",
    "group": "k, rows that may be forgotten in all",
    "rate": "q, a row is in a batch with this probability",
    "clip": "C, the norm that every row's gradient is clipped to",
    "noise_multiplier": "z, noise on a sum of gradients over C",
}


def setting(name: str, value: float, provenance: Provenance = "exact") -> Constant:
    """A setting of an algorithm, by its name in this module."""
    return Constant(name=name, value=value, provenance=provenance, meaning=_MEANINGS[name])


def algorithmic_claim(
    request: Request,
    definition: str,
    guarantee: Gaussian | Curve,
    theorem: str,
    *,
    sigma: float,
    steps: int,
    settings: dict[str, float] | tuple[Constant, ...],
    open_hypotheses: tuple[str, ...] = (),
    composes: bool = True,
) -> Claim:
    """What holds of a release by noise that was drawn on the way.

    Args:
        request: whose delta the claim is stated at.
        definition: by name.
        guarantee: that the statement gives.
        theorem: the statement, by its id.
        sigma: noise per coordinate and step.
        steps: with noise.
        settings: of the algorithm; by their names in this module where each is a setting alone.
        open_hypotheses: that are false or not checked, in words.
        composes: whether the releases of a stream do.
    """
    if isinstance(settings, dict):
        settings = tuple(setting(name, value) for name, value in settings.items())
    return Claim.of(
        definition,
        guarantee,
        Algorithm(theorem=theorem, sigma=sigma, steps=steps, constants=settings),
        delta=request.target.delta,
        caveats=(*open_hypotheses, *caveats(request)),
        composes=composes,
    )
