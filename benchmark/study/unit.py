"""Pieces and units of work: what gets a record, and what one process runs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Piece(Protocol):
    """What gets one record.

    Attributes:
        where: it in words, for people.
        path: of its record within a results folder, with forward slashes.
        key: sha256 of everything that determines its numbers.
    """

    @property
    def where(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def key(self) -> str: ...


P = TypeVar("P", bound=Piece)


@dataclass(frozen=True)
class Unit(Generic[P]):
    """Pieces that share data and models: what one process, or one task of a cluster, runs.

    Attributes:
        group: the larger whole, such as an experiment's name.
        part: of it, such as `seed 0`.
        pieces: in order.
    """

    group: str
    part: str
    pieces: Sequence[P]

    @property
    def place(self) -> tuple[str, str]:
        """What the unit is known by."""
        return self.group, self.part

    @property
    def where(self) -> str:
        """The unit in words."""
        return f"{self.group}, {self.part}"
