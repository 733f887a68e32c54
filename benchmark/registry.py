"""Finding methods: every class in `methods/`, `baselines/` and the installed plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmark import plugins
from benchmark.contract.method import Method
from benchmark.errors import LetheError, unknown

FAMILIES = ("methods", "baselines")
#: The family of methods that a caller brings.
GUESTS = "yours"

KIND = plugins.Kind[Method](
    word="method",
    wanted="a Method class",
    accepts=lambda cls: issubclass(cls, Method),
    packages=FAMILIES,
    group="lethe.methods",
)


@dataclass(frozen=True)
class Registered:
    """A method and the place it was found in.

    Attributes:
        method: the class.
        family: `methods`, `baselines`, or the plug-in's distribution.
    """

    method: type[Method]
    family: str


_GUESTS: dict[str, Registered] = {}


def discover() -> dict[str, Registered]:
    """All methods by name, in the order of families and files.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    found = plugins.discover(KIND)
    return {name: Registered(one.cls, one.origin) for name, one in found.items()} | _GUESTS


@contextmanager
def guests(classes: Iterable[type[Method]]) -> Iterator[None]:
    """A block in which classes at hand are methods as well, though no file registers them.

    Raises:
        LetheError: if one lacks a declaration, or has the name of another.
    """
    there, before = discover(), dict(_GUESTS)
    try:
        for cls in classes:
            plugins.check(cls, KIND)
            if cls.name in there or cls.name in _GUESTS:
                raise LetheError(
                    f"there is a method '{cls.name}' already: rename that of {plugins.place(cls)}"
                )
            _GUESTS[cls.name] = Registered(cls, GUESTS)
        yield
    finally:
        _GUESTS.clear()
        _GUESTS.update(before)


def find(name: str) -> Registered:
    """The method called `name`.

    Raises:
        LetheError: if there is none.

    >>> found = find("newton-chord")
    >>> found.method.title, found.family
    ('Chord Newton', 'methods')
    """
    methods = discover()
    if name not in methods:
        raise unknown("method", name, methods)
    return methods[name]
