"""Running one cell: a record comes out, whatever happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor

from benchmark import settings
from benchmark.contract.batch_statistics import refuse_bounds
from benchmark.contract.claim import VERDICTS, Claim, Distance
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.guarantee import Gaussian, compose
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request
from benchmark.contract.value import Value
from benchmark.ends import kept_alive
from benchmark.errors import explain
from benchmark.files import DiskError
from benchmark.metrics.metric import Predictions
from benchmark.metrics.utility import score_public
from benchmark.predictions import content_of
from benchmark.problem.model import Predictor
from benchmark.records import Envelope, Failure, Record, Step, Times, fingerprint
from benchmark.runner.cell import RETRAIN, Cell, tune
from benchmark.runner.device import PeakMemory, describe
from benchmark.runner.evaluate import (
    Outputs,
    audit,
    denoised,
    score,
    score_claim,
    score_control,
    score_noise,
    score_restored,
    score_stream,
)
from benchmark.runner.graphs import graph_metrics, with_published
from benchmark.runner.properties import became_of
from benchmark.runner.workbench import Workbench

# Running one cell: a record comes out, whatever happens.

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("benchmark", "methods", "baselines")


@dataclass(frozen=True)
class Answer:
    """One request of a stream, what it was answered with, and how long that took."""

    request: Request
    release: Release
    seconds: float

    def spent(self) -> Answer:
        """The answer without what the method kept for later requests, which may be large."""
        start, end = (replace(s, memory=None) for s in (self.request.original, self.release.state))
        request = replace(self.request, original=start)
        return Answer(request, replace(self.release, state=end), self.seconds)


def run_cell(cell: Cell, bench: Workbench, listener: Callable[[str], None]) -> Record:
    """Train if need be, unlearn, score. An error becomes a record with status `failed`.

    Args:
        cell: what to run.
        bench: the shared side; a failure to train it is a failure of the cell.
        listener: hears the name of each phase.

    Raises:
        DiskError: if a trained model cannot be stored; that is no fault of the method.
    """
    data, device = bench.data, bench.problem.device  # as they are before a method has them
    start = time.perf_counter()
    outcome = attempt(lambda: _measure(cell, bench, listener), cell.method.name, bench)
    tuned = outcome.get("tuned")
    params = cell.info.params | (tuned.params if tuned else {})
    kept = outcome.pop("predictions", None)
    record = Record(
        key=cell.inputs.key,
        experiment=cell.experiment,
        method=cell.info.model_copy(update={"params": params}),
        seeds=cell.inputs.seeds,
        inputs=cell.inputs.model_dump(mode="json"),
        data=data,
        seconds=time.perf_counter() - start,
        environment=describe(device),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **outcome,
    )
    record.keep_beside(kept)
    return record


class Checked(Protocol):
    """What a method is given."""

    def check(self, who: str) -> None:
        """Compare it with what it was.

        Raises:
            InputsChanged: if something is different, by the fault of `who`.
        """
        ...


def attempt(work: Callable[[], dict[str, Any]], method: str, bench: Checked) -> dict[str, Any]:
    """What a record says of `work`: its content, or what went wrong.

    Args:
        work: of a method.
        method: its name.
        bench: what the method was given; it must be as it was, like the libraries' settings.

    Raises:
        DiskError: if a trained model cannot be stored; that is no fault of the method.
    """
    try:
        try:
            with settings.kept(method), kept_alive():
                content = work()
        finally:
            bench.check(method)  # first, as an error may follow from what was changed
    except DiskError:
        raise
    except Exception as error:  # any error of a method: recorded, and the rest goes on
        return {"status": "failed", "failure": describe_failure(error)}
    return {"status": "ok", **content}


def _measure(cell: Cell, bench: Workbench, listener: Callable[[str], None]) -> dict[str, Any]:
    """The parts of a record that only a cell that succeeds has."""
    problem, method, seeds = bench.problem, cell.method, cell.inputs.seeds
    if method.evidence in ("distance", "algorithm"):  # at once, before a minute goes by
        refuse_bounds(problem)
    shared = not method.has_own_training()
    listener("training")
    if shared:
        original, training = bench.original
    else:
        own = Clock(problem.device)
        original = method.train(problem, bench.rows, seeds, own)
        training = sum(own.seconds.values())
    tuned, tuning = None, None
    if cell.inputs.tuning is not None:
        listener("tuning")
        first = bench.request(0, original, target=cell.inputs.target, seeds=seeds)
        tuned, tuning = tune(method, cell.inputs.tuning, first)
        method = method.build(method.model_dump() | tuned.params)
    once = Clock(problem.device, listener)
    original = method.prepare(problem, original, seeds, once)
    if method.name != RETRAIN:
        _ = bench.reference  # trained by now, outside of what is measured
    clock = Clock(problem.device, listener)
    answers: list[Answer] = []
    with PeakMemory(problem.device) as memory:
        for number in range(len(bench.requests)):
            state = answers[-1].release.state if answers else original
            request = bench.request(
                number, state, target=cell.inputs.target, seeds=seeds, clock=clock
            )
            start = clock.now()
            release = method.answer(request)
            seconds = clock.now() - start + bench.propagation(number)
            answers[-1:] = (answer.spent() for answer in answers[-1:])
            answers.append(Answer(request, release, seconds))
    listener("scoring")
    release = answers[-1].release
    if method.name == RETRAIN:
        spent = answers[-1].seconds - bench.propagation(len(answers) - 1)
        bench.take_reference(release.state.weights, spent)
    reference, retrain = bench.reference
    problem, outputs = bench.after, bench.predict(release.predictor)
    propagation = sum(map(bench.propagation, range(len(answers)))) / len(answers)
    phases = {name: total / len(answers) for name, total in clock.seconds.items()}
    claims = [answer.release.claim for answer in answers]
    return {
        "metrics": score(outputs, bench.reference_outputs)
        | score_claim(denoised(answers[-1].request, release), reference, claims[-1], shared)
        | score_noise(outputs, Predictor(problem.model, release.state.weights), problem, claims[-1])
        | score_stream(claims, cell.inputs.target)
        | score_restored(release.predictor, problem, bench.forget, bench.true_labels)
        | _control(method, answers[-1].request, outputs, bench)
        | _public(outputs, bench)
        | graph_metrics(bench, release.predictor)
        | _audit(answers, original.weights, reference),
        "claim": with_published(claims[-1], bench, original.weights, release.state.weights),
        "stream": _stream(answers),
        "verdict": max(map(verdict, claims), key=VERDICTS.index),
        "times": Times(
            unlearn=sum(answer.seconds for answer in answers) / len(answers),
            phases=phases | ({"propagation": propagation} if bench.stream is not None else {}),
            training=training,
            precomputation=sum(once.seconds.values()),
            retrain=retrain + propagation,
            tuning=tuning,
        ),
        "tuned": tuned,
        "kept": became_of(cell.inputs.problem.kept_property, bench, original, release),
        "peak_memory": memory.bytes,
        "predictions": content_of(outputs.predictions),
    }


def _control(
    method: Method, request: Request, outputs: Outputs, bench: Workbench
) -> dict[str, Value]:
    """The last request answered again from zero weights, with the same noise, on its own clock."""
    if not method.control:
        return {}
    nothing = replace(request.original, weights=torch.zeros_like(request.original.weights))
    again = replace(request, original=nothing, clock=Clock(bench.problem.device))
    predictor = method.answer(again).predictor
    return score_control(outputs, bench.predict(predictor))


def _public(outputs: Outputs, bench: Workbench) -> dict[str, Value]:
    """The controls of public rows, where there are any."""
    predictions = outputs.predictions["test"]
    if bench.problem.public is None or not isinstance(predictions, Predictions):
        return {}  # a real target has no public rows
    said = predictions.log_probabilities.argmax(axis=1)
    return score_public(said == bench.problem.test.y.cpu().numpy(), bench.public_controls)


def _audit(answers: list[Answer], original: Tensor, reference: Tensor) -> dict[str, Value]:
    """Tests of the published noise, also on the way from the retrained weights and the original."""
    released = answers[-1].release.state.weights
    directions = {
        name: start - end
        for name, start, end in (
            ("the way to the retrained weights", released, reference),
            ("the way from the original", original, released),
        )
        if start.shape == end.shape == released.shape
    }
    return audit([(answer.request, answer.release) for answer in answers], directions)


def _stream(answers: list[Answer]) -> tuple[Step, ...]:
    """What each release of a stream keeps, alone and with those before it."""
    claims = [answer.release.claim for answer in answers if answer.release.claim is not None]
    if len(answers) == 1 or len(claims) < len(answers):
        return ()
    composes = all(claim.composes for claim in claims)
    return tuple(
        Step(
            epsilon=claim.epsilon,
            composed_epsilon=_together(claims[: i + 1]) if composes else None,
            measured_epsilon=_together_measured(claims[: i + 1]) if composes else None,
            m=claim.guarantee.m,
            sigma=getattr(claim.evidence, "sigma", 0.0),
            bound=claim.bound,
            reached=claim.evidence.reached if isinstance(claim.evidence, Distance) else None,
            steps=_counted(claim),
            seconds=answer.seconds,
        )
        for i, (claim, answer) in enumerate(zip(claims, answers, strict=True))
    )


def _together(claims: list[Claim]) -> float:
    """Epsilon of several releases, whatever the requests were."""
    return compose(claim.guarantee for claim in claims).epsilon(claims[-1].delta)


def _together_measured(claims: list[Claim]) -> float | None:
    """The same by the bounds that were proved for these requests."""
    if not all(isinstance(claim.evidence, Distance) for claim in claims):
        return None
    ms = [claim.distance.reached / claim.distance.sigma for claim in claims]
    return compose(Gaussian(m=m) for m in ms if m > 0).epsilon(claims[-1].delta)


def _counted(claim: Claim) -> int | None:
    """Steps that were taken on the retained rows."""
    measured = claim.evidence.measured if isinstance(claim.evidence, Distance) else ()
    return next((int(c.value) for c in measured if c.name == "steps_taken"), None)


def describe_failure(error: Exception) -> Failure:
    """What a record says of an error."""
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        ours = path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS
        if ours:  # the innermost line of ours, as a path that means the same on any machine
            where = f"{path.relative_to(_ROOT)}:{frame.lineno}"
    try:
        text = str(explain(error, error.title) if isinstance(error, ValidationError) else error)
    except Exception:  # the error is a method's own, and so is what makes a text of it
        text = ""
    text = text or f"{type(error).__name__}, without a text"
    text = text.encode("utf-8", errors="replace").decode()  # an error may hold half a letter
    return Failure(type=type(error).__name__, message=text, where=where)


# From a piece of work to its record: what it found, or what went wrong, and where it ran.

E = TypeVar("E", bound=Envelope)


def recorded(
    kind: type[E],
    inputs: dict[str, Any],
    work: Callable[[], dict[str, Any]],
    method: str,
    bench: Checked,
    device: torch.device,
    /,
    **known: Any,
) -> E:
    """Do the work of a method. An error becomes a record with status `failed`.

    Args:
        kind: of the record.
        inputs: everything that determines what the work gives.
        work: gives the parts of the record that only a success has.
        method: its name.
        bench: what the method is given; it must be as it was.
        device: where it computes.
        **known: the other parts of the record; where the work gives them too, that counts.

    Raises:
        DiskError: if a trained model cannot be stored; that is no fault of the method.
    """
    return measured(kind, inputs, lambda: attempt(work, method, bench), device, **known)


def measured(
    kind: type[E],
    inputs: dict[str, Any],
    work: Callable[[], dict[str, Any]],
    device: torch.device,
    /,
    **known: Any,
) -> E:
    """Do some work, on the clock, and record what it gives; its errors are not caught.

    Args:
        kind: of the record.
        inputs: everything that determines what the work gives.
        work: gives parts of the record, its `status` among them unless that is known.
        device: where it computes.
        **known: the other parts of the record; where the work gives them too, that counts.
    """
    start = time.perf_counter()
    outcome = work()
    return kind(
        key=fingerprint(inputs),
        inputs=inputs,
        seconds=time.perf_counter() - start,
        environment=describe(device),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **(known | outcome),
    )
