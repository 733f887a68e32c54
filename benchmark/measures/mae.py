"""The mean absolute error of predicted numbers."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.metric import NumberMetric, Numbers


class MeanAbsoluteError(NumberMetric):
    """The mean of the residuals' sizes, in the target's units."""

    name = "mae"
    title = "MAE"
    source = "the suite's own"
    meaning = "Mean absolute error of the predicted numbers, in the units of the target."
    direction = "lower"

    @classmethod
    def measure(cls, predictions: Numbers) -> float:
        return float(np.abs(predictions.residuals).mean())
