"""Lethe: the benchmark of certified machine unlearning.

What a method needs is importable from here.
"""

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
