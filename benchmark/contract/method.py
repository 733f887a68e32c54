"""The contract of an unlearning method: one file, one class, found by being there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from benchmark import parameters
from benchmark.contract import batch_statistics
from benchmark.contract.clock import Clock
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem

#: `reference` is what the rest is measured against, `floor` how close a second retraining comes
#: to it, `ceiling` what doing nothing gives; every other method is an `entry`.
Role = Literal["entry", "reference", "floor", "ceiling"]
#: Needs that are of the problem, not of what a request looks at.
ProblemNeed = Literal[
    "classes",
    "strong_convexity",
    "squared_loss",
    "exact_sums",
    "one_vs_rest",
    "tangent",
    "constraint",
    "cone",
]
Need = Literal["retain", "forget", ProblemNeed]
PROBLEMS: frozenset[Need] = frozenset(get_args(ProblemNeed))
#: Methods of ours that need classes: to give rows other labels, to compare probabilities, or for
#: sums over one-hot labels. Their own `needs` would say so, but is part of their records' keys.
_OF_CLASSES = frozenset(
    {
        "bad-teacher",
        "downdate-fast",
        "fisher-forgetting",
        "random-labels",
        "salun",
        "scrub",
    }
)
#: What the claims of a method rest on, see `benchmark.contract.claim`.
EvidenceKind = Literal["construction", "distance", "algorithm"]


class Source(BaseModel):
    """Where a method comes from.

    >>> Source(paper="An example", url="https://example.org/shrink").paper
    'An example'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: str
    url: str


