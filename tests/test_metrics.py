"""Metrics against closed forms, bounds and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from benchmark.contract.claim import Algorithm, Claim, Constant, Distance, Target
from benchmark.contract.guarantee import Gaussian
from benchmark.errors import LetheError
from benchmark.metrics.attack import auc, population_auc
from benchmark.metrics.slack import distance_slack, realised_epsilon
from benchmark.metrics.utility import accuracy, losses
from benchmark.metrics.value import Value
from benchmark.problem.predictor import Predictor
from benchmark.runner.evaluate import predict, score, score_claim, score_noise, score_stream
from benchmark.theory.gaussian import delta_for, m_for
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


def claim(reached: float, *, bound: float = 10.0, m: float = 10.0) -> Claim:
    steps = [("steps_taken", 3.0), ("further_steps", 2.0)]
    evidence = Distance(
        bound=bound,
        sigma=bound / m,
        theorem="thm5",
        reached=reached,
        measured=tuple(
            Constant(name=name, value=value, provenance="measured", meaning="of a test")
            for name, value in steps
        ),
    )
    return Claim.of("unlearn-on-retain", Gaussian(m=m), evidence, delta=1e-5)


def test_a_claim_is_scored_by_the_distance_to_retraining() -> None:
    w, reference = torch.tensor([3.0, 4.0]), torch.zeros(2)
    scores = score_claim(w, reference, claim(10.0), shared=True)
    assert scores["distance"].value == 5
    assert scores["slack"].value == 2
    assert scores["realised_epsilon"].value == realised_epsilon(5.0, 1.0, 1e-5)
    assert (scores["steps_taken"].value, scores["further_steps"].value) == (3, 2)
    assert score_claim(w, reference, claim(2.5), shared=True)["slack"].value == 0.5
    assert set(score_claim(w, reference, None, shared=True)) == {"distance"}
    own = score_claim(w, reference, claim(10.0), shared=False)
    assert own["distance"].value is None
    assert own["distance"].note
    assert "slack" not in own
    inside = Algorithm(theorem="blocks", sigma=1.0, steps=1)
    noisy = Claim.of("reference", Gaussian(m=1.0), inside, delta=1e-5)
    assert score_claim(w, reference, noisy, shared=True)["distance"].value is None


def test_what_the_noise_costs_is_a_number_of_its_own() -> None:
    problem = problems.softmax()
    weights = problem.fit(problems.every_row(problem), torch.Generator().manual_seed(0))
    forget, retain = torch.arange(5), torch.arange(5, 60)
    noiseless, noisy = (Predictor(problem.model, w) for w in (weights, -weights))
    outputs = [predict(one, problem, forget, retain) for one in (noiseless, noisy)]
    cost = score_noise(outputs[1], noiseless, problem, claim(1.0))["noise_cost"]
    lost = 100 * (outputs[1].worth - outputs[0].worth)
    assert cost.value == lost < 0
    assert score_noise(outputs[0], noiseless, problem, claim(1.0))["noise_cost"].value == 0
    exact = Claim.by_construction("retrained")
    assert score_noise(outputs[1], noiseless, problem, exact) == {}
    assert score_noise(outputs[1], noiseless, problem, None) == {}


def test_a_stream_lasts_by_what_was_measured_and_whatever_comes() -> None:
    """At m / 3 each, nine releases are as good as one: 3^2."""
    target = Target(epsilon=1.0, delta=1e-5)
    m = m_for(1.0, 1e-5) / 3
    scores = score_stream([claim(1.0, m=m), claim(1.0, m=m)], target)
    assert scores["uniform_capacity"].value == 9
    assert scores["budget_spent"].value == pytest.approx(100 * 2**0.5 / 10)
    assert scores["deletion_capacity"].value == 100
    assert "extrapolated from 2" in scores["deletion_capacity"].note
    spent = score_stream([claim(10.0, m=m), claim(10.0, m=m)], target)
    assert spent["deletion_capacity"].value == 1
    nothing = score_stream([claim(0.0, m=m), claim(0.0, m=m)], target)
    assert nothing["deletion_capacity"].value is None
    assert nothing["deletion_capacity"].note.endswith("nothing is spent")
    assert score_stream([claim(1.0)], target) == {}, "one request is no stream"
    assert score_stream([claim(1.0), None], target) == {}
    assert score_stream([claim(1.0), claim(1.0, bound=5.0)], target) == {}


@pytest.mark.parametrize(
    ("members", "others", "words"),
    [
        ([math.nan, 1.0], [0.0], "the score of a member is NaN"),
        ([1.0], [0.0, math.nan], "the score of a non-member is NaN"),
        ([], [1.0], "there is no member"),
        ([1.0], [], "there is no non-member"),
    ],
)
def test_an_auc_of_no_numbers_is_refused_by_name(
    members: list[float], others: list[float], words: str
) -> None:
    with pytest.raises(LetheError, match=words):
        auc(np.array(members), np.array(others))


def test_an_accuracy_of_no_numbers_is_refused_by_name() -> None:
    with pytest.raises(LetheError, match="an output of the model is NaN"):
        accuracy(torch.tensor([[math.nan, 0.0]]), torch.tensor([0]))
    with pytest.raises(LetheError, match="there is none"):
        accuracy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
