"""Imports point one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Package, and what nothing in it may import.
FORBIDDEN = {
    "methods": ("benchmark.runner", "benchmark.registry", "benchmark.records", "leaderboard"),
    "baselines": ("benchmark.runner", "benchmark.registry", "benchmark.records", "leaderboard"),
    "leaderboard": ("methods", "baselines", "benchmark.runner", "benchmark.registry"),
    "benchmark/contract": ("benchmark.runner", "benchmark.experiments", "benchmark.theory"),
    "benchmark/problem": ("benchmark.contract", "benchmark.runner", "benchmark.theory"),
    "benchmark/curvature": ("benchmark.contract", "benchmark.theory", "benchmark.runner"),
    "benchmark/certify": ("benchmark.runner", "benchmark.experiments", "methods", "baselines"),
    "benchmark/bench": ("methods", "baselines", "leaderboard"),
    "benchmark/metrics": ("benchmark.runner", "benchmark.problem", "benchmark.data"),
    "benchmark/shadow": ("benchmark.runner", "methods", "baselines", "leaderboard"),
    "benchmark/attacks": ("benchmark.runner", "methods", "baselines", "leaderboard"),
    "benchmark/runner": ("methods", "baselines", "leaderboard"),
    "benchmark/studies": ("methods", "baselines", "leaderboard"),
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for module in imports(path):
            wrong = [name for name in FORBIDDEN[package] if f"{module}.".startswith(f"{name}.")]
            assert not wrong, f"{path.relative_to(ROOT)} imports {module}"


def test_the_global_generator_is_never_used() -> None:
    """`torch.manual_seed`, `np.random.seed` and `random.seed` reset everybody's randomness."""
    for package in ("benchmark", "methods", "baselines", "leaderboard"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            for call in ("torch.manual_seed(", "np.random.seed(", "random.seed("):
                assert call not in text, f"{path.relative_to(ROOT)} calls {call})"
