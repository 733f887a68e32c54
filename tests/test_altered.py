"""Requests that alter rows: every method answers them as it should, or refuses in one line."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from benchmark import registry
from benchmark.checks import asking
from benchmark.checks.asking import KINDS
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from methods.dp_sgd import DPSGD
from methods.sekhari import Sekhari
from tests import problems

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


def answered(method: Method, kind: str, seed: int = 0) -> tuple[Request, Release]:
    request = edit(trained(method, before(kind, seed)), kind, seed)
    return request, method.answer(request)


def kind_of(name: str) -> str:
    """A problem that the method can run on, a convex one if it can."""
    return asking.kinds(METHODS[name].method)[0]


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
    method, kind = METHODS[name].method(), kind_of(name)
    request = edit(trained(method, before(kind)), kind)
    with pytest.raises(AssumptionBroken, match=f"{name} forgets whole rows, and this request"):
        method.answer(request)


@pytest.mark.parametrize("name", CAN)
def test_an_edit_is_answered_with_sound_weights(name: str) -> None:
    request, release = answered(METHODS[name].method(), kind_of(name))
    assert torch.isfinite(release.predictor.members).all()
    assert torch.equal(release.state.rows, request.retain)


@pytest.mark.parametrize("name", [n for n in CAN if METHODS[n].method.evidence])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_against_retraining_on_the_new_rows(name: str, seed: int) -> None:
    method, kind = METHODS[name].method(), kind_of(name)
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
    method, kind = METHODS[name].method(), kind_of(name)
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
    method = METHODS[name].method()
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
