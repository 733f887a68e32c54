"""Claims: definition, guarantee and evidence, and what is made of them."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from benchmark.contract import definition
from benchmark.contract.claim import (
    VERDICTS,
    Algorithm,
    Alternative,
    Claim,
    Constant,
    Construction,
    Distance,
)
from benchmark.contract.definition import find, verdict
from benchmark.contract.guarantee import Curve, Exact, Gaussian, compose
from benchmark.errors import LetheError
from benchmark.theory.gaussian import delta_for, epsilon_for, m_for


def distance(**changes: object) -> Distance:
    settings = {"bound": 1e-3, "sigma": 1e-2, "theorem": "thm5", "reached": 5e-4}
    return Distance(**(settings | changes))


def claim(name: str = "unlearn-on-retain", **changes: object) -> Claim:
    settings = {"guarantee": Gaussian(m=0.1), "evidence": distance(), "delta": 1e-5}
    settings |= changes
    guarantee, evidence = settings.pop("guarantee"), settings.pop("evidence")
    return Claim.of(name, guarantee, evidence, **settings)


def constant(provenance: str) -> Constant:
    return Constant(name="n", value=1.0, provenance=provenance, meaning="of a test")


def test_a_gaussian_guarantee_is_the_exact_accounting() -> None:
    one = Gaussian(m=m_for(1.0, 1e-5))
    assert one.epsilon(1e-5) == pytest.approx(1.0, rel=1e-6)
    assert one.delta(1.0) == pytest.approx(1e-5, rel=1e-6)
    assert Exact().epsilon(1e-5) == Exact().m == 0


def test_composition_adds_squares_and_leaves_exact_releases_out() -> None:
    both = compose([Gaussian(m=0.3), Exact(), Gaussian(m=0.4)])
    assert isinstance(both, Gaussian)
    assert both.m == pytest.approx(0.5)
    assert compose([]) == compose([Exact(), Exact()]) == Exact()


def test_one_curve_alone_keeps_its_points_and_several_fall_back_on_their_gaussians() -> None:
    curve = Curve(points=((1.0, 1e-5),), m=0.5)
    assert curve.epsilon(1e-5) == 1.0 < epsilon_for(0.5, 1e-5)
    assert curve.epsilon(1e-6) == epsilon_for(0.5, 1e-6)  # no point reaches so small a delta
    assert compose([curve, Exact()]) == curve
    assert compose([curve, curve]).m == pytest.approx(0.5 * math.sqrt(2))


def test_a_claim_states_what_its_guarantee_gives() -> None:
    assert claim().epsilon == epsilon_for(0.1, 1e-5)
    assert claim().guarantee.m == 0.1


def test_noise_that_is_too_small_for_the_guarantee_makes_no_claim() -> None:
    with pytest.raises(ValidationError, match=r"is not 0\.1-GDP"):
        claim(evidence=distance(sigma=1e-2 / math.sqrt(2)))


def test_a_bound_that_is_not_met_makes_no_evidence() -> None:
    with pytest.raises(ValidationError, match="is not within"):
        distance(reached=2e-3)


def stated(epsilon: float, delta: float, guarantee: Exact | Gaussian | Curve) -> Claim:
    """A claim at a point that is stated by hand."""
    exact = isinstance(guarantee, Exact)
    noisy = Algorithm(theorem="blocks", sigma=1.0, steps=1)
    return Claim(
        definition="retrain",
        guarantee=guarantee,
        epsilon=epsilon,
        delta=delta,
        evidence=Construction(reason="retrained") if exact else noisy,
    )


CURVE = Curve(points=((1.0, 1e-5),), m=0.5)


@pytest.mark.parametrize(
    ("epsilon", "delta", "guarantee", "complaint"),
    [
        (0.0, 1e-5, Gaussian(m=0.25), r"epsilon = 0 is below 0\.9\d+, which the guarantee has"),
        (epsilon_for(0.25, 1e-5) * (1 - 1e-8), 1e-5, Gaussian(m=0.25), "is below"),
        (1.0, 0.0, Gaussian(m=0.25), "has no epsilon at delta = 0: .* between 0 and 1"),
        (1.0, 1e-5, Gaussian(m=1e100), "has no epsilon at delta = 1e-05"),
        (0.9, 1e-5, CURVE, "epsilon = 0.9 is below 1, which"),
        (1.0, 1e-6, CURVE, "is below"),
        (1.0, 0.0, CURVE, "has no epsilon at delta = 0"),
        (5.0, 0.0, Exact(), "an exact guarantee has epsilon 0, not 5"),
    ],
)
def test_a_claim_that_is_better_than_its_guarantee_cannot_be_made(
    epsilon: float, delta: float, guarantee: Exact | Gaussian | Curve, complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        stated(epsilon, delta, guarantee)


@pytest.mark.parametrize("m", [1e-6, 0.25, 5.0, 1e4])
@pytest.mark.parametrize("delta", [1e-18, 1e-5, 0.5])
def test_a_claim_may_state_less_than_its_guarantee_and_the_same_up_to_rounding(
    m: float, delta: float
) -> None:
    epsilon = epsilon_for(m, delta)
    for one in (epsilon, epsilon * (1 - 1e-10), 2 * epsilon + 1):
        assert stated(one, delta, Gaussian(m=m)).epsilon == one
    epsilon = 1.0
    assert stated(epsilon, delta, Gaussian(m=m_for(epsilon, delta))).epsilon == epsilon


@pytest.mark.parametrize("point", [(-1.0, 0.0), (1.0, -0.1), (1.0, 1.0), (1e151, 1e-5)])
def test_a_point_that_is_none_makes_no_curve(point: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="points"):
        Curve(points=(point,), m=5.0)


def test_numbers_too_large_to_compute_with_are_refused() -> None:
    """A bound that is only shown may be larger: some that are far off reach 1e188."""
    with pytest.raises(ValidationError, match="too large to compute with"):
        Constant(name="n", value=1e151, provenance="exact", meaning="of a test")
    assert Alternative(theorem="thm6", value=1e190, proved=False).value == 1e190
    with pytest.raises(ValidationError, match="less than or equal to"):
        Alternative(theorem="thm6", value=1e300, proved=False)


@pytest.mark.parametrize("guarantee", [Gaussian(m=1.0), Exact()])
def test_exact_is_by_construction_and_the_other_way_round(guarantee: Exact | Gaussian) -> None:
    noisy = Algorithm(theorem="blocks", sigma=1.0, steps=1)
    evidence = noisy if isinstance(guarantee, Exact) else Construction(reason="retrained")
    with pytest.raises(ValidationError, match="by construction"):
        claim(guarantee=guarantee, evidence=evidence)


def test_what_is_published_says_nothing_that_was_measured() -> None:
    here = distance(
        measured=(constant("measured"),),
        alternatives=(Alternative(theorem="thm6", value=4e-4, proved=True),),
    )
    there = distance(reached=1e-4, theorem="thm6")
    assert claim(evidence=here) != claim(evidence=there)
    assert claim(evidence=here).public() == claim(evidence=there).public()
    assert claim(evidence=distance(sigma=2e-2)).public() != claim().public()
    assert "reason" not in Claim.by_construction("three shards retrained").public()["evidence"]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (Claim.by_construction("retrained"), "exact"),
        (Claim.by_construction("another algorithm", "reference"), "exact"),
        (claim(), "proved"),
        (claim("retrain"), "proved"),
        (claim(evidence=distance(constants=(constant("exact"), constant("declared")))), "proved"),
        (claim(evidence=distance(constants=(constant("measured"),))), "conditional"),
        (claim(evidence=distance(constants=(constant("estimated"),))), "conditional"),
        (claim(evidence=distance(constants=(constant("assumed"),))), "conditional"),
        (claim(evidence=distance(measured=(constant("measured"),))), "proved"),
        (claim(caveats=("a hypothesis is open",)), "conditional"),
        (claim("this-pair"), "pair"),
        (claim("this-pair", caveats=("open",)), "pair"),
        (claim(evidence=distance(trivial=1e-3)), "vacuous"),
        (claim("this-pair", evidence=distance(trivial=1e-3)), "vacuous"),
        (claim(evidence=distance(trivial=2e-3)), "proved"),
        (None, "none"),
    ],
)
def test_verdicts_follow_from_the_claim(stated: Claim | None, expected: str) -> None:
    assert verdict(stated) == expected
    assert expected in VERDICTS


def test_a_definition_that_nobody_knows_is_one_line() -> None:
    with pytest.raises(LetheError, match=r"unknown definition 'retrian': did you mean 'retrain'\?"):
        verdict(claim("retrian"))


def test_every_definition_says_what_it_compares() -> None:
    found = definition.discover()
    assert {"retrain", "unlearn-on-retain", "reference", "this-pair"} <= set(found)
    assert [name for name, one in found.items() if not one.proves] == ["this-pair"]
    for one in found.values():
        assert one.title
        assert one.source
        assert one.words.endswith(".")
    assert find("reference").name == "reference"


def test_claims_survive_a_file() -> None:
    for one in (claim(), claim("this-pair"), Claim.by_construction("retrained")):
        assert Claim.model_validate_json(one.model_dump_json()) == one
    curve = Curve(points=((1.0, 1e-5),), m=0.5)
    inside = claim(guarantee=curve, evidence=Algorithm(theorem="blocks", sigma=1.0, steps=3))
    assert Claim.model_validate_json(inside.model_dump_json()) == inside
    assert delta_for(inside.epsilon, 0.5) > 1e-5  # the point is better than the Gaussian
