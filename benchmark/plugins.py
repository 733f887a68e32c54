"""Discovery of classes in packages of the project and in installed plug-ins."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from benchmark import code, names
from benchmark.code import package_of
from benchmark.ends import kept_alive
from benchmark.errors import LetheError, unknown

T = TypeVar("T")

_DECLARED = ("name", "title", "source")
#: Where each kind is declared that a plug-in can add, beside methods.
_MODULES = {
    "attack": "benchmark.metrics.attacks",
    "data set": "benchmark.data.catalogue",
    "definition": "benchmark.contract.definition",
    "executor": "benchmark.study.executors.executor",
    "feature": "benchmark.data.features",
    "loss": "benchmark.problem.objective",
    "metric": "benchmark.metrics.metric",
    "model": "benchmark.problem.models.spec",
    "property": "benchmark.properties.property",
    "scenario": "benchmark.data.scenarios",
    "solver": "benchmark.solvers.solver",
    "study": "benchmark.study.study",
}
#: The variable that names a folder of files with plug-ins of any kind.
FOLDER = "LETHE_PLUGINS"
#: The packages of the project: what is found in them is no plug-in.
_OURS = ("benchmark", "methods", "baselines")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What is looked for, and where.

    Attributes:
        word: for a sentence, e.g. `method`.
        wanted: what a plug-in must be, for a sentence.
        accepts: whether a class is one.
        packages: whose files are looked through.
        group: of the entry points.
        lacks: what else a class fails to declare as it must, in words; "" where nothing.
    """

    word: str
    wanted: str
    accepts: Callable[[type[Any]], bool]
    packages: tuple[str, ...]
    group: str
    lacks: Callable[[type[Any]], str] = lambda cls: ""

    def classes(self) -> dict[str, type[T]]:
        """All of the kind by name; see `discover`."""
        return {name: found.cls for name, found in discover(self).items()}

    def find(self, name: str) -> type[T]:
        """The one called `name`; see `find`."""
        return find(self, name)


@dataclass(frozen=True)
class Found:
    """A class, and the package or distribution it was found in."""

    cls: type[Any]
    origin: str


def kinds() -> dict[str, Kind[Any]]:
    """Kinds that are looked for beside methods, by name."""
    return {word: importlib.import_module(module).KIND for word, module in _MODULES.items()}


def installed() -> list[tuple[str, Found]]:
    """Kind and class of everything but methods that installed packages bring.

    Raises:
        LetheError: if one cannot be loaded, is none or lacks a declaration.
    """
    found = [(kind, one) for kind in kinds().values() for one in from_outside(kind)]
    for kind, one in found:
        check(one.cls, kind)
    return [(kind.word, one) for kind, one in found]


def discover(kind: Kind[Any]) -> dict[str, Found]:
    """All classes of a kind by name, in the order of packages and files, then plug-ins.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration, has a wrong one or
            shares its name with another.
    """
    return _by_name(kind, [*in_packages(kind), *from_outside(kind)])


@cache
def find(kind: Kind[Any], name: str) -> type[Any]:
    """The class of a kind called `name`; plug-ins are looked through where no file of ours has it.

    Raises:
        LetheError: if there is none; and see `discover`.
    """
    own = _by_name(kind, in_packages(kind))
    found = own if name in own else discover(kind)
    if name not in found:
        raise unknown(kind.word, name, found)
    return found[name].cls


def code_of(cls: type[Any]) -> str | None:
    """The hash of a plug-in's code; None of the project's own classes, for which `RECIPE` vouches.

    Raises:
        LetheError: if the class is in no file.
    """
    if package_of(cls.__module__) in _OURS:
        return None
    found = code.hash_beside(cls.__module__)
    if found is None:
        raise LetheError(f"{cls.__name__} is in no file: write it to one, for records' keys")
    return found


def current(cls: type[Any], recorded: str | None) -> str | None:
    """The hash of a plug-in's code, held to what was recorded of it if anything was.

    Raises:
        ValueError: if the code has changed since, or the class is in no file.
    """
    try:
        found = code_of(cls)
    except LetheError as error:
        raise ValueError(str(error)) from error
    if recorded is not None and recorded != found:
        raise ValueError(f"the code of {cls.name} has changed since this was recorded")
    return found


def _by_name(kind: Kind[Any], classes: Iterable[Found]) -> dict[str, Found]:
    """Classes by name, each checked; see `discover`."""
    found: dict[str, Found] = {}
    for one in classes:
        cls = one.cls
        check(cls, kind)
        other = found.get(cls.name)
        if other is not None and other.cls is not cls:
            raise LetheError(
                f"two {kind.word}s are called '{cls.name}': {place(other.cls)} and {place(cls)}"
            )
        found[cls.name] = one
    return found


