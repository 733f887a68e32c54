"""Small random problems, and a method on them: what it starts from and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import present
from benchmark.problem.convex import Ordered
from benchmark.problem.model import MLPSpec, Model, SoftmaxSpec, TangentSpec
from benchmark.problem.models.spec import columns
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.tangent import PublicNet, Tangent
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.cone import ConeTraining
from benchmark.problem.training.newton import DirectTraining, NewtonTraining
from benchmark.rows import Declared, FixedPoint, RealTarget, Rows

# Small random problems, for checks and tests of methods.


def rows(n: int, inputs: int, classes: int, seed: int, dtype: torch.dtype) -> Rows:
    """Gaussian clusters, one a class, that overlap."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, inputs, generator=torch.Generator().manual_seed(99))
    y = torch.randint(classes, (n,), generator=generator)
    x = centres[y] + torch.randn(n, inputs, generator=generator)
    return Rows(x.to(dtype), y)


def softmax(
    seed: int = 0,
    *,
    n: int = 60,
    inputs: int = 5,
    classes: int = 3,
    ridge: float = 0.05,
    loss: str = "cross_entropy",
) -> Problem:
    """Strongly convex, float64, trained to a gradient norm of 1e-10."""
    return Problem(
        model=Model(SoftmaxSpec(), inputs, classes),
        objective=Objective(loss=loss, ridge=ridge),
        training=NewtonTraining(tolerance=1e-10),
        train=rows(n, inputs, classes, seed, torch.float64),
        negatives=rows(20, inputs, classes, seed + 1000, torch.float64),
        test=rows(30, inputs, classes, seed + 2000, torch.float64),
    )


def squared(seed: int = 0, **more: Any) -> Problem:
    """Squared loss on features in fixed point, trained by one direct solve."""
    problem = softmax(seed, **({"ridge": 0.1} | more), loss="squared")
    form = FixedPoint(clip=16.0, bits=16)
    parts = ("train", "negatives", "test")
    rows = {part: getattr(problem, part) for part in parts}
    rounded: dict[str, Any] = {part: Rows(form.truncated(r.x), r.y) for part, r in rows.items()}
    return replace(
        problem,
        training=DirectTraining(tolerance=1e-10),
        declared=Declared(fixed_point=form),
        **rounded,
    )


def real(seed: int = 0, **more: Any) -> Problem:
    """A real target in fixed point, as `squared` else: a number that is linear but for noise."""
    problem = squared(seed, **more)
    target, form = RealTarget("target", -4.0, 4.0), present(problem.declared.fixed_point)
    draws = torch.Generator().manual_seed(seed + 5000)
    slopes = torch.randn(problem.train.x.shape[1], generator=draws, dtype=torch.float64) / 4

    def numbers(rows: Rows) -> Rows:
        noise = torch.randn(len(rows), generator=draws, dtype=torch.float64) / 4
        return Rows(rows.x, form.of_targets.truncated((rows.x @ slopes + noise).clamp(-4, 4) / 4))

    train, negatives, test = map(numbers, (problem.train, problem.negatives, problem.test))
    model = Model(problem.model.spec, problem.model.inputs, 1)
    return replace(problem, model=model, target=target, train=train, negatives=negatives, test=test)


def one_vs_rest(seed: int = 0, **more: Any) -> Problem:
    """A binary logistic loss for each class, as `softmax` else."""
    return softmax(seed, **more, loss="one_vs_rest")


def tangent(
    seed: int = 0,
    *,
    n: int = 60,
    inputs: int = 5,
    classes: int = 3,
    ridge: float = 0.05,
    clip: float = 3.0,
    **more: Any,
) -> Problem:
    """A small net linearised at random weights, in place of weights of public rows."""
    spec = TangentSpec(kind="tangent", **({"hidden": (6, 4), "clip": clip} | more))
    net = Model(spec.net, inputs, classes)
    weights = net.initial_weights(torch.Generator().manual_seed(seed + 4000))
    public = rows(20, inputs, classes, seed + 3000, torch.float64)
    model = Tangent(spec, inputs, classes, PublicNet.of(2 * weights, public))
    head = softmax(seed, n=n, inputs=inputs, classes=classes, ridge=ridge)
    parts: dict[str, Any] = {
        part: model.rows(getattr(head, part)) for part in ("train", "negatives", "test")
    }
    declared = Declared(feature_norm=clip)
    return replace(head, model=model, public=model.rows(public), declared=declared, **parts)


