"""A method on small problems: which it can run on, what it starts from and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch

from benchmark.checks import problems
from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.problem import Problem

KINDS: dict[str, Callable[[], Problem]] = {
    "softmax": problems.softmax,
    "squared": problems.squared,
    "real": problems.real,
    "one-vs-rest": problems.one_vs_rest,
    "tangent": problems.tangent,
    "cone": problems.cone,
    "mlp": problems.mlp,
}
#: The properties that a method may need, problem by problem.
OFFERS = {
    "softmax": {"classes", "strong_convexity"},
    "squared": {"classes", "strong_convexity", "squared_loss", "exact_sums"},
    "real": {"strong_convexity", "squared_loss", "exact_sums"},
    "one-vs-rest": {"classes", "strong_convexity", "one_vs_rest"},
    "tangent": {"classes", "strong_convexity", "tangent"},
    "cone": {"classes", "constraint", "cone"},
    "mlp": {"classes"},
}
#: Methods whose theorem wants the gradients of single rows to be bounded.
_BOUNDED_GRADIENTS = {"descent-to-delete", "langevin", "rewind"}
#: Methods that look into a model's layers, which a tangent has none of.
_LAYERS = {"dp-sgd", "l-codec", "recollection"}
FORGET = torch.tensor([3, 17, 41, 58])
LATER = torch.tensor([5, 20])
NOTHING = torch.tensor([], dtype=torch.int64)


def kinds(cls: type[Method]) -> list[str]:
    """The problems that a method can run on."""
    wanted = cls.demands()
    found = [kind for kind in KINDS if wanted <= OFFERS[kind]]
    found = [k for k in found if k != "cone" or "constraint" in wanted or "cone" in wanted]
    found = [k for k in found if k != "tangent" or cls.name not in _LAYERS]
    quadratic = {"squared", "real"} if cls.name in _BOUNDED_GRADIENTS else set()
    return [k for k in found if k not in quadratic]


def head(cls: type[Method]) -> str:
    """The first convex one of them; a net where there is none."""
    return next((kind for kind in kinds(cls) if kind != "mlp"), "mlp")


def trained(method: Method, problem: Problem, seeds: Seeds) -> State:
    """What the method starts from: trained, and prepared for requests."""
    original = method.train(problem, problems.every_row(problem), seeds, Clock())
    return method.prepare(problem, original, seeds, Clock())


def ask(
    method: Method,
    problem: Problem,
    forget: torch.Tensor = FORGET,
    seeds: Seeds | None = None,
    original: State | None = None,
    **more: Any,
) -> tuple[Request, Release]:
    """A request and its answer; trains first unless an original is given."""
    seeds = seeds or Seeds()
    if original is None:
        original = trained(method, problem, seeds)
    request = Request.of(problem, original, forget, seeds=seeds, **more)
    return request, method.answer(request)


def stream(method: Method, problem: Problem, original: State) -> list[Release]:
    """The answers to the usual request and a later one."""
    _, first = ask(method, problem, original=original)
    return [first, ask(method, problem, LATER, original=first.state, number=1)[1]]


@cache
def problem_of(kind: str) -> Problem:
    """One for all checks."""
    return KINDS[kind]()


@lru_cache(maxsize=512)
def start_of(method: Method, kind: str) -> State:
    """What the method starts from on the problem of a kind, trained once for all checks."""
    return trained(method, problem_of(kind), Seeds())


@lru_cache(maxsize=512)
def answer_of(method: Method, kind: str) -> tuple[Request, Release]:
    """The usual request and its answer, computed once for all checks."""
    return ask(method, problem_of(kind), original=start_of(method, kind))


def same(a: Release, b: Release) -> bool:
    """Whether two releases publish the same bytes."""
    return torch.equal(a.predictor.members, b.predictor.members)


def rests_on(claim: Claim | None) -> str | None:
    """The kind of the evidence, if there is any."""
    return None if claim is None else claim.evidence.kind
