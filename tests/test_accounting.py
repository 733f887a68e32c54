"""Noise and its accounting, against the accounting of others and the literature."""

from __future__ import annotations

import math

import dp_accounting
import mpmath
import numpy as np
import pytest
from dp_accounting import dp_event, pld
from dp_accounting.pld.privacy_loss_mechanism import AdjacencyType, GaussianPrivacyLoss
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from benchmark.contract.guarantee import Gaussian, compose
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory.composition import deletion_capacity
from benchmark.theory.gaussian import delta_for, epsilon_for, log_delta, m_for
from benchmark.theory.group_privacy import (
    group_delta,
    group_epsilon,
    group_m,
    group_noise_multiplier,
)
from benchmark.theory.noisy_descent import (
    gradient_clipping_m,
    model_clipping_delta,
    model_clipping_m,
    model_clipping_steps,
)
from tests.oracles import classical_sigma, sigma_for

# Composition, noisy fine-tuning and groups of rows, against the accounting of others.


def together(ms: list[float]) -> float:
    """Epsilon at 1e-5 of releases that are m-GDP each."""
    return compose(Gaussian(m=m) for m in ms).epsilon(1e-5)


def test_composition_agrees_with_dp_accounting() -> None:
    ms = [0.1, 0.25, 0.05, 0.4]
    accountant = pld.PLDAccountant()
    for m in ms:
        accountant.compose(dp_accounting.GaussianDpEvent(1 / m))
    theirs = accountant.get_epsilon(1e-5)
    assert together(ms) == pytest.approx(theirs, rel=2e-3)


def test_T5_one_step_without_gradient_is_the_gaussian_mechanism() -> None:
    m = gradient_clipping_m(
        radius=3.0, clip=0.0, step_size=0.1, weight_decay=0.0, steps=1, sigma=2.0
    )
    assert m == pytest.approx(2 * 3.0 / 2.0)
    shrunk = gradient_clipping_m(
        radius=3.0, clip=0.0, step_size=0.1, weight_decay=4.0, steps=1, sigma=2.0
    )
    assert shrunk == pytest.approx(0.6 * m)


def test_T5_a_renyi_slope_of_one_is_epsilon_6_57() -> None:
    # rho = m^2 / 2 = 1; treating the Renyi bound as constant in its order would report 1.004.
    assert epsilon_for(math.sqrt(2), 1e-5) == pytest.approx(6.57, abs=0.005)
    assert m_for(1.0, 1e-5) ** 2 / 2 == pytest.approx(0.0359, abs=5e-5)


@pytest.mark.parametrize(("weight_decay", "steps"), [(0.0, 8), (0.5, 8), (5.0, 3), (10.0, 4)])
def test_T5_gradient_clipping_is_what_the_best_shifts_give(weight_decay: float, steps: int) -> None:
    """On a line, two runs pushed apart as hard as clipping allows have exactly this m."""
    radius, clip, eta, sigma = 1.0, 2.0, 0.1, 0.3
    c = 1 - eta * weight_decay
    apart, variance = 2 * radius, 0.0
    for _ in range(steps):
        apart = c * apart + 2 * eta * clip
        variance = c * c * variance + sigma**2
    m = gradient_clipping_m(
        radius=radius,
        clip=clip,
        step_size=eta,
        weight_decay=weight_decay,
        steps=steps,
        sigma=sigma,
    )
    assert m == pytest.approx(apart / math.sqrt(variance), rel=1e-12)


def test_T6_model_clipping_takes_six_steps_to_1e_5() -> None:
    deltas = [
        model_clipping_delta(epsilon=1.0, radius=1.0, steps=steps, sigma=1.0)
        for steps in range(1, 8)
    ]
    assert deltas[0] == pytest.approx(delta_for(1.0, 2.0))
    assert deltas[4] > 1e-5 > deltas[5]
    assert deltas[5] == pytest.approx(2.7e-8, rel=0.05)
    assert all(np.diff(deltas) < 0)


