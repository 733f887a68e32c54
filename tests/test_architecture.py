"""Imports point one way; docstrings begin as they should, and their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmark

# Imports point one way.

ROOT = Path(__file__).resolve().parents[1]

METHODS = ("methods", "baselines")
#: All of it.
WHOLE = ("benchmark", *METHODS, "leaderboard", "lethe", "benches")
#: The command line stands above the board, though `python -m benchmark` starts it.
ROOF = ("benchmark.cli",)
#: What runs experiments, keeps records or shows them.
ABOVE = (
    "benchmark.runner",
    "benchmark.experiments",
    "benchmark.registry",
    "benchmark.records",
    "leaderboard",
)
#: The statements, and what is made of them.
PROOFS = ("benchmark.contract", "benchmark.claims", "benchmark.theory")
#: Package, and what nothing in it may import.
FORBIDDEN = {
    "methods": ABOVE,
    "baselines": ABOVE,
    "leaderboard": (*METHODS, "benchmark.runner", "benchmark.registry"),
    "benchmark/contract": (*METHODS, *ABOVE, "benchmark.claims", "benchmark.definitions"),
    "benchmark/definitions": (*METHODS, *ABOVE, "benchmark.claims", "benchmark.theory"),
    "benchmark/claims": (*METHODS, *ABOVE, "benchmark.definitions"),
    "benchmark/problem": (*METHODS, *ABOVE, *PROOFS),
    "benchmark/curvature": (*METHODS, *ABOVE, *PROOFS, "benchmark.problem"),
    "benchmark/solvers": (*METHODS, *ABOVE, *PROOFS),
    "benchmark/audit": (*METHODS, *ABOVE, "benchmark.contract", "benchmark.claims"),
    "benchmark/bench": (*METHODS, "leaderboard"),
    "benchmark/metrics": ("benchmark.runner", "benchmark.problem", "benchmark.data"),
    "benchmark/shadow": (*METHODS, "benchmark.runner", "leaderboard"),
    "benchmark/attacks": (*METHODS, "benchmark.runner", "leaderboard"),
    "benchmark/runner": (*METHODS, "leaderboard"),
    "benchmark/studies": (*METHODS, "leaderboard"),
}
#: The parts of the board, each of which imports only what stands before it. Renderers know
#: sections and nothing of what they say; a spreadsheet holds raw numbers instead.
BOARD = (
    ("leaderboard/model",),
    ("leaderboard/charts",),
    ("leaderboard/answers", "leaderboard/experiments", "leaderboard/studies"),
    ("leaderboard/overview",),
    ("leaderboard/render",),
    ("leaderboard/front",),
)
RENDERERS = ("pages",)
#: Package, and all of the project that anything in it may import.
ALLOWED = {"benchmark/theory": ("benchmark.theory", "benchmark.errors")}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(package: str) -> Iterator[tuple[str, str]]:
    """Each file of a package and every module, or name in one, that it imports."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        yield from ((str(path.relative_to(ROOT)), module) for module in imports(path))


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    for path, module in imported(package):
        assert not within(module, FORBIDDEN[package]), f"{path} imports {module}"


@pytest.mark.parametrize("package", ["benchmark", "methods", "baselines", "leaderboard", "benches"])
def test_nothing_comes_in_by_the_front_door(package: str) -> None:
    """`lethe` hands on what others define."""
    for path, module in imported(package):
        assert not within(module, ("lethe",)), f"{path} imports {module}"


@pytest.mark.parametrize("package", ALLOWED)
def test_what_stands_alone_imports_nothing_else(package: str) -> None:
    for path, module in imported(package):
        ours = within(module, ("benchmark", "leaderboard", *METHODS))
        assert not ours or within(module, ALLOWED[package]), f"{path} imports {module}"


def test_the_boards_parts_import_only_what_stands_before_them() -> None:
    allowed: tuple[str, ...] = ("benchmark",)
    for layer in BOARD:
        for package in layer:
            own = (*allowed, package.replace("/", "."))
            for path, module in imported(package):
                ours = within(module, ("benchmark", "leaderboard", *METHODS))
                assert not ours or within(module, own), f"{path} imports {module}"
        allowed += tuple(package.replace("/", ".") for package in layer)


@pytest.mark.parametrize("name", RENDERERS)
def test_a_renderer_knows_sections_and_nothing_of_what_they_say(name: str) -> None:
    for module in imports(ROOT / "leaderboard" / "render" / f"{name}.py"):
        ours = within(module, ("benchmark", "leaderboard"))
        assert not ours or within(module, ("leaderboard.model.section",)), module


