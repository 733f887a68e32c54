"""Running an attack: the benchmark deals the cards, keeps the answers and counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.errors import LetheError
from benchmark.metrics.attack_contract import Attack, ModelAttack, ModelCase, RowAttack, RowCase
from benchmark.metrics.outputs import probabilities

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
