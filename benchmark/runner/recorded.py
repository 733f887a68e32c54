"""From a piece of work to its record: what it found, or what went wrong, and where it ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import torch

from benchmark.records import Envelope, fingerprint
from benchmark.runner.environment import describe
from benchmark.runner.run_cell import Checked, attempt

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