def check(cls: type[Any], kind: Kind[Any]) -> None:
    """Refuse a class that lacks a declaration, or has one that is of no use.

    Raises:
        LetheError: it says which.
    """
    for attribute in _DECLARED:
        if not hasattr(cls, attribute):
            raise LetheError(f"{place(cls)} declares no '{attribute}'")
    for attribute in ("name", "title"):
        value = getattr(cls, attribute)
        if not isinstance(value, str) or not value.strip() or names.CONTROL.search(value):
            raise LetheError(f"{place(cls)} declares {attribute} = {value!r}: it must be a text")
    wrong = names.complaint(cls.name)
    if not wrong and not re.fullmatch(names.LABEL, cls.name):
        wrong = "use letters and digits of ASCII, and between them . _ -"
    if wrong:
        shown = names.shown(cls.name)
        raise LetheError(f"{place(cls)} is called {shown}, which cannot be a name: {wrong}")
    if lacks := kind.lacks(cls):
        raise LetheError(f"{place(cls)} {lacks}")


def in_packages(kind: Kind[Any]) -> Iterator[Found]:
    """The classes of a kind that are files of the project's packages.

    Raises:
        LetheError: if a file cannot be imported.
    """
    for name in kind.packages:
        for module in _modules_in(name):
            for cls in _classes_in(module):
                if kind.accepts(cls):
                    yield Found(cls, name)


def from_outside(kind: Kind[Any]) -> Iterator[Found]:
    """The classes of a kind that are plug-ins: of installed packages, then of the folder of files.

    Raises:
        LetheError: if one cannot be imported, or is of another kind than it is said to be.
    """
    yield from in_entry_points(kind)
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    if not Path(folder).is_dir():
        raise LetheError(f"{FOLDER} names no folder: {folder}")
    for path in sorted(Path(folder).resolve().glob("*.py")):
        for cls in _classes_in(_module_of(path)):
            if kind.accepts(cls):
                yield Found(cls, path.name)


def _module_of(path: Path) -> ModuleType:
    """The module in a file of the folder of plug-ins.

    Raises:
        LetheError: if it cannot be imported, or Python finds another one of that name.
    """
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        importlib.invalidate_caches()
    try:
        with kept_alive():
            module = importlib.import_module(path.stem)
    except Exception as error:  # any error in somebody else's file
        text = f"{type(error).__name__}: {error}"
        raise LetheError(f"plug-in {path.name} cannot be imported: {text}") from error
    if Path(getattr(module, "__file__", None) or "").resolve() != path:
        raise LetheError(f"plug-in {path.name} is not the module that Python finds: rename it")
    return module


def in_order(package: str) -> list[ModuleType]:
    """Modules of a package that declare their place by `ORDER`, in that order, then by name.

    Raises:
        LetheError: if a file cannot be imported.
    """
    found = (module for module in _modules_in(package) if hasattr(module, "ORDER"))
    return sorted(found, key=lambda module: (module.ORDER, module.__name__))


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, of every installed package.

    To read them all takes longer than all else that loading an experiment does. So they are read
    again only where the path, or what a folder on it lists, has changed.
    """
    return _entry_points(tuple((place, _changed(place)) for place in sys.path)).get(group, [])


@lru_cache(maxsize=1)
def _entry_points(path: tuple[tuple[str, int], ...]) -> dict[str, list[EntryPoint]]:
    found = metadata.entry_points()
    return {group: list(found.select(group=group)) for group in found.groups}


def _changed(place: str) -> int:
    """When an entry of the path last changed, in ns; 0 where there is none."""
    try:
        return Path(place).stat().st_mtime_ns
    except OSError:
        return 0


def in_entry_points(kind: Kind[Any]) -> Iterator[Found]:
    """The classes of a kind that installed packages bring.

    Raises:
        LetheError: if one cannot be loaded, or is none.
    """
    for point in sorted(entry_points(group=kind.group), key=lambda p: (p.name, p.value)):
        try:
            with kept_alive():
                loaded = point.load()
        except Exception as error:  # a plug-in may fail in any way; say whose fault it is
            raise _broken(point, f"cannot be loaded ({type(error).__name__}: {error})") from error
        if not (inspect.isclass(loaded) and kind.accepts(loaded)):
            raise _broken(point, f"is not {kind.wanted} ({point.value})")
        yield Found(loaded, point.dist.name if point.dist else kind.group)


def _broken(point: EntryPoint, what: str) -> LetheError:
    """The error for a plug-in: what is wrong with it, and which distribution to mend."""
    whose, it = (f" of {point.dist.name}", point.dist.name) if point.dist else ("", "it")
    return LetheError(f"plug-in '{point.name}'{whose} {what}: repair it or uninstall {it}")


def _modules_in(package: str) -> Iterator[ModuleType]:
    paths = importlib.import_module(package).__path__
    for info in pkgutil.iter_modules(paths, f"{package}."):
        yield _import(info.name)


def _import(module: str) -> ModuleType:
    try:
        with kept_alive():
            return importlib.import_module(module)
    except Exception as error:  # any error in a dropped-in file; name the file
        where = module.replace(".", "/") + ".py"
        raise LetheError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error


def _classes_in(module: ModuleType) -> Iterator[type[Any]]:
    """The concrete classes that are defined in the module, in order, not imported into it."""
    for cls in list(vars(module).values()):
        own = inspect.isclass(cls) and cls.__module__ == module.__name__
        if own and not inspect.isabstract(cls):
            yield cls


def place(cls: type[Any]) -> str:
    """The file and the name of a class, for a sentence."""
    return f"{cls.__module__.replace('.', '/')}.py ({cls.__name__})"
