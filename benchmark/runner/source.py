"""The code that a method consists of, the theory that it rests on, and their hash."""

from __future__ import annotations

import inspect
import marshal
from functools import cache
from pathlib import Path

from benchmark import code
from benchmark.code import hash_of
from benchmark.contract.method import Method
from benchmark.errors import LetheError
from benchmark.registry import FAMILIES
from benchmark.runner.theory_source import Theory
from benchmark.syntax import SHARED, package_of, parsed

_theory = Theory(Path(__file__).resolve().parents[2])


@cache
def source_hash(method: type[Method], *, typed: bool = False) -> str:
    """sha256, in hex, of the code of a method: an edit of it puts the method's records out of date.

    Args:
        method: whose code.
        typed: whether it may be in no file, as what is typed into a notebook. Its own functions
            count then, and no theorem.

    Raises:
        LetheError: if the class is in no file and is not `typed`.
    """
    if typed and code.file_of(method.__module__) is None:
        return code.hash_of([_typed(method)])
    return hash_by(method, _theory)


def _typed(method: type[Method]) -> bytes:
    """What a class in no file says: its source if Python still has it, else its byte code."""
    try:
        return inspect.getsource(method).encode()
    except (OSError, TypeError):
        functions = (one for one in vars(method).values() if inspect.isfunction(one))
        return b"".join(marshal.dumps(one.__code__) for one in functions)


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
    modules = [cls.__module__ for cls in method.__mro__]
    found = code.files(modules, lambda module: package_of(module) in packages)
    if method.__module__ not in found:
        raise LetheError(
            f"method '{method.name}' is in no file: write it to one, for records' keys"
        )
    return [found[module] for module in sorted(found)]
