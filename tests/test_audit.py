"""Audits: never above what is true, and not far below it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from benchmark.audit.mechanism import gdp_resolution, mechanism_audit
from benchmark.audit.model_level import model_audit, resolution
from benchmark.audit.rates import rates
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory.gaussian import epsilon_for, m_for
from tests.draws import draw_projections, project_draws
from tests.theory.gaussian import sigma_for

DELTA = 1e-5


def pair(
    sigma: float, distance: float, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    return (
        draw_projections(sigma, distance, draws=draws, rng=rng),
        draw_projections(sigma, 0.0, draws=draws, rng=rng),
    )


def test_a_tight_mechanism_is_audited_to_nine_tenths() -> None:
    rng = np.random.default_rng(0)
    sigma = sigma_for(1.0, DELTA, 1.0)
    found = [
        mechanism_audit(*pair(sigma, 1.0, 100_000, rng), DELTA).lower_epsilon for _ in range(10)
    ]
    assert 0.9 <= np.median(found) <= 1.0


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 50.0])
@pytest.mark.parametrize("draws", [64, 20_000])
def test_T16_an_audit_never_exceeds_the_certified_epsilon(epsilon: float, draws: int) -> None:
    rng = np.random.default_rng(draws)
    sigma = sigma_for(epsilon, DELTA, 3.0)
    for _ in range(50):
        audit = mechanism_audit(*pair(sigma, 3.0, draws, rng), DELTA, confidence=0.999)
        assert audit.lower_epsilon <= epsilon


def test_T16_a_model_audit_never_exceeds_the_true_epsilon() -> None:
    rng = np.random.default_rng(4)
    m = m_for(2.0, DELTA)
    for runs in (16, 256, 4096):
        for _ in range(60):
            audit = model_audit(
                rng.normal(m, 1, runs), rng.normal(0, 1, runs), 2.0, DELTA, confidence=0.999
            )
            assert audit.verdict != "refuted"


def test_T16_identical_distributions_raise_no_false_alarm() -> None:
    rng = np.random.default_rng(1)
    for _ in range(400):
        scores, others = rng.normal(size=(2, 200))
        assert mechanism_audit(scores, others, DELTA, confidence=0.999).lower_epsilon == 0
        assert model_audit(scores, others, 0.0, DELTA, confidence=0.999).verdict == "not refuted"


def test_T16_halved_noise_is_caught() -> None:
    rng = np.random.default_rng(2)
    sigma = sigma_for(1.0, DELTA, 1.0)
    audit = mechanism_audit(*pair(sigma / 2, 1.0, 100_000, rng), DELTA, confidence=0.999)
    assert audit.lower_epsilon > 1.5
    assert (audit.method, audit.confidence, audit.draws) == ("gdp", 0.999, 90_000)


def test_T16_halved_noise_of_a_real_draw_is_caught() -> None:
    rng = np.random.default_rng(3)
    sigma, d = sigma_for(1.0, DELTA, 1.0), 12
    gap = rng.normal(size=d)
    gap /= np.linalg.norm(gap)

    def audit(scale: float) -> float:
        released = project_draws(lambda: gap + scale * rng.normal(size=d), gap, 20_000)
        retrained = project_draws(lambda: scale * rng.normal(size=d), gap, 20_000)
        return mechanism_audit(released, retrained, DELTA, confidence=0.999).lower_epsilon

    assert 0.5 < audit(sigma) <= 1.0
    assert audit(sigma / 2) > 1.3


def test_noise_that_is_not_fresh_is_caught() -> None:
    rng = np.random.default_rng(5)
    sigma = sigma_for(1.0, DELTA, 1.0)
    stuck = float(sigma * rng.normal())
    released, retrained = np.full(1000, 1.0 + stuck), np.full(1000, stuck)
    assert mechanism_audit(released, retrained, DELTA).lower_epsilon > 10
    assert mechanism_audit(retrained, retrained, DELTA).lower_epsilon == 0  # ties prove nothing


def test_the_direction_of_the_difference_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    released, retrained = pair(0.5, 1.0, 10_000, rng)
    forth = mechanism_audit(released, retrained, DELTA).lower_epsilon
    back = mechanism_audit(-released, -retrained, DELTA).lower_epsilon
    assert forth == pytest.approx(back, rel=0.05)
    assert forth > 5


@pytest.mark.parametrize("truth", [0.06, 0.3])
def test_both_rates_hold_together_at_the_stated_confidence(truth: float) -> None:
    rng = np.random.default_rng(7)
    threshold, trials, missed = np.array([0.0]), 4000, 0
    for _ in range(trials):
        reference = (rng.random(80) < truth) - 0.5
        released = 0.5 - (rng.random(80) < truth)
        bound = rates(released, reference, threshold, 0.9)
        missed += bound.false_positive[0] < truth or bound.false_negative[0] < truth
    assert missed / trials <= 0.1 + 3 * math.sqrt(0.09 / trials)
    assert missed > 0


@pytest.mark.parametrize(("runs", "epsilon"), [(16, 1.35), (64, 2.82), (128, 3.53), (512, 4.93)])
def test_resolution_of_perfect_separation(runs: int, epsilon: float) -> None:
    assert resolution(runs, DELTA) == pytest.approx(epsilon, abs=0.005)
    scores = np.arange(runs) / runs
    audit = model_audit(scores + 10, scores, 1.0, DELTA, threshold=5.0)
    assert audit.result.lower_epsilon == pytest.approx(resolution(runs, DELTA), rel=1e-9)
    assert audit.verdict == "refuted"
    halved = model_audit(scores + 10, scores, 1.0, DELTA)
    assert halved.result.lower_epsilon == pytest.approx(resolution(runs // 2, DELTA), rel=1e-9)


@pytest.mark.parametrize("draws", [9, 90, 900])
def test_resolution_of_a_gaussian_mechanism_is_what_perfect_separation_gives(draws: int) -> None:
    scores = np.arange(10 * draws // 9) / draws
    audit = mechanism_audit(scores + 10, scores, DELTA)
    assert audit.draws == draws
    assert audit.lower_epsilon == gdp_resolution(draws, DELTA)
    rate = 1 - 0.025 ** (1 / draws)
    m = 2 * norm.isf(rate)
    assert gdp_resolution(draws, DELTA) == pytest.approx(epsilon_for(max(m, 0), DELTA))


def test_two_runs_a_side_resolve_nothing() -> None:
    assert gdp_resolution(1, DELTA) == 0
    with pytest.raises(LetheError, match="at least one score"):
        gdp_resolution(0, DELTA)


def test_a_claim_above_the_resolution_is_not_falsifiable() -> None:
    scores = np.arange(64) / 64
    audit = model_audit(scores + 10, scores, 3.0, DELTA)
    assert audit.resolution == resolution(32, DELTA) < 3.0
    assert audit.text == "not falsifiable at 32"
    assert model_audit(scores, scores, 1.0, DELTA).text == "not refuted"
    assert model_audit(scores - 10, scores, 1.0, DELTA).text == "refuted"
    assert resolution(1, DELTA) == 0.0


def test_projections_have_the_distance_and_the_spread() -> None:
    rng = np.random.default_rng(8)
    offset = np.array([3.0, 4.0])
    along = draw_projections(0.5, offset, draws=50_000, rng=rng)
    across = draw_projections(0.5, offset, np.array([-4.0, 3.0]), draws=50_000, rng=rng)
    assert along.mean() == pytest.approx(5.0, abs=0.01)
    assert across.mean() == pytest.approx(0.0, abs=0.01)
    assert along.std() == pytest.approx(0.5, rel=0.02)
    assert project_draws(lambda: offset, 2 * offset, 3) == pytest.approx([5.0, 5.0, 5.0])


def test_audits_refuse_what_they_cannot_judge() -> None:
    good = np.arange(10.0)
    with pytest.raises(LetheError, match="at least two finite scores"):
        mechanism_audit(good[:1], good, DELTA)
    with pytest.raises(LetheError, match="at least two finite scores"):
        mechanism_audit(good, np.array([0.0, math.nan]), DELTA)
    with pytest.raises(AssumptionBroken, match="confidence must lie strictly between 0 and 1"):
        mechanism_audit(good, good, DELTA, confidence=1.0)
    with pytest.raises(AssumptionBroken, match="certified_epsilon must be at least 0"):
        model_audit(good, good, -1.0, DELTA)
    with pytest.raises(LetheError, match="length 0"):
        project_draws(lambda: good, 0 * good, 2)
    with pytest.raises(LetheError, match="offset as a vector"):
        draw_projections(1.0, 2.0, good, rng=np.random.default_rng(0))
    with pytest.raises(LetheError, match="at least one run"):
        resolution(0, DELTA)
