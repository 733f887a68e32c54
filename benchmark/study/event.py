"""What a run tells of its pieces while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.records import Envelope


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
