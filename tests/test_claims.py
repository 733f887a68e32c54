"""Claims, and requests that alter rows: what is claimed of each, or one line that refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, lru_cache

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from benchmark import registry
from benchmark.checks import problems as asking
from benchmark.checks.problems import KINDS
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
from benchmark.contract.clock import Clock
from benchmark.contract.definition import find, verdict
from benchmark.contract.guarantee import Curve, Exact, Gaussian, compose
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory.gaussian import delta_for, epsilon_for, m_for
from methods.dp_sgd import DPSGD
from methods.sekhari import Sekhari
from tests import problems

# Claims: definition, guarantee and evidence, and what is made of them.


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


# Requests that alter rows: every method answers them as it should, or refuses in one line.

METHODS = registry.discover()
LOST, ALTERED = torch.tensor([3, 17]), torch.tensor([5, 8, 41])
NOTHING = torch.tensor([], dtype=torch.int64)


@cache
def before(kind: str, seed: int = 0) -> Problem:
    """A problem that declares a norm that holds of altered rows as well."""
    problem = KINDS[kind](seed)
    norm = 3 * problem.train.largest_norm(bias=False)
    return replace(problem, declared=replace(problem.declared, feature_norm=norm))


@cache
def after(kind: str, seed: int = 0) -> Problem:
    """The same with other features in the altered rows, and none in the lost ones."""
    problem = before(kind, seed)
    x = problem.train.x.clone()
    x[ALTERED] = -problem.train.x[ALTERED + 1]
    x[LOST] = 0
    return replace(problem, train=Rows(x, problem.train.y))


def trained(method: Method, problem: Problem) -> State:
    rows = problems.every_row(problem)
    return method.prepare(problem, method.train(problem, rows, Seeds(), Clock()), Seeds(), Clock())


def edit(original: State, kind: str, seed: int = 0, lost: Tensor = LOST) -> Request:
    old, new = before(kind, seed), after(kind, seed)
    return Request.of(new, original, lost, altered=ALTERED, before=old.train)


@lru_cache(maxsize=128)
def answered(method: Method, kind: str, seed: int = 0) -> tuple[Request, Release]:
    request = edit(trained(method, before(kind, seed)), kind, seed)
    return request, method.answer(request)


def kind_of(name: str) -> str:
    """A problem that the method can run on, a convex one if it can."""
    return asking.kinds(METHODS[name].method)[0]


def made(name: str) -> Method:
    return problems.quick(METHODS[name].method)


CAN = [name for name, found in METHODS.items() if found.method.can_alter()]
REFUSE = [name for name in METHODS if name not in CAN]


def test_a_request_is_an_edit() -> None:
    problem, new = before("softmax"), after("softmax")
    request = edit(State(torch.zeros(1), problems.every_row(problem)), "softmax")
    assert request.forget.tolist() == [3, 5, 8, 17, 41]
    assert request.lost.tolist() == [3, 17]
    assert request.altered.tolist() == [5, 8, 41]
    assert set(request.retain.tolist()) == set(range(60)) - {3, 17}
    assert torch.equal(request.forget_rows.x, problem.train.x[request.forget])
    assert torch.equal(request.altered_rows.x, new.train.x[request.altered])
    assert torch.equal(request.retain_rows.x, new.train.x[request.retain])


def test_an_ordinary_request_alters_nothing() -> None:
    problem = before("softmax")
    request = Request.of(problem, State(torch.zeros(1), problems.every_row(problem)), LOST)
    assert len(request.altered) == 0
    assert torch.equal(request.lost, request.forget)
    assert torch.equal(request.forget_rows.x, problem.train.x[LOST])


@pytest.mark.parametrize(
    ("lost", "altered", "old", "message"),
    [
        ([3, 17], [5, 8, 41], None, "give the rows as they were"),
        ([3, 17], [5, 5, 8, 41], "before", "names a row twice"),
        ([3, 5], [5, 8, 41], "before", "lost and altered in one request"),
        ([3, 17], [5, 8, 41, 99], "before", "not trained on"),
        ([3, 17], [5, 8], "before", "row 41 changes and is not among the altered rows"),
        ([3, 17], [5, 8, 41], "short", "leaves every row its number"),
        (list(range(60)), [], "before", "nothing is left to keep"),
    ],
)
def test_a_malformed_edit_is_one_line(
    lost: list[int], altered: list[int], old: str | None, message: str
) -> None:
    problem = before("softmax")
    rows = {None: None, "before": problem.train, "short": problem.train.take(torch.arange(9))}[old]
    state = State(torch.zeros(1), problems.every_row(problem))
    with pytest.raises(LetheError, match=message):
        Request.of(
            after("softmax"),
            state,
            torch.tensor(lost, dtype=torch.int64),
            altered=torch.tensor(altered, dtype=torch.int64),
            before=rows,
        )


@pytest.mark.parametrize("name", REFUSE)
def test_who_cannot_alter_rows_says_so(name: str) -> None:
    method, kind = made(name), kind_of(name)
    request = edit(trained(method, before(kind)), kind)
    with pytest.raises(AssumptionBroken, match=f"{name} forgets whole rows, and this request"):
        method.answer(request)


@pytest.mark.parametrize("name", CAN)
def test_an_edit_is_answered_with_sound_weights(name: str) -> None:
    request, release = answered(made(name), kind_of(name))
    assert torch.isfinite(release.predictor.members).all()
    assert torch.equal(release.state.rows, request.retain)


@pytest.mark.parametrize("name", [n for n in CAN if METHODS[n].method.evidence])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_against_retraining_on_the_new_rows(name: str, seed: int) -> None:
    method, kind = made(name), kind_of(name)
    if method.role == "floor" or METHODS[name].method.evidence == "algorithm":
        pytest.skip("no distance to retraining is claimed")
    request, release = answered(method, kind, seed)
    retrained = method.train(after(kind, seed), request.retain, Seeds(), Clock())
    distance = float((release.state.weights - retrained.weights).norm())
    evidence = release.claim.evidence
    if evidence.kind == "construction":
        assert distance == 0
    else:
        assert distance <= evidence.reached <= evidence.bound


@pytest.mark.parametrize("name", CAN)
def test_a_stream_goes_on_from_an_edit(name: str) -> None:
    """Back again: the altered rows get their old content, and another row is lost."""
    method, kind = made(name), kind_of(name)
    _, first = answered(method, kind)
    third = replace(after(kind), train=Rows(after(kind).train.x.clone(), after(kind).train.y))
    third.train.x[ALTERED] = before(kind).train.x[ALTERED]
    request = Request.of(
        third,
        first.state,
        torch.tensor([50]),
        altered=ALTERED,
        before=after(kind).train,
        number=1,
    )
    release = method.answer(request)
    evidence = release.claim.evidence if release.claim else None
    if evidence is None or evidence.kind == "algorithm" or method.role == "floor":
        return
    retrained = method.train(third, request.retain, Seeds(), Clock())
    distance = float((release.state.weights - retrained.weights).norm())
    assert distance <= (evidence.reached if evidence.kind == "distance" else 0)


@pytest.mark.parametrize("name", ["newton-chord", "sekhari", "influence"])
def test_the_new_versions_gradients_count(name: str) -> None:
    """The old ones alone would start elsewhere: the first step is near the retrained weights."""
    params = {"influence": {"damping": 0.0, "tolerance": 1e-9}}.get(name, {})
    method = METHODS[name].method.build(params)
    request, release = answered(method, "squared")
    retrained = request.problem.fit(request.retain, Seeds().generator("training"))
    assert float((release.state.weights - retrained).norm()) <= 1e-3
    if release.claim is not None:
        taken = {c.name: c.value for c in release.claim.evidence.measured}
        assert taken["further_steps"] <= 1


def test_dp_sgd_counts_altered_rows_at_half_the_noise() -> None:
    """10 lost and 142 altered rows are no group of 20, and 10 altered ones are none either."""
    method = DPSGD()
    n = 300
    problem = replace(problems.softmax(n=n), declared=before("softmax").declared)
    x = problem.train.x.clone()
    start = method.train(problem, torch.arange(n), Seeds(), Clock())

    def kept(lost: int, altered: int) -> bool:
        new = x.clone()
        new[lost : lost + altered] *= -1
        world = replace(problem, train=Rows(new, problem.train.y))
        request = Request.of(
            world,
            start,
            torch.arange(lost),
            altered=torch.arange(lost, lost + altered),
            before=problem.train,
        )
        return torch.equal(method.answer(request).state.weights, start.weights)

    assert kept(10, 0)
    assert kept(20, 0)
    assert not kept(10, 142)
    assert not kept(0, 11)
    assert kept(0, 5)


def test_dp_sgd_adds_up_what_a_stream_alters() -> None:
    method, problem, new = DPSGD(), before("softmax"), after("softmax")
    state = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    numbers = []
    for number in range(4):
        old, now = (problem, new) if number % 2 == 0 else (new, problem)
        request = Request.of(
            now, state, NOTHING, altered=torch.cat([LOST, ALTERED]), before=old.train, number=number
        )
        state = method.answer(request).state
        numbers.append(state.memory.altered)
    assert numbers == [5, 0, 5, 0], "the second request is beyond the group: trained anew"


@pytest.mark.parametrize("name", ["rewind", "langevin", "descent-to-delete"])
def test_counting_theorems_want_one_norm_for_old_and_new_rows(name: str) -> None:
    method = made(name)
    old, new = (
        replace(p, declared=replace(p.declared, feature_norm=None))
        for p in (before("softmax"), after("softmax"))
    )
    request = Request.of(new, trained(method, old), LOST, altered=ALTERED, before=old.train)
    with pytest.raises(AssumptionBroken, match="one norm for their old and new versions"):
        method.answer(request)


def test_sekharis_published_bound_is_for_lost_and_altered_rows() -> None:
    _, release = answered(Sekhari(), "softmax")
    found = {a.theorem: a.value for a in release.claim.evidence.alternatives}
    problem = before("softmax")
    five = Request.of(problem, trained(Sekhari(), problem), torch.arange(5))
    plain = {a.theorem: a.value for a in Sekhari().answer(five).claim.evidence.alternatives}
    # the bounds differ by what their solves left alone
    assert found["sekhari21"] == pytest.approx(plain["sekhari21"], rel=1e-3)


def test_newton_refuses_by_the_forgotten_gradient() -> None:
    method = METHODS["newton"].method.build({"gradient": "forgotten"})
    with pytest.raises(AssumptionBroken, match="by the retained gradient alone"):
        answered(method, "softmax")
