"""What Python code says, whatever its comments, docstrings and layout."""

from __future__ import annotations

import ast
from functools import lru_cache
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
