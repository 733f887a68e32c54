"""The contract of a membership attack, finding attacks, and running them.

An attack scores; the benchmark deals the cards, keeps the answers and computes the rates. What an
attack is given to score comes in random order and without an answer, so it cannot be fitted on it.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmark import parameters, plugins
from benchmark.contract.method import Source
from benchmark.errors import LetheError
from benchmark.metrics.measure import probabilities

# The contract: one class, found by being there.


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


# Every class in `benchmark/attacks/`, and the installed plug-ins.


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


# Running an attack.


#: Into how many parts models are cut: an attack is fitted on all but one, and scores that one.
FOLDS = 4


@dataclass(frozen=True)
class Views:
    """What the attacked model and some shadow models say about one set of examples.

    Attributes:
        outputs: (n, classes) log-probabilities of the attacked model.
        references: (models, n, classes) of the shadow models; (0, n, classes) for none.
        labels: (n,).
    """

    outputs: np.ndarray
    references: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Views:
        """The examples at `index`."""
        return Views(self.outputs[index], self.references[:, index], self.labels[index])


def attack_rows(
    attack: RowAttack,
    forget: Views,
    members: np.ndarray,
    negatives: Views,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of forgotten and of never-trained examples under one model.

    Half of the negatives are scored; the other half is the population an attack may calibrate on.
    A negative, outside of every shadow model, is given the membership bits of some forgotten
    example: both then have as many models that count as outside.

    Args:
        attack: to run.
        forget: the forgotten examples.
        members: (models, n) bool: which shadow model was trained on which forgotten example.
        negatives: examples that no model was trained on; two or more.
        rng: for the halves and the order.

    Returns:
        (n,) scores of the forgotten examples and those of the scored negatives.

    Raises:
        LetheError: if shapes do not fit, or the attack gives something else than finite scores.
    """
    for views, name in ((forget, "forget"), (negatives, "negatives")):
        _check(views.outputs, views.labels, f"{attack.name}: {name}")
    if len(negatives) < 2:
        raise LetheError(f"{attack.name}: an attack needs at least two negatives")
    if members.shape != (len(forget.references), len(forget)) or (
        len(negatives.references) != len(forget.references)
    ):
        raise LetheError(f"{attack.name}: the membership bits do not fit the shadow models")
    shuffled = rng.permutation(len(negatives))
    half = len(negatives) // 2
    population, scored = negatives.take(shuffled[:half]), negatives.take(shuffled[half:])
    borrowed = members[:, rng.integers(len(forget), size=len(scored))]
    order = rng.permutation(len(forget) + len(scored))
    case = RowCase(
        outputs=np.concatenate([forget.outputs, scored.outputs])[order],
        labels=np.concatenate([forget.labels, scored.labels])[order],
        references=np.concatenate([forget.references, scored.references], axis=1)[:, order],
        outside=~np.concatenate([members, borrowed], axis=1)[:, order],
        population_outputs=population.outputs,
        population_labels=population.labels,
        population_references=population.references,
    )
    found = np.empty(len(order))
    found[order] = _checked(attack, attack.score(case), (len(order),))
    return found[: len(forget)], found[len(forget) :]


def attack_models(
    attack: ModelAttack,
    unlearned: np.ndarray,
    retrained: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    folds: int = FOLDS,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Held-out scores of unlearned and of retrained models, fold by fold.

    Args:
        attack: to run.
        unlearned: (models, n, classes) log-probabilities on the forgotten examples.
        retrained: (models, n, classes).
        labels: (n,).
        rng: for the folds and the order.
        folds: into how many parts the models are cut.

    Returns:
        For each fold the (k, n) scores of its unlearned and the (l, n) of its retrained models.

    Raises:
        LetheError: if shapes do not fit, there are too few models, or the attack gives something
            else than finite scores.
    """
    for outputs, name in ((unlearned, "unlearned"), (retrained, "retrained")):
        _check(outputs, labels, f"{attack.name}: {name}")
    if folds < 2 or min(len(unlearned), len(retrained)) < folds:
        raise LetheError(
            f"{attack.name}: needs two folds or more, and a model of each side in each"
        )
    # Equal shares of both kinds in every fold, by number, drawn at random.
    ours = rng.permutation(len(unlearned)) % folds
    theirs = rng.permutation(len(retrained)) % folds
    results = []
    for fold in range(folds):
        held = np.concatenate([unlearned[ours == fold], retrained[theirs == fold]])
        order = rng.permutation(len(held))
        case = ModelCase(labels, unlearned[ours != fold], retrained[theirs != fold], held[order])
        found = np.empty((len(held), len(labels)))
        found[order] = _checked(attack, attack.score(case), (len(held), len(labels)))
        count = int((ours == fold).sum())
        results.append((found[:count], found[count:]))
    return results


def _check(outputs: np.ndarray, labels: np.ndarray, name: str) -> None:
    probabilities(outputs, name)
    if outputs.shape[-2] != len(labels):
        raise LetheError(f"{name}: needs a label for each example")


def _checked(attack: Attack, scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != shape or not np.isfinite(scores).all():
        raise LetheError(f"attack {attack.name} must give finite scores of shape {shape}")
    return scores
