"""The code that a method consists of, the theory that it rests on, and their hash."""

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
from benchmark.runner.syntax import SHARED, package_of, parsed, plain
from benchmark.runner.theory_source import Theory

_theory = Theory(Path(__file__).resolve().parents[2])


@cache
def source_hash(method: type[Method]) -> str:
    """sha256, in hex, of the code of a method: an edit of it puts the method's records out of date.

    Raises:
        LetheError: if the class is in no file.
    """
    return hash_by(method, _theory)


def hash_by(method: type[Method], theory: Theory) -> str:
    """The hash of a method's code, and of the theorems and claims that it uses; see `source_hash`.

    Args:
        method: whose code.
        theory: where the theorems are read.

    Raises:
        LetheError: if the class is in no file.
    """
    sources = [path.read_bytes() for path in files_of(method)]
    trees = (tree for source in sources if (tree := parsed(source)) is not None)
    return hash_of(sources, theory.digests(trees))


def files_of(method: type[Method]) -> list[Path]:
    """The files that define a method and its bases, and those of their packages that they import.

    What a base takes from a file, or that file from another, counts as well. `SHARED`, the package
    whose code all methods share, is left out: `RECIPE` vouches for it.

    Raises:
        LetheError: if the class is in no file.
    """
    bases = [cls for cls in method.__mro__ if issubclass(cls, Method)]
    packages = {*FAMILIES, *(package_of(cls.__module__) for cls in bases)} - {SHARED}
    found: dict[str, Path] = {}
    todo = [cls.__module__ for cls in method.__mro__]
    while todo:
        module = todo.pop()
        if module in found or package_of(module) not in packages:
            continue
        if (path := _file_of(module)) is not None:
            found[module] = path
            todo += _imports(module, path)
    if method.__module__ not in found:
        raise LetheError(
            f"method '{method.name}' is in no file: write it to one, for records' keys"
        )
    return [found[module] for module in sorted(found)]


def hash_of(sources: list[bytes], theory: dict[str, str] | None = None) -> str:
    """sha256, in hex, of what Python files say, whatever their comments, docstrings and layout.

    Args:
        sources: the files' contents; what is not Python is taken byte by byte.
        theory: the hash of what each theorem says that they use, if any.
    """
    said = [_said(source) for source in sources] + ([theory] if theory else [])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _said(source: bytes) -> Any:
    tree = parsed(source)
    return hashlib.sha256(source).hexdigest() if tree is None else plain(tree)


def _imports(module: str, path: Path) -> Iterator[str]:
    """Every name after `import` in a file, whether it is a module or something in one."""
    tree = parsed(path.read_bytes())
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(name, package)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


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