def test_model_clipping_survives_a_huge_epsilon() -> None:
    huge = model_clipping_delta(epsilon=1e4, radius=1.0, steps=2, sigma=1 / 70)
    assert 0 < huge < 1
    assert model_clipping_delta(epsilon=1e4, radius=1.0, steps=3, sigma=1.0) == 0.0
    zero = model_clipping_delta(epsilon=0.0, radius=1.0, steps=3, sigma=1.0)
    assert zero == pytest.approx(delta_for(0.0, 2.0) ** 3)


def test_noisy_descent_refuses_broken_conditions() -> None:
    shared = {"radius": 1.0, "clip": 1.0, "step_size": 0.5, "sigma": 1.0}
    with pytest.raises(AssumptionBroken, match=r"must lie in \[0, 1\]; it is -0.5"):
        gradient_clipping_m(weight_decay=3.0, steps=3, **shared)
    with pytest.raises(AssumptionBroken, match="weight_decay must be at least 0"):
        gradient_clipping_m(weight_decay=-1.0, steps=3, **shared)
    with pytest.raises(LetheError, match="at least one step"):
        gradient_clipping_m(weight_decay=0.0, steps=0, **shared)
    with pytest.raises(AssumptionBroken, match="sigma must be above 0"):
        model_clipping_delta(epsilon=1.0, radius=1.0, steps=3, sigma=0.0)


def test_a_budget_lasts_until_the_releases_together_exceed_it() -> None:
    """Delta_i / sigma compose to the m that sigma was made for, and to no more, at capacity."""
    budget = 0.01
    sigma = budget / m_for(1.0, 1e-5)
    for reached in (0.003, 0.0007):
        lasting = deletion_capacity([reached] * 10, budget)
        assert not lasting.exhausted
        fits, over = lasting.requests, lasting.requests + 1
        assert together([reached / sigma] * fits) <= 1 + 1e-9
        assert together([reached / sigma] * over) > 1
    spent = deletion_capacity([0.006, 0.006, 0.006, 0.001], budget)
    assert spent.exhausted
    assert spent.requests == 2, "0.006 sqrt(2) fits, 0.006 sqrt(3) does not"
    assert spent.spent == pytest.approx(math.sqrt(3 * 36 + 1) / 10)
    with pytest.raises(AssumptionBroken, match="budget"):
        deletion_capacity([0.1], 0.0)
    assert deletion_capacity([0.0, 0.0], budget).requests is None, "by retraining, for nothing"
    with pytest.raises(AssumptionBroken, match="reached must be at least 0"):
        deletion_capacity([0.1, -0.1], budget)


EPSILONS = (0.01, 0.1, 0.5, 1.0, 3.0, 8.0, 30.0, 100.0)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("delta", [1e-5, 1e-3])
def test_noise_for_gradient_clipping_agrees_with_dp_accounting(
    epsilon: float, delta: float
) -> None:
    """The sigma of a target, put into their Gaussian with all steps' noise added up."""
    settings = {"radius": 1.0, "clip": 0.5, "step_size": 0.1, "weight_decay": 2.0, "steps": 9}
    sigma = gradient_clipping_m(sigma=1.0, **settings) / m_for(epsilon, delta)
    apart, variance = 2.0, 0.0
    for _ in range(9):  # two runs pushed apart on a line: c = 0.8, 2 eta C1 = 0.1
        apart, variance = 0.8 * apart + 0.1, 0.64 * variance + sigma**2
    theirs = GaussianPrivacyLoss(math.sqrt(variance), sensitivity=apart)
    assert theirs.get_delta_for_epsilon(epsilon) == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.5])
