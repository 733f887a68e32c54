"""The slack study's result: one JSON file in a results folder, beside the records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import json_file
from benchmark.records import Environment

SCHEMA = 2

#: The bounds that are compared, by their ids in `benchmark.theory.statements`; `proved` is the
#: least of those whose hypotheses hold, which the paper's formula never is.
Series = Literal["proved", "thm6", "thm5", "thm4", "2C", "zhang24"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Point(_Frozen):
    """One answer to one request.

    Attributes:
        setting: the value of what is varied.
        distance: L2, to the retrained weights, before noise.
        bounds: on that distance.
    """

    setting: float = Field(gt=0)
    seed: int
    distance: float = Field(gt=0)
    bounds: dict[Series, float]

    def slack(self, series: Series) -> float:
        """Bound over distance; below 1 the bound is violated."""
        return self.bounds[series] / self.distance


class Panel(_Frozen):
    """One setting varied, all others as in the experiment.

    Attributes:
        experiment: the title of the experiment that was varied.
        setting: what was varied, in words.
        usual: its value in the experiment; None where the method chooses it.
    """

    experiment: str
    setting: str
    usual: float | None
    points: tuple[Point, ...] = Field(min_length=1)

    @property
    def series(self) -> list[Series]:
        """The bounds that the points have, in the order they were evaluated."""
        return list(dict.fromkeys(name for point in self.points for name in point.bounds))


class SlackStudy(_Frozen):
    """All panels.

    Attributes:
        key: sha256 of everything that determines the numbers.
    """

    schema_version: Literal[2] = SCHEMA
    kind: Literal["slack"] = "slack"
    key: str
    panels: tuple[Panel, ...]
    environment: Environment


def path_in(results: Path) -> Path:
    """Where a results folder keeps the study: on top, where no experiment's folder can be."""
    return results / "slack.json"


def read(results: Path) -> SlackStudy | None:
    """The study in a results folder, None if there is none.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    path = path_in(results)
    if not path.exists():
        return None
    return json_file.read(path, "slack study", SCHEMA, SlackStudy.model_validate)