class Method(BaseModel, ABC):
    """An unlearning method. Its fields are its parameters; its class variables describe it.

    A subclass declares `name`, `title` and `source`, its parameters as annotated fields with
    defaults, and `unlearn`. It overrides `train` only if it needs a training of its own.

    * `evidence` says what its claims rest on. A method without it claims nothing. What is asked
      for exactly may be answered by construction all the same.
    * `needs` says which rows' data a request looks at: without `retain` it can be answered where
      the training data are no longer held. It also says what the problem must be: `classes` where
      a real target is of no use, `strong_convexity`, `squared_loss` or `one_vs_rest` (of a linear
      model with a ridge), `exact_sums`, squared loss on features in fixed point with direct
      training, `tangent`, a net linearised at public weights, `constraint`, trained within the
      convex set of a property, and `cone`, a softmax head of that kind.
    * `answers_altered` says whether a request may alter rows instead of losing them. By default it
      may where nothing is certified, and where a request looks at no forgotten row: what is
      computed from the kept rows alone sees their new versions and no others.
    * `control` asks the runner for the noise-only control: the same request answered once more,
      with the same noise, from zero weights. What does not beat it has erased the model.
    * `search` is the search space of its tuning: candidate values of some parameters. Methods that
      declare one get the same number of trials (`benchmark.runner.cell`).

    A field whose default is hard to vary names another value in `Field(examples=[...])`, which
    the contract tests use to see that the parameter changes something.

    >>> class Shrink(Method):
    ...     name = "shrink"
    ...     title = "Shrink the weights"
    ...     source = Source(paper="An example", url="https://example.org/shrink")
    ...     needs = frozenset()  # looks at no row
    ...     factor: float = 0.9
    ...
    ...     def unlearn(self, request):
    ...         with request.clock.phase("shrink"):
    ...             weights = self.factor * request.original.weights
    ...         return request.release(weights)
    >>> Shrink.build({"factor": 0.5}).factor
    0.5
    >>> Shrink.build({"factro": 0.5})
    Traceback (most recent call last):
    benchmark.errors.LetheError: unknown parameter of shrink 'factro': did you mean 'factor'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source]
    evidence: ClassVar[EvidenceKind | None] = None
    needs: ClassVar[frozenset[Need]] = frozenset({"retain", "forget"})
    answers_altered: ClassVar[bool | None] = None
    role: ClassVar[Role] = "entry"
    does_nothing: ClassVar[bool] = False
    control: ClassVar[bool] = False
    search: ClassVar[dict[str, tuple[Any, ...]]] = {}

    @classmethod
    def build(cls, params: dict[str, Any]) -> Method:
        """An instance with `params` over the defaults.

        Raises:
            LetheError: for an unknown parameter or a value of the wrong type or range.
        """
        return parameters.build(cls, params, cls.name, "method")

    @classmethod
    def has_own_training(cls) -> bool:
        """Whether the method trains its own original instead of sharing the problem's."""
        return cls.train is not Method.train

    @classmethod
    def can_alter(cls) -> bool:
        """Whether it answers requests that alter rows."""
        if cls.answers_altered is not None:
            return cls.answers_altered
        return cls.evidence is None or "forget" not in cls.needs

    @classmethod
    def demands(cls) -> frozenset[Need]:
        """Needs of the method that are about the problem, not about rows."""
        of_classes: frozenset[Need] = frozenset({"classes"})
        found = cls.needs & PROBLEMS
        return found | of_classes if cls.name in _OF_CLASSES else found

    @classmethod
    def ignores_constraint(cls, constrained: bool) -> bool:
        """Whether training is constrained, and the method's bounds are not of such a problem."""
        return constrained and cls.evidence == "distance" and "cone" not in cls.needs

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        """Train on the training rows `rows` (n,); by default as the problem says.

        Shared by every method that does not override it, so that comparisons are paired.
        """
        with clock.phase("training"):
            weights = problem.fit(rows, seeds.generator("training"))
        return State(weights, rows)

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Compute once, after training, what serves every later request; by default nothing.

        Returns the same state with a `memory`. Its time is on the precomputation clock. A state
        that a release leaves behind is not prepared again.
        """
        return original

    @abstractmethod
    def unlearn(self, request: Request) -> Release:
        """Answer `request`. Never mutates its inputs; publishes through `request.release`."""

    def answer(self, request: Request) -> Release:
        """`unlearn`, held to the contract: nothing to forget changes nothing, weights are sound.

        A claim has the caveats of data and problem, whether or not the method wrote them down.

        Raises:
            AssumptionBroken: if rows are altered and the method forgets whole rows alone, or the
                target is a real number and the method is of classes.
            LetheError: if the weights have another shape than the original's or are not finite, if
                a claim rests on other evidence than the method declares, or for BatchNorm's
                statistics among the weights (`benchmark.contract.batch_statistics`).
        """
        if len(request.forget) == 0 and self.evidence is None:
            return request.release(request.original.weights, memory=request.original.memory)
        if len(request.altered) and not self.can_alter():
            raise AssumptionBroken(
                f"{self.name} forgets whole rows, and this request alters {len(request.altered)} "
                "that stay: take newton, newton-chord, certified-removal or retrain"
            )
        if request.problem.target is not None and "classes" in self.demands():
            raise AssumptionBroken(
                f"{self.name} is made for classes, and the target is a real number: take downdate, "
                "newton, newton-chord or fine-tune"
            )
        if self.ignores_constraint(request.problem.constrained):
            raise AssumptionBroken(
                f"{self.name} takes the gradient to vanish where training ends, and training is "
                "within the convex set of a property: take cone-newton, or property.enforce = "
                "'release'"
            )
        release = self.unlearn(request)
        members = release.predictor.members
        if members.shape != torch.atleast_2d(request.original.weights).shape:
            raise LetheError(f"{self.name} released weights of shape {tuple(members.shape)}")
        if not torch.isfinite(members).all():
            raise LetheError(f"{self.name} diverged: its weights are not finite; lower its step")
        if release.claim is not None:
            kind = release.claim.evidence.kind
            if kind not in ("construction", self.evidence):
                raise LetheError(f"{self.name} declares no evidence of the kind '{kind}'")
        batch_statistics.check(self.name, request, release)
        return replace(release, claim=request.with_caveats(release.claim))
