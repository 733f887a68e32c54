"""The slack study's records: one answer to one request each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from benchmark.errors import present
from benchmark.records import Envelope, Store, study_path

SCHEMA: Final = 3

#: The bounds that are compared, by their ids in `benchmark.theory.statements`; `proved` is the
#: least of those whose hypotheses hold, which the paper's formula never is.
Series = Literal["proved", "thm6", "thm5", "thm4", "2C", "zhang24"]


class SlackRecord(Envelope):
    """One answer to one request, with one setting of an experiment varied.

    Attributes:
        experiment: the title of the experiment that was varied.
        sweep: names what was varied, for paths.
        setting: what was varied, in words.
        usual: its value in the experiment; None where the method chooses it.
        value: that it had.
        distance: L2, to the retrained weights, before noise; None if the method failed.
        bounds: on that distance.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["slack"] = "slack"
    experiment: str
    sweep: str
    setting: str
    usual: float | None
    value: float = Field(gt=0)
    seed: int
    distance: float | None = Field(None, gt=0)
    bounds: dict[Series, float] = Field(default_factory=dict)

    @property
    def group(self) -> str:
        """The study."""
        return "slack"

    @property
    def title(self) -> str:
        """Sweep, value and seed."""
        return f"{self.sweep}-{self.value:g}-seed-{self.seed}"

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return path_of(self.sweep, self.value, self.seed)

    def numbers(self) -> dict[str, Any]:
        """Distance and bounds."""
        return {
            "status": self.status,
            "distance": self.distance,
            **{str(k): v for k, v in self.bounds.items()},
        }

    def slack(self, series: Series) -> float:
        """Bound over distance; below 1 the bound is violated."""
        return self.bounds[series] / present(self.distance)


@dataclass(frozen=True)
class Panel:
    """One setting varied, all others as in the experiment.

    Attributes:
        experiment, setting, usual: see `SlackRecord`.
        points: that succeeded.
    """

    experiment: str
    setting: str
    usual: float | None
    points: tuple[SlackRecord, ...]

    @property
    def series(self) -> list[Series]:
        """The bounds that the points have, in the order they were evaluated."""
        return list(dict.fromkeys(name for point in self.points for name in point.bounds))


@dataclass(frozen=True)
class SlackStudy:
    """All panels, and what is lacking, a line each."""

    panels: tuple[Panel, ...]
    lacking: tuple[str, ...] = ()


def path_of(sweep: str, value: float, seed: int) -> str:
    """Where a results folder keeps the record of a point."""
    return study_path("slack", sweep, f"{value:g}-seed-{seed}.json")


def read(results: Path) -> SlackStudy | None:
    """The study in a results folder, None if there is none or nothing of it succeeded.

    Raises:
        LetheError: for a damaged file.
    """
    found = Store(results).gathered("slack", SlackRecord)
    if found is None:
        return None
    points: dict[tuple[str, str, float | None], list[SlackRecord]] = {}
    for one in found.records:
        if one.status == "ok":
            points.setdefault((one.experiment, one.setting, one.usual), []).append(one)
    failed = [f"{one.title}: {one.failure.message}" for one in found.records if one.failure]
    missing = [f"{where}: missing" for where in found.missing]
    panels = tuple(Panel(*panel, tuple(its)) for panel, its in points.items())
    return SlackStudy(panels, (*failed, *missing)) if panels else None
