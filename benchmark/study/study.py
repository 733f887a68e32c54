"""Studies: what is run piece by piece, its units of work, and the loop that keeps or runs them."""

from __future__ import annotations

import gc
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from pydantic import BaseModel, ConfigDict

from benchmark import plugins, predictions
from benchmark.contract.method import Source
from benchmark.errors import LetheError, unknown
from benchmark.records import Contents, Envelope, Plan, Store


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


# What a study is: the contract of everything that is run piece by piece.

#: Hears the name of each phase that a piece begins.
Listener = Callable[[str], None]

Asked = TypeVar("Asked", bound=Piece, contravariant=True)
Made = TypeVar("Made", bound=Envelope, covariant=True)
E = TypeVar("E", bound=Envelope)


class Bench(Protocol[Asked, Made]):
    """Data and models that the pieces of a unit share, and what runs them."""

    def run(self, piece: Asked, listener: Listener) -> Made:
        """The piece's record. An error of a method becomes a record with status `failed`.

        Raises:
            LetheError: for what is no method's fault, such as data that cannot be had.
        """
        ...

    @property
    def intact(self) -> bool:
        """Whether the next piece may be given what this one left."""
        ...


class Study(BaseModel, ABC, Generic[P, E]):
    """A study with its settings; a file in `benchmark/studies` that holds one registers it.

    It is generic in its pieces, P, and their records, E. A run of it keeps the records that are
    current, makes the others one after the other, and may be stopped, resumed, spread over
    processes, shards or a cluster, tracked and reproduced.

    Attributes:
        name: by which submissions to a cluster know it.
        title: for people.
        source: the paper whose question it asks.
        record: the class of its records, with a `kind` that no other study's have and a
            `schema_version`, both fields with a default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source]
    record: ClassVar[type[Envelope]]

    @abstractmethod
    def units(self, device: str) -> list[Unit[P]]:
        """Everything there is to run on `device`, `cpu` or `cuda`, in order.

        Raises:
            LetheError: for settings that make no sense. No data are touched.
        """

    def begin(self, store: Store, units: list[Unit[P]]) -> None:
        """Settle what all units need before the first one runs, such as data and plans.

        By default, write down what the study consists of.

        Raises:
            LetheError: if the data cannot be had or something cannot be written.
        """
        store.keep_contents(self.name, {p.path: p.where for unit in units for p in unit.pieces})

    @classmethod
    @abstractmethod
    def open(cls, pieces: Sequence[P], device: torch.device, folder: Path | None) -> Bench[P, E]:
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
    def again(cls, record: E, device: str) -> tuple[P, list[str]]:
        """The piece of a record, from its inputs alone, and remarks on what has changed since.

        Raises:
            LetheError: if something that it needs is gone, or the inputs fit no longer.
        """


def _is_study(cls: type) -> bool:
    return issubclass(cls, Study) and not inspect.isabstract(cls)


#: Kinds of what else lies in a results folder.
_TAKEN = tuple(kept.model_fields["kind"].default for kept in (Plan, Contents))


def _lacks(cls: type) -> str:
    """What is wrong with the record that a study declares, in words; "" where nothing."""
    record = getattr(cls, "record", None)
    if not (inspect.isclass(record) and issubclass(record, Envelope)):
        return "declares no 'record': name a class derived from benchmark.records.Envelope"
    for name, wanted in (("kind", str), ("schema_version", int)):
        field = record.model_fields.get(name)
        if field is None or not isinstance(field.default, wanted):
            one = "a text" if wanted is str else "a whole number"
            return (
                f"keeps records of {record.__name__}, whose '{name}' has no default: give it {one}"
            )
    if (kind := _kind_of(cls)) in _TAKEN:
        return f"keeps records of kind '{kind}', which is no study's: choose another"
    return ""


def _kind_of(study: type[Study]) -> str:
    return study.record.model_fields["kind"].default


KIND = plugins.Kind[Study](
    word="study",
    wanted="a class derived from benchmark.study.study.Study",
    accepts=_is_study,
    packages=("benchmark.studies",),
    group="lethe.studies",
    lacks=_lacks,
)


@cache
def discover() -> dict[str, type[Study]]:
    """Every study by name, those of installed plug-ins too.

    Raises:
        LetheError: if a file cannot be imported, a study declares no record that can be read
            again, or two studies share a name or a kind of record.
    """
    studies = KIND.classes()
    owners: dict[str, type[Study]] = {}
    for study in studies.values():
        owner = owners.setdefault(_kind_of(study), study)
        if owner is not study:
            raise LetheError(
                f"two studies keep records of kind '{_kind_of(study)}': {plugins.place(owner)} and "
                f"{plugins.place(study)}: give the records of one a kind of their own"
            )
    return studies


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
    return {_kind_of(study): study for study in discover().values()}.get(kind or "")


# Keep or run: the one loop over the pieces of a unit, and what it tells meanwhile.


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


@contextmanager
def _tidied() -> Iterator[None]:
    """Free what a block leaves in cycles of references, gigabytes that the next block may need.

    What was there before it, torch's classes and all, is not looked through.
    """
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()


@_tidied()
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


def is_done(study: type[Study], unit: Unit, store: Store) -> bool:
    """Whether every piece has a current record, failed or not."""
    return all(store.kept(p.path, study.record, p.key) is not None for p in unit.pieces)
