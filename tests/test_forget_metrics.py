"""Forget quality: every metric against a closed form, an independent one, or brute force."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, logit, rel_entr
from scipy.stats import beta, norm, ttest_rel
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student
from sklearn.metrics import roc_curve

import benchmark.attacks
from benchmark import plugins
from benchmark.attacks.membership import RMIA, Population, ULiRA
from benchmark.errors import LetheError
from benchmark.metrics import attacks as membership
from benchmark.metrics.attacks import (
    Attack,
    ModelAttack,
    ModelCase,
    RowAttack,
    RowCase,
    Views,
    attack_models,
    attack_rows,
)
from benchmark.metrics.divergence import (
    deterministic,
    jensen_shannon,
    jensen_shannon_to_retrain,
    kl_from_retrain,
    klom,
    klom_floor,
    klom_measure,
    kullback_leibler,
    margins,
)
from benchmark.metrics.measure import Measure
from benchmark.metrics.scores import (
    RelearnTime,
    attack_measures,
    auc,
    auc_interval,
    clopper_pearson,
    gap_to_retrain,
    likelihood_ratio,
    relearn_ratio,
    relearn_time,
    rmia,
    strongest,
    true_positives,
)
from benchmark.metrics.statistics import (
    bootstrap_interval,
    paired_interval,
    tie_groups,
    verdict,
)
from tests.test_fidelity import alarm_rate, alters_inputs, batches_matter, order_matters

logits = arrays(np.float64, (4, 3), elements=st.floats(-30, 30))
SEEDS = 100


def outputs(seed: int, n: int = 40, classes: int = 5) -> np.ndarray:
    return log_softmax(3 * np.random.default_rng(seed).normal(size=(n, classes)), axis=1)


def two_classes(margin: np.ndarray) -> np.ndarray:
    """(..., 2) log-probabilities whose margin for label 0 is `margin` (...)."""
    return np.stack([-np.logaddexp(0, -margin), -np.logaddexp(0, margin)], axis=-1)


# --- values and their bounds


def test_a_value_outside_its_bounds_is_never_reported() -> None:
    for bad in (-0.1, 1.1, math.nan, math.inf):
        with pytest.raises(LetheError, match="outside its bounds"):
            Measure(bad, "lower", (0, 1))
    with pytest.raises(LetheError, match="must say why"):
        Measure(None, "lower", (0, 1))


def test_a_measure_fits_a_record() -> None:
    value = Measure(0.25, "lower", (0, 1), unit="nats", n=7, note="a note").as_value()
    assert asdict(value) == {
        "value": 0.25,
        "unit": "nats",
        "direction": "lower",
        "n": 7,
        "note": "a note",
    }


# --- margins


@given(logits)
def test_the_margin_is_the_log_odds_of_the_label(z: np.ndarray) -> None:
    labels = np.array([0, 1, 2, 0])
    p = np.exp(log_softmax(z / 10, axis=1))[np.arange(4), labels]
    np.testing.assert_allclose(
        margins(log_softmax(z / 10, axis=1), labels), logit(p), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        margins(z, labels), margins(log_softmax(z, axis=1), labels), atol=1e-9
    )


def test_the_margin_does_not_saturate() -> None:
    z = np.array([[800.0, 0.0, 0.0]])
    assert margins(z, np.array([0])) == pytest.approx(800 - math.log(2))
    with pytest.raises(LetheError, match="two classes"):
        margins(np.zeros((2, 1)), np.zeros(2, dtype=int))


# --- divergences between predictions


@given(logits, logits)
def test_jensen_shannon_is_scipys_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    p, q = log_softmax(a, axis=1), log_softmax(b, axis=1)
    found = jensen_shannon(p, q)
    with np.errstate(invalid="ignore"):  # scipy takes the root of a round-off below 0
        expected = jensenshannon(np.exp(p), np.exp(q), axis=1) ** 2
    np.testing.assert_allclose(found, np.nan_to_num(expected), atol=1e-9)
    np.testing.assert_allclose(found, jensen_shannon(q, p), atol=1e-12)
    assert ((found >= 0) & (found <= math.log(2))).all()


def test_jensen_shannon_of_equal_and_of_separated_predictions() -> None:
    p = outputs(0)
    assert jensen_shannon(p, p).max() == 0
    with np.errstate(divide="ignore"):
        one, other = np.log([[1.0, 0.0]]), np.log([[0.0, 1.0]])
    assert jensen_shannon(one, other) == pytest.approx(math.log(2), rel=1e-15)
    # m = (3/4, 1/4): half of ln(4/3) and of ln(2/3)/2 + ln(2)/2
    half = np.log([[0.5, 0.5]])
    expected = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)
    assert jensen_shannon(one, half) == pytest.approx(expected)


def test_the_95th_percentile_is_of_examples() -> None:
    p, q = outputs(0, 200), outputs(1, 200)
    found = jensen_shannon_to_retrain(p, q)
    each = np.sort(jensen_shannon(p, q))
    assert found["js_mean"].value == pytest.approx(each.mean())
    assert each[188] <= found["js_p95"].value <= each[190]
    assert found["js_mean"].bounds == (0, math.log(2))


@given(logits, logits)
def test_kl_is_scipys_and_not_negative(a: np.ndarray, b: np.ndarray) -> None:
    p, q = log_softmax(a, axis=1), log_softmax(b, axis=1)
    expected = rel_entr(np.exp(p), np.exp(q)).sum(axis=1)
    np.testing.assert_allclose(kullback_leibler(p, q), expected, rtol=1e-6, atol=1e-9)
    assert (kullback_leibler(p, q) >= 0).all()


def test_kl_is_taken_from_retrain_and_infinite_where_it_is() -> None:
    p, q = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    expected = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert kl_from_retrain(p, q).value == pytest.approx(expected)
    assert kl_from_retrain(q, p).value != pytest.approx(expected)
    with np.errstate(divide="ignore"):
        never = np.log([[1.0, 0.0]])
    assert kl_from_retrain(never, q).value == pytest.approx(math.log(2))
    ruled_out = kl_from_retrain(q, never)
    assert ruled_out.value is None
    assert "infinite on 1 rows" in ruled_out.note


@pytest.mark.parametrize("metric", [jensen_shannon, kullback_leibler])
def test_logits_are_not_taken_for_probabilities(metric) -> None:
    with pytest.raises(LetheError, match="do not sum to one"):
        metric(np.zeros((3, 2)), np.log(np.full((3, 2), 0.5)))
    with pytest.raises(LetheError, match="do not sum to one"):
        metric(np.full((3, 2), np.nan), np.log(np.full((3, 2), 0.5)))


# --- KLoM


def test_klom_of_two_gaussians_is_the_integral() -> None:
    rng = np.random.default_rng(0)
    n, (m1, s1), (m2, s2) = 200_000, (0.5, 1.0), (1.4, 1.7)
    found = klom(rng.normal(m1, s1, (n, 1)), rng.normal(m2, s2, (n, 1)))[0]
    first, second = norm(m1, s1), norm(m2, s2)
    expected = quad(lambda x: first.pdf(x) * (first.logpdf(x) - second.logpdf(x)), -12, 12)[0]
    assert found == pytest.approx(expected, rel=0.02)
    assert expected != pytest.approx(
        klom(rng.normal(m2, s2, (n, 1)), rng.normal(m1, s1, (n, 1)))[0], rel=0.1
    )


@pytest.mark.parametrize(("ours", "theirs"), [(20, 20), (64, 64), (10, 40), (40, 10)])
def test_the_floor_of_klom_is_what_identical_models_give(ours: int, theirs: int) -> None:
    rng = np.random.default_rng(ours)
    found = klom(rng.normal(3, 2, (ours, 100_000)), rng.normal(3, 2, (theirs, 100_000)))
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - klom_floor(ours, theirs)) < 4 * error


def test_the_floor_of_klom_in_closed_form() -> None:
    for n in (4, 20, 64):
        assert klom_floor(n, n) == pytest.approx(2 / (n - 3))
    with pytest.raises(LetheError, match="at least four"):
        klom_floor(3, 10)


def test_klom_grows_without_a_cap_on_separated_masses() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(30, 5))
    values = [klom(draws, draws + shift).mean() for shift in (0, 10, 100)]
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[2] == pytest.approx(100 * values[1], rel=1e-6)


@given(arrays(np.float64, (6, 2), elements=st.floats(-5, 5)), st.floats(0.1, 9), st.floats(-9, 9))
def test_klom_does_not_depend_on_the_scale_of_margins(
    first: np.ndarray, factor: float, shift: float
) -> None:
    rng = np.random.default_rng(0)
    first, second = first + rng.normal(size=first.shape), rng.normal(size=(5, 2))
    found = klom(first, second)
    assert (found >= 0).all()
    np.testing.assert_allclose(
        klom(factor * first + shift, factor * second + shift), found, rtol=1e-6, atol=1e-9
    )


def test_klom_of_a_training_that_always_gives_one_model_is_not_defined() -> None:
    rng = np.random.default_rng(0)
    noisy, fixed = rng.normal(size=(8, 3)), np.ones((8, 3)) + 1e-9 * rng.normal(size=(8, 3))
    assert deterministic(fixed)
    assert not deterministic(noisy)
    for pair in ((fixed, noisy), (noisy, fixed)):
        assert klom_measure(*pair).value is None
    assert klom_measure(noisy, rng.normal(size=(8, 3))).value is not None
    with pytest.raises(LetheError, match="same examples"):
        klom(noisy, noisy[:, :2])
    with pytest.raises(LetheError, match="at least four"):
        klom(noisy[:3], noisy)
    with pytest.raises(LetheError, match="not finite"):
        klom(np.full((8, 3), np.nan), noisy)


# --- rates


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.sampled_from([0.01, 0.1, 0.25, 0.5]),
)
def test_true_positives_are_scikit_learns_best_threshold(
    positives: list[int], negatives: list[int], rate: float
) -> None:
    found = true_positives(np.array(positives), np.array(negatives), rate) / len(positives)
    labels = [1] * len(positives) + [0] * len(negatives)
    fpr, tpr, _ = roc_curve(labels, positives + negatives, drop_intermediate=False)
    assert found == pytest.approx(tpr[fpr <= rate + 1e-12].max())


@pytest.mark.parametrize(("events", "trials"), [(0, 20), (3, 20), (20, 20)])
def test_clopper_pearson_is_its_beta_quantiles(events: int, trials: int) -> None:
    low = beta.ppf(0.025, events, trials - events + 1) if events else 0
    high = beta.ppf(0.975, events + 1, trials - events) if events < trials else 1
    assert clopper_pearson(events, trials) == pytest.approx((low, high))


def test_attack_rates_of_two_gaussians() -> None:
    rng = np.random.default_rng(0)
    shift, n = 1.5, 200_000
    found = attack_measures([(rng.normal(shift, 1, n), rng.normal(0, 1, n))])
    assert found["auc"].value == pytest.approx(norm.cdf(shift / 2**0.5), abs=3e-3)
    for name, rate in (("tpr_at_1_percent", 0.01), ("tpr_at_0.1_percent", 0.001)):
        expected = norm.cdf(shift - norm.isf(rate))
        assert found[name].value == pytest.approx(expected, rel=0.1)
        low, high = found[name].interval
        assert low < found[name].value < high


def test_a_rate_that_so_few_negatives_cannot_resolve_is_not_given() -> None:
    rng = np.random.default_rng(0)
    found = attack_measures([(rng.normal(size=50), rng.normal(size=100))])
    assert found["tpr_at_1_percent"].value is not None
    assert found["tpr_at_0.1_percent"].value is None
    assert "cannot resolve" in found["tpr_at_0.1_percent"].note
    assert gap_to_retrain(found["tpr_at_0.1_percent"], found["auc"]).value is None


def test_folds_are_compared_within_themselves() -> None:
    low = (np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    high = (np.array([101.0, 102.0]), np.array([101.0, 102.0]))
    assert attack_measures([low, high])["auc"].value == 0.5
    mixed = [(np.array([2.0]), np.array([1.0])), (np.array([1.0]), np.array([2.0]))]
    assert attack_measures(mixed)["auc"].value == 0.5


def test_the_interval_of_an_auc_is_as_wide_as_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    n = 400
    found = auc_interval([(rng.normal(size=n), rng.normal(size=n))], rng, same_examples=False)
    # Hanley & McNeil (1982) at AUC 1/2
    assert found[1] - found[0] == pytest.approx(
        2 * 1.96 * math.sqrt((2 * n + 1) / 12 / n**2), rel=0.25
    )
    assert found[0] < 0.5 < found[1]


def test_examples_that_two_sides_share_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    hard = 100 * rng.normal(size=300)  # an example's own level cancels between the two sides
    folds = [(np.stack([hard, hard]) + 1e-9, np.stack([hard]))] * 2
    low, high = auc_interval(folds, rng, same_examples=True, draws=50)
    apart = auc_interval(folds, rng, same_examples=False, draws=50)
    assert high - low < 0.01 < 0.05 < apart[1] - apart[0]


def test_the_strongest_attack_is_the_one_with_the_largest_gap() -> None:
    gaps = {
        "weak": Measure(0.1, "lower", (0, 1)),
        "strong": Measure(0.3, "lower", (0, 1)),
        "none": Measure(None, "lower", (0, 1), note="too few"),
    }
    assert strongest(gaps) == "strong"
    assert strongest({"none": gaps["none"]}) is None


def test_the_gap_to_retrain_is_a_distance() -> None:
    high, low = (Measure(v, "none", (0, 1)) for v in (0.7, 0.4))
    assert gap_to_retrain(high, low).value == pytest.approx(0.3)
    assert gap_to_retrain(low, high).value == pytest.approx(0.3)
    assert gap_to_retrain(low, low).value == 0
    assert gap_to_retrain(low, high).direction == "lower"


# --- attacks on many models


def test_the_likelihood_ratio_is_that_of_two_gaussians() -> None:
    fit_in, fit_out = np.array([[0.0], [2.0]]), np.array([[3.0], [5.0], [7.0]])
    found = likelihood_ratio(fit_in, fit_out, np.array([[1.5]]))
    expected = norm.logpdf(1.5, 1, 2**0.5) - norm.logpdf(1.5, 5, 2)
    assert found[0, 0] == pytest.approx(expected)
    with pytest.raises(LetheError, match="vary"):
        likelihood_ratio(np.ones((4, 1)), fit_out, np.ones((1, 1)))
    with pytest.raises(LetheError, match="two models"):
        likelihood_ratio(fit_in[:1], fit_out, np.ones((1, 1)))


def ulira_folds(shift: float, seed: int, models: int = 16, n: int = 30, **kwargs):
    rng = np.random.default_rng(seed)
    centre, spread = rng.normal(0, 3, n), rng.uniform(0.5, 2, n)
    ours = centre + spread * (rng.normal(size=(models, n)) + shift)
    theirs = centre + spread * rng.normal(size=(models, n))
    labels = np.zeros(n, dtype=int)
    return attack_models(ULiRA(), two_classes(ours), two_classes(theirs), labels, rng, **kwargs)


def test_ulira_on_two_gaussians_is_the_best_test() -> None:
    shift = 1.5
    found = attack_measures(ulira_folds(shift, 0, models=400, n=60))
    assert found["auc"].value == pytest.approx(norm.cdf(shift / 2**0.5), abs=0.01)
    expected = norm.cdf(shift - norm.isf(0.01))
    assert found["tpr_at_1_percent"].value == pytest.approx(expected, abs=0.03)


def test_ulira_finds_a_change_of_spread_that_no_threshold_on_the_margin_finds() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0, 4, (200, 20)), rng.normal(0, 1, (200, 20))
    labels = np.zeros(20, dtype=int)
    folds = attack_models(ULiRA(), two_classes(ours), two_classes(theirs), labels, rng)
    assert attack_measures(folds)["auc"].value > 0.75
    assert abs(auc(ours.ravel(), theirs.ravel()) - 0.5) < 0.02


def test_ulira_on_identical_models_finds_what_chance_does() -> None:
    measures = [attack_measures(ulira_folds(0, seed)) for seed in range(SEEDS)]
    # A fold has 4 models and 30 examples a side: one of 120 negatives may pass.
    for name, expected in (("auc", 0.5), ("tpr_at_1_percent", 2 / 121)):
        values = np.array([each[name].value for each in measures])
        assert abs(values.mean() - expected) < 4 * values.std() / SEEDS**0.5


def test_scoring_what_was_fitted_is_caught_by_its_false_alarms() -> None:
    """The detector for attacks that are fitted on what they score."""

    def alarm(held_out: bool):
        def run(seed: int) -> bool:
            rng = np.random.default_rng(seed)
            ours, theirs = rng.normal(size=(12, 40)), rng.normal(size=(12, 40))
            if held_out:
                halves = likelihood_ratio(
                    ours[6:], theirs[6:], np.stack([ours[:6], theirs[:6]]).reshape(12, 40)
                )
                ours_scores, their_scores = halves[:6], halves[6:]
            else:
                ours_scores = likelihood_ratio(ours, theirs, ours)
                their_scores = likelihood_ratio(ours, theirs, theirs)
            n, m = ours_scores.size, their_scores.size
            # Under the null the scores of a fold are exchangeable, example by example.
            spread = math.sqrt((n + m + 1) / (12 * n * m))
            return (
                abs(auc(ours_scores.ravel(), their_scores.ravel()) - 0.5) > norm.isf(0.025) * spread
            )

        return run

    low, high = alarm_rate(alarm(held_out=True), SEEDS)
    assert low <= 0.05 <= high
    low, _ = alarm_rate(alarm(held_out=False), SEEDS)
    assert low > 0.9
    with pytest.raises(LetheError, match="at least one"):
        alarm_rate(alarm(held_out=True), 0)


# --- RMIA


def brute_force_rmia(p, refs, outside, z, z_refs, gamma: float, slope: float) -> list[float]:
    scores = []
    for i in range(len(p)):
        inside = [refs[k][i] for k in range(len(refs)) if outside[k][i]]
        p_x = ((1 + slope) * sum(inside) / len(inside) + 1 - slope) / 2
        wins = 0
        for j in range(len(z)):
            p_z = ((1 + slope) * sum(r[j] for r in z_refs) / len(z_refs) + 1 - slope) / 2
            wins += (p[i] / p_x) / (z[j] / p_z) >= gamma
        scores.append(wins / len(z))
    return scores


@given(st.integers(0, 10_000), st.floats(1, 3), st.floats(0, 1), st.integers(2, 8))
@settings(max_examples=60)
def test_rmia_is_the_paper_by_brute_force(seed: int, gamma: float, slope: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    p, refs = rng.uniform(0.05, 1, 7), rng.uniform(0.05, 1, (k, 7))
    z, z_refs = rng.uniform(0.05, 1, 9), rng.uniform(0.05, 1, (k, 9))
    outside = rng.random((k, 7)) < 0.5
    outside[rng.integers(k)] = True
    found = rmia(p, refs, outside, z, z_refs, gamma=gamma, slope=slope)
    assert found.tolist() == brute_force_rmia(p, refs, outside, z, z_refs, gamma, slope)
    assert ((found >= 0) & (found <= 1)).all()
    wider = rmia(p, refs, outside, z, z_refs, gamma=gamma + 0.5, slope=slope)
    assert (wider <= found).all(), "to dominate by more is harder"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": np.full((1, 3), 0.5), "outside": np.ones((1, 3), bool)}, "2 to 8"),
        ({"references": np.full((9, 3), 0.5), "outside": np.ones((9, 3), bool)}, "2 to 8"),
        ({"outside": np.zeros((2, 3), bool)}, "use more"),
        ({"outside": np.ones((2, 2), bool)}, "do not fit"),
        ({"target": np.array([0.5, 1.5, 0.5])}, "between 0 and 1"),
        ({"target": np.array([0.5, np.nan, 0.5])}, "not finite"),
        ({"gamma": 0.5}, "gamma"),
    ],
)
def test_rmia_says_what_is_wrong(change: dict, message: str) -> None:
    inputs = {
        "target": np.full(3, 0.5),
        "references": np.full((2, 3), 0.5),
        "outside": np.ones((2, 3), bool),
        "population": np.full(4, 0.5),
        "population_references": np.full((2, 4), 0.5),
        "gamma": 2.0,
        "slope": 0.3,
    }
    assert rmia(**inputs).tolist() == [0, 0, 0]
    assert rmia(**{**inputs, "gamma": 1.0}).tolist() == [1, 1, 1], "an equal ratio is enough"
    with pytest.raises(LetheError, match=message):
        rmia(**{**inputs, **change})


# --- attacks on one model


def row_views(
    seed: int, memory: float, n: int = 60, m: int = 120, models: int = 8
) -> tuple[Views, np.ndarray, Views]:
    """Forgotten rows that raise the margin by `memory` where a model was trained on them.

    Every example has a difficulty of its own, which hides membership from the loss alone. The
    attacked model forgot to the degree that its `memory` says; the shadow models did not forget.
    """
    rng = np.random.default_rng(seed)

    def views(count: int, bits: np.ndarray, raised: float) -> Views:
        hard = rng.normal(0, 3, count)
        noise = 0.5 * rng.normal(size=(models + 1, count))
        references = two_classes(hard + noise[1:] + 2.0 * bits)
        return Views(two_classes(hard + noise[0] + raised), references, np.zeros(count, dtype=int))

    bits = np.zeros((models, n), dtype=bool)
    for pair in range(models // 2):
        bits[2 * pair] = rng.random(n) < 0.5
        bits[2 * pair + 1] = ~bits[2 * pair]
    return views(n, bits, memory), bits, views(m, np.zeros((models, m), dtype=bool), 0.0)


ROW_ATTACKS = [Population(), RMIA()]


@pytest.mark.parametrize("attack", ROW_ATTACKS, ids=lambda attack: attack.name)
def test_a_forgotten_row_that_was_forgotten_raises_no_alarm(attack: RowAttack) -> None:
    """Retraining never scores as remembering: alarms at the nominal rate over 100 seeds."""

    def alarm(seed: int) -> bool:
        ours, theirs = attack_rows(attack, *row_views(seed, 0.0), np.random.default_rng(seed))
        n, m = len(ours), len(theirs)
        return abs(auc(ours, theirs) - 0.5) > norm.isf(0.025) * math.sqrt(
            (n + m + 1) / (12 * n * m)
        )

    low, high = alarm_rate(alarm, SEEDS)
    assert low <= 0.05 <= high


def test_references_find_what_the_loss_alone_does_not() -> None:
    areas = {}
    for attack in ROW_ATTACKS:
        folds = [
            attack_rows(attack, *row_views(seed, 2.0), np.random.default_rng(seed))
            for seed in range(10)
        ]
        areas[attack.name] = attack_measures(folds)["auc"].value
    assert areas["rmia"] > areas["population"] + 0.05 > 0.55


@pytest.mark.parametrize("attack", ROW_ATTACKS, ids=lambda attack: attack.name)
def test_a_planted_member_is_found(attack: RowAttack) -> None:
    forget, bits, negatives = row_views(0, 0.0)
    planted = forget.outputs.copy()
    planted[0] = two_classes(np.array(40.0))
    references = forget.references.copy()
    references[:, 0] = two_classes(np.array(-3.0))
    seen = Views(planted, references, forget.labels)
    ours, theirs = attack_rows(attack, seen, bits, negatives, np.random.default_rng(0))
    assert ours[0] >= max(ours.max(), theirs.max())


def test_an_attack_cannot_tell_from_its_input_who_is_who() -> None:
    """Order, and how many shadow models count as outside, say nothing of membership."""
    seen: list[RowCase] = []

    class Spy(RowAttack):
        name, title, source = "spy", "Spy", Population.source

        def score(self, case: RowCase) -> np.ndarray:
            seen.append(case)
            return np.arange(len(case.labels), dtype=float)

    views = row_views(1, 1.0)
    by_place = [attack_rows(Spy(), *views, np.random.default_rng(s)) for s in range(200)]
    areas = np.array([auc(*scores) for scores in by_place])
    assert abs(areas.mean() - 0.5) < 4 * areas.std() / 200**0.5
    assert {int(count) for case in seen for count in case.outside.sum(axis=0)} == {4}
    case, (ours, theirs) = seen[0], by_place[0]
    forget, bits, negatives = views
    assert np.array_equal(case.outputs[ours.astype(int)], forget.outputs)
    assert np.array_equal(case.references[:, ours.astype(int)], forget.references)
    assert np.array_equal(~case.outside[:, ours.astype(int)], bits)
    scored = case.outputs[theirs.astype(int)].tolist()
    population = case.population_outputs.tolist()
    assert sorted(scored + population) == sorted(negatives.outputs.tolist())


def test_models_are_dealt_so_that_none_is_fitted_and_scored() -> None:
    seen: list[ModelCase] = []

    class Spy(ModelAttack):
        name, title, source = "spy", "Spy", Population.source

        def score(self, case: ModelCase) -> np.ndarray:
            seen.append(case)
            return case.scored[:, :, 0]

    rng = np.random.default_rng(0)
    ours, theirs = two_classes(rng.normal(size=(7, 3))), two_classes(rng.normal(size=(9, 3)))
    folds = attack_models(Spy(), ours, theirs, np.zeros(3, dtype=int), rng, folds=3)

    def names(models: np.ndarray) -> set[float]:
        return set(models[:, 0, 0].tolist())

    for case, (found_ours, found_theirs) in zip(seen, folds, strict=True):
        fitted = names(case.unlearned) | names(case.retrained)
        assert not fitted & names(case.scored)
        assert fitted | names(case.scored) == names(ours) | names(theirs)
        assert set(found_ours[:, 0].tolist()) == names(ours) - names(case.unlearned)
        assert set(found_theirs[:, 0].tolist()) == names(theirs) - names(case.retrained)
    scored = sorted(value for found, _ in folds for value in found[:, 0].tolist())
    assert scored == sorted(names(ours)), "each model is scored once"
    for seed in range(20):
        attack_models(Spy(), ours, theirs, np.zeros(3, dtype=int), np.random.default_rng(seed))
    firsts = {bool(case.scored[0, 0, 0] in names(ours)) for case in seen}
    assert firsts == {True, False}, "the place of a model says nothing of its kind"
    with pytest.raises(LetheError, match="two folds"):
        attack_models(Spy(), ours, theirs, np.zeros(3, dtype=int), rng, folds=8)


class Broken(RowAttack):
    """Gives whatever `answer` is."""

    name, title, source = "broken", "Broken", Population.source
    answer: str = "nan"

    def score(self, case: RowCase) -> np.ndarray:
        n = len(case.labels)
        return np.full(n, np.nan) if self.answer == "nan" else np.zeros(n + 1)


@pytest.mark.parametrize("answer", ["nan", "shape"])
def test_an_attack_that_gives_no_scores_is_named(answer: str) -> None:
    with pytest.raises(LetheError, match="attack broken must give finite scores"):
        attack_rows(Broken(answer=answer), *row_views(0, 0.0), np.random.default_rng(0))


def test_an_attack_that_wants_no_references_runs_without() -> None:
    forget, bits, negatives = row_views(0, 0.0)
    bare = [Views(v.outputs, v.references[:0], v.labels) for v in (forget, negatives)]
    rng = np.random.default_rng
    found = attack_rows(Population(), bare[0], bits[:0], bare[1], rng(0))
    expected = attack_rows(Population(), forget, bits, negatives, rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(LetheError, match="2 to 8"):
        attack_rows(RMIA(), bare[0], bits[:0], bare[1], rng(0))


def test_views_that_do_not_fit_are_refused() -> None:
    forget, bits, negatives = row_views(0, 0.0)
    rng = np.random.default_rng(0)
    with pytest.raises(LetheError, match="membership bits"):
        attack_rows(Population(), forget, bits[:, 1:], negatives, rng)
    with pytest.raises(LetheError, match="at least two negatives"):
        attack_rows(Population(), forget, bits, negatives.take(np.array([0])), rng)
    with pytest.raises(LetheError, match="sum to one"):
        attack_rows(
            Population(),
            Views(forget.outputs + 1, forget.references, forget.labels),
            bits,
            negatives,
            rng,
        )


# --- the contract of attacks, over every attack there is


ATTACKS = membership.discover()


def case_for(attack: Attack, seed: int) -> RowCase | ModelCase:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=10)
    if isinstance(attack, ModelAttack):
        shape = (6, 10, 3)
        sides = [log_softmax(rng.normal(size=shape), axis=-1) for _ in range(3)]
        return ModelCase(labels, *sides)
    return RowCase(
        outputs=log_softmax(rng.normal(size=(10, 3)), axis=-1),
        labels=labels,
        references=log_softmax(rng.normal(size=(8, 10, 3)), axis=-1),
        outside=(np.arange(8)[:, None] + np.arange(10)) % 2 == 0,
        population_outputs=log_softmax(rng.normal(size=(30, 3)), axis=-1),
        population_labels=rng.integers(3, size=30),
        population_references=log_softmax(rng.normal(size=(8, 30, 3)), axis=-1),
    )


def permuted(case: RowCase | ModelCase, order: np.ndarray) -> RowCase | ModelCase:
    """The same examples in another order."""
    if isinstance(case, ModelCase):
        sides = (case.unlearned, case.retrained, case.scored)
        return ModelCase(case.labels[order], *(side[:, order] for side in sides))
    return RowCase(
        case.outputs[order],
        case.labels[order],
        case.references[:, order],
        case.outside[:, order],
        case.population_outputs,
        case.population_labels,
        case.population_references,
    )


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_a_score_belongs_to_its_example_whatever_the_others(name: str) -> None:
    attack = ATTACKS[name].build({})
    case = case_for(attack, 0)
    before = {key: value.copy() for key, value in vars(case).items()}
    scores = attack.score(case)
    assert all(np.array_equal(before[key], value) for key, value in vars(case).items())
    assert np.isfinite(scores).all()
    order = np.random.default_rng(1).permutation(10)
    np.testing.assert_allclose(attack.score(permuted(case, order)), scores[..., order])
    np.testing.assert_allclose(attack.score(permuted(case, order[:4])), scores[..., order[:4]])


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_parameter_of_an_attack_changes_its_scores(name: str) -> None:
    cls = ATTACKS[name]
    case = case_for(cls.build({}), 0)
    for field, info in cls.model_fields.items():
        other = info.examples[0] if info.examples else 2 * info.default
        assert not np.array_equal(cls.build({field: other}).score(case), cls.build({}).score(case))
    with pytest.raises(LetheError, match="unknown parameter"):
        cls.build({"no-such": 1})


def test_a_parameter_out_of_range_is_one_line() -> None:
    with pytest.raises(LetheError, match="attack rmia: gamma"):
        RMIA.build({"gamma": 0})


DROPPED_IN = """
import numpy as np
from benchmark.contract.method import Source
from benchmark.metrics.attacks import RowAttack, RowCase
class Entropy(RowAttack):
    '''The entropy of the prediction.'''
    name = "{name}"
    title = "Entropy"
    source = Source(paper="A paper", url="https://example.org")
    def score(self, case: RowCase) -> np.ndarray:
        return (np.exp(case.outputs) * case.outputs).sum(axis=1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second place where files of the package `benchmark.attacks` are looked for."""
    paths = [*benchmark.attacks.__path__, str(tmp_path)]
    monkeypatch.setattr(benchmark.attacks, "__path__", paths)
    return tmp_path


def test_a_dropped_in_file_is_found_and_runs(folder: Path) -> None:
    (folder / "entropy_one.py").write_text(DROPPED_IN.format(name="entropy"))
    attack = membership.find("entropy").build({})
    ours, theirs = attack_rows(attack, *row_views(0, 5.0), np.random.default_rng(0))
    assert 0 <= attack_measures([(ours, theirs)])["auc"].value <= 1
    assert {"population", "rmia", "u-lira"} <= set(membership.discover())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("clash.py", DROPPED_IN.format(name="rmia"), "two attacks are called 'rmia'"),
        ("broken_file.py", "import no_such_module", "broken_file.py cannot be imported"),
        ("unnamed.py", DROPPED_IN.replace('name = "{name}"', ""), "declares no 'name'"),
    ],
)
def test_a_bad_file_is_named(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(LetheError, match=message):
        membership.discover()


def test_an_unknown_attack_has_a_near_one() -> None:
    with pytest.raises(LetheError, match="did you mean 'rmia'"):
        membership.find("rmai")


def test_an_installed_plug_in_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    good = EntryPoint("b", "tests.test_forget_metrics:Broken", "lethe.attacks")
    bad = EntryPoint("b", "tests.test_forget_metrics:SEEDS", "lethe.attacks")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [good])
    assert membership.find("broken").__name__ == "Broken"
    monkeypatch.setattr(plugins, "entry_points", lambda group: [bad])
    with pytest.raises(LetheError, match="is not a RowAttack or ModelAttack"):
        membership.discover()


# --- relearn time


def halving(start: float):
    loss = [start]

    def step() -> float:
        loss[0] /= 2
        return loss[0]

    return step


@pytest.mark.parametrize(("start", "steps"), [(8.0, 3), (9.0, 4), (0.1, 1)])
def test_relearning_stops_at_the_target(start: float, steps: int) -> None:
    found = relearn_time(halving(start), target=1.0, limit=50)
    assert found == RelearnTime(max(1, math.ceil(math.log2(start))), censored=False)
    assert found.steps == steps


def test_relearning_is_given_up_at_the_limit() -> None:
    assert relearn_time(halving(8.0), target=1.0, limit=2) == RelearnTime(2, censored=True)
    assert relearn_time(halving(8.0), target=1.0, limit=3) == RelearnTime(3, censored=False)
    with pytest.raises(LetheError, match="at least one step"):
        relearn_time(halving(1.0), target=1.0, limit=0)
    with pytest.raises(LetheError, match="diverged"):
        relearn_time(lambda: math.nan, target=1.0, limit=3)


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "gap", "note"),
    [
        ((4, False), (8, False), 0.5, math.log(2), ""),
        ((8, False), (8, False), 1.0, 0.0, ""),
        ((16, True), (8, False), 2.0, math.log(2), "at least"),
        ((4, True), (8, False), 0.5, None, "at least"),
        ((4, False), (8, True), None, None, "did not relearn"),
        ((8, True), (8, True), None, None, "did not relearn"),
    ],
)
def test_relearn_ratio_and_its_censoring(ours, theirs, ratio, gap, note: str) -> None:
    found = relearn_ratio(RelearnTime(*ours), RelearnTime(*theirs))
    assert found["relearn_ratio"].value == ratio
    assert found["relearn_gap"].value == (gap if gap is None else pytest.approx(gap))
    assert note in found["relearn_ratio"].note


# --- statistics


def test_the_paired_interval_is_scipys() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=6), rng.normal(size=6)
    found = paired_interval(ours, theirs)
    expected = ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((ours - theirs).mean())
    single = paired_interval(ours[:1], theirs[:1])
    assert (single.low, single.high, single.n) == (None, None, 1)
    with pytest.raises(LetheError, match="same seeds"):
        paired_interval(ours, theirs[:-1])


def test_pairing_removes_what_a_seed_does_to_both() -> None:
    rng = np.random.default_rng(0)
    seed_effect = 100 * rng.normal(size=5)
    found = paired_interval(seed_effect + 1 + 0.01 * rng.normal(size=5), seed_effect)
    assert 0.9 < found.low < 1 < found.high + 0.1 < 1.2


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_paired_interval_covers_as_it_says(seeds: int) -> None:
    def missed(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        found = paired_interval(rng.normal(1, 2, seeds), rng.normal(0, 1, seeds))
        return not found.low <= 1 <= found.high

    low, high = alarm_rate(missed, 400)
    assert low <= 0.05 <= high


def test_the_bootstrap_over_examples_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    found = bootstrap_interval(
        lambda v: float(v.mean()), (values,), np.random.default_rng(1), draws=4000
    )
    expected = scipy_bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert found.mean == pytest.approx(values.mean())


def test_the_bootstrap_draws_pairs_together_and_others_apart() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return float(a.mean() - b.mean())

    paired = bootstrap_interval(difference, (x, x + 1), rng)
    assert paired.high - paired.low < 1e-12
    apart = bootstrap_interval(difference, (x, x + 1), rng, paired=False)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * x.std() * 0.1, rel=0.2)
    models = rng.normal(size=(3, 200))
    along = bootstrap_interval(lambda m: float(m.shape[0]), (models,), rng, draws=3)
    assert along.mean == along.low == 3, "examples are the last axis"
    with pytest.raises(LetheError, match="as many in each"):
        bootstrap_interval(difference, (x, x[1:]), rng)


def klom_over_seeds(seed: int, shift: float, seeds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """KLoM of a method and its floor: margins of 12 models, 20 examples, for each seed."""
    rng = np.random.default_rng(seed)
    reference, second = rng.normal(size=(2, seeds, 12, 20))
    ours = rng.normal(size=(seeds, 12, 20)) + shift
    pairs = zip(reference, ours, second, strict=True)
    found = [(klom(r, o).mean(), klom(r, s).mean()) for r, o, s in pairs]
    return tuple(np.array(found).T)


def test_retraining_is_told_from_retraining_at_the_nominal_rate() -> None:
    def alarm(seed: int) -> bool:
        return verdict(*klom_over_seeds(seed, 0.0), "lower").kind == "distinguishable"

    low, high = alarm_rate(alarm, SEEDS)
    assert low <= 0.05 <= high


def test_doing_nothing_never_scores_as_forgetting() -> None:
    for seed in range(20):
        found = verdict(*klom_over_seeds(seed, 2.0), "lower")
        assert found.kind == "distinguishable"
        assert found.text == "distinguishable from retrain at 5"
        nothing = attack_measures(ulira_folds(2.0, seed))["auc"].value
        retrain = attack_measures(ulira_folds(0.0, seed))["auc"].value
        assert nothing > 0.8 > 0.65 > retrain


@pytest.mark.parametrize(
    ("ours", "direction", "kind"),
    [
        ([1.0, 1.1, 0.9], "lower", "distinguishable"),
        ([1.0, 1.1, 0.9], "higher", "indistinguishable"),
        ([1.0, 1.1, 0.9], "zero", "distinguishable"),
        ([-1.0, -1.1, -0.9], "lower", "indistinguishable"),
        ([-1.0, -1.1, -0.9], "higher", "distinguishable"),
        ([-1.0, -1.1, -0.9], "zero", "distinguishable"),
        ([-1.0, 1.1, 0.1], "zero", "indistinguishable"),
    ],
)
def test_verdicts_know_which_side_is_better(ours: list[float], direction: str, kind: str) -> None:
    found = verdict(np.array(ours), np.zeros(3), direction)
    assert found.kind == kind
    assert found.text == f"{kind} from retrain at 3"
    assert found.resolution > 0


@pytest.mark.parametrize(("direction", "tails"), [("lower", 1), ("zero", 2)])
def test_the_level_of_a_verdict_is_spent_on_the_sides_that_count(
    direction: str, tails: int
) -> None:
    spread = np.array([-1.0, 0.0, 1.0])  # a mean of x has t = x sqrt(3), with 2 degrees of freedom
    critical = student.isf(0.05 / tails, 2) / 3**0.5
    for mean, kind in (
        (critical - 0.01, "indistinguishable"),
        (critical + 0.01, "distinguishable"),
    ):
        assert verdict(spread + mean, np.zeros(3), direction).kind == kind


def test_one_seed_decides_nothing() -> None:
    found = verdict(np.array([9.0]), np.array([0.0]), "lower")
    assert (found.kind, found.resolution) == ("undecided", None)
    assert found.text == "undecided with one seed"


def test_a_signed_metric_raises_alarms_at_the_nominal_rate() -> None:
    def alarm(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        return verdict(rng.normal(size=4), rng.normal(size=4), "zero").kind == "distinguishable"

    low, high = alarm_rate(alarm, 400)
    assert low <= 0.05 <= high


def test_ties_are_grouped_by_the_floor() -> None:
    jitter = np.array([-0.001, 0.0, 0.001])
    values = {
        "far": 0.9 + jitter,
        "best": 0.10 + jitter,
        "close": 0.14 - jitter,
        "next": 0.18 + 2 * jitter,
    }
    groups = tie_groups(values, np.array([0.05, 0.05, 0.05]), "lower")
    assert groups == [["best", "close"], ["next"], ["far"]], "no chain from best over close to next"
    assert tie_groups(values, np.full(3, 0.001), "lower") == [
        ["best"],
        ["close"],
        ["next"],
        ["far"],
    ]
    higher = tie_groups(values, np.full(3, 0.001), "higher")
    assert [group[0] for group in higher] == ["far", "next", "close", "best"]
    signed = {"a": -0.5 + jitter, "b": 0.2 + 2 * jitter}
    assert tie_groups(signed, np.array([0.01, -0.01, 0.02]), "zero") == [["b"], ["a"]]


def test_what_seeds_cannot_separate_is_a_tie() -> None:
    values = {"steady": np.array([0.10, 0.11, 0.12]), "wild": np.array([0.0, 0.9, 0.1])}
    assert tie_groups(values, np.full(3, 1e-6), "lower") == [["steady", "wild"]]


# --- detectors


METRICS = {
    "js": lambda p, q: (
        jensen_shannon_to_retrain(log_softmax(p.T, axis=1), log_softmax(q.T, axis=1))[
            "js_p95"
        ].value
    ),
    "kl": lambda p, q: kl_from_retrain(log_softmax(p.T, axis=1), log_softmax(q.T, axis=1)).value,
    "klom": lambda p, q: klom_measure(p, q).value,
    "auc": lambda p, q: attack_measures([(p, q)])["auc"].value,
    "paired": lambda p, q: paired_interval(p[0], q[0]).high,
}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_no_metric_looks_at_the_order_or_writes_to_its_input(name: str) -> None:
    rng = np.random.default_rng(0)
    pair = tuple(rng.normal(size=(2, 6, 50)))
    assert not order_matters(METRICS[name], pair, rng)
    assert not alters_inputs(METRICS[name], pair)


def test_a_metric_that_looks_at_the_order_is_caught() -> None:
    rng = np.random.default_rng(0)
    pair = tuple(rng.normal(size=(2, 50)))
    assert order_matters(lambda p, q: float(p[:10].mean() - q.mean()), pair, rng)

    def sorts(p: np.ndarray, q: np.ndarray) -> float:
        p.sort()
        return float(p[0] - q[0])

    assert alters_inputs(sorts, pair)


@pytest.mark.parametrize(("training", "caught"), [(False, False), (True, True)])
def test_scoring_with_batch_statistics_is_caught(training: bool, caught: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.BatchNorm1d(3).train(training)
    rows = torch.randn(12, 3, generator=generator).numpy()

    @torch.no_grad()
    def predict(batch: np.ndarray) -> np.ndarray:
        return layer(torch.from_numpy(batch)).numpy()

    assert batches_matter(predict, rows, sizes=(4, 7)) is caught


def test_scoring_that_moves_statistics_is_caught() -> None:
    state = np.zeros(1)

    def predict(batch: np.ndarray) -> np.ndarray:
        state[0] = 0.9 * state[0] + 0.1 * batch.mean()
        return batch - state[0]

    assert batches_matter(predict, np.random.default_rng(0).normal(1, 1, size=(20, 2)))
