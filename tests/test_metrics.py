"""Metrics against closed forms, bounds and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from benchmark.theory.gaussian import delta_for
from benchmark.contract.certificate import Certificate
from benchmark.metrics.attack import auc, population_auc
from benchmark.metrics.slack import distance_slack, realised_epsilon
from benchmark.metrics.utility import accuracy, losses
from benchmark.metrics.value import Value
from benchmark.runner.evaluate import predict, score, score_certificate
from tests import problems

RNG = np.random.default_rng(0)
scores = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_auc_is_scikit_learns_with_ties(members: list[int], others: list[int]) -> None:
    labels = [1] * len(members) + [0] * len(others)
    assert auc(np.array(members), np.array(others)) == pytest.approx(
        roc_auc_score(labels, members + others)
    )


def test_auc_of_two_gaussians_is_its_closed_form() -> None:
    shift, n = 0.7, 200_000
    measured = auc(RNG.normal(shift, 1, n), RNG.normal(0, 1, n))
    assert measured == pytest.approx(norm.cdf(shift / 2**0.5), abs=4 * 0.5 / n**0.5)


def test_auc_at_its_bounds() -> None:
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert auc(high, low) == 1
    assert auc(low, high) == 0
    assert auc(low, low) == 0.5


def test_a_planted_member_is_seen_by_its_low_loss() -> None:
    assert population_auc(np.zeros(5), np.ones(50)) == 1
    assert population_auc(np.ones(5), np.zeros(50)) == 0


def test_accuracy_and_loss_are_scikit_learns() -> None:
    logits = torch.from_numpy(RNG.normal(size=(50, 4)))
    y = torch.from_numpy(RNG.integers(0, 4, 50))
    outputs = logits.log_softmax(dim=1)
    assert accuracy(outputs, y) == accuracy_score(y, outputs.argmax(1))
    assert float(losses(outputs, y).mean()) == pytest.approx(log_loss(y, outputs.exp()))


def test_realised_epsilon_is_exact_at_the_measured_distance() -> None:
    epsilon = realised_epsilon(0.5, 2.0, 1e-5)
    assert delta_for(epsilon, 0.25) == pytest.approx(1e-5, rel=1e-6)
    assert realised_epsilon(0.5, 0.0, 1e-5) is None
    assert realised_epsilon(0.0, 1.0, 1e-5) == 0


def test_slack() -> None:
    assert distance_slack(3.0, 1.5) == 2
    assert distance_slack(1.0, 0.0) is None


def test_a_metric_is_never_infinite_or_nan() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            Value(value=bad)


def test_retrain_scores_no_gap_and_doing_nothing_is_told_apart() -> None:
    problem = problems.mlp()
    forget, every = torch.arange(10), problems.every_row(problem)
    g = torch.Generator
    from benchmark.problem.predictor import Predictor

    original = problem.fit(every, g().manual_seed(0))
    retrained = problem.fit(every[10:], g().manual_seed(0))
    outputs = [
        predict(Predictor(problem.model, w), problem, forget, every[10:])
        for w in (original, retrained)
    ]
    itself = score(outputs[1], outputs[1])
    assert all(itself[name].value == 0 for name in itself if name.endswith("gap"))
    nothing = score(outputs[0], outputs[1])
    assert nothing["loss_forget_gap"].value < 0, "the original fits what it was trained on"


def certificate(sensitivity: float) -> Certificate:
    return Certificate(
        definition="unlearn-on-retain",
        mode="instance",
        theorem="Theorem 5",
        epsilon=1,
        delta=1e-5,
        sensitivity=sensitivity,
        sigma=1.0,
        trivial_sensitivity=10,
    )


def test_certificate_scores() -> None:
    w, reference = torch.tensor([3.0, 4.0]), torch.zeros(2)
    scores = score_certificate(w, reference, certificate(10.0), shared=True)
    assert scores["distance"].value == 5
    assert scores["slack"].value == 2
    assert score_certificate(w, reference, certificate(2.5), shared=True)["slack"].value == 0.5
    assert set(score_certificate(w, reference, None, shared=True)) == {"distance"}
    own = score_certificate(w, reference, certificate(10.0), shared=False)
    assert own["distance"].value is None
    assert own["distance"].note
