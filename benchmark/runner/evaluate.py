"""Scoring a release."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.certify.composition import deletion_capacity
from benchmark.contract.certificate import Certificate
from benchmark.metrics.attack import population_auc
from benchmark.metrics.jensen_shannon import jensen_shannon_to_retrain
from benchmark.metrics.kullback_leibler import kl_from_retrain
from benchmark.metrics.slack import distance_slack, realised_epsilon
from benchmark.metrics.utility import accuracy, losses
from benchmark.metrics.value import Value
from benchmark.problem.predictor import Predictor
from benchmark.problem.problem import Problem

PARTS = ("retain", "forget", "test")
#: Parts on which predictions are compared with the retrained model's, row by row.
COMPARED = ("forget", "test")


@dataclass(frozen=True)
class Outputs:
    """Accuracy on, and per-row losses (n,) of, each part of the data.

    `losses` has the parts of `PARTS` and the never-trained `negatives`, `log_probabilities`
    (n, classes) those of `COMPARED`.
    """

    accuracy: dict[str, float]
    losses: dict[str, np.ndarray]
    log_probabilities: dict[str, np.ndarray]

    @property
    def attack(self) -> float:
        """The population attack's AUC."""
        return population_auc(self.losses["forget"], self.losses["negatives"])


def predict(predictor: Predictor, problem: Problem, forget: Tensor, retain: Tensor) -> Outputs:
    """Run a model over all parts of the data."""
    parts = {
        "retain": problem.train.take(retain),
        "forget": problem.train.take(forget),
        "test": problem.test,
        "negatives": problem.negatives,
    }
    accuracies, loss_rows, predictions = {}, {}, {}
    for name, rows in parts.items():
        outputs = predictor.log_probabilities(rows.x)
        accuracies[name] = accuracy(outputs, rows.y)
        loss_rows[name] = losses(outputs, rows.y).cpu().numpy()
        if name in COMPARED:
            predictions[name] = outputs.cpu().numpy()
    return Outputs(accuracies, loss_rows, predictions)


def score(outputs: Outputs, reference: Outputs) -> dict[str, Value]:
    """Utility and forgetting of one model beside the retrained one's."""
    scores: dict[str, Value] = {}
    for part in PARTS:
        n = len(outputs.losses[part])
        ours, theirs = outputs.accuracy[part], reference.accuracy[part]
        direction = "none" if part == "forget" else "higher"
        scores[f"accuracy_{part}"] = Value(value=100 * ours, unit="%", direction=direction, n=n)
        scores[f"accuracy_{part}_gap"] = Value(
            value=100 * (ours - theirs), unit="points", direction="zero", n=n
        )
        ours, theirs = outputs.losses[part].mean(), reference.losses[part].mean()
        direction = "none" if part == "forget" else "lower"
        scores[f"loss_{part}"] = Value(value=ours, unit="nats", direction=direction, n=n)
        scores[f"loss_{part}_gap"] = Value(value=ours - theirs, unit="nats", direction="zero", n=n)
    for part in COMPARED:
        retrained, ours = reference.log_probabilities[part], outputs.log_probabilities[part]
        found = jensen_shannon_to_retrain(retrained, ours)
        found["kl"] = kl_from_retrain(retrained, ours)
        scores |= {f"{name}_{part}": measure.as_value() for name, measure in found.items()}
    n = len(outputs.losses["forget"]) + len(outputs.losses["negatives"])
    scores["attack_auc"] = Value(value=outputs.attack, direction="none", n=n)
    scores["attack_gap"] = Value(
        value=abs(outputs.attack - reference.attack),
        direction="lower",
        n=n,
        note="|AUC - AUC of retrain|",
    )
    return scores


def score_certificate(
    weights: Tensor, reference: Tensor, certificate: Certificate | None, shared: bool
) -> dict[str, Value]:
    """Distance to the retrained weights, and how slack the certificate is.

    Args:
        weights: (d,) or (members, d), before noise.
        reference: (d,) retrained weights.
        certificate: of the release, or None.
        shared: whether the method unlearns from the shared original; one with a training of its
            own has another retrained model.
    """
    if not shared or weights.shape != reference.shape:
        note = "the method trains its own model: the shared retrained weights are not its target"
        return {"distance": Value(value=None, direction="lower", note=note)}
    if certificate is not None and certificate.noise == "inside":
        note = "the noise is drawn inside the algorithm: there are no weights before it"
        return {"distance": Value(value=None, direction="lower", note=note)}
    distance = float(torch.linalg.vector_norm(weights.double() - reference.double()))
    scores = {"distance": Value(value=distance, direction="lower", n=1)}
    if certificate is not None and certificate.sensitivity > 0:
        scores["slack"] = Value(
            value=distance_slack(certificate.sensitivity, distance),
            direction="lower",
            n=1,
            note="sensitivity over distance; below 1 the bound is violated",
        )
        scores["realised_epsilon"] = Value(
            value=realised_epsilon(distance, certificate.sigma, certificate.delta),
            direction="lower",
            n=1,
            note="what the noise gives at the measured distance",
        )
    return scores


def score_control(outputs: Outputs, control: Outputs) -> dict[str, Value]:
    """Test accuracy of the noise-only control, and what the row has over it.

    Args:
        outputs: of the release.
        control: of the same method, request and noise, started from zero weights.
    """
    n = len(outputs.losses["test"])
    ours, theirs = outputs.accuracy["test"], control.accuracy["test"]
    return {
        "control_accuracy_test": Value(value=100 * theirs, unit="%", direction="none", n=n),
        "control_accuracy_test_gap": Value(
            value=100 * (ours - theirs),
            unit="points",
            direction="higher",
            n=n,
            note="above the noise-only control",
        ),
    }


def score_restored(
    predictor: Predictor, problem: Problem, forget: Tensor, true_labels: Tensor | None
) -> dict[str, Value]:
    """Accuracy on forgotten rows by their true labels, where they were trained on with wrong ones.

    Args:
        predictor: what was released.
        problem: whose training labels are wrong on `forget`.
        forget: (n,) row indices.
        true_labels: (n,); None where the labels were right.
    """
    if true_labels is None:
        return {}
    outputs = predictor.log_probabilities(problem.train.take(forget).x)
    share = 100 * accuracy(outputs, true_labels)
    return {"accuracy_restored": Value(value=share, unit="%", direction="higher", n=len(forget))}


def score_stream(certificates: list[Certificate | None]) -> dict[str, Value]:
    """How far a budget that was fixed beforehand goes over a stream of requests."""
    if len(certificates) < 2 or any(
        c is None or c.mode != "budgeted" or not c.composes for c in certificates
    ):
        return {}
    n, budget = len(certificates), certificates[-1].sensitivity
    capacity = deletion_capacity([certificate.reached for certificate in certificates], budget)
    note = "requests so far" if capacity.exhausted else f"extrapolated from {n} requests"
    return {
        "budget_spent": Value(
            value=100 * capacity.spent,
            unit="%",
            direction="lower",
            n=n,
            note="sqrt(sum Delta_i^2) over the budget, after the stream",
        ),
        "deletion_capacity": Value(
            value=capacity.requests, unit="requests", direction="higher", n=n, note=note
        ),
    }
