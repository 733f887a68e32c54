"""Sinks beside the records. Records stay the source of truth; a sink may fail without loss."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol

from benchmark.errors import LetheError
from benchmark.files import cache_folder
from benchmark.records import Envelope

Mode = Literal["off", "offline", "online"]


class Tracker(Protocol):
    """Hears of every record once it is safely written."""

    def log(self, record: Envelope) -> None: ...


class WandbTracker:
    """One Weights & Biases run a record, grouped by experiment or study.

    Args:
        mode: `offline` writes under `folder` and sends nothing; `online` sends.
        folder: where the runs' files go.

    Raises:
        LetheError: if W&B is not installed.
    """

    def __init__(self, mode: Literal["offline", "online"], folder: Path) -> None:
        try:
            import wandb  # noqa: F401  # slow, and here rather than after the first piece
        except ImportError as error:
            raise LetheError(
                f"--track {mode} needs Weights & Biases, which cannot be imported ({error}): "
                "pip install wandb, or leave out --track"
            ) from error
        self._mode = mode
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_CACHE_DIR", str(cache_folder() / "wandb"))

    def log(self, record: Envelope) -> None:
        """Send one record: its inputs as configuration, its numbers as summary.

        Raises:
            LetheError: if W&B cannot take it.
        """
        import wandb

        try:
            run = wandb.init(
                project="lethe",
                group=record.group,
                name=record.title,
                config={"key": record.key, **record.inputs},
                dir=self._folder,
                mode=self._mode,
                settings=wandb.Settings(console="off", x_disable_stats=True, disable_code=True),
            )
            run.summary.update(record.summary())
            run.finish()
        except wandb.Error as error:
            raise LetheError(
                f"W&B did not take the record ({error}); the records are safe, use --track offline"
            ) from error


def tracker(mode: Mode, folder: Path) -> Tracker | None:
    """The sink for `--track`; None for `off`."""
    return None if mode == "off" else WandbTracker(mode, folder)
