"""Finding attacks: every class in `benchmark/attacks/` and the installed plug-ins."""

from __future__ import annotations

import inspect

from benchmark import plugins
from benchmark.errors import unknown
from benchmark.metrics.attack_contract import Attack, ModelAttack, RowAttack


def _is_attack(cls: type) -> bool:
    return issubclass(cls, RowAttack | ModelAttack) and not inspect.isabstract(cls)


KIND = plugins.Kind(
    word="attack",
    wanted="a RowAttack or ModelAttack class",
    accepts=_is_attack,
    packages=("benchmark.attacks",),
    group="lethe.attacks",
)


def discover() -> dict[str, type[Attack]]:
    """All attacks by name, in the order of files, then plug-ins.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    return {name: found.cls for name, found in plugins.discover(KIND).items()}


def find(name: str) -> type[Attack]:
    """The attack called `name`.

    Raises:
        LetheError: if there is none.
    """
    attacks = discover()
    if name not in attacks:
        raise unknown("attack", name, attacks)
    return attacks[name]