def test_model_clipping_agrees_with_dp_accounting(epsilon: float, ratio: float) -> None:
    """One more step is their Gaussian subsampled at rate delta_t: the two recursions are one."""
    delta = 1.0
    for steps in range(1, 5):
        step = GaussianPrivacyLoss(
            ratio, sensitivity=2.0, sampling_prob=delta, adjacency_type=AdjacencyType.REMOVE
        )
        delta = step.get_delta_for_epsilon(epsilon)
        ours = model_clipping_delta(epsilon=epsilon, radius=1.0, steps=steps, sigma=ratio)
        # theirs subtracts two tails: below 1e-9 its own digits are gone
        assert ours == pytest.approx(delta, rel=1e-6, abs=1e-15)
        if delta < 1e-9:
            return


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0, 4.0])
def test_model_clipping_takes_no_step_more_than_it_needs(epsilon: float, sigma: float) -> None:
    shared = {"epsilon": epsilon, "radius": 1.0, "sigma": sigma}
    steps = model_clipping_steps(delta=1e-5, **shared)
    assert model_clipping_delta(steps=steps, **shared) <= 1e-5
    assert steps == 1 or model_clipping_delta(steps=steps - 1, **shared) > 1e-5


@pytest.mark.parametrize(("sigma", "steps"), [(1.0, 1), (1.0, 6), (2.0, 3), (0.4, 20), (0.25, 60)])
def test_model_clippings_m_is_above_its_curve_and_not_by_much(sigma: float, steps: int) -> None:
    m = model_clipping_m(radius=1.0, steps=steps, sigma=sigma)
    curve = [
        (epsilon, model_clipping_delta(epsilon=epsilon, radius=1.0, steps=steps, sigma=sigma))
        for epsilon in (0.0, *np.geomspace(1e-4, 300, 400))
    ]
    assert all(delta <= delta_for(epsilon, m) * (1 + 1e-12) for epsilon, delta in curve)
    assert any(delta > delta_for(epsilon, 0.98 * m) for epsilon, delta in curve)
    assert m <= 2 / sigma


def test_model_clipping_that_never_gets_there_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match=r"raise sigma, which is 0\.1 radii"):
        model_clipping_steps(epsilon=1.0, delta=1e-5, radius=1.0, sigma=0.1, most=200)
    with pytest.raises(LetheError, match="at least one step"):
        model_clipping_m(radius=1.0, steps=0, sigma=1.0)


@pytest.mark.parametrize("delta", [1e-18, 1e-15])
@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 30.0, 1e3, 1e6])
def test_the_gaussian_is_exact_down_to_1e_18(epsilon: float, delta: float) -> None:
    m = m_for(epsilon, delta)
    with mpmath.workdps(60):
        e, exact_m = mpmath.mpf(epsilon), mpmath.mpf(m)
        shift = e / exact_m
        truth = mpmath.ncdf(exact_m / 2 - shift) - mpmath.exp(e) * mpmath.ncdf(-exact_m / 2 - shift)
        assert delta * (1 - 1e-5) <= truth <= delta
        assert truth <= delta_for(epsilon, m) <= truth * (1 + 3e-9)
    assert epsilon_for(m, delta) == pytest.approx(epsilon, rel=1e-6)


ONE, BOARD = ({"group": k, "rate": 0.1, "steps": 100} for k in (1, 20))
TINY = (1e-18, 1e-17, 1e-16, 1e-15, 1e-14)


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("group", [ONE, BOARD])
def test_sampling_never_asks_for_more_noise_than_no_sampling(
    group: dict[str, float], epsilon: float
) -> None:
    for delta in (*TINY, 1e-5):
        enough = group["group"] * math.sqrt(group["steps"]) / m_for(epsilon, delta)
        z = group_noise_multiplier(epsilon=epsilon, delta=delta, **group)
        assert z <= enough
        assert group_delta(epsilon=epsilon, noise_multiplier=z, **group) <= delta
        assert group_epsilon(delta=delta, noise_multiplier=z, **group) <= epsilon * (1 + 1e-9)


