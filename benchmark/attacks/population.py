"""The loss alone."""

from __future__ import annotations

import numpy as np

from benchmark.contract.method import Source
from benchmark.metrics.attack_contract import RowAttack, RowCase


class Population(RowAttack):
    """What was trained on has a low loss. Nothing is fitted."""

    name = "population"
    title = "Population attack (loss)"
    source = Source(
        paper="Yeom, Giacomelli, Fredrikson, Jha: Privacy Risk in Machine Learning (CSF 2018)",
        url="https://arxiv.org/abs/1709.01604",
    )

    def score(self, case: RowCase) -> np.ndarray:
        return case.outputs[np.arange(len(case.labels)), case.labels]
