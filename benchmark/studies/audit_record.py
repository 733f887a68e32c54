"""The model-level audit's records: what whole runs of one row say of its claim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.contract.claim import Verdict
from benchmark.records import Envelope, MethodInfo, Store, study_path

SCHEMA: Final = 3


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Finding(_Frozen):
    """What runs of one method, unlearned against its reference, say of its claim.

    Attributes:
        definition, epsilon, delta, verdict: what is claimed.
        score: what of each run was looked at, in words.
        lower: the largest epsilon that the runs prove, at `confidence`.
        resolution: the largest that as many runs could have proved.
        runs: that judge, on each side.
        outcome: `refuted`, `not refuted`, or `not falsifiable` where the claim is out of reach.
        reason: what refutes it, in words; "" where nothing does.
    """

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
    def text(self) -> str:
        """The outcome as it is printed."""
        if self.outcome == "refuted":
            return f"refuted: {self.reason}"
        suffix = f" at {self.runs}" if self.outcome == "not falsifiable" else ""
        return self.outcome + suffix


class AuditRecord(Envelope):
    """What whole runs say of one row, or why its method gave no answer.

    Attributes:
        experiment: its name.
        method: the row; its title says what is special about the audit.
        variant: of the audit, for paths; "" for the usual one.
        finding: None if the method gave no answer.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["audit"] = "audit"
    experiment: str
    method: MethodInfo
    variant: str
    finding: Finding | None = None

    @property
    def group(self) -> str:
        """The study."""
        return "audit"

    @property
    def title(self) -> str:
        """Experiment and row."""
        return f"{self.experiment}, {self.method.title}"

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return path_of(self.experiment, self.method.label, self.variant)

    def numbers(self) -> dict[str, Any]:
        """What was found."""
        found = {} if self.finding is None else self.finding.model_dump(mode="json")
        return {"status": self.status, **found}


@dataclass(frozen=True)
class AuditStudy:
    """What was found so far, in the order of the plan.

    Attributes:
        findings: records with one.
        failures: of methods that gave no answer, by row.
        missing: rows without a record, in words.
    """

    findings: tuple[AuditRecord, ...]
    failures: dict[str, str]
    missing: tuple[str, ...] = ()


def path_of(experiment: str, label: str, variant: str) -> str:
    """Where a results folder keeps the record of a row."""
    name = f"{label}-{variant}" if variant else label
    return study_path("audit", experiment, f"{name}.json")


def read(results: Path) -> AuditStudy | None:
    """The study in a results folder, None if there is none.

    Raises:
        LetheError: for a damaged file.
    """
    found = Store(results).gathered("audit", AuditRecord)
    if found is None:
        return None
    return AuditStudy(
        findings=tuple(one for one in found.records if one.finding is not None),
        failures={one.title: one.failure.message for one in found.records if one.failure},
        missing=tuple(found.missing),
    )
