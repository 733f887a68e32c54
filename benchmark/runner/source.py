"""The code that a method consists of, and its hash."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.contract.method import Method
from benchmark.errors import LetheError
from benchmark.registry import FAMILIES

#: The package whose code all methods share. `RECIPE` vouches for it, so keys leave it out.
SHARED = Method.__module__.partition(".")[0]


@cache
def source_hash(method: type[Method]) -> str:
    """sha256, in hex, of the code of a method: an edit of it puts the method's records out of date.

    Raises:
        LetheError: if the class is in no file.
    """
    return hash_of(path.read_bytes() for path in files_of(method))


def files_of(method: type[Method]) -> list[Path]:
    """The files that define a method and its bases, and those of their packages that they import.

    What a base takes from a file, or that file from another, counts as well. `SHARED` is left out.

    Raises:
        LetheError: if the class is in no file.
    """
    bases = [cls for cls in method.__mro__ if issubclass(cls, Method)]
    packages = {*FAMILIES, *(_package(cls.__module__) for cls in bases)} - {SHARED}
    found: dict[str, Path] = {}
    todo = [cls.__module__ for cls in method.__mro__]
    while todo:
        module = todo.pop()
        if module in found or _package(module) not in packages:
            continue
        if (path := _file_of(module)) is not None:
            found[module] = path
            todo += _imports(module, path)
    if method.__module__ not in found:
        raise LetheError(
            f"method '{method.name}' is in no file: write it to one, for records' keys"
        )
    return [found[module] for module in sorted(found)]


def hash_of(sources: Iterator[bytes] | list[bytes]) -> str:
    """sha256, in hex, of what Python files say, whatever their comments, docstrings and layout.

    Args:
        sources: the files' contents; what is not Python is taken byte by byte.
    """
    said = [_said(source) for source in sources]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _said(source: bytes) -> Any:
    tree = _parsed(source)
    return hashlib.sha256(source).hexdigest() if tree is None else _plain(tree)


def _plain(value: Any) -> Any:
    """A syntax tree in lists and strings. Empty fields are left out: newer Pythons have more."""
    if isinstance(value, ast.AST):
        fields = [[name, _plain(part)] for name, part in ast.iter_fields(value)]
        return [type(value).__name__, *(field for field in fields if field[1] not in (None, []))]
    if isinstance(value, list):
        return [_plain(part) for part in value if not _is_idle(part)]
    return None if value is None else repr(value)


def _is_idle(statement: Any) -> bool:
    """Whether a statement changes nothing, as a docstring, or only names shared code."""
    match statement:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.ImportFrom(module=str(module), level=0):
            return _package(module) == SHARED
    return False


def _imports(module: str, path: Path) -> Iterator[str]:
    """Every name after `import` in a file, whether it is a module or something in one."""
    tree = _parsed(path.read_bytes())
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(name, package)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _parsed(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # a compiled module
        return None


def _file_of(module: str) -> Path | None:
    """The file of a module, imported or not; None if there is no such module."""
    if module in sys.modules:
        name = getattr(sys.modules[module], "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except ImportError:  # a class or a function, looked for as if it were a module
            return None
        name = spec.origin if spec else None
    return Path(name) if name and Path(name).is_file() else None


def _package(module: str) -> str:
    return module.partition(".")[0]
