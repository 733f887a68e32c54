"""Audits: never above what is true, and not far below it; planted faults are seen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, kstest, norm

from benchmark.audit.lower_bounds import (
    gdp_resolution,
    mechanism_audit,
    model_audit,
    rates,
    resolution,
)
from benchmark.audit.published_noise import NoiseAudit, audit_noise
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require
from benchmark.theory.gaussian import epsilon_for, m_for
from tests.oracles import sigma_for

# Projections of releases, drawn as they should be or by whatever a method really does.


def draw_projections(
    sigma: float,
    offset: float | np.ndarray,
    direction: np.ndarray | None = None,
    *,
    draws: int = 100_000,
    rng: np.random.Generator,
) -> np.ndarray:
    """(draws,) projections of offset + N(0, sigma^2 I): what a correct release looks like.

    Args:
        sigma: noise per coordinate.
        offset: (d,) noise-free weights relative to the reference, or their distance to it.
        direction: (d,) to project on; by default the worst, that of the offset itself.
        draws: number of them.
        rng: source of the noise.

    Raises:
        AssumptionBroken: if sigma is negative or not finite.
        LetheError: if the direction is zero, or given for an offset that is a distance.
    """
    require.nonnegative(sigma=sigma)
    offset = np.asarray(offset, dtype=np.float64)
    # The projection of N(0, sigma^2 I) on any unit vector is N(0, sigma^2).
    noise = sigma * rng.standard_normal(draws)
    if direction is None:
        return float(np.linalg.norm(offset)) + noise
    if offset.ndim == 0:
        raise LetheError("a direction needs the offset as a vector, not as a distance")
    return float(offset @ _unit(direction)) + noise


def project_draws(draw: Callable[[], np.ndarray], direction: np.ndarray, draws: int) -> np.ndarray:
    """(draws,) projections of vectors that a method really drew, one call each.

    Args:
        draw: gives (d,), e.g. released weights minus the reference's weights before noise.
        direction: (d,) to project on.
        draws: number of calls.

    Raises:
        LetheError: if the direction is zero.
    """
    unit = _unit(direction)
    return np.array([float(np.asarray(draw(), dtype=np.float64) @ unit) for _ in range(draws)])


def _unit(direction: np.ndarray) -> np.ndarray:
    direction = np.asarray(direction, dtype=np.float64)
    norm = np.linalg.norm(direction)
    if not norm > 0:
        raise LetheError("cannot project on a direction of length 0")
    return direction / norm


# Audits: never above what is true, and not far below it.

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


# Correct noise passes at the nominal rate, planted faults are seen.

SIGMA = 0.37
WIDE = 2000
SEEDS = 20
Draw = Callable[[np.random.Generator], np.ndarray]


def scaled(scale: float) -> Draw:
    return lambda rng: scale * rng.standard_normal(WIDE)


def on_half(rng: np.random.Generator) -> np.ndarray:
    noise = np.sqrt(2) * rng.standard_normal(WIDE)
    noise[rng.permutation(WIDE)[: WIDE // 2]] = 0
    return noise


def smoothed(rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(WIDE + 1)
    return np.cos(0.15) * noise[1:] + np.sin(0.15) * noise[:-1]


#: Standardised noise at fault, and how many of the seeds must show it.
FAULTS: dict[str, tuple[Draw, int]] = {
    "none": (scaled(0.0), SEEDS),
    "half": (scaled(0.5), SEEDS),
    "0.9 sigma": (scaled(0.9), 19),
    "sigma / sqrt 2": (scaled(2**-0.5), SEEDS),
    "one scalar": (lambda rng: np.full(WIDE, rng.standard_normal()), SEEDS),
    "uniform": (lambda rng: rng.uniform(-np.sqrt(3), np.sqrt(3), WIDE), SEEDS),
    "Laplace": (lambda rng: rng.laplace(0, 2**-0.5, WIDE), SEEDS),
    "Student, 5 degrees": (lambda rng: rng.standard_t(5, WIDE) * np.sqrt(3 / 5), SEEDS),
    "on half of the coordinates": (on_half, SEEDS),
    "neighbours correlated": (smoothed, SEEDS),
}


@pytest.fixture(scope="module")
def correct() -> list[tuple[int, NoiseAudit]]:
    """Audits of 3,000 correct streams of one to three releases, with their widths."""
    return [correct_audit(seed) for seed in range(3000)]


def correct_audit(seed: int) -> tuple[int, NoiseAudit]:
    rng = np.random.default_rng(seed)
    width = (2, 5, 20, 650, WIDE)[seed % 5]
    releases = 1 + seed // 5 % 3
    directions = {"w_new - w_r": rng.normal(size=width), "w* - w_r": rng.exponential(size=width)}
    noises = rng.normal(0, SIGMA, (releases, width))
    return width, audit_noise(noises, SIGMA, directions)


@pytest.mark.parametrize("level", [1e-3, 0.05])
def test_correct_releases_are_suspected_no_more_often_than_the_level(
    correct: list[tuple[int, NoiseAudit]], level: float
) -> None:
    alarms = sum(audit.least < level for _, audit in correct)
    assert alarms <= binom.isf(1e-6, len(correct), level)
    if level == 0.05:  # nor so rarely that the tests are idle
        assert alarms >= binom.ppf(1e-6, len(correct), level / 2)


def test_p_values_of_correct_releases_are_uniform(correct: list[tuple[int, NoiseAudit]]) -> None:
    found = defaultdict(list)
    for width, audit in correct:
        for name, p in audit.p_values.items():
            kind = "releases" if name.startswith("releases") else name.split(": ")[-1]
            found[kind, width >= 20].append(p)
    kinds = {kind for kind, _ in found}
    assert kinds == {
        *("size", "shape", "tails", "neighbours", "sum", "alternating sum", "releases"),
        *("along w_new - w_r", "along w* - w_r"),
    }
    for p_values in found.values():
        assert len(p_values) >= 1000
        assert kstest(p_values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    draw, wanted = FAULTS[fault]
    audits = [audit_noise(SIGMA * draw(np.random.default_rng(s)), SIGMA) for s in range(SEEDS)]
    assert sum(audit.suspicious for audit in audits) >= wanted


def test_a_shift_along_a_named_direction_is_seen_and_named() -> None:
    audits = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        unit = rng.normal(size=WIDE)
        unit /= np.linalg.norm(unit)
        shifted = SIGMA * (rng.standard_normal(WIDE) + 6 * unit)
        audits.append(audit_noise(shifted, SIGMA, {"w* - w_r": 1e-3 * unit}))
    assert all("sigma off along w* - w_r" in audit.text for audit in audits)


@pytest.mark.parametrize("again", [1, 2])
def test_noise_used_twice_in_a_stream_is_seen_and_named(again: int) -> None:
    for seed in range(SEEDS):
        noises = np.random.default_rng(seed).standard_normal((3, WIDE))
        noises[again] = noises[0]
        audit = audit_noise(list(noises) * np.array([[1.0], [2.0], [3.0]]), [1.0, 2.0, 3.0])
        assert audit.suspicious
        assert audit.text.startswith(f"noises of releases 1 and {again + 1} are correlated")


def test_one_silent_release_of_a_stream_is_named() -> None:
    noises = np.random.default_rng(0).normal(0, SIGMA, (4, 20))
    noises[2] = 0
    audit = audit_noise(noises, SIGMA)
    assert audit.text.startswith("release 3: noise is 0.00 of what is claimed")


@pytest.mark.parametrize("width", [1, 2, 5, 20, WIDE])
def test_no_noise_has_probability_0(width: int) -> None:
    audit = audit_noise(np.zeros((3, width)), SIGMA, {"w": np.ones(width)})
    assert audit.p_values["release 1: size"] == audit.least == audit.scale == 0
    assert audit.suspicious
    assert all(0 <= p <= 1 for p in audit.p_values.values())


def test_the_text_says_how_much_noise_there_is() -> None:
    noise = np.random.default_rng(0).standard_normal(WIDE)
    noise /= np.sqrt(np.mean(noise**2))
    audit = audit_noise(0.8 * noise, 1.0)
    assert audit.scale == pytest.approx(0.8)
    assert audit.text.startswith("noise is 0.80 of what is claimed")
    assert audit_noise(noise, 1.0).text.startswith("noise passes all 6 tests")


def test_statistics_are_those_stated() -> None:
    noise = np.array([1.0, 2.0, -1.0, 3.0])
    audit = audit_noise(noise, 2.0, {"first": np.array([-1e-200, 0, 0, 0])})
    neighbours = (1 * 2 - 2 * 1 - 1 * 3) / 2 / np.hypot(1 - 1, -1)  # over sigma
    for name, value in {
        "along first": -0.5,
        "sum": 2.5 / 2,
        "alternating sum": -2.5 / 2,
        "neighbours": neighbours,
    }.items():
        assert audit.p_values[name] == pytest.approx(math.erfc(abs(value) / 2**0.5)), name
    assert audit.scale == pytest.approx(np.sqrt(15 / 4) / 2)


def test_a_direction_of_length_0_is_skipped_in_its_release_only() -> None:
    noises = np.random.default_rng(0).standard_normal((2, 5))
    audit = audit_noise(noises, 1.0, {"w": np.array([np.zeros(5), np.ones(5)])})
    assert "release 1: along w" not in audit.findings
    assert audit.p_values["release 2: along w"] == audit.p_values["release 2: sum"]


NOISE = np.ones(3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((NOISE, 0.0), "sigma must be positive"),
        ((NOISE, -1.0), "sigma must be positive"),
        ((NOISE, np.nan), "sigma must be positive"),
        ((NOISE, [1.0, 1.0]), "one for each release"),
        ((np.array([1.0, np.nan]), 1.0), "finite"),
        ((np.array([1.0, np.inf]), 1.0), "finite"),
        ((NOISE, 1e-300), "finite"),
        (([NOISE, np.ones(2)], 1.0), "flat arrays of one length"),
        ((np.ones((2, 2, 2)), 1.0), "flat arrays of one length"),
        ((np.array([]), 1.0), "flat arrays of one length"),
        ((NOISE, 1.0, {"w": np.ones(2)}), "direction 'w' has shape"),
        ((NOISE, 1.0, {"w": np.array([1, 2, np.inf])}), "direction 'w' must be finite"),
    ],
)
def test_what_cannot_be_tested_is_refused(arguments: tuple, complaint: str) -> None:
    with pytest.raises(LetheError, match=complaint):
        audit_noise(*arguments)


@pytest.mark.parametrize("level", [0.0, 1.0, np.nan])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(LetheError, match="level"):
        audit_noise(NOISE, 1.0, level=level)
