"""A property."""

from __future__ import annotations

from lethe import LearningProblem, Predictor, Property, PropertyFinding


class OutsideProperty(Property):
    """No weight is larger than a bound."""

    name = "outside-property"
    title = "Outside property"
    source = "a test"

    bound: float = 10.0

    def certify(
        self, predictor: Predictor, problem: LearningProblem, budget: int
    ) -> PropertyFinding:
        margin = self.bound - float(predictor.members.abs().max())
        return PropertyFinding(
            verdict="held" if margin >= 0 else "unknown",
            margin=margin,
            tolerance=0.0,
            work=predictor.members.numel(),
            domain="all weights",
        )
