"""Lethe: the benchmark of certified machine unlearning.

What a method needs is importable from here. Each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.contract.claim import Claim, Constant, Target
    from benchmark.contract.method import Method, Source
    from benchmark.contract.request import Release, Request, State
    from benchmark.errors import AssumptionBroken, LetheError

__all__ = [
    "AssumptionBroken",
    "Claim",
    "Constant",
    "LetheError",
    "Method",
    "Release",
    "Request",
    "Source",
    "State",
    "Target",
]
_MODULES = {
    "benchmark.contract.claim": ("Claim", "Constant", "Target"),
    "benchmark.contract.method": ("Method", "Source"),
    "benchmark.contract.request": ("Release", "Request", "State"),
    "benchmark.errors": ("AssumptionBroken", "LetheError"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
