"""What a certified method proves, from which constants, and how far it can be believed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Provenance = Literal["exact", "estimated", "assumed"]
Definition = Literal["retrain", "unlearn-on-retain", "reference", "local"]
Mode = Literal["budgeted", "instance", "noiseless"]
Noise = Literal["release", "inside"]
Verdict = Literal["exact", "proved", "conditional", "local", "vacuous", "none"]

#: From the strongest statement to none; the order rows stand in.
VERDICTS: tuple[Verdict, ...] = ("exact", "proved", "conditional", "local", "vacuous", "none")


class Target(BaseModel):
    """The (epsilon, delta) a deletion request asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(1.0, gt=0, allow_inf_nan=False)
    delta: float = Field(1e-5, gt=0, lt=1)


class Constant(BaseModel):
    """A number a certificate rests on, and where it comes from.

    `exact` holds by a proof or a full computation, `estimated` was measured and may err on the
    wrong side, `assumed` was written down by whoever set up the experiment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    value: float
    provenance: Provenance
    meaning: str


class Alternative(BaseModel):
    """Another bound on the same distance, the paper's among them, for comparison.

    `proved` says whether its hypotheses hold here; one that is only shown may be false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    theorem: str
    sensitivity: float = Field(ge=0)
    proved: bool


class Certificate(BaseModel):
    """An (epsilon, delta) statement about one release.

    Attributes:
        definition: which notion of unlearning is proved (docs/certificates.md, section 1).
        mode: `budgeted`, the noise was fixed before the request was seen, or `instance`, it
            follows from what was measured on this request and is not a DP-style guarantee, or
            `noiseless`, none is needed.
        theorem: the statement that gives `sensitivity`.
        sensitivity: Delta, a bound on the L2 distance to the retrained weights before noise.
        sigma: standard deviation of the release noise, per coordinate.
        trivial_sensitivity: the bound that the same theory gives to doing nothing; None where
            the release is exact by construction, or the noise is drawn inside.
        noise: where it is drawn. `release`: added to what is published, by `Request.release`.
            `inside`: by the algorithm itself, so that the weights it returns are public as they
            are. There `sigma` is the noise of one of its steps and `sensitivity` is m sigma for
            an m such that the release is m-GDP: m = sensitivity / sigma composes over a stream
            as ever, but no weights lie within that distance of the retrained ones.
        constants: every number the statement rests on.
        alternatives: bounds that were evaluated as well and are not better, or not proved.
        caveats: hypotheses that are false or were not checked, in words.
        composes: whether the releases of a stream compose like Gaussian mechanisms; not where
            they share one draw of the noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    definition: Definition
    mode: Mode
    theorem: str
    epsilon: float = Field(ge=0)
    delta: float = Field(ge=0, lt=1)
    sensitivity: float = Field(ge=0)
    sigma: float = Field(ge=0)
    trivial_sensitivity: float | None = Field(None, gt=0)
    noise: Noise = "release"
    constants: tuple[Constant, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    caveats: tuple[str, ...] = ()
    composes: bool = Field(True, exclude_if=bool)

    @classmethod
    def by_construction(cls, reason: str, definition: Definition = "retrain") -> Certificate:
        """The certificate of an exact method: the release *is* what retraining would publish.

        Or, for `reference`, what another algorithm publishes that never saw a row to forget.
        """
        return cls(
            definition=definition,
            mode="noiseless",
            theorem=reason,
            epsilon=0,
            delta=0,
            sensitivity=0,
            sigma=0,
        )

    @property
    def vacuous(self) -> bool:
        """Whether the bound is no better than the one doing nothing has."""
        return self.trivial_sensitivity is not None and (
            self.sensitivity >= self.trivial_sensitivity
        )

    @property
    def reached(self) -> float:
        """The least proved bound on this release's distance: below a budget, if that was fixed."""
        proved = (other.sensitivity for other in self.alternatives if other.proved)
        return min([self.sensitivity, *proved])

    @property
    def verdict(self) -> Verdict:
        """How far to believe the row, from its definition, bound and constants."""
        if self.vacuous:
            return "vacuous"
        if self.definition == "local":
            return "local"
        by_construction = self.epsilon == self.delta == self.sensitivity == 0
        if by_construction and self.definition in ("retrain", "reference"):
            return "exact"
        if self.caveats or any(c.provenance != "exact" for c in self.constants):
            return "conditional"
        return "proved"
