"""An executor."""

from __future__ import annotations

from typing import Any

import torch

from lethe import Executor, ExecutorSettings, run_unit


class OutsideExecutor(Executor):
    """Units here, the last one first."""

    name = "outside-executor"
    title = "Outside executor"
    source = "a test"

    @classmethod
    def of(cls, asked: ExecutorSettings) -> OutsideExecutor:
        return cls()

    def run(self, study: Any, units: list[Any], store: Any, fresh: bool, tell: Any) -> None:
        for unit in reversed(units):
            run_unit(type(study), unit, store, torch.device("cpu"), fresh, tell)
