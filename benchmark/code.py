"""The files that a piece of code consists of, what they say, and the hash of it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

#: The package whose code all methods share.
SHARED = __name__.partition(".")[0]
#: The package that hands on its names.
DOOR = "lethe"


@lru_cache(maxsize=8)  # one method's files are asked for several times in a row
def parsed(source: bytes) -> ast.Module | None:
    """The syntax tree of a file; None of a compiled one."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def plain(value: Any) -> Any:
    """A syntax tree in lists and strings. Empty fields are left out: newer Pythons have more."""
    if isinstance(value, ast.AST):
        fields = [[name, plain(part)] for name, part in ast.iter_fields(value)]
        return [type(value).__name__, *(field for field in fields if field[1] not in (None, []))]
    if isinstance(value, list):
        return [plain(part) for part in value if not _is_idle(part)]
    return None if value is None else repr(value)


def package_of(module: str) -> str:
    """The first part of a module's name."""
    return module.partition(".")[0]


def _is_idle(statement: Any) -> bool:
    """Whether a statement changes nothing, as a docstring, or only names shared code."""
    match statement:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.ImportFrom(module=str(module), level=0):
            return package_of(module) in (SHARED, DOOR)
    return False


# The files that a piece of code consists of, and the hash of what they say.


def files(modules: Iterable[str], belongs: Callable[[str], bool]) -> dict[str, Path]:
    """The files of some modules, and of those that they import, by module.

    Args:
        modules: to begin with.
        belongs: whether a module is looked at.
    """
    found: dict[str, Path] = {}
    todo = list(modules)
    while todo:
        module = todo.pop()
        if module in found or not belongs(module):
            continue
        if (path := file_of(module)) is not None:
            found[module] = path
            todo += _imports(module, path)
    return found


def hash_of(sources: list[bytes], theory: dict[str, str] | None = None) -> str:
    """sha256, in hex, of what Python files say, whatever their comments, docstrings and layout.

    Args:
        sources: the files' contents; what is not Python is taken byte by byte.
        theory: the hash of what each theorem says that they use, if any.
    """
    said = [_said(source) for source in sources] + ([theory] if theory else [])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def hash_beside(module: str) -> str | None:
    """The hash of a module, and of what that imports of its own package or folder.

    Of a module of `SHARED` only its folder counts: a `RECIPE` vouches for the rest. None of a
    module that lies in no file.
    """
    path = file_of(module)
    if path is None:
        return None
    package, folder = package_of(module), path.parent
    if package == SHARED:
        package = module.rpartition(".")[0]
    installed = "site-packages" in path.parts

    def belongs(name: str) -> bool:
        if f"{name}.".startswith(f"{package}."):
            return True
        beside = None if installed or "." in module else file_of(package_of(name))
        return beside is not None and beside.parent == folder

    found = files([module], belongs)
    return hash_of([found[name].read_bytes() for name in sorted(found)])


def file_of(module: str) -> Path | None:
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