@pytest.mark.parametrize("z", [0.01, 0.3, 7.0, 1e4])
def test_sampling_never_costs_epsilon_nor_delta(z: float) -> None:
    m = group_m(group=1, steps=100, noise_multiplier=z)
    for delta in (*TINY, 1e-11, 1e-5, 0.9):
        epsilon = group_epsilon(delta=delta, noise_multiplier=z, **ONE)
        assert epsilon <= epsilon_for(m, delta)
        assert group_delta(epsilon=epsilon, noise_multiplier=z, **ONE) <= delta
    for epsilon in (0.0, 1e-3, 1.0, 1e3):
        spent = group_delta(epsilon=epsilon, noise_multiplier=z, **ONE)
        assert spent <= delta_for(epsilon, m)


def test_a_smaller_delta_never_takes_less_noise_or_epsilon() -> None:
    """Across the delta at which one Gaussian takes over from the grid as well."""
    deltas = (*TINY, 1e-13, 1.1e-13, 1e-12, 1e-5, 0.1, 0.99)
    noise = [group_noise_multiplier(epsilon=1.0, delta=delta, **ONE) for delta in deltas]
    epsilons = [group_epsilon(delta=delta, noise_multiplier=8.0, **ONE) for delta in deltas]
    assert noise == sorted(noise, reverse=True)
    assert epsilons == sorted(epsilons, reverse=True)


@pytest.mark.parametrize(
    ("epsilon", "z", "answered"), [(1.0, 74.869923, 0.99914531), (8.0, 12.198221, 7.9999814)]
)
def test_the_boards_noise(epsilon: float, z: float, answered: float) -> None:
    """As dp-accounting gives it without a grid of our own."""
    ours = group_noise_multiplier(epsilon=epsilon, delta=1e-5, **BOARD)
    assert ours == pytest.approx(z, rel=1e-7)
    spent = group_epsilon(delta=1e-5, noise_multiplier=ours, **BOARD)
    assert spent == pytest.approx(answered, rel=1e-7)


def test_a_group_agrees_with_dp_accounting() -> None:
    hits = np.arange(21)
    theirs = pld.PLDAccountant(value_discretization_interval=2e-3).compose(
        dp_event.MixtureOfGaussiansDpEvent(75.0, hits.astype(float), binom.pmf(hits, 20, 0.1)), 100
    )
    for delta in (1e-9, 1e-5, 0.1):
        ours = group_epsilon(delta=delta, noise_multiplier=75.0, **BOARD)
        assert ours == pytest.approx(theirs.get_epsilon(delta), rel=1e-5)


@pytest.mark.parametrize("rate", [1e-25, 1e-6])
def test_a_row_that_is_hardly_ever_sampled_needs_hardly_any_noise(rate: float) -> None:
    shared = {"group": 1, "rate": rate, "steps": 1}
    assert group_noise_multiplier(epsilon=1.0, delta=1e-5, **shared) == 0.01
    assert group_epsilon(delta=1e-5, noise_multiplier=0.01, **shared) == 0.0
    enough = 1 / m_for(1e5, 1e-5)
    assert group_noise_multiplier(epsilon=1e5, delta=1e-5, **shared) == enough < 0.01


def test_losses_too_wide_for_a_grid_are_left_to_one_gaussian() -> None:
    m = group_m(group=20, steps=100, noise_multiplier=0.01)
    epsilon = group_epsilon(delta=1e-5, noise_multiplier=0.01, **BOARD)
    assert epsilon == epsilon_for(m, 1e-5)


# The Gaussian mechanism against high precision, another library and the literature.

GAUSSIAN_EPSILONS = st.floats(-3, 4).map(lambda t: 10**t)
DELTAS = st.floats(-12, -0.5).map(lambda t: 10**t)


