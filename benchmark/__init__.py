"""Lethe: the benchmark of certified machine unlearning.

What a method needs is importable from here. Each name is looked up when it is first asked for, so
that the command line starts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.contract.claim import Claim, Constant, Target
    from benchmark.contract.clock import Clock
    from benchmark.contract.method import Method, Source
    from benchmark.contract.request import Release, Request, State
    from benchmark.contract.seeds import Seeds
    from benchmark.errors import AssumptionBroken, LetheError
    from benchmark.problem.problem import Problem
    from benchmark.rows import Rows

_MODULES = {
    "AssumptionBroken": "errors",
    "Claim": "contract.claim",
    "Clock": "contract.clock",
    "Constant": "contract.claim",
    "LetheError": "errors",
    "Method": "contract.method",
    "Problem": "problem.problem",
    "Release": "contract.request",
    "Request": "contract.request",
    "Rows": "rows",
    "Seeds": "contract.seeds",
    "Source": "contract.method",
    "State": "contract.request",
    "Target": "contract.claim",
}

__all__ = [
    "AssumptionBroken",
    "Claim",
    "Clock",
    "Constant",
    "LetheError",
    "Method",
    "Problem",
    "Release",
    "Request",
    "Rows",
    "Seeds",
    "Source",
    "State",
    "Target",
]


def __getattr__(name: str) -> Any:
    """The name out of the module that defines it."""
    if name not in _MODULES:
        raise AttributeError(f"module 'benchmark' has no attribute '{name}'")
    return getattr(import_module(f"benchmark.{_MODULES[name]}"), name)
