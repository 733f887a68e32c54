"""Correct noise passes at the nominal rate, planted faults are seen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, kstest

from benchmark.audit.published_noise import NoiseAudit, audit_noise
from benchmark.errors import LetheError

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
