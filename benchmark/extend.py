"""Writing and checking plug-ins: what `lethe new` and `lethe check` do."""

from __future__ import annotations

import importlib.util
import inspect
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmark import names, plugins, registry
from benchmark.checks.parts import attack_checked
from benchmark.checks.parts import checked as of_part
from benchmark.checks.rules import check_method
from benchmark.contract.method import Method
from benchmark.ends import kept_alive
from benchmark.errors import LetheError, present, unknown
from benchmark.files import as_bytes, replace_file
from benchmark.metrics.attacks import ModelAttack, RowAttack
from benchmark.problem.model import Inputs
from benchmark.problem.models.factory import Finding, import_module, look_at
from benchmark.problem.models.spec import ModelSpec, spec_of
from benchmark.templates import PLACES, TEMPLATES


@dataclass(frozen=True)
class Line:
    """What a check says of one thing.

    Attributes:
        what: was looked at.
        ok: whether it is as it should be; None where that is only said.
        text: what was found.
    """

    what: str
    ok: bool | None
    text: str


def write(kind: str, name: str, to: Path | None) -> Path:
    """Write the file of a new plug-in.

    Args:
        kind: of plug-in, see `benchmark.templates`.
        name: by which experiments know it.
        to: a folder; in a copy of the project where its kind lies, else the current one, if None.

    Returns:
        the file.

    Raises:
        LetheError: if the name cannot be one or is another's, or the file is there already.
    """
    if (wrong := names.complaint(name)) or not re.fullmatch(names.LABEL, name):
        raise LetheError(f"'{name}' cannot be a name: {wrong or 'use letters, digits, . _ -'}")
    module = re.sub(r"\W", "_", name).lower()
    if not module.isidentifier() or keyword.iskeyword(module):
        raise LetheError(f"'{name}' cannot be a name: a file {module}.py cannot be imported")
    if name in _known():
        raise LetheError(f"there is a plug-in or method '{name}': choose another name")
    words = re.split(r"[^A-Za-z0-9]+", name)
    cls = "".join(word[:1].upper() + word[1:] for word in words)
    title = " ".join(words).capitalize()
    project = Path(PLACES[kind])
    folder = to or (project if project.is_dir() and Path("methods").is_dir() else Path())
    path = folder / f"{module}.py"
    if path.exists():
        raise LetheError(f"{path} is there already: choose another name, or delete it")
    if not folder.is_dir():
        raise LetheError(f"there is no folder {folder}: make it, or name another with --to")
    replace_file(path, as_bytes(TEMPLATES[kind].format(name=name, cls=cls, title=title)))
    return path


def check(
    what: str, inputs: int | tuple[int, int, int], classes: int, precision: str
) -> list[Line]:
    """Hold a plug-in against the contract of its kind.

    Args:
        what: a method or a plug-in by its name, a file with plug-ins in it, or a class or factory
            as `package.module:Name`.
        inputs: that a model is tried on: features of a row, or height, width and channels.
        classes: likewise.
        precision: likewise.

    Raises:
        LetheError: if there is nothing of that name, or nothing that can be checked.
    """
    tried = inputs, classes, getattr(torch, precision)
    named = _named(what, images=not isinstance(inputs, int))
    return [line for found in named for line in _lines(found, *tried)]


def sizes(text: str) -> Inputs:
    """Features of a row, or height, width and channels, from `20` or `8x8x1`.

    Raises:
        LetheError: for anything else.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){0,2}", text):
        raise LetheError(f"--inputs is a number of features, or an image as 8x8x1, not '{text}'")
    first, *rest = map(int, text.split("x"))
    if not rest:
        return first
    return first, rest[0], rest[1] if len(rest) > 1 else 1


def _named(what: str, *, images: bool) -> list[Any]:
    """What the words of a command stand for: classes, or a model that a factory makes."""
    if what.endswith(".py"):
        module = _loaded(Path(what))
        classes = [one for _, one in inspect.getmembers(module, inspect.isclass)]
        own = [one for one in classes if one.__module__ == module.__name__ and _is_plugin(one)]
        if not own:
            raise LetheError(f"{what} defines no method and no plug-in: name a file that does")
        return own
    if ":" in what:
        holder, _, name = what.partition(":")
        found = getattr(import_module(holder), name, None)
        return [found if _is_plugin(found) else spec_of({"factory": what, "images": images})]
    known = _known()
    if what not in known:
        raise unknown("method or plug-in", what, known)
    return [known[what]]


def _known() -> dict[str, type[Any]]:
    """Every plug-in, then every method, by its name."""
    known = {name: cls for kind in plugins.kinds().values() for name, cls in kind.classes().items()}
    return known | {name: found.method for name, found in registry.discover().items()}


def _kind_of(cls: type[Any]) -> plugins.Kind[Any] | None:
    """The kind that a class is of; None if it is of none."""
    every = (registry.KIND, *plugins.kinds().values())
    return next((kind for kind in every if kind.accepts(cls)), None)


def _is_plugin(found: Any) -> bool:
    """Whether it is a class that can be checked."""
    if not inspect.isclass(found) or inspect.isabstract(found):
        return False
    return hasattr(found, "title") and _kind_of(found) is not None


def _loaded(path: Path) -> ModuleType:
    """The module in a file that no package holds.

    Raises:
        LetheError: if it cannot be read or imported.
    """
    if not path.is_file():
        raise LetheError(f"there is no file {path}: name one, or a plug-in by its name")
    name = f"lethe_checked_{path.stem}"
    spec = present(importlib.util.spec_from_file_location(name, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where annotations are looked up
    try:
        with kept_alive():
            present(spec.loader).exec_module(module)
    except Exception as error:  # any error in somebody else's file
        text = f"{type(error).__name__}: {error}"
        raise LetheError(f"{path} cannot be imported: {text}") from error
    return module


def _lines(found: Any, inputs: Inputs, classes: int, dtype: torch.dtype) -> Iterator[Line]:
    if not inspect.isclass(found):  # the model of a factory
        yield from _of_net(found.factory, found.findings(inputs, classes, dtype))
        return
    plugins.check(found, present(_kind_of(found)))
    if issubclass(found, Method):
        for one in check_method(found):
            where = f"{found.name}: {one.rule}" + (f" ({one.on})" if one.on else "")
            yield Line(where, None if one.refused else one.kept, one.broken or one.refused)
    elif issubclass(found, ModelSpec):
        model = spec_of({"kind": found.name}, found)
        seen = look_at(lambda: model.module(inputs, classes), inputs, classes, dtype)
        yield from _of_net(found.name, seen)
    else:
        checked: Any = attack_checked if issubclass(found, RowAttack | ModelAttack) else of_part
        name = getattr(found, "name", "")
        yield from (Line(f"{name}: {rule}", not text, text) for rule, text in checked(found))


def _of_net(name: str, findings: list[Finding]) -> Iterator[Line]:
    yield from (Line(name, False if one.refused else None, one.text) for one in findings)
    if not any(one.refused for one in findings):
        yield Line(name, True, "it can be trained")
