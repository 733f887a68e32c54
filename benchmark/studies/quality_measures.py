"""Every forget-quality metric of a set of models, against a set of retrained ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median_low

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError, present
from benchmark.metrics.attacks import (
    FOLDS,
    Attack,
    ModelAttack,
    RowAttack,
    Views,
    attack_models,
    attack_rows,
)
from benchmark.metrics.divergence import (
    energy_test,
    jensen_shannon_to_retrain,
    kl_from_retrain,
    klom,
    klom_measure,
    margins,
)
from benchmark.metrics.measure import Measure
from benchmark.metrics.scores import (
    FALSE_POSITIVE_RATES,
    RelearnTime,
    attack_measures,
    auc,
    auc_interval,
    gap_to_retrain,
    relearn_ratio,
    relearn_time,
    strongest,
)
from benchmark.metrics.statistics import bootstrap_interval
from benchmark.metrics.utility import accuracy, losses
from benchmark.optimisers import Adam
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.training.descent import batches
from benchmark.rows import Rows
from benchmark.shadow.store import ShadowBank, log_probabilities

# Training models again on what they should have forgotten.

#: Adam's; small, so that there are epochs to count.
LEARNING_RATE = 3e-3
BATCH = 128
#: Epochs after which it is given up.
LIMIT = 50


def mean_loss(predictor: Predictor, rows: Rows) -> float:
    """The mean negative log-likelihood of the labels, in nats."""
    return float(losses(predictor.log_probabilities(rows.x), rows.y).mean())


def relearn_epochs(
    problem: Problem,
    predictors: list[Predictor],
    rows: Rows,
    target: float,
    generator: Callable[[int], torch.Generator],
    limit: int = LIMIT,
) -> RelearnTime:
    """The median model's epochs on `rows` until their mean loss is `target` or less.

    The median is censored only if half of the models are.

    Args:
        problem: whose objective is trained.
        predictors: one or more models; every member of an ensemble is trained.
        rows: the forgotten ones.
        target: in nats.
        generator: of the batches of model k.
        limit: in epochs.

    Raises:
        LetheError: if a loss stops being a number.
    """
    times = [
        relearn_time(_epochs(problem, predictor, rows, generator(k)), target, limit)
        for k, predictor in enumerate(predictors)
    ]
    middle = median_low((time.steps, time.censored) for time in times)
    return RelearnTime(*middle)


def _epochs(
    problem: Problem, predictor: Predictor, rows: Rows, generator: torch.Generator
) -> Callable[[], float]:
    """A function that trains for one epoch more and gives the loss afterwards."""
    weights = predictor.members.detach().clone().requires_grad_()
    optimiser = Adam([weights], lr=LEARNING_RATE, fused=True)

    def loss(part: Rows) -> Tensor:
        return torch.stack([problem.loss(w, part) for w in weights]).sum()

    def epoch() -> float:
        for part in batches(rows, BATCH, generator):
            (weights.grad,) = torch.autograd.grad(loss(part), weights)
            optimiser.step()
        return mean_loss(Predictor(problem.model, weights.detach()), rows)

    return epoch


# Every forget-quality metric of a set of models, against a set of retrained ones.

#: Where an attack that tells models apart scores identical ones.
CHANCE = Measure(0.5, "none", (0, 1))


@dataclass(frozen=True)
class Setting:
    """What is the same for all sets of models of one experiment and seed.

    Attributes:
        problem: data, model and objective.
        forget: (n,) the forgotten rows.
        true_labels: (n,) of the forgotten rows where they were trained on with wrong ones.
        seeds: of which the evaluation seed drives every draw.
        attacks: to run.
        shadows: the models that attacks may use as references.
    """

    problem: Problem
    forget: Tensor
    true_labels: Tensor | None
    seeds: Seeds
    attacks: tuple[Attack, ...]
    shadows: ShadowBank | None

    def rng(self, *scope: object) -> np.random.Generator:
        """A fresh generator: every set of models is measured with the same draws."""
        return np.random.default_rng(self.seeds.generator("evaluation", *scope).initial_seed())

    @cached_property
    def shadow_views(self) -> tuple[np.ndarray, np.ndarray]:
        """(models, n, classes) of the shadow models on forgotten rows and negatives."""
        weights = () if self.shadows is None else self.shadows.weights
        predictors = [Predictor(self.problem.model, w) for w in weights]

        def view(rows: Rows) -> np.ndarray:
            if not predictors:
                return np.empty((0, len(rows), self.problem.model.classes))
            return log_probabilities(predictors, rows)

        return view(self.problem.train.take(self.forget)), view(self.problem.negatives)

    def references(self, attack: RowAttack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs of the shadow models an attack is given, and their members (models, n)."""
        forget, negatives = self.shadow_views
        count = min(attack.references, len(forget))
        members = np.zeros((0, len(self.forget)), dtype=bool)
        if count:
            members = present(self.shadows).members[:count][:, self.forget.numpy()]
        return forget[:count], negatives[:count], members


