"""RMIA: a membership attack that gets by with a few reference models."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError
from benchmark.metrics.outputs import scores

#: How many reference models the attack may use.
REFERENCES = (2, 8)


def rmia(
    target: np.ndarray,
    references: np.ndarray,
    outside: np.ndarray,
    population: np.ndarray,
    population_references: np.ndarray,
    *,
    gamma: float,
    slope: float,
) -> np.ndarray:
    """(n,) scores in [0, 1], higher for what looks like a member (Zarifzadeh et al. 2024).

    The score of x is the share of population examples z that x dominates: whose likelihood ratio
    [p(x) / P(x)] / [p(z) / P(z)] is `gamma` or more. p is the attacked model's probability of the
    label, P what models that never saw the example give it, in the offline form of the paper:
    ((1 + slope) P_out + 1 - slope) / 2. Only models that were not trained on an example count for
    it, so that forgotten and never-trained examples are treated alike.

    Args:
        target: (n,) probabilities of the labels under the attacked model.
        references: (models, n) the same under 2 to 8 reference models.
        outside: (models, n) bool: the reference model was not trained on the example.
        population: (m,) probabilities on examples that no model was trained on, none of them
            among the n.
        population_references: (models, m).
        gamma: how far x must dominate z, at least 1.
        slope: a of the paper, in [0, 1]; 1 takes P_out as it is.

    Raises:
        LetheError: for a number of references outside 2 to 8, an example that all of them were
            trained on, a probability outside [0, 1], shapes or parameters that do not fit.
    """
    models = len(references)
    if not REFERENCES[0] <= models <= REFERENCES[1]:
        raise LetheError(f"RMIA takes {REFERENCES[0]} to {REFERENCES[1]} references, not {models}")
    p, p_references = _probabilities(target, 1), _probabilities(references, 2)
    z, z_references = _probabilities(population, 1), _probabilities(population_references, 2)
    outside = np.asarray(outside, dtype=bool)
    fits = p_references.shape == outside.shape == (models, len(p))
    if not fits or z_references.shape != (models, len(z)):
        raise LetheError("RMIA: references and their membership do not fit the examples")
    if gamma < 1 or not 0 <= slope <= 1:
        raise LetheError("RMIA needs gamma of at least 1 and a slope in [0, 1]")
    if not outside.any(axis=0).all():
        raise LetheError("RMIA: every reference model was trained on some example; use more")
    p_out = np.where(outside, p_references, 0).sum(axis=0) / outside.sum(axis=0)
    ratio = _ratio(p, p_out, slope)
    ratios = np.sort(_ratio(z, z_references.mean(axis=0), slope))
    return np.searchsorted(ratios, ratio / gamma, side="right") / len(ratios)


def _ratio(p: np.ndarray, p_out: np.ndarray, slope: float) -> np.ndarray:
    everywhere = ((1 + slope) * p_out + 1 - slope) / 2
    return p / np.maximum(everywhere, np.finfo(np.float64).tiny)


def _probabilities(values: np.ndarray, dimensions: int) -> np.ndarray:
    array = scores(values, "RMIA", dimensions)
    if array.min() < 0 or array.max() > 1 + 1e-9:
        raise LetheError("RMIA takes probabilities, between 0 and 1")
    return array
