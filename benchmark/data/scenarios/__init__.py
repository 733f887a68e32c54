"""Forget scenarios: one function a file, from what was trained on to the rows of each request.

They stand in the order of difficulty. A method must hold on the easy ones before it claims the
hard ones: a random row is like the rows that stay, a memorised or mislabelled one is like no
other, and the influential ones are those that the model would miss most.
"""

from __future__ import annotations

from benchmark.data.scenarios.context import Context, Draw
from benchmark.data.scenarios.influential import influential
from benchmark.data.scenarios.largest import largest
from benchmark.data.scenarios.memorised import memorised
from benchmark.data.scenarios.mislabelled import mislabelled
from benchmark.data.scenarios.random_rows import random_rows
from benchmark.data.scenarios.subpopulation import subpopulation
from benchmark.data.scenarios.whole_class import whole_class

SCENARIOS: dict[str, Draw] = {
    "random": random_rows,
    "class": whole_class,
    "subpopulation": subpopulation,
    "largest": largest,
    "memorised": memorised,
    "mislabelled": mislabelled,
    "influential": influential,
}

__all__ = ["SCENARIOS", "Context", "Draw"]
