"""Accuracy, class by class."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.metric import Metric, Predictions


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
