"""A metric of what a release predicts."""

from __future__ import annotations

from lethe import Metric, Predictions


class OutsideMetric(Metric):
    """How many rows there are."""

    name = "outside-metric"
    title = "Outside metric"
    source = "a test"
    meaning = "How many rows were predicted."

    @classmethod
    def measure(cls, predictions: Predictions) -> float:
        return len(predictions.labels)