def graph() -> dict[str, set[str]]:
    """Every module of the project, and those that it imports, also inside functions."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in WHOLE
        for path in (ROOT / package).rglob("*.py")
    }
    return {
        module: {
            name
            for found in imports(path)
            for name in [found if found in files else found.rpartition(".")[0]]
            if name in files and name != module
        }
        for module, path in files.items()
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none if there is none."""
    left = dict(edges)
    while True:
        free = {one for one, targets in left.items() if not targets & left.keys()}
        if not free:
            return sorted(left)
        left = {one: targets for one, targets in left.items() if one not in free}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types alone either, and not inside functions."""
    edges = graph()
    assert sum(map(len, edges.values())) > 1000, "the imports are read"
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle(edges) == []


def parts(edges: dict[str, set[str]], folder: str) -> dict[str, set[str]]:
    """The files and folders that lie in a folder, and which of them import which.

    Args:
        edges: modules, and those that they import.
        folder: as a package is named; "" is the project's.
    """
    depth = len(folder.split(".")) + 1 if folder else 1

    def part(module: str) -> str:
        return ".".join(module.split(".")[:depth])

    inside = [one for one in edges if not folder or within(one, (folder,))]
    found: dict[str, set[str]] = {part(one): set() for one in inside}
    for one in inside:
        found[part(one)] |= {part(target) for target in edges[one] if part(target) in found}
    return {one: targets - {one} for one, targets in found.items()}


def test_no_files_and_folders_beside_each_other_import_each_other_in_a_circle() -> None:
    edges = graph()
    edges = {one: targets for one, targets in edges.items() if one not in ROOF}
    example = {"a.b.c": {"a.d"}, "a.d": {"a.b.e"}, "a.b.e": set(), "f": {"a.d"}}
    assert circle(parts(example, "a")) == ["a.b", "a.d"]
    assert circle(parts(example, "")) == circle(parts(example, "a.b")) == []
    folders = {one.rpartition(".")[0] for one in edges}
    assert {"", "benchmark", "benchmark.problem.models", "leaderboard"} <= folders
    for folder in sorted(folders):
        assert circle(parts(edges, folder)) == [], folder or "the project's folder"


def test_the_kind_of_a_model_is_never_asked() -> None:
    """A model says what it can do; see `ModelSpec`."""
    for package in ("benchmark", "baselines", "leaderboard", "lethe"):
        for path in (ROOT / package).rglob("*.py"):
            asked = re.findall(r"isinstance\([^()]*, \(?(\w+Spec)\b", path.read_text("utf-8"))
            kinds = set(asked) - {"SplitSpec", "ModelSpec"}
            assert not kinds, f"{path.relative_to(ROOT)} asks whether a model is a {kinds}"


def test_the_exceptions_of_the_type_checker_fit_on_a_screen() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    exceptions = text.partition("[[tool.mypy.overrides]]")[2].partition("\n[tool.")[0]
    assert len(exceptions.splitlines()) <= 40
    for word in ("ignore_errors", "follow_imports", "strict_optional"):
        assert word not in text


def test_what_the_type_checker_is_told_to_pass_over_has_its_reason() -> None:
    lines = [
        line
        for package in WHOLE
        for path in (ROOT / package).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if "type: ignore" in line or re.search(r"\bcast\(", line)
    ]
    assert len(lines) <= 30
    for line in lines:
        assert re.search(r"# type: ignore\[[a-z-]+\]  # \w", line), line


def test_the_global_generator_is_never_used() -> None:
    """`torch.manual_seed`, `np.random.seed` and `random.seed` reset everybody's randomness."""
    for package in ("benchmark", "methods", "baselines", "leaderboard", "lethe"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            for call in ("torch.manual_seed(", "np.random.seed(", "random.seed("):
                assert call not in text, f"{path.relative_to(ROOT)} calls {call})"


def test_text_is_read_written_and_piped_in_an_encoding_that_is_named() -> None:
    """Else it is the locale's, and what one machine writes is another text on the next."""
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("benchmark", "methods", "baselines", "benches", "leaderboard", "lethe")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if _leaves_it_to_the_locale(node.func.attr, node)
    ] == []


def _leaves_it_to_the_locale(name: str, call: ast.Call) -> bool:
    options = {keyword.arg for keyword in call.keywords}
    words = [one.value for one in call.args if isinstance(one, ast.Constant)]
    if "encoding" in options:
        return False
    if name in ("open", "fdopen"):
        return any(re.fullmatch(r"[rwax]\+?t?", str(word)) for word in words)
    if name in ("run", "Popen", "check_output"):
        return "text" in options
    positional = {"read_text": 1, "write_text": 2}
    return len(call.args) < positional.get(name, 0)


# --- How the project puts things into words ------------------------------------------------------

PACKAGES = ("baselines", "benches", "benchmark", "docs", "leaderboard", "lethe", "methods", "tests")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(package: str) -> Iterator[tuple[str, str]]:
    """Each docstring of a package, and the file and line of what it describes."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.parametrize("package", PACKAGES)
def test_a_docstring_begins_with_a_noun_or_a_verb(package: str) -> None:
    stumbling = [
        f"{place} begins with '{found[0]}'"
        for place, text in docstrings(package)
        if (found := re.match(r"(Of|That of|Those of|This of)\b", text))
    ]
    assert not stumbling


# --- The examples in docstrings run, and every public name has one -------------------------------

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for package in ("benchmark", "lethe", "methods", "baselines")
    for path in (ROOT / package).rglob("*.py")
    if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str) -> None:
    done = doctest.testmod(importlib.import_module(module), optionflags=FLAGS)
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize("name", benchmark.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in getattr(benchmark, name).__doc__
