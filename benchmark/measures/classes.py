"""Metrics of predicted classes."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.metric import Metric, Predictions

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
