"""What many models say about the same rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmark.metrics.margins import margins
from benchmark.problem.model import Predictor
from benchmark.rows import Rows


def log_probabilities(predictors: Iterable[Predictor], rows: Rows) -> np.ndarray:
    """(models, n, classes) float64 log-probabilities."""
    return np.stack([p.log_probabilities(rows.x).cpu().numpy() for p in predictors])


def label_margins(predictors: Iterable[Predictor], rows: Rows) -> np.ndarray:
    """(models, n) margins log(p_y / (1 - p_y)), one model at a time: a whole data set fits."""
    labels = rows.y.cpu().numpy()
    return np.stack(
        [margins(p.log_probabilities(rows.x).cpu().numpy(), labels) for p in predictors]
    )
