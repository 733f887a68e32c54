"""Sinks beside the records. Records stay the source of truth; a sink may fail without loss."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol

from benchmark.errors import LetheError
from benchmark.files import cache_folder
from benchmark.records import Record

Mode = Literal["off", "offline", "online"]


class Tracker(Protocol):
    """Hears of every record once it is safely written."""

    def log(self, record: Record) -> None: ...


class WandbTracker:
    """One Weights & Biases run a cell, grouped by experiment.

    Args:
        mode: `offline` writes under `folder` and sends nothing; `online` sends.
        folder: where the runs' files go.
    """

    def __init__(self, mode: Literal["offline", "online"], folder: Path) -> None:
        self._mode = mode
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_CACHE_DIR", str(cache_folder() / "wandb"))

    def log(self, record: Record) -> None:
        """Send one cell: its inputs as configuration, its numbers as summary.

        Raises:
            LetheError: if W&B cannot take it.
        """
        import wandb  # slow to import, and off by default

        try:
            run = wandb.init(
                project="lethe",
                group=record.experiment,
                name=f"{record.method.label}-seed-{record.seeds.training}",
                config={"key": record.key, **record.inputs},
                dir=self._folder,
                mode=self._mode,
                settings=wandb.Settings(console="off", x_disable_stats=True, disable_code=True),
            )
            run.summary.update(summary(record))
            run.finish()
        except wandb.Error as error:
            raise LetheError(
                f"W&B did not take the record ({error}); the records are safe, use --track offline"
            ) from error


def summary(record: Record) -> dict[str, float | str]:
    """The numbers of a record under flat names; what has no value is left out."""
    flat: dict[str, float | str] = {"status": record.status, "verdict": record.verdict}
    for name, metric in record.metrics.items():
        if metric.value is not None:
            flat[name] = metric.value
    if record.claim is not None:
        flat |= {"claim_epsilon": record.claim.epsilon, "claim_delta": record.claim.delta}
        flat |= {"claim_m": record.claim.guarantee.m}
        for name in ("bound", "sigma"):
            value = getattr(record.claim.evidence, name, None)
            flat |= {} if value is None else {f"claim_{name}": value}
    if record.times is not None:
        flat["time_unlearn"] = record.times.unlearn
        flat["time_retrain"] = record.times.retrain
        flat |= {f"time_{phase}": seconds for phase, seconds in record.times.phases.items()}
    return flat


def tracker(mode: Mode, folder: Path) -> Tracker | None:
    """The sink for `--track`; None for `off`."""
    return None if mode == "off" else WandbTracker(mode, folder)
