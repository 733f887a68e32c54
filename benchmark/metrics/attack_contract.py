"""The contract of a membership attack: one file, one class, found by being there.

An attack scores; the benchmark says who is who, and computes the rates. What an attack is given
to score comes in random order and without an answer, so it cannot be fitted on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmark import parameters
from benchmark.contract.method import Source


@dataclass(frozen=True)
class RowCase:
    """One model, and examples to sort into forgotten and never trained on.

    Attributes:
        outputs: (n, classes) log-probabilities of the attacked model.
        labels: (n,).
        references: (models, n, classes) log-probabilities of shadow models.
        outside: (models, n) bool: the shadow model counts as not trained on the example. Of
            shadows that never saw it as few count as for the others, so that it says nothing.
        population_outputs: (m, classes) of the attacked model on examples that nothing was
            trained on, none of them among the n.
        population_labels: (m,).
        population_references: (models, m, classes).
    """

    outputs: np.ndarray
    labels: np.ndarray
    references: np.ndarray
    outside: np.ndarray
    population_outputs: np.ndarray
    population_labels: np.ndarray
    population_references: np.ndarray


@dataclass(frozen=True)
class ModelCase:
    """Models to sort into unlearned and never trained on the examples.

    Attributes:
        labels: (n,) of the forgotten examples.
        unlearned: (models, n, classes) log-probabilities, to fit on.
        retrained: (models, n, classes) of models that never saw the examples, to fit on.
        scored: (k, n, classes) of other models, of both kinds.
    """

    labels: np.ndarray
    unlearned: np.ndarray
    retrained: np.ndarray
    scored: np.ndarray


class Attack(BaseModel, ABC):
    """A membership attack. Its fields are its parameters; its class variables describe it.

    Write a subclass of `RowAttack` or `ModelAttack`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source]

    @classmethod
    def build(cls, params: dict[str, Any]) -> Attack:
        """An instance with `params` over the defaults.

        Raises:
            LetheError: for an unknown parameter or a value of the wrong type or range.
        """
        return parameters.build(cls, params, cls.name, "attack")


class RowAttack(Attack):
    """An attack on one model: which examples was it trained on?"""

    #: Shadow models it wants as references; 0 if none.
    references: ClassVar[int] = 0

    @abstractmethod
    def score(self, case: RowCase) -> np.ndarray:
        """(n,) finite scores, higher for what looks trained on."""


class ModelAttack(Attack):
    """An attack on many models: which of them were trained on these examples?"""

    @abstractmethod
    def score(self, case: ModelCase) -> np.ndarray:
        """(k, n) finite scores, higher for a model that looks trained on the example."""