def cone(seed: int = 0, **more: Any) -> Problem:
    """Two classes, as `softmax` else, trained where two features may only raise the log odds."""
    problem = softmax(seed, **(more | {"classes": 2}))
    first = torch.tensor([0, 1])
    within = Ordered(first, first + columns(problem.model.inputs))
    return replace(problem, training=ConeTraining(tolerance=1e-10, within=within))


def mlp(seed: int = 0, *, activation: str = "tanh", radius: float | None = 10.0) -> Problem:
    """A small net trained in a ball."""
    return Problem(
        model=Model(MLPSpec(kind="mlp", hidden=(6, 6), activation=activation), 5, 3),
        objective=Objective(ridge=1e-3),
        training=AdamTraining(
            algorithm="adam", epochs=8, batch=16, learning_rate=0.02, radius=radius
        ),
        train=rows(60, 5, 3, seed, torch.float32),
        negatives=rows(20, 5, 3, seed + 1000, torch.float32),
        test=rows(30, 5, 3, seed + 2000, torch.float32),
    )


def declared(problem: Problem, rows_at_least: int) -> Problem:
    """The same problem with public bounds on how many rows are left and how long they are."""
    norm = problem.declared.feature_norm or problem.train.largest_norm(bias=False)
    return replace(problem, declared=Declared(rows_at_least, norm, problem.declared.fixed_point))


def every_row(problem: Problem) -> Tensor:
    """Indices of all training rows."""
    return torch.arange(len(problem.train))


# A method on small problems: which it can run on, what it starts from and what it answers.

KINDS: dict[str, Callable[..., Problem]] = {
    "softmax": softmax,
    "squared": squared,
    "real": real,
    "one-vs-rest": one_vs_rest,
    "tangent": tangent,
    "cone": cone,
    "mlp": mlp,
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
    original = method.train(problem, every_row(problem), seeds, Clock())
    return method.prepare(problem, original, seeds, Clock())


def ask(
    method: Method,
    problem: Problem,
    forget: Tensor = FORGET,
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


def later(method: Method, problem: Problem, first: Release) -> Release:
    """The answer to a request after the usual one."""
    return ask(method, problem, LATER, original=first.state, number=1)[1]


@cache
def problem_of(kind: str, *, bounded: bool = False) -> Problem:
    """One for all checks; `bounded` by what is declared of its rows after any request."""
    problem = KINDS[kind]()
    if not bounded:
        return problem
    return declared(problem, 30)


@lru_cache(maxsize=64)
def fitted(problem: Problem, left_out: tuple[int, ...] = ()) -> Tensor:
    """Weights (d,) of the training that methods without one of their own share, fitted once."""
    rows = every_row(problem)
    kept = rows[~torch.isin(rows, torch.tensor(left_out, dtype=torch.int64))]
    return problem.fit(kept, Seeds().generator("training"))


def begun(
    method: Method, problem: Problem, seeds: Seeds | None = None, copy: Problem | None = None
) -> State:
    """What the method starts from, of its own training or with a copy of what is `fitted`.

    Args:
        method: which is trained and prepared.
        problem: that it is trained on.
        seeds: of its own training and of what it prepares; shared training has seed 0.
        copy: of the problem, which the method sees in its place.
    """
    seen, seeds = copy or problem, seeds or Seeds()
    if method.has_own_training():
        return trained(method, seen, seeds)
    original = State(fitted(problem).clone(), every_row(problem))
    return method.prepare(seen, original, seeds, Clock())


@lru_cache(maxsize=512)
def start_of(method: Method, kind: str, *, bounded: bool = False) -> State:
    """What the method starts from on the problem of a kind, begun once for all checks."""
    return begun(method, problem_of(kind, bounded=bounded))


@lru_cache(maxsize=512)
def answer_of(method: Method, kind: str, *, bounded: bool = False) -> tuple[Request, Release]:
    """The usual request and its answer, computed once for all checks."""
    original = start_of(method, kind, bounded=bounded)
    return ask(method, problem_of(kind, bounded=bounded), original=original)


def same(a: Release, b: Release) -> bool:
    """Whether two releases publish the same bytes."""
    return torch.equal(a.predictor.members, b.predictor.members)


def rests_on(claim: Claim | None) -> str | None:
    """The kind of the evidence, if there is any."""
    return None if claim is None else claim.evidence.kind
