"""Finding methods: every class in `methods/`, `baselines/` and the installed plug-ins."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark import plugins
from benchmark.contract.method import Method
from benchmark.errors import unknown

FAMILIES = ("methods", "baselines")

_METHODS = plugins.Kind(
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


def discover() -> dict[str, Registered]:
    """All methods by name, in the order of families and files.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    found = plugins.discover(_METHODS)
    return {name: Registered(one.cls, one.origin) for name, one in found.items()}


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
