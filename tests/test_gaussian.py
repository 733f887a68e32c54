"""The Gaussian mechanism against high precision, another library and the literature."""

from __future__ import annotations

import math

import dp_accounting
import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import AssumptionBroken
from benchmark.theory.gaussian import delta_for, epsilon_for, log_delta, m_for
from tests.theory.gaussian import classical_sigma, sigma_for

EPSILONS = st.floats(-3, 4).map(lambda t: 10**t)
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
@given(epsilon=EPSILONS, delta=DELTAS)
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
@given(epsilon=EPSILONS, delta=DELTAS, factor=st.floats(1.0001, 3))
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
