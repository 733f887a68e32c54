"""The model-level audit's result: one JSON file in a results folder, beside the records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import json_file
from benchmark.contract.claim import Verdict
from benchmark.records import Environment

SCHEMA = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Finding(_Frozen):
    """What runs of one method, unlearned against its reference, say of its claim.

    Attributes:
        experiment, title: of the row.
        definition, epsilon, delta, verdict: what is claimed.
        score: what of each run was looked at, in words.
        lower: the largest epsilon that the runs prove, at `confidence`.
        resolution: the largest that as many runs could have proved.
        runs: that judge, on each side.
        outcome: `refuted`, `not refuted`, or `not falsifiable` where the claim is out of reach.
        reason: what refutes it, in words; "" where nothing does.
    """

    experiment: str
    title: str
    definition: str
    epsilon: float = Field(ge=0)
    delta: float = Field(gt=0, lt=1)
    verdict: Verdict
    score: str
    lower: float = Field(ge=0)
    resolution: float = Field(ge=0)
    runs: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    outcome: Literal["refuted", "not refuted", "not falsifiable"]
    reason: str

    @property
    def row(self) -> str:
        """The row, as the study names it."""
        return row_name(self.experiment, self.title)

    @property
    def text(self) -> str:
        """The outcome as it is printed."""
        if self.outcome == "refuted":
            return f"refuted: {self.reason}"
        suffix = f" at {self.runs}" if self.outcome == "not falsifiable" else ""
        return self.outcome + suffix


class Origin(_Frozen):
    """Where one row comes from.

    Attributes:
        key: sha256 of everything that determines its numbers.
    """

    key: str
    environment: Environment


@dataclass(frozen=True)
class Row:
    """One row of the study: what its runs say, or why the method gave no answer."""

    origin: Origin
    outcome: Finding | str


class AuditStudy(_Frozen):
    """What was found so far.

    Attributes:
        failures: of methods that gave no answer, by row.
        origins: by row.
    """

    schema_version: Literal[2] = SCHEMA
    kind: Literal["audit"] = "audit"
    findings: tuple[Finding, ...]
    failures: dict[str, str]
    origins: dict[str, Origin]

    @classmethod
    def of(cls, rows: dict[str, Row]) -> AuditStudy:
        """The study of these rows, in their order."""
        outcomes = {name: row.outcome for name, row in rows.items()}
        return cls(
            findings=tuple(found for found in outcomes.values() if isinstance(found, Finding)),
            failures={name: why for name, why in outcomes.items() if isinstance(why, str)},
            origins={name: row.origin for name, row in rows.items()},
        )

    @property
    def outcomes(self) -> dict[str, Finding | str]:
        """The finding, or why there is none, by row."""
        return {found.row: found for found in self.findings} | self.failures


def row_name(experiment: str, title: str) -> str:
    """What the study calls a row."""
    return f"{experiment}, {title}"


def path_in(results: Path) -> Path:
    """Where a results folder keeps the study: on top, where no experiment's folder can be."""
    return results / "audit.json"


def read(results: Path) -> AuditStudy | None:
    """The study in a results folder, None if there is none.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    path = path_in(results)
    if not path.exists():
        return None
    return json_file.read(path, "audit study", SCHEMA, AuditStudy.model_validate)
