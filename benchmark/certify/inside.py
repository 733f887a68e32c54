"""Certificates of methods whose noise is drawn inside the algorithm."""

from __future__ import annotations

from benchmark.contract.certificate import Certificate, Constant, Target

_MEANINGS = {
    "radius": "C0, the weights at the start are projected onto ||w|| <= C0",
    "model_clip": "C2, the weights of every step are projected onto ||w|| <= C2 before noise",
    "gradient_clip": "C1, the norm that every step's gradient is clipped to",
    "step_size": "eta",
    "weight_decay": "lambda",
    "steps": "T, steps with noise",
}


def inside_certificate(
    target: Target, theorem: str, *, m: float, sigma: float, constants: dict[str, float]
) -> Certificate:
    """What holds of a release that is m-GDP and (epsilon, delta) by noise drawn on the way.

    The constants are all settings of the algorithm, so they are exact, and sigma does not depend
    on the data: mode `budgeted`. The statement is against the same algorithm on the retained rows
    from any start that its theorem allows: definition `reference`.

    Args:
        target: that the noise was made for.
        theorem: the statement that gives m.
        m: of the Gaussian that the release is no easier to tell apart than.
        sigma: noise per coordinate and step.
        constants: by their names in this module.
    """
    return Certificate(
        definition="reference",
        mode="budgeted",
        theorem=theorem,
        epsilon=target.epsilon,
        delta=target.delta,
        sensitivity=m * sigma,
        sigma=sigma,
        noise="inside",
        constants=tuple(
            Constant(name=name, value=value, provenance="exact", meaning=_MEANINGS[name])
            for name, value in constants.items()
        ),
    )
