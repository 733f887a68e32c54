"""The inverse-Hessian study's result: one JSON file in a results folder, beside the records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import json_file
from benchmark.records import Environment

SCHEMA = 1


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


class Panel(_Frozen):
    """One system.

    Attributes:
        title: the net and its data.
        rows: that H is the mean over.
        dimension: d.
        condition: of H + lambda I.
        exact: by the inverse of the dense matrix.
        answers: of the solvers that never form it.
        remark: how the exact time was had, in words.
    """

    title: str
    rows: int = Field(gt=0)
    dimension: int = Field(gt=0)
    condition: float = Field(ge=1)
    exact: Answer
    answers: tuple[Answer, ...] = Field(min_length=1)
    remark: str

    def gain(self, answer: Answer) -> float:
        """How many times faster than the exact inverse."""
        return self.exact.seconds / answer.seconds


class InverseHessianStudy(_Frozen):
    """All panels.

    Attributes:
        key: sha256 of everything that determines the systems and the machine's kind.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["inverse-hessian"] = "inverse-hessian"
    key: str
    panels: tuple[Panel, ...]
    environment: Environment


def path_in(results: Path) -> Path:
    """Where a results folder keeps the study: on top, where no experiment's folder can be."""
    return results / "inverse-hessian.json"


def read(results: Path) -> InverseHessianStudy | None:
    """The study in a results folder, None if there is none.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    path = path_in(results)
    if not path.exists():
        return None
    return json_file.read(path, "inverse-Hessian study", SCHEMA, InverseHessianStudy.model_validate)
