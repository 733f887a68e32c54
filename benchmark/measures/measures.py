"""Metrics of kept predictions: of classes, and of numbers."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError
from benchmark.metrics.metric import Metric, NumberMetric, Numbers, Predictions

BINS = 15


class CalibrationError(Metric):
    """The expected calibration error, in 15 bins of the same width."""

    name = "calibration"
    title = "Calibration error"
    source = "Guo et al. 2017"
    meaning = (
        "How far the probability of the likeliest class is from how often it is right: the mean "
        "over 15 bins of that probability, weighted by their rows."
    )
    unit = "points"
    direction = "lower"

    @classmethod
    def measure(cls, predictions: Predictions) -> float:
        sure = np.exp(predictions.log_probabilities.max(axis=1).astype(np.float64))
        right = predictions.log_probabilities.argmax(axis=1) == predictions.labels
        bins = np.minimum((sure * BINS).astype(int), BINS - 1)
        gaps = np.bincount(bins, weights=right - sure, minlength=BINS)
        return 100 * float(np.abs(gaps).sum()) / len(sure)


class ClassAccuracy(Metric):
    """The share of each class's rows whose likeliest class it is."""

    name = "class_accuracy"
    title = "Accuracy on class"
    source = "the suite's own"
    meaning = "Accuracy on the rows of one class; the last word of the column is its label."
    unit = "%"
    direction = "higher"

    @classmethod
    def measure(cls, predictions: Predictions) -> dict[str, float]:
        right = predictions.log_probabilities.argmax(axis=1) == predictions.labels
        classes = np.unique(predictions.labels)
        return {str(one): 100 * right[predictions.labels == one].mean() for one in classes}


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
