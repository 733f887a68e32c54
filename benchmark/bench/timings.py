"""What the studies of timings share: their systems, what a key is made of, what is planned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch

from benchmark.bench.systems import Bench, Size, SystemSpec, find_system, prepare, specs
from benchmark.errors import LetheError, unknown
from benchmark.json_file import Sound
from benchmark.records import Envelope, Store, study_path
from benchmark.runner.environment import cpu_model
from benchmark.study.study import Study
from benchmark.study.unit import Piece, Unit

#: Raise this when a change to the timings changes what is timed.
RECIPE = 1


class TimedPiece(Piece, Protocol):
    """Something that is timed on a system."""

    @property
    def spec(self) -> SystemSpec: ...

    @property
    def device(self) -> str: ...


T = TypeVar("T", bound=TimedPiece)
E = TypeVar("E", bound=Envelope)
N = TypeVar("N", bound=str)


class Timings(Study[T, E]):
    """A study of times on the systems of one size.

    Attributes:
        size: of the systems, `smoke` or `full`.
        systems: their names; None for all that the device solves.
        threads: of the process.
    """

    size: Size = "full"
    systems: tuple[str, ...] | None = None
    threads: int = 1

    @abstractmethod
    def planned(self, device: str) -> Sequence[T]:
        """All that the board should have of this size on `device`, asked for or not."""

    def begin(self, store: Store, units: list[Unit[T]]) -> None:
        """Write down what is planned, beside what is for other devices and sizes.

        Raises:
            LetheError: if it cannot be written.
        """
        device = units[0].pieces[0].device
        planned = self.planned(device)
        ours = {study_path(self.name, device, piece.spec.name, "") for piece in planned}
        others = {
            path: where
            for path, where in _known(store, self.name).items()
            if not path.startswith(tuple(ours))
        }
        whole = others | {piece.path: piece.where for piece in planned}
        store.keep_contents(self.name, dict(sorted(whole.items())))


class OneSystem:
    """What times pieces on one system at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._system: Bench | None = None

    @property
    def intact(self) -> bool:
        """Nothing is shared that a piece could change."""
        return True

    def _bench(self, spec: SystemSpec) -> Bench:
        """The system, loaded; the one before is let go."""
        if self._system is None or self._system.spec != spec:
            self._system = None
            self._system = prepare(spec, self._device)
        return self._system


def _known(store: Store, study: str) -> dict[str, str]:
    """What was planned so far; a damaged plan is made anew."""
    try:
        return store.contents(study).pieces
    except Sound:
        raise
    except LetheError:
        return {}


def chosen(what: str, names: Sequence[str] | None, known: Sequence[N]) -> Sequence[N]:
    """The names that were asked for, all for None.

    Raises:
        LetheError: for one that is not known.
    """
    for name in names or ():
        if name not in known:
            raise unknown(what, name, known)
    return known if names is None else [known[known.index(name)] for name in names]


def systems(size: Size, device: str, names: Sequence[str] | None) -> list[SystemSpec]:
    """The systems of these names, in order; all that the device solves for None.

    Raises:
        LetheError: for a name that none of them has.
    """
    found = specs(size, device)
    asked = chosen("system", names, [spec.name for spec in found])
    return [spec for spec in found if spec.name in asked]


def inputs_of(spec: SystemSpec, what: str, name: str, device: str, threads: int) -> dict[str, Any]:
    """Everything that determines what is timed, and on what kind of machine."""
    return {
        "recipe": RECIPE,
        "system": spec.key,
        "what": what,
        "name": name,
        "cpu": cpu_model(),
        "device": device,
        "threads": threads,
    }


def system_again(record: Envelope, name: str) -> tuple[SystemSpec, list[str]]:
    """The system of a record, by its name, and a remark if it is no longer the same.

    Raises:
        LetheError: if there is none of that name.
    """
    spec = find_system(name)
    same = spec.key == record.inputs["system"]
    return spec, [] if same else [f"the system '{name}' has changed since"]
