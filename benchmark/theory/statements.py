"""Names of the statements behind claims, by their ids. Proofs are in docs/theory/."""

from __future__ import annotations

NAMES = {
    "thm4": "step residual",
    "thm5": "gradient residual",
    "thm5-rounded": "gradient residual with round-off",
    "thm6": "self-concordance",
    "thm7": "step without a pass",
    "lemB": "bootstrap",
    "within": "residual in a convex set",
    "within-prox": "projected gradient step",
    "within-energy": "residual in a convex set, by the Hessian",
    "within-face": "self-concordance on the face",
    "2C": "norm constraint",
    "zhang24": "published Newton formula",
    "sekhari21": "published bound of Sekhari et al.",
    "chien22-data": "published data-dependent bound on graphs",
    "chien22-worst": "published worst case on graphs",
    "descent": "descent, contracting",
    "rewind-contraction": "rewinding, contracting",
    "rewind-growth": "rewinding, growing",
    "clipped-gradients": "noisy descent, clipped gradients",
    "clipped-weights": "noisy descent, clipped weights",
    "blocks": "noisy descent, block by block",
    "output-perturbation": "output perturbation",
    "objective-perturbation": "objective perturbation",
    "projected-noisy-descent": "projected noisy descent",
    "group-privacy": "group privacy",
}


def name(statement: str) -> str:
    """What a statement is called; a reason in words is its own name."""
    return NAMES.get(statement, statement)
