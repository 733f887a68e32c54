"""The code that a method consists of, the theory that it rests on, and their hash."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import marshal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from benchmark import code
from benchmark.code import DOOR, SHARED, hash_of, package_of, parsed, plain
from benchmark.contract.method import Method
from benchmark.errors import LetheError, present
from benchmark.registry import FAMILIES

# The theorems that code rests on, and what they say.

#: Packages of theorems and of the claims made by them.
PACKAGES = tuple(f"{SHARED}.{part}" for part in ("theory", "claims", "definitions"))
#: What turns a bound into (epsilon, delta): part of every claim, though the contract has it.
GUARANTEE = f"{SHARED}.contract.guarantee"

#: A module and a name in it; "" for all that it does when it is imported.
Name = tuple[str, str]


@dataclass(frozen=True)
class _Statement:
    """The hash of what a statement says, and the names of theory that it uses."""

    digest: str
    uses: frozenset[Name]


class Theory:
    """The statements in `PACKAGES` and in `GUARANTEE`, each read when it is first asked for.

    Args:
        root: the folder that holds the package `benchmark`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read, self._is_theory = cache(self._read_module), cache(self._is_one)

    def digests(self, trees: Iterator[ast.Module]) -> dict[str, str]:
        """What is said of every name that code uses, and of those that they use in turn.

        Args:
            trees: the code.
        """
        todo = [use for tree in trees for use in self._uses(tree, self._imported(tree))]
        found: dict[Name, str] = {}
        while todo:
            module, name = todo.pop()
            for one in {name, ""} if name else self._read(module):
                if (module, one) in found or one not in self._read(module):
                    continue
                statement = self._read(module)[one]
                found[module, one] = statement.digest
                todo += statement.uses
        return {f"{module}:{name}": found[module, name] for module, name in sorted(found)}

    def _read_module(self, module: str) -> dict[str, _Statement]:
        """Every name that a module defines; what is no definition stands under ""."""
        tree = present(parsed(self._file(module).read_bytes()))
        known = self._imported(tree)
        defined = [(name, node) for node in tree.body for name in _names(node)]
        known |= {name: (module, name) for name, _ in defined if name}
        parts: dict[str, list[ast.stmt]] = {}
        for name, node in defined:
            parts.setdefault(name, []).append(node)
        return {name: self._statement(nodes, known) for name, nodes in parts.items()}

    def _statement(self, nodes: list[ast.stmt], known: dict[str, Name]) -> _Statement:
        text = json.dumps(plain(nodes)).encode()
        uses = {use for node in nodes for use in self._uses(node, known)}
        return _Statement(hashlib.sha256(text).hexdigest(), frozenset(uses))

    def _imported(self, tree: ast.Module) -> dict[str, Name]:
        """What names stand for, of those that are imported from theory; a module for itself."""
        found = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if self._is_theory(alias.name):  # whichever part is looked up: all of it
                        found[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    origin = self._door.get(alias.name) if node.module == DOOR else node.module
                    module = origin or ""
                    inner = f"{module}.{alias.name}"
                    if self._is_theory(inner):
                        found[alias.asname or alias.name] = (inner, "")
                    elif self._is_theory(module):
                        found[alias.asname or alias.name] = (module, alias.name)
        return found

    @cached_property
    def _door(self) -> dict[str, str]:
        """The module of each name that the front door hands on; none where it is not there."""
        path = self._root / DOOR / "__init__.py"
        tree = parsed(path.read_bytes()) if path.is_file() else None
        for node in tree.body if tree else ():
            match node:
                case ast.Assign(targets=[ast.Name(id="_MODULES")], value=value):
                    return ast.literal_eval(value)
        return {}

    def _uses(self, node: ast.AST, known: dict[str, Name]) -> Iterator[Name]:
        """What names stand for in some code; of `module.name` the name in the module."""
        parts = list(ast.walk(node))
        within = {
            part.value: part.attr
            for part in parts
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name)
        }
        for part in parts:
            if isinstance(part, ast.Name) and part.id in known:
                module, name = known[part.id]
                attribute = within.get(part, "")
                yield module, name or (attribute if attribute in self._read(module) else "")

    def _is_one(self, module: str) -> bool:
        inside = module.startswith(tuple(f"{one}." for one in PACKAGES))
        return (inside or module == GUARANTEE) and self._file(module).is_file()

    def _file(self, module: str) -> Path:
        return self._root / (module.replace(".", "/") + ".py")


def _names(node: ast.stmt) -> list[str]:
    """What a statement of a module defines; imports define nothing of their own."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [p.id for one in targets for p in ast.walk(one) if isinstance(p, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return []
    return [""]


# The code that a method consists of, the theory that it rests on, and their hash.

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
