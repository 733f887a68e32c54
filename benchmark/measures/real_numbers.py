"""Metrics of predicted numbers."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError
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


class RSquared(NumberMetric):
    """The coefficient of determination, below 0 where the mean of the rows would do better."""

    name = "r2"
    title = "R²"
    source = "the suite's own"
    meaning = (
        "Share of the variance of the target on these rows that the predictions explain; 0 is "
        "what their mean explains, and worse predictions are below."
    )
    unit = "%"
    direction = "higher"

    @classmethod
    def measure(cls, predictions: Numbers) -> float:
        targets = predictions.targets
        # the mean of equal targets may be off by round-off, and their variance then is not 0
        around = np.square(targets - targets.mean()).sum() if np.ptp(targets) > 0 else 0.0
        if not around > 0:
            raise LetheError("R² needs rows of two different targets")
        return 100 * (1 - float(np.square(predictions.residuals).sum() / around))


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
