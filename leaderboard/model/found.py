"""Modules that count by being there."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def modules(package: str) -> list[ModuleType]:
    """Modules of a package that declare their place by `ORDER`, in that order, then by name."""
    paths = importlib.import_module(package).__path__
    names = sorted(info.name for info in pkgutil.iter_modules(paths, f"{package}."))
    found = [importlib.import_module(name) for name in names]
    return sorted((m for m in found if hasattr(m, "ORDER")), key=lambda m: m.ORDER)
