"""A scenario."""

from __future__ import annotations

from torch import Generator, Tensor

from lethe import Scenario, ScenarioContext


class OutsideScenario(Scenario):
    """The first rows."""

    name = "outside-scenario"
    title = "Outside scenario"
    source = "a test"

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: ScenarioContext | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        return trained[: requests * count].split(count)