class Models:
    """Models of one kind, and what they say, each computed once.

    Args:
        setting: what they are asked.
        predictors: independent runs.
    """

    def __init__(self, setting: Setting, predictors: list[Predictor]) -> None:
        self.setting, self.predictors = setting, predictors
        self._attacked: dict[str, tuple[float, np.ndarray]] = {}

    @cached_property
    def forget(self) -> np.ndarray:
        """(models, n, classes) log-probabilities of the forgotten rows."""
        rows = self.setting.problem.train.take(self.setting.forget)
        return log_probabilities(self.predictors, rows)

    @cached_property
    def negatives(self) -> np.ndarray:
        """(models, m, classes) of rows never trained on."""
        return log_probabilities(self.predictors, self.setting.problem.negatives)

    @cached_property
    def test(self) -> np.ndarray:
        """(models, t, classes) of test rows."""
        return log_probabilities(self.predictors, self.setting.problem.test)

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) of the forgotten rows, as they were trained on."""
        return self.setting.problem.train.y.cpu().numpy()[self.setting.forget.numpy()]

    @cached_property
    def margins(self) -> np.ndarray:
        """(models, n) of the forgotten rows."""
        return np.stack([margins(each, self.labels) for each in self.forget])

    def attacked(self, attack: RowAttack) -> tuple[float, np.ndarray]:
        """The attack's mean AUC over models, and each forgotten row's mean score (n,).

        Raises:
            LetheError: if the attack gives no valid scores.
        """
        if attack.name not in self._attacked:
            known, unseen, members = self.setting.references(attack)
            labels = self.setting.problem.negatives.y.cpu().numpy()
            pairs = [
                attack_rows(
                    attack,
                    Views(ours, known, self.labels),
                    members,
                    Views(theirs, unseen, labels),
                    self.setting.rng("attack", attack.name),
                )
                for ours, theirs in zip(self.forget, self.negatives, strict=True)
            ]
            area = float(np.mean([auc(*pair) for pair in pairs]))
            self._attacked[attack.name] = area, np.mean([pair[0] for pair in pairs], axis=0)
        return self._attacked[attack.name]

    def relearnt(self, target: float) -> RelearnTime:
        """Epochs to learn the forgotten rows again.

        Raises:
            LetheError: if that diverges.
        """
        problem = self.setting.problem
        return relearn_epochs(
            problem,
            self.predictors,
            problem.train.take(self.setting.forget),
            target,
            lambda k: self.setting.seeds.generator("evaluation", "relearn", k),
        )

    def loss(self) -> float:
        """The median model's mean loss on the forgotten rows."""
        rows = self.setting.problem.train.take(self.setting.forget)
        return float(np.median([mean_loss(predictor, rows) for predictor in self.predictors]))


@dataclass
class Measured:
    """Metrics of one set of models.

    Attributes:
        measures: by name.
        censored: names of those that are lower bounds.
        scores: by attack, (n,) of each forgotten row under these and under retrained models.
    """

    measures: dict[str, Measure] = field(default_factory=dict)
    censored: set[str] = field(default_factory=set)
    scores: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def measure(models: Models, reference: Models, target: float, relearnt: RelearnTime) -> Measured:
    """Every metric of `models`.

    Args:
        models: to be judged.
        reference: as many models that never saw the forgotten rows, independent of `models`.
        target: the loss that counts as learnt again.
        relearnt: how long that takes the reference.
    """
    found = Measured()
    found.measures["p_value"] = _energy(models, reference)
    found.measures["klom"] = _klom(models, reference)
    for attack in models.setting.attacks:
        if isinstance(attack, ModelAttack):
            _told_apart(attack, models, reference, found)
        elif isinstance(attack, RowAttack):
            _attack(attack, models, reference, found)
    found.measures["strongest_gap"] = _strongest(models.setting.attacks, found.measures)
    found.measures |= _divergences(models, reference)
    _relearn(models, target, relearnt, found)
    if models.setting.true_labels is not None:
        found.measures["restored_accuracy"] = _restored(models)
    return found


def _klom(models: Models, reference: Models) -> Measure:
    found = klom_measure(reference.margins, models.margins)
    if found.value is None:
        return found
    each = klom(reference.margins, models.margins)
    rng = models.setting.rng("bootstrap", "klom")
    interval = bootstrap_interval(lambda values: float(values.mean()), (each,), rng)
    return replace(found, interval=(present(interval.low), present(interval.high)))


