"""The root mean squared error of predicted numbers."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.metric import NumberMetric, Numbers


class RootMeanSquaredError(NumberMetric):
    """The root of the mean squared residual, in the target's units."""

    name = "rmse"
    title = "RMSE"
    source = "the suite's own"
    meaning = "Root mean squared error of the predicted numbers, in the units of the target."
    direction = "lower"

    @classmethod
    def measure(cls, predictions: Numbers) -> float:
        return float(np.sqrt(np.square(predictions.residuals).mean()))
