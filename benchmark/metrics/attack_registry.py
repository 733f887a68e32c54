"""Finding attacks: every class in `benchmark/attacks/` and the installed plug-ins."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points

from benchmark.errors import LetheError, unknown
from benchmark.metrics.attack_contract import Attack, ModelAttack, RowAttack

PACKAGE = "benchmark.attacks"
ENTRY_POINTS = "lethe.attacks"
_DECLARED = ("name", "title", "source")


def discover() -> dict[str, type[Attack]]:
    """All attacks by name, in the order of files, then plug-ins.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    found: dict[str, type[Attack]] = {}
    for cls in [*_in_package(), *_in_entry_points()]:
        for attribute in _DECLARED:
            if not hasattr(cls, attribute):
                raise LetheError(f"{_place(cls)} declares no '{attribute}'")
        other = found.get(cls.name)
        if other is not None and other is not cls:
            raise LetheError(
                f"two attacks are called '{cls.name}': {_place(other)} and {_place(cls)}"
            )
        found[cls.name] = cls
    return found


def find(name: str) -> type[Attack]:
    """The attack called `name`.

    Raises:
        LetheError: if there is none.
    """
    attacks = discover()
    if name not in attacks:
        raise unknown("attack", name, attacks)
    return attacks[name]


def _in_package() -> Iterator[type[Attack]]:
    package = importlib.import_module(PACKAGE)
    for info in pkgutil.iter_modules(package.__path__, f"{PACKAGE}."):
        try:
            module = importlib.import_module(info.name)
        except Exception as error:  # any error in a dropped-in file; name the file
            where = info.name.replace(".", "/") + ".py"
            raise LetheError(
                f"{where} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and _is_attack(cls):
                yield cls


def _in_entry_points() -> Iterator[type[Attack]]:
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: (p.name, p.value)):
        try:
            loaded = point.load()
        except Exception as error:  # a plug-in may fail in any way; say whose fault it is
            raise LetheError(f"plug-in '{point.name}' cannot be loaded: {error}") from error
        if not (inspect.isclass(loaded) and _is_attack(loaded)):
            raise LetheError(
                f"plug-in '{point.name}' ({point.value}) is not a RowAttack or ModelAttack class"
            )
        yield loaded


def _is_attack(cls: type) -> bool:
    return issubclass(cls, RowAttack | ModelAttack) and not inspect.isabstract(cls)


def _place(cls: type) -> str:
    return f"{cls.__module__.replace('.', '/')}.py ({cls.__name__})"