def _energy(models: Models, reference: Models) -> Measure:
    """p-value of "these are retrained models", by the margins of the forgotten rows."""
    rng = models.setting.rng("permutation")
    p_value = energy_test(models.margins, reference.margins, rng)
    return Measure(p_value, "none", (0, 1), n=len(models.predictors))


def _attack(attack: RowAttack, models: Models, reference: Models, found: Measured) -> None:
    """The gap of an attack that tells rows apart, model by model."""
    name, n = f"{attack.name}_gap", len(models.predictors)
    try:
        (ours, scores), (theirs, retrained) = models.attacked(attack), reference.attacked(attack)
    except LetheError as error:
        found.measures[name] = Measure(None, "lower", (0, 1), n=n, note=str(error))
        return
    areas = [Measure(area, "none", (0, 1), n=n) for area in (ours, theirs)]
    found.measures[f"{attack.name}_auc"] = areas[0]
    found.measures[name] = gap_to_retrain(*areas)
    found.scores[attack.name] = scores, retrained


def _told_apart(attack: ModelAttack, models: Models, reference: Models, found: Measured) -> None:
    """AUC and rates of an attack that tells models apart; identical ones give an AUC of 1/2."""
    try:
        folds = attack_models(
            attack,
            models.forget,
            reference.forget,
            models.labels,
            models.setting.rng("attack", attack.name),
        )
    except LetheError as error:
        missing = Measure(None, "none", (0, 1), note=str(error))
        found.measures |= {f"{attack.name}_{name}": missing for name in ("auc", "gap")}
        return
    rates = attack_measures(folds)
    for name, rate in FALSE_POSITIVE_RATES.items():
        if rates[name].value is None:
            rates[name] = replace(rates[name], note=_runs_wanted(rate, len(models.labels)))
    rng = models.setting.rng("bootstrap", attack.name)
    interval = auc_interval(folds, rng, same_examples=True)
    rates["auc"] = replace(rates["auc"], interval=interval)
    rates["gap"] = gap_to_retrain(rates["auc"], CHANCE)
    found.measures |= {f"{attack.name}_{name}": rate for name, rate in rates.items()}
    # A likelihood ratio has no mean worth having; the median model stands for all.
    ours, theirs = (np.concatenate(sides) for sides in zip(*folds, strict=True))
    found.scores[attack.name] = np.median(ours, axis=0), np.median(theirs, axis=0)


def _runs_wanted(rate: float, examples: int) -> str:
    """Why so low a false-positive rate is not resolved: it takes 1 / rate scores in each fold."""
    runs = FOLDS * math.ceil(1 / (rate * examples) - 1e-9)
    return f"it needs {runs} runs or more of {examples} forgotten rows"


def _strongest(attacks: tuple[Attack, ...], measures: dict[str, Measure]) -> Measure:
    """The largest gap of all attacks; that of the floor is as much the largest of several."""
    gaps = {attack.name: measures[f"{attack.name}_gap"] for attack in attacks}
    name = strongest(gaps)
    if name is None:
        return Measure(None, "lower", (0, 1), note="no attack gave a valid result")
    title = next(attack.title for attack in attacks if attack.name == name)
    return Measure(gaps[name].value, "lower", (0, 1), n=gaps[name].n, note=title)


def _divergences(models: Models, reference: Models) -> dict[str, Measure]:
    """Divergences of predictions, each model beside one independent retrained model."""

    def flat(outputs: np.ndarray) -> np.ndarray:
        return outputs.reshape(-1, outputs.shape[-1])

    ours, theirs = flat(models.forget), flat(reference.forget)
    on_test = jensen_shannon_to_retrain(flat(reference.test), flat(models.test))
    return {
        "js_forget": jensen_shannon_to_retrain(theirs, ours)["js_mean"],
        "kl_forget": kl_from_retrain(theirs, ours),
        "js_test": on_test["js_mean"],
    }


def _relearn(models: Models, target: float, relearnt: RelearnTime, found: Measured) -> None:
    try:
        ours = models.relearnt(target)
    except LetheError as error:
        missing = Measure(None, "none", (0, np.inf), note=str(error))
        found.measures |= {"relearn_ratio": missing, "relearn_gap": missing}
        return
    found.measures |= relearn_ratio(ours, relearnt)
    if ours.censored:
        found.censored |= {"relearn_ratio", "relearn_gap"}


def _restored(models: Models) -> Measure:
    """Accuracy on rows that were mislabelled in training, by their true labels."""
    labels = present(models.setting.true_labels).cpu()
    shares = [accuracy(torch.from_numpy(outputs), labels) for outputs in models.forget]
    return Measure(100 * float(np.mean(shares)), "higher", (0, 100), unit="%", n=len(labels))
