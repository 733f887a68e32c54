"""The inverse-Hessian study's records, one a system."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.records import Envelope, Gathered, Store, study_path

SCHEMA: Final = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Answer(_Frozen):
    """One way to (H + lambda I)^{-1} b.

    Attributes:
        title: of the solver.
        seconds: processor seconds on one thread, set-up included, median of some runs.
        measured: whether they were; else they follow from the parts that were timed.
        residual: ||b - A x|| / ||b||; None where the solve was not carried out.
        error: ||x - x*|| / ||x*|| for the reference solution x*; None as well.
    """

    title: str
    seconds: float = Field(gt=0)
    measured: bool = True
    residual: float | None = Field(None, ge=0)
    error: float | None = Field(None, ge=0)


class PanelRecord(Envelope):
    """One system.

    Attributes:
        system: its name.
        heading: the net and its data.
        rows: that H is the mean over.
        dimension: d.
        condition: of H + lambda I.
        exact: by the inverse of the dense matrix.
        answers: of the solvers that never form it.
        remark: how the exact time was had, in words.
    """

    schema_version: Literal[2] = SCHEMA
    kind: Literal["inverse-hessian"] = "inverse-hessian"
    system: str
    heading: str
    rows: int = Field(gt=0)
    dimension: int = Field(gt=0)
    condition: float = Field(ge=1)
    exact: Answer
    answers: tuple[Answer, ...] = Field(min_length=1)
    remark: str

    @property
    def group(self) -> str:
        """The study."""
        return "inverse-hessian"

    @property
    def title(self) -> str:
        """The system."""
        return self.system

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return path_of(self.system)

    def numbers(self) -> dict[str, Any]:
        """Condition, and how near each solver comes; seconds are no such number."""
        flat: dict[str, Any] = {"status": self.status, "condition": self.condition}
        for answer in self.answers:
            flat |= {f"{answer.title}.residual": answer.residual}
            flat |= {f"{answer.title}.error": answer.error}
        return flat

    def summary(self) -> dict[str, float | str]:
        """The numbers, and the seconds of each solver."""
        return super().summary() | {f"{a.title}.seconds": a.seconds for a in self.answers}

    def gain(self, answer: Answer) -> float:
        """How many times faster than the exact inverse."""
        return self.exact.seconds / answer.seconds


def path_of(system: str) -> str:
    """Where a results folder keeps the record of a system."""
    return study_path("inverse-hessian", f"{system}.json")


def read(results: Path) -> Gathered[PanelRecord] | None:
    """The study in a results folder, None if there is none.

    Raises:
        LetheError: for a damaged file.
    """
    return Store(results).gathered("inverse-hessian", PanelRecord)
