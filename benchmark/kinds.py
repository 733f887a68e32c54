"""Everything that a plug-in can add, by kind."""

from __future__ import annotations

from importlib import import_module

from benchmark import plugins

#: Where each kind is declared, beside methods.
_MODULES = {
    "attack": "benchmark.metrics.attack_registry",
    "data set": "benchmark.data.catalogue",
    "definition": "benchmark.contract.definition",
    "model": "benchmark.problem.models.kinds",
    "study": "benchmark.study.study",
}


def kinds() -> dict[str, plugins.Kind]:
    """What is looked for, by what it is called."""
    return {word: import_module(module).KIND for word, module in _MODULES.items()}


def installed() -> list[tuple[str, plugins.Found]]:
    """What installed packages bring besides methods: kind and class of each.

    Raises:
        LetheError: if one cannot be loaded, is none or lacks a declaration.
    """
    found = [(word, one) for word, kind in kinds().items() for one in plugins.in_entry_points(kind)]
    for word, one in found:
        plugins.check(one.cls, kinds()[word])
    return found
