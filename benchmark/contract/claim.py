"""What a certified release claims: a definition, a guarantee, and the evidence for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.contract.guarantee import Exact, Guarantee
from benchmark.contract.value import Number
from benchmark.errors import LetheError

Provenance = Literal["exact", "declared", "measured", "estimated", "assumed"]
Verdict = Literal["exact", "proved", "conditional", "pair", "vacuous", "none"]

#: From the strongest statement to none; the order rows stand in.
VERDICTS: tuple[Verdict, ...] = ("exact", "proved", "conditional", "pair", "vacuous", "none")
#: Provenances of constants that hold, the same, for every data set of the experiment.
HOLDS: tuple[Provenance, ...] = ("exact", "declared")
#: Relative room for the rounding of sigma, m and epsilon.
_ROUND_OFF = 1e-9
#: No bound that is only shown is larger: its ratio to any distance is still finite.
_LARGEST_SHOWN = 1e250


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Target(_Frozen):
    """What a deletion request asks for.

    Attributes:
        epsilon: of the guarantee.
        delta: likewise.
        distance: Delta_0, the public distance to the retrained weights that release noise is made
            for. It is a constant of the experiment, so that the noise is the same for every data
            set and every request. 1e-3 by default: on rows of norm 1 the logits then carry noise
            of about 5e-3 at (1, 1e-5), which costs no accuracy on any data set of the suite.

    >>> Target(epsilon=8.0)
    Target(epsilon=8.0, delta=1e-05, distance=0.001)
    """

    epsilon: Number = Field(1.0, gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)
    distance: Number = Field(1e-3, gt=0)


class Constant(_Frozen):
    """A number that a claim rests on, and where it comes from.

    `exact` holds by a proof or is a setting of the algorithm, `declared` is a public bound that
    the data were checked against, `measured` is a function of the rows at hand, `estimated` was
    measured and may err on the wrong side, `assumed` was written down by whoever set up the
    experiment.

    >>> mu = Constant(name="mu", value=1e-3, provenance="exact", meaning="the ridge")
    >>> mu.provenance in HOLDS
    True
    """

    name: str
    value: Number
    provenance: Provenance
    meaning: str


class Alternative(_Frozen):
    """Another bound on the same distance, the paper's among them, for comparison.

    `proved` says whether its hypotheses hold here; one that is only shown may be false.
    """

    theorem: str
    value: float = Field(ge=0, le=_LARGEST_SHOWN)
    proved: bool


class Construction(_Frozen):
    """The release is what the other side publishes, by how it was made; `reason` says how."""

    kind: Literal["construction"] = "construction"
    reason: str


class Distance(_Frozen):
    """Noise on weights that lie within a distance of the other side's.

    What is published of it is `bound`, `sigma`, `trivial` and `constants`. The rest was measured
    on this request and is for the reader of the benchmark, not for an observer of the release.

    Attributes:
        bound: of the L2 distance of the two sides' weights before noise, that sigma is made for.
        sigma: standard deviation of the release noise, per coordinate.
        trivial: the bound for doing nothing, whatever the data.
        constants: what `bound` and `sigma` follow from.
        theorem: the statement by which this release is within the bound, by its id.
        reached: the least proved bound on this release's distance.
        alternatives: bounds that were evaluated as well.
        measured: numbers that `reached` follows from, and how many steps were taken.
    """

    kind: Literal["distance"] = "distance"
    bound: Number = Field(ge=0)
    sigma: Number = Field(gt=0)
    trivial: Number | None = Field(None, gt=0)
    constants: tuple[Constant, ...] = ()
    theorem: str
    reached: Number = Field(ge=0)
    alternatives: tuple[Alternative, ...] = ()
    measured: tuple[Constant, ...] = ()

    @model_validator(mode="after")
    def _within(self) -> Distance:
        if not self.reached <= self.bound * (1 + _ROUND_OFF):
            raise ValueError(f"a bound of {self.reached:.6g} is not within {self.bound:.6g}")
        return self


class Algorithm(_Frozen):
    """Noise inside the algorithm: the weights that it returns are public as they are.

    Attributes:
        theorem: the statement that gives the guarantee, by its id.
        sigma: noise per coordinate of one step.
        steps: with noise.
        constants: settings of the algorithm that the guarantee follows from.
    """

    kind: Literal["algorithm"] = "algorithm"
    theorem: str
    sigma: Number = Field(gt=0)
    steps: int = Field(ge=1)
    constants: tuple[Constant, ...] = ()


Evidence = Annotated[Construction | Distance | Algorithm, Field(discriminator="kind")]


class Claim(_Frozen):
    """A statement about one release: in the sense of `definition`, as good as `guarantee`.

    Attributes:
        definition: the name of one in `benchmark.definitions`.
        guarantee: how well its two sides can be told apart.
        epsilon: the point of the guarantee that is stated, no less than it has at delta.
        delta: where it is stated.
        evidence: why.
        caveats: hypotheses that are false or were not checked, in words.
        composes: whether the releases of a stream compose; not where they share a draw of noise.
        projected: whether the release, its noise included, was then projected onto a convex set
            that depends on no row. That is post-processing, and both sides are.

    An exact method states why its release is what retraining publishes:

    >>> Claim.by_construction("it retrains").epsilon
    0.0

    Noise on weights within a distance of 1e-3, at delta = 1e-5:

    >>> from benchmark.contract.guarantee import Gaussian
    >>> evidence = Distance(bound=1e-3, sigma=4e-3, theorem="thm5", reached=2e-4)
    >>> claim = Claim.of("unlearn-on-retain", Gaussian(m=0.25), evidence, delta=1e-5)
    >>> round(claim.epsilon, 3)
    0.926
    >>> "reached" in claim.public()["evidence"]  # what was measured is not published
    False
    """

    definition: str
    guarantee: Guarantee
    epsilon: Number = Field(ge=0)
    delta: float = Field(ge=0, lt=1)
    evidence: Evidence
    caveats: tuple[str, ...] = ()
    composes: bool = Field(True, exclude_if=bool)
    projected: bool = Field(False, exclude_if=lambda value: not value)

    @model_validator(mode="after")
    def _consistent(self) -> Claim:
        """Hold the guarantee against its evidence: Gaussians so far apart have at least this m."""
        evidence, m = self.evidence, self.guarantee.m
        if isinstance(evidence, Construction) != isinstance(self.guarantee, Exact):
            raise ValueError("a guarantee is exact if and only if it is by construction")
        if isinstance(evidence, Distance):
            needed = evidence.bound / evidence.sigma
            if needed > m * (1 + _ROUND_OFF):
                raise ValueError(f"a distance of {needed:.6g} sigma is not {m:.6g}-GDP")
        return self

    @model_validator(mode="after")
    def _no_better_than_its_guarantee(self) -> Claim:
        """Hold the stated point against the guarantee."""
        if isinstance(self.guarantee, Exact) and self.epsilon > 0:
            raise ValueError(f"an exact guarantee has epsilon 0, not {self.epsilon:g}")
        try:
            least = self.guarantee.epsilon(self.delta)
        except (LetheError, ValueError) as error:
            message = f"the guarantee has no epsilon at delta = {self.delta:g}: {error}"
            raise ValueError(message) from error
        if self.epsilon < least * (1 - _ROUND_OFF):
            raise ValueError(
                f"epsilon = {self.epsilon:.10g} is below {least:.10g}, which the guarantee has at "
                f"delta = {self.delta:g}"
            )
        return self

    @classmethod
    def of(cls, definition: str, guarantee: Guarantee, evidence: Evidence, **stated: Any) -> Claim:
        """The claim at the delta in `stated`, with the epsilon that the guarantee has there."""
        return cls(
            definition=definition,
            guarantee=guarantee,
            epsilon=guarantee.epsilon(stated["delta"]),
            evidence=evidence,
            **stated,
        )

    @classmethod
    def by_construction(cls, reason: str, definition: str = "retrain") -> Claim:
        """The claim of an exact method: the release *is* what the other side would publish."""
        return cls.of(definition, Exact(), Construction(reason=reason), delta=0.0)

    @property
    def release_sigma(self) -> float:
        """Noise per coordinate that a release of this claim adds to the weights; 0 for none."""
        return self.evidence.sigma if isinstance(self.evidence, Distance) else 0.0

    @property
    def constants(self) -> tuple[Constant, ...]:
        """The constants that the claim rests on."""
        return () if isinstance(self.evidence, Construction) else self.evidence.constants

    @property
    def distance(self) -> Distance:
        """The evidence of a claim that has a `bound`."""
        assert isinstance(self.evidence, Distance)
        return self.evidence

    @property
    def bound(self) -> float | None:
        """The certified distance; None where the evidence is none."""
        return self.evidence.bound if isinstance(self.evidence, Distance) else None

    @property
    def theorem(self) -> str:
        """The statement that was used, or the reason of an exact claim."""
        evidence = self.evidence
        return evidence.reason if isinstance(evidence, Construction) else evidence.theorem

    @property
    def vacuous(self) -> bool:
        """Whether the bound is no better than the one for doing nothing, whatever the data."""
        evidence = self.evidence
        return (
            isinstance(evidence, Distance)
            and evidence.trivial is not None
            and evidence.bound >= evidence.trivial
        )

    @property
    def open_constants(self) -> tuple[Constant, ...]:
        """Constants that need not hold, or need not be the same, for another data set."""
        return tuple(c for c in self.constants if c.provenance not in HOLDS)

    def public(self) -> dict[str, Any]:
        """What an observer of the release is told: nothing in it may depend on the rows.

        Both sides of the definition must give the same.
        """
        hidden = {"theorem", "reached", "alternatives", "measured"}
        evidence = self.evidence.model_dump(mode="json")
        if isinstance(self.evidence, Distance):
            evidence = {k: v for k, v in evidence.items() if k not in hidden}
        if isinstance(self.evidence, Construction):
            evidence = {"kind": evidence["kind"]}
        return self.model_dump(mode="json", exclude={"evidence"}) | {"evidence": evidence}
