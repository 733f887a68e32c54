"""What a study is: the contract of everything that is run piece by piece."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict

from benchmark import plugins
from benchmark.contract.method import Source
from benchmark.errors import unknown
from benchmark.records import Envelope, Store
from benchmark.study.unit import Piece, Unit

#: Hears the name of each phase that a piece begins.
Listener = Callable[[str], None]


class Bench(Protocol):
    """Data and models that the pieces of a unit share, and what runs them."""

    def run(self, piece: Piece, listener: Listener) -> Envelope:
        """The piece's record. An error of a method becomes a record with status `failed`.

        Raises:
            LetheError: for what is no method's fault, such as data that cannot be had.
        """
        ...

    @property
    def intact(self) -> bool:
        """Whether the next piece may be given what this one left."""
        ...


class Study(BaseModel, ABC):
    """A study with its settings; a file in `benchmark/studies` that holds one registers it.

    A run of it keeps the records that are current, makes the others one after the other, and may
    be stopped, resumed, spread over processes, shards or a cluster, tracked and reproduced.

    Attributes:
        name: by which submissions to a cluster know it.
        title: for people.
        source: the paper whose question it asks.
        record: the class of its records, which names their kind and schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source]
    record: ClassVar[type[Envelope]]

    @abstractmethod
    def units(self, device: str) -> list[Unit]:
        """Everything there is to run on `device`, `cpu` or `cuda`, in order.

        Raises:
            LetheError: for settings that make no sense. No data are touched.
        """

    def begin(self, store: Store, units: list[Unit]) -> None:
        """Settle what all units need before the first one runs, such as data and plans.

        By default, write down what the study consists of.

        Raises:
            LetheError: if the data cannot be had or something cannot be written.
        """
        store.keep_contents(self.name, {p.path: p.where for unit in units for p in unit.pieces})

    @classmethod
    @abstractmethod
    def open(cls, pieces: Sequence[Piece], device: torch.device, folder: Path | None) -> Bench:
        """The shared side of one unit's pieces.

        Args:
            pieces: of which at least one will run.
            device: where to compute.
            folder: where trained models are kept; None keeps nothing.

        Raises:
            LetheError: if the data cannot be had.
        """

    @classmethod
    @abstractmethod
    def again(cls, record: Envelope, device: str) -> tuple[Piece, list[str]]:
        """The piece of a record, from its inputs alone, and remarks on what has changed since.

        Raises:
            LetheError: if something that it needs is gone, or the inputs fit no longer.
        """


def _is_study(cls: type) -> bool:
    return issubclass(cls, Study) and not inspect.isabstract(cls)


_KIND = plugins.Kind(
    word="study",
    wanted="a class derived from benchmark.study.study.Study",
    accepts=_is_study,
    packages=("benchmark.studies",),
    group="lethe.studies",
)


@cache
def discover() -> dict[str, type[Study]]:
    """Every study by name, those of installed plug-ins too.

    Raises:
        LetheError: if a file cannot be imported, or two studies share a name.
    """
    return {name: found.cls for name, found in plugins.discover(_KIND).items()}


def find(name: str) -> type[Study]:
    """The study of that name.

    Raises:
        LetheError: if there is none.
    """
    found = discover()
    if name not in found:
        raise unknown("study", name, found)
    return found[name]


def of_kind(kind: str | None) -> type[Study] | None:
    """The study whose records are of a kind; None if there is none."""
    kinds = {study.record.model_fields["kind"].default: study for study in discover().values()}
    return kinds.get(kind)
