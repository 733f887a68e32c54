"""Keep or run: the one loop over the pieces of a unit, and what it tells meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from benchmark import predictions
from benchmark.records import Envelope, Store
from benchmark.study.study import Bench, Study, Unit


@dataclass(frozen=True)
class Event:
    """Something that happened to a piece.

    Attributes:
        kind: it `begins` a phase, was `kept` or `ran`.
        where: the piece, in words.
        phase: that it begins.
        record: of a piece that was kept or ran, safely written.
    """

    kind: Literal["begins", "kept", "ran"]
    where: str
    phase: str = ""
    record: Envelope | None = None


def run_unit(
    study: type[Study],
    unit: Unit,
    store: Store,
    device: torch.device,
    fresh: bool,
    tell: Callable[[Event], None],
) -> None:
    """Run what is missing; data and models are only touched if there is something.

    Args:
        study: that the unit is of.
        unit: to run.
        store: where records go, one after each piece, so that a stop loses one at most.
        device: where to compute.
        fresh: run again what is there, trained models too.
        tell: hears of every piece.

    Raises:
        LetheError: for anything wrong with the data or the disk.
    """
    bench: Bench | None = None
    for piece in unit.pieces:
        kept = store.kept(piece.path, study.record, piece.key)  # refuses what is of a newer version
        if kept is not None and not fresh:
            tell(Event("kept", piece.where, record=kept))
            continue

        def begins(phase: str, where: str = piece.where) -> None:
            tell(Event("begins", where, phase))

        begins("data")
        if bench is None:
            bench = study.open(unit.pieces, device, None if fresh else store.artifacts)
        record = bench.run(piece, begins)
        if record.status == "failed" and not bench.intact:
            bench = None  # what the method left of it is not given to the next
        if (content := record.taken_beside()) is not None:
            predictions.write(store.folder, record.key, content)
        store.put(piece.path, record)
        tell(Event("ran", piece.where, record=record))
    if bench is not None:  # gigabytes in a cycle of references, which the next unit needs
        del bench
        gc.collect()


def is_done(study: type[Study], unit: Unit, store: Store) -> bool:
    """Whether every piece has a current record, failed or not."""
    return all(store.kept(p.path, study.record, p.key) is not None for p in unit.pieces)
