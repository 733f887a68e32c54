"""Running one cell: a record comes out, whatever happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmark.certify.composition import stream_epsilons
from benchmark.contract.batch_statistics import refuse_bounds
from benchmark.contract.certificate import VERDICTS
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request
from benchmark.files import DiskError
from benchmark.metrics.value import Value
from benchmark.records import Failure, Record, Step, Times
from benchmark.runner.audits import audit
from benchmark.runner.cell import Cell
from benchmark.runner.environment import describe
from benchmark.runner.evaluate import (
    Outputs,
    predict,
    score,
    score_certificate,
    score_control,
    score_restored,
    score_stream,
)
from benchmark.runner.memory import PeakMemory
from benchmark.runner.tuning import tune
from benchmark.runner.workbench import Workbench

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("benchmark", "methods", "baselines")

#: Where every method certifies by bounds or noise; one in `baselines/` does so by construction.
BY_BOUNDS = "methods"


@dataclass(frozen=True)
class Answer:
    """One request of a stream, what it was answered with, and how long that took."""

    request: Request
    release: Release
    seconds: float


def run_cell(cell: Cell, bench: Workbench, listener: Callable[[str], None]) -> Record:
    """Train if need be, unlearn, score. An error becomes a record with status `failed`.

    Args:
        cell: what to run.
        bench: the shared side; a failure to train it is a failure of the cell.
        listener: hears the name of each phase.

    Raises:
        DiskError: if a trained model cannot be stored; that is no fault of the method.
    """
    start = time.perf_counter()
    try:
        outcome: dict[str, Any] = {"status": "ok", **_measure(cell, bench, listener)}
    except DiskError:
        raise
    except Exception as error:  # any error of a method: recorded, and the rest goes on
        outcome = {"status": "failed", "failure": describe_failure(error)}
    tuned = outcome.get("tuned")
    params = cell.info.params | (tuned.params if tuned else {})
    return Record(
        key=cell.inputs.key,
        experiment=cell.experiment,
        method=cell.info.model_copy(update={"params": params}),
        seeds=cell.inputs.seeds,
        inputs=cell.inputs.model_dump(mode="json"),
        data=bench.data,
        seconds=time.perf_counter() - start,
        environment=describe(bench.problem.device),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **outcome,
    )


def _measure(cell: Cell, bench: Workbench, listener: Callable[[str], None]) -> dict[str, Any]:
    """The parts of a record that only a cell that succeeds has."""
    problem, method, seeds = bench.problem, cell.method, cell.inputs.seeds
    if cell.info.family == BY_BOUNDS:  # at once, before a minute goes by for nothing
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
        first = Request.of(
            problem, original, bench.requests[0], target=cell.inputs.target, seeds=seeds
        )
        tuned, tuning = tune(method, cell.inputs.tuning, first)
        method = method.build(method.model_dump() | tuned.params)
    once = Clock(problem.device, listener)
    original = method.prepare(problem, original, seeds, once)
    reference, retrain = bench.reference
    clock = Clock(problem.device, listener)
    answers: list[Answer] = []
    with PeakMemory(problem.device) as memory:
        for number, forget in enumerate(bench.requests):
            state = answers[-1].release.state if answers else original
            request = Request.of(
                problem,
                state,
                forget,
                target=cell.inputs.target,
                seeds=seeds,
                clock=clock,
                number=number,
            )
            start = clock.now()
            release = method.answer(request)
            answers.append(Answer(request, release, clock.now() - start))
    listener("scoring")
    release = answers[-1].release
    outputs = predict(release.predictor, problem, bench.forget, bench.retain)
    certificates = [answer.release.certificate for answer in answers]
    verdicts = [certificate.verdict if certificate else "none" for certificate in certificates]
    return {
        "metrics": score(outputs, bench.reference_outputs)
        | score_certificate(release.state.weights, reference, certificates[-1], shared)
        | score_stream(certificates)
        | score_restored(release.predictor, problem, bench.forget, bench.true_labels)
        | _control(method, answers[-1].request, outputs, bench)
        | audit(answers[-1].request, release),
        "certificate": certificates[-1],
        "stream": _stream(answers),
        "verdict": max(verdicts, key=VERDICTS.index),
        "times": Times(
            unlearn=sum(answer.seconds for answer in answers) / len(answers),
            phases={name: total / len(answers) for name, total in clock.seconds.items()},
            training=training,
            precomputation=sum(once.seconds.values()),
            retrain=retrain,
            tuning=tuning,
        ),
        "tuned": tuned,
        "peak_memory": memory.bytes,
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
    return score_control(outputs, predict(predictor, bench.problem, bench.forget, bench.retain))


def _stream(answers: list[Answer]) -> tuple[Step, ...]:
    """What each release of a stream proves, alone and with those before it."""
    certificates = [answer.release.certificate for answer in answers]
    if len(answers) == 1 or None in certificates:
        return ()
    ms = [c.sensitivity / c.sigma if c.sigma else 0.0 for c in certificates]
    composes = all(c.composes for c in certificates)
    epsilons = stream_epsilons(ms, certificates[-1].delta) if any(ms) and composes else None
    return tuple(
        Step(
            epsilon=c.epsilon,
            composed_epsilon=epsilons[i].composed if epsilons else (0.0 if composes else None),
            sensitivity=c.sensitivity,
            reached=c.reached,
            sigma=c.sigma,
            theorem=c.theorem,
            seconds=answer.seconds,
        )
        for i, (c, answer) in enumerate(zip(certificates, answers, strict=True))
    )


def describe_failure(error: Exception) -> Failure:
    """What a record says of an error."""
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        ours = path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS
        if ours:  # the innermost line of ours, as a path that means the same on any machine
            where = f"{path.relative_to(_ROOT)}:{frame.lineno}"
    return Failure(type=type(error).__name__, message=str(error), where=where)
