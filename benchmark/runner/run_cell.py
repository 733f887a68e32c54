"""Running one cell: a record comes out, whatever happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.files import DiskError
from benchmark.records import Failure, Record, Times
from benchmark.runner.audits import audit
from benchmark.runner.cell import Cell
from benchmark.runner.environment import describe
from benchmark.runner.evaluate import predict, score, score_certificate
from benchmark.runner.memory import PeakMemory
from benchmark.runner.workbench import Workbench

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("benchmark", "methods", "baselines")


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
        outcome = {"status": "failed", "failure": _failure(error)}
    return Record(
        key=cell.inputs.key,
        experiment=cell.experiment,
        method=cell.info,
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
    shared = not method.has_own_training()
    listener("training")
    if shared:
        original, training = bench.original
    else:
        own = Clock(problem.device)
        original = method.train(problem, bench.rows, seeds, own)
        training = sum(own.seconds.values())
    reference, retrain = bench.reference
    clock = Clock(problem.device, listener)
    target = cell.inputs.target
    request = Request.of(problem, original, bench.forget, target=target, seeds=seeds, clock=clock)
    with PeakMemory(problem.device) as memory:
        start = clock.now()
        release = method.answer(request)
        unlearn = clock.now() - start
    listener("scoring")
    outputs = predict(release.predictor, problem, bench.forget, bench.retain)
    certificate = release.certificate
    return {
        "metrics": score(outputs, bench.reference_outputs)
        | score_certificate(release.state.weights, reference, certificate, shared)
        | audit(request, release),
        "certificate": certificate,
        "verdict": certificate.verdict if certificate else "none",
        "times": Times(unlearn=unlearn, phases=clock.seconds, training=training, retrain=retrain),
        "peak_memory": memory.bytes,
    }


def _failure(error: Exception) -> Failure:
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        ours = path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS
        if ours:  # the innermost line of ours, as a path that means the same on any machine
            where = f"{path.relative_to(_ROOT)}:{frame.lineno}"
    return Failure(type=type(error).__name__, message=str(error), where=where)
