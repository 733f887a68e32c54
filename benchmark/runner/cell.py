"""A cell: one method on one experiment with one seed, the key of its inputs, and its tuning."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Axis, Seeds
from benchmark.data.forget import ForgetSpec
from benchmark.errors import LetheError, explain, present
from benchmark.experiments.experiment import Experiment, ProblemSpec, Row
from benchmark.problem.model import Predictor
from benchmark.records import MethodInfo, Trial, Tuned, cell_path, fingerprint
from benchmark.registry import GUESTS, Registered
from benchmark.rows import Rows
from benchmark.runner.judge import Judge, judge_of
from benchmark.runner.source import source_hash

# Tuning: some settings of a method are tried before the first request, on the clock.
#
# Every method gets the same number of trials. The setting that stands in the experiment is always
# the first, the others are drawn without repetition from the method's search space. A setting's
# score, in points, is
#
#     validation accuracy - |accuracy on the rows to forget - validation accuracy|:
#
# a model that forgot answers on them as it does on rows it never saw. No retrained model is asked,
# since nobody who unlearns has one; the test rows are not looked at either.
#
# A certified method must not be tuned like that: the choice would look at the trained weights and
# at the rows to forget, and the certificate does not account for what it gives away. Where the
# method has a noise-only control, or is a retraining, its trials are *blind* instead: of zero
# weights, a problem that holds the retained rows alone, and noise and batches of their own, scored
# by validation accuracy. The certificate then stands. *Proof.* The chosen setting S is a function
# of the retained rows, the validation rows and the trials' draws: the same one, hence with the same
# law, whether the original was trained on all rows or on the retained ones, and independent of the
# original given those rows. The release's noise is independent of all of that. So given S = s both
# worlds run the method with the setting s, which is (epsilon, delta) by its theorem, for every s;
# the mean over S keeps it, and so does publishing S along. In a stream the requests after the first
# would face a setting that was chosen on the rows they forget: certified rows are not tuned there.

Setting = dict[str, Any]


class TuningSpec(BaseModel):
    """How a cell's method is tuned.

    Attributes:
        trials: maximum number of settings tried, including the current one.
        search: candidate values of each parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(ge=1)
    search: dict[str, tuple[Any, ...]] = Field(min_length=1)


def tuning_of(
    method: Method, trials: int | None, search: dict[str, tuple[Any, ...]], requests: int = 1
) -> TuningSpec | None:
    """How `method` is tuned; None if it is not: it has nothing to search, or cannot be.

    Args:
        method: as the experiment sets it up.
        trials: of the experiment; None if it does not tune.
        search: of the experiment's row, in place of what the method declares.
        requests: that are answered one after the other.

    Raises:
        LetheError: if the experiment wants a method tuned that cannot be, or a candidate is not a
            value that its parameter takes.
    """
    if (obstacle := _obstacle(method, requests)) is not None:
        if search:
            raise LetheError(f"{method.name} is not tuned: {obstacle}; leave out its search space")
        return None
    search = search or method.search
    if trials is None or not search:
        return None
    checked = {
        name: tuple(getattr(method.build({name: value}), name) for value in values)
        for name, values in search.items()
    }
    return TuningSpec(trials=trials, search=checked)


def _obstacle(method: Method, requests: int) -> str | None:
    """Why `method` cannot be tuned; None if it can."""
    if method.has_own_training():
        return "it trains its own original, which the trials would have to repeat"
    if method.evidence is None:
        return None
    if not method.control and method.role != "floor":
        return "it certifies and has no noise-only control to tune by"
    if requests > 1:
        return "its setting would be chosen on rows that later requests forget"
    return None


def settings(method: Method, spec: TuningSpec, seeds: Seeds) -> list[Setting]:
    """The settings to try: the method's own, then random other ones out of its search space."""
    own = {name: getattr(method, name) for name in spec.search}
    grid = [
        dict(zip(spec.search, values, strict=True))
        for values in itertools.product(*spec.search.values())
    ]
    others = [setting for setting in grid if setting != own]
    generator = seeds.generator("evaluation", "tuning", method.name)
    order = torch.randperm(len(others), generator=generator).tolist()
    return [own, *(others[i] for i in order[: spec.trials - 1])]


def tune(method: Method, spec: TuningSpec, request: Request) -> tuple[Tuned, float]:
    """Try the settings on `request`, preparation included; the best, the first of equals.

    The trials of a certified method are blind. A setting that raises an error is passed over, and
    the error kept.

    Returns:
        what was tried and chosen, and the seconds it took.

    Raises:
        LetheError: if every setting fails.
    """
    clock = Clock(request.problem.device)
    with clock.phase("tuning"):
        request = blind(request) if method.evidence else request
        trials = [
            _try(method.build(method.model_dump() | setting), setting, request)
            for setting in settings(method, spec, request.seeds)
        ]
    found = [trial for trial in trials if trial.score is not None]
    if not found:
        raise LetheError(f"all {len(trials)} settings failed, the first by {trials[0].failure}")
    best = max(found, key=lambda trial: present(trial.score))
    return Tuned(params=best.params, trials=tuple(trials)), clock.seconds["tuning"]


