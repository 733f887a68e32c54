"""Finding attacks: every class in `benchmark/attacks/` and the installed plug-ins."""

from __future__ import annotations

import inspect

from benchmark import plugins
from benchmark.metrics.attack_contract import Attack, ModelAttack, RowAttack


def _is_attack(cls: type) -> bool:
    return issubclass(cls, RowAttack | ModelAttack) and not inspect.isabstract(cls)


KIND = plugins.Kind[Attack](
    word="attack",
    wanted="a RowAttack or ModelAttack class",
    accepts=_is_attack,
    packages=("benchmark.attacks",),
    group="lethe.attacks",
)
#: All attacks by name, in the order of files, then plug-ins.
discover = KIND.classes
#: The attack of a name; a LetheError if there is none.
find = KIND.find
