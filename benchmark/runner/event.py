"""What a run tells of its cells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """Something that happened to a cell.

    Attributes:
        kind: it `begins` a phase, was `kept` or `ran`.
        where: the cell, in words.
        phase: that it begins.
        record: of a cell that was kept or ran, safely written; with `failure` and `seconds`.
    """

    kind: Literal["begins", "kept", "ran"]
    where: str
    phase: str = ""
    record: Any = None