def exact_delta(epsilon: float, m: float) -> mpmath.mpf:
    """Delta from 60 digits; mpmath has no exponent to overflow."""
    with mpmath.workdps(60):
        e, m = mpmath.mpf(epsilon), mpmath.mpf(m)
        return mpmath.ncdf(m / 2 - e / m) - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m)


UNHURRIED = settings(deadline=None)


@UNHURRIED
@given(m=st.floats(-3, 2.3).map(lambda t: 10**t), delta=DELTAS)
def test_T1_delta_of_epsilon_of_m_is_delta(m: float, delta: float) -> None:
    epsilon = epsilon_for(m, delta)
    back = delta_for(epsilon, m)
    if epsilon == 0:
        assert back <= delta
    else:
        assert back == pytest.approx(delta, rel=1e-6)


@UNHURRIED
@given(epsilon=GAUSSIAN_EPSILONS, delta=DELTAS)
def test_T1_epsilon_of_m_of_epsilon_is_epsilon_and_never_below(
    epsilon: float, delta: float
) -> None:
    m = m_for(epsilon, delta)
    assert delta_for(epsilon, m) <= delta
    assert epsilon_for(m, delta) == pytest.approx(epsilon, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.1, 0.9])
@pytest.mark.parametrize("epsilon", [0.0, 1e-9, 1e-3, 0.1, 1.0, 30.0, 1e4])
def test_delta_agrees_with_high_precision_and_errs_upwards(epsilon: float, delta: float) -> None:
    m = m_for(epsilon, delta)
    truth = exact_delta(epsilon, m)
    assert truth <= delta  # m is on the safe side
    assert float(truth) == pytest.approx(delta, rel=1e-7)  # and not by much
    assert truth <= delta_for(epsilon, m) <= truth * (1 + 3e-9)


@pytest.mark.parametrize("m", [1e-4, 1e-3 * (1 - 1e-12), 1e-3, 0.27, 5.0, 120.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 1e-3])
def test_epsilon_agrees_with_high_precision_and_errs_upwards(m: float, delta: float) -> None:
    epsilon = epsilon_for(m, delta)
    assert exact_delta(epsilon, m) <= delta
    if epsilon > 0:
        assert exact_delta(epsilon * (1 - 1e-6) - 1e-9, m) > delta


@pytest.mark.parametrize("epsilon", [1e6, 1e9])
def test_a_huge_epsilon_neither_overflows_nor_drifts(epsilon: float) -> None:
    for delta in (1e-12, 1e-5):
        m = m_for(epsilon, delta)
        assert epsilon_for(m, delta) == pytest.approx(epsilon, rel=1e-9)
        # epsilon = m^2 / 2 + z m up to lower order, with Phi(-z) about delta.
        z = float(-mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(delta) - 1))
        assert m * m / 2 + z * m == pytest.approx(epsilon, rel=1e-3)
    assert log_delta(1e9, 1e-9) < -1e10
    assert delta_for(1e9, 1e-9) == 0.0
    assert delta_for(0.0, 1e5) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("epsilon", "exact", "classical"),
    [(0.1, 30.7, 48.4), (1.0, 3.731, 4.845), (10.0, 0.4999, None)],
)
def test_golden_noise_at_delta_1e_5(epsilon: float, exact: float, classical: float | None) -> None:
    assert sigma_for(epsilon, 1e-5, 1.0) == pytest.approx(exact, rel=2e-3)
    assert sigma_for(epsilon, 1e-5, 7.0) == pytest.approx(7 * sigma_for(epsilon, 1e-5, 1.0))
    if classical is not None:
        assert classical_sigma(epsilon, 1e-5, 1.0) == pytest.approx(classical, rel=2e-3)


def test_golden_m_at_delta_1e_5() -> None:
    assert m_for(1.0, 1e-5) == pytest.approx(0.26805, abs=5e-6)
    assert m_for(10.0, 1e-5) == pytest.approx(2.0004, abs=5e-5)
    assert epsilon_for(1.0, 1e-5) == pytest.approx(4.38, abs=0.01)  # Dong, Roth & Su 2022


