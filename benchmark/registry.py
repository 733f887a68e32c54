"""Finding methods: every class in `methods/`, `baselines/` and the installed plug-ins."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType

from benchmark.contract.method import Method
from benchmark.errors import LetheError, unknown

FAMILIES = ("methods", "baselines")
ENTRY_POINTS = "lethe.methods"
_DECLARED = ("name", "title", "source")


@dataclass(frozen=True)
class Registered:
    """A method and the place it was found in.

    Attributes:
        method: the class.
        family: `methods`, `baselines`, or the plug-in's entry point.
    """

    method: type[Method]
    family: str


def discover() -> dict[str, Registered]:
    """All methods by name, in the order of families and files.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    found: dict[str, Registered] = {}
    for registered in [*_in_packages(), *_in_entry_points()]:
        cls = registered.method
        for attribute in _DECLARED:
            if not hasattr(cls, attribute):
                raise LetheError(f"{_place(cls)} declares no '{attribute}'")
        other = found.get(cls.name)
        if other is not None and other.method is not cls:
            raise LetheError(
                f"two methods are called '{cls.name}': {_place(other.method)} and {_place(cls)}"
            )
        found[cls.name] = registered
    return found


def find(name: str) -> Registered:
    """The method called `name`.

    Raises:
        LetheError: if there is none.
    """
    methods = discover()
    if name not in methods:
        raise unknown("method", name, methods)
    return methods[name]


def _in_packages() -> Iterator[Registered]:
    for family in FAMILIES:
        package = importlib.import_module(family)
        for info in pkgutil.iter_modules(package.__path__, f"{family}."):
            for cls in _methods_in(_import(info.name)):
                yield Registered(cls, family)


def _in_entry_points() -> Iterator[Registered]:
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda p: (p.name, p.value)):
        try:
            loaded = point.load()
        except Exception as error:  # a plug-in may fail in any way; say whose fault it is
            raise LetheError(f"plug-in '{point.name}' cannot be loaded: {error}") from error
        if not (inspect.isclass(loaded) and issubclass(loaded, Method)):
            raise LetheError(f"plug-in '{point.name}' ({point.value}) is not a Method class")
        yield Registered(loaded, point.dist.name if point.dist else ENTRY_POINTS)


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # any error in a dropped-in file; name the file
        where = module.replace(".", "/") + ".py"
        raise LetheError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error


def _methods_in(module: ModuleType) -> Iterator[type[Method]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        defined_here = cls.__module__ == module.__name__
        if defined_here and issubclass(cls, Method) and not inspect.isabstract(cls):
            yield cls


def _place(cls: type) -> str:
    return f"{cls.__module__.replace('.', '/')}.py ({cls.__name__})"