def blind(request: Request) -> Request:
    """What is left of `request` without the original, the rows to forget and the release's draws.

    Nothing is to be forgotten by a model of zero weights, trained on the retained rows, which are
    all the training rows that there are. Noise and batches are drawn from seeds of their own.
    """
    problem = replace(request.problem, train=request.retain_rows)
    rows = torch.arange(len(problem.train))
    nothing = State(request.original.weights.new_zeros(problem.model.dimension), rows)
    seeds = request.seeds.model_copy(
        update={axis: _another(request.seeds, axis) for axis in ("noise", "training")}
    )
    return Request.of(problem, nothing, rows[:0], target=request.target, seeds=seeds)


def _another(seeds: Seeds, axis: Axis) -> int:
    """A seed for `axis` whose streams are unrelated to those of `seeds`."""
    return int(torch.randint(2**62, (), generator=seeds.generator(axis, "tuning")))


def score(judge: Judge[Any], predictor: Predictor, validation: Rows, forget: Rows) -> float:
    """Score that a setting is chosen by, in points; 100 at most.

    Where no row is to be forgotten, as in a blind trial, it is the accuracy on validation rows. For
    a real target, one minus the root mean squared error on its scale takes the place of accuracy.
    """
    unseen = judge.worth(judge.outputs(predictor, validation.x), validation.y)
    if len(forget) == 0:
        return 100 * unseen
    seen = judge.worth(judge.outputs(predictor, forget.x), forget.y)
    return 100 * (unseen - abs(seen - unseen))


def _try(method: Method, setting: Setting, request: Request) -> Trial:
    problem, clock = request.problem, Clock(request.problem.device)
    judge, validation = judge_of(problem), present(problem.validation)
    try:
        original = method.prepare(problem, request.original, request.seeds, clock)
        release = method.answer(replace(request, original=original, clock=clock))
        # predictions of a real number may have no score: they are too large to compute with
        reached = score(judge, release.predictor, validation, request.forget_rows)
        return Trial(params=setting, score=reached)
    except ValidationError as error:
        return Trial(params=setting, score=None, failure=str(explain(error, error.title)))
    except Exception as error:  # any error of a method; the other settings may do better
        return Trial(params=setting, score=None, failure=f"{type(error).__name__}: {error}")


# A cell: one method on one experiment with one seed, and the key of its inputs.

#: The method whose last answer is what all others are measured by.
RETRAIN = "retrain"
#: Raise this when a change to shared code changes results: every record is then out of date.
RECIPE = 3


class Inputs(BaseModel):
    """Everything that determines a cell's numbers; its hash is the cell's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: int
    problem: ProblemSpec
    forget: ForgetSpec
    target: Target
    seeds: Seeds
    device: str
    method: str
    method_source: str
    params: dict[str, Any]
    tuning: TuningSpec | None = Field(None, exclude_if=lambda value: value is None)

    @property
    def key(self) -> str:
        return fingerprint(self.model_dump(mode="json"))

    @classmethod
    def read(cls, content: dict[str, Any], where: str) -> Inputs:
        """The inputs stored in a record.

        Raises:
            LetheError: if they do not fit this version of the project.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise explain(error, where) from error


class Cell(BaseModel):
    """Inputs, and the place of the result on the board."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    experiment: str
    method: Method
    info: MethodInfo
    inputs: Inputs

    @property
    def where(self) -> str:
        """The cell in words."""
        return f"{self.experiment} · {self.info.label} · seed {self.inputs.seeds.split}"

    @property
    def path(self) -> str:
        """Where a results folder keeps its record."""
        return cell_path(self.experiment, self.info.label, self.inputs.seeds.split)

    @property
    def key(self) -> str:
        """See `Inputs`."""
        return self.inputs.key

    @classmethod
    def of(
        cls, experiment: Experiment, row: Row, registered: Registered, seed: int, device: str
    ) -> Cell:
        """The cell of `row` for `seed` on all axes.

        Raises:
            LetheError: for a parameter the method does not have, or a search space that does not
                fit it.
        """
        method = registered.method.build(row.params)
        inputs = Inputs(
            recipe=RECIPE,
            problem=experiment.problem,
            forget=experiment.forget,
            target=experiment.target,
            seeds=Seeds.all(seed),
            device=device,
            method=method.name,
            method_source=source_hash(registered.method, typed=registered.family == GUESTS),
            params=method.model_dump(mode="json"),
            tuning=tuning_of(method, experiment.tuning, row.search, experiment.forget.requests),
        )
        info = describe(method, registered, row.label, row.title)
        return cls(experiment=experiment.name, method=method, info=info, inputs=inputs)


def describe(method: Method, registered: Registered, label: str, title: str | None) -> MethodInfo:
    """What the board says of a method."""
    return MethodInfo(
        name=method.name,
        label=label,
        title=title or method.title,
        family=registered.family,
        role=method.role,
        certifies=method.evidence is not None,
        paper=method.source.paper,
        url=method.source.url,
        params=method.model_dump(mode="json"),
    )