def test_T1_the_classical_formula_is_refused_above_one_where_it_is_false() -> None:
    c = math.sqrt(2 * math.log(1.25 / 1e-5))
    assert epsilon_for(10 / c, 1e-5) == pytest.approx(10.39, abs=0.005)
    assert epsilon_for(50 / c, 1e-5) == pytest.approx(96.4, abs=0.05)
    with pytest.raises(AssumptionBroken, match="epsilon <= 1 only; it is 10"):
        classical_sigma(10.0, 1e-5, 1.0)


@UNHURRIED
@given(epsilon=st.floats(1e-3, 1), delta=DELTAS)
def test_the_classical_formula_never_needs_less_noise(epsilon: float, delta: float) -> None:
    assert classical_sigma(epsilon, delta, 1.0) >= sigma_for(epsilon, delta, 1.0)


@UNHURRIED
@given(epsilon=GAUSSIAN_EPSILONS, delta=DELTAS, factor=st.floats(1.0001, 3))
def test_monotone_in_every_argument(epsilon: float, delta: float, factor: float) -> None:
    m = m_for(epsilon, delta)
    assert m_for(epsilon * factor, delta) > m
    assert m_for(epsilon, min(0.99, delta * factor)) > m
    assert epsilon_for(m * factor, delta) > epsilon_for(m, delta)
    assert epsilon_for(m, delta / factor) > epsilon_for(m, delta)
    assert delta_for(epsilon * factor, m) <= delta_for(epsilon, m) <= delta_for(epsilon, m * factor)


@given(epsilon=st.floats(-2, 2).map(lambda t: 10**t), delta=st.floats(-10, -2))
@settings(max_examples=40, deadline=None)
def test_dp_accounting_agrees_both_ways(epsilon: float, delta: float) -> None:
    delta = 10**delta
    sigma = sigma_for(epsilon, delta, 1.0)
    assert sigma == pytest.approx(dp_accounting.get_sigma_gaussian(epsilon, delta), rel=1e-4)
    theirs = dp_accounting.get_epsilon_gaussian(sigma, delta)
    assert epsilon_for(1 / sigma, delta) == pytest.approx(theirs, rel=1e-4)


def test_without_distance_there_is_no_noise_and_no_epsilon() -> None:
    assert sigma_for(1.0, 1e-5, 0.0) == 0.0
    assert epsilon_for(0.0, 1e-5) == 0.0
    assert delta_for(1.0, 0.0) == 0.0
    assert epsilon_for(1e-6, 1e-5) == 0.0  # the total variation is below delta


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epsilon_for(-1.0, 1e-5), "m must be at least 0; it is -1"),
        (lambda: epsilon_for(math.nan, 1e-5), "m must be a finite number"),
        (lambda: epsilon_for(math.inf, 1e-5), "m must be a finite number"),
        (lambda: epsilon_for(1.0, 0.0), "delta must lie strictly between 0 and 1; it is 0"),
        (lambda: m_for(1.0, 1.0), "delta must lie strictly between 0 and 1; it is 1"),
        (lambda: m_for(1.0, math.nan), "delta must lie strictly between 0 and 1; it is nan"),
        (lambda: m_for(-1.0, 1e-5), "epsilon must be at least 0"),
        (lambda: sigma_for(1.0, 1e-5, -2.0), "sensitivity must be at least 0"),
        (lambda: delta_for(-0.1, 1.0), "epsilon must be at least 0"),
        (lambda: log_delta(1.0, 0.0), "m must be above 0"),
        (lambda: classical_sigma(0.0, 1e-5, 1.0), "epsilon must be above 0"),
    ],
)
def test_bad_numbers_are_refused(call: object, message: str) -> None:
    with pytest.raises(AssumptionBroken, match=message):
        call()
