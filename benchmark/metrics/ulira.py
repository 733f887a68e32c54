"""U-LiRA: can an unlearned model be told from one that never saw the example?"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from benchmark.errors import LetheError
from benchmark.metrics.margins import deterministic


def likelihood_ratio(fit_in: np.ndarray, fit_out: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """(k, n) log of how much likelier a margin is if the example was trained on, then unlearned.

    One Gaussian an example and side (Hayes et al. 2025, after Carlini et al. 2022). To score
    models that the Gaussians were fitted on tells members from non-members that do not differ;
    `attack_run.attack_models` keeps them apart.

    Args:
        fit_in: (models, n) margins of models that unlearned the examples.
        fit_out: (models, n) margins of models that never saw them.
        scored: (k, n) margins of other models.

    Raises:
        LetheError: if a side has fewer than two models or no spread on some example.
    """
    densities = []
    for fitted in (fit_in, fit_out):
        if len(fitted) < 2:
            raise LetheError("U-LiRA needs at least two models a side to fit a Gaussian")
        if deterministic(fitted):
            raise LetheError("U-LiRA needs margins that vary from one training to the next")
        densities.append(norm.logpdf(scored, fitted.mean(axis=0), fitted.std(axis=0, ddof=1)))
    return densities[0] - densities[1]
