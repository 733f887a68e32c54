"""Both sides of a claim, run through the same code in two worlds.

In one world the rows D_u are trained on and then unlearned: U(D, D_u, A(D)). In the other they
never were: its problem has the rows D_r and no others, and the claim's definition says what is
published there. The bounds that a problem declares are public and the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmark.contract import definition
from benchmark.contract.claim import Claim, Construction, Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import present
from benchmark.problem.problem import Problem


class World:
    """A problem, and what is trained on all of its rows: every model once.

    Args:
        problem: whose training rows are all that there are.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rows = torch.arange(len(problem.train))
        self.original = cache(self._original)
        self._trained = cache(self._train)

    def _original(self, method: Method, training: int) -> State:
        """Trained with the seed `training`, and prepared for the requests of a method."""
        state = self._trained(method if method.has_own_training() else None, training)
        return method.prepare(self.problem, state, Seeds(training=training), Clock())

    def _train(self, own: Method | None, training: int) -> State:
        """By the method's own training, or by the problem's, which the others share."""
        seeds = Seeds(training=training)
        if own is not None:
            return own.train(self.problem, self.rows, seeds, Clock())
        return State(self.problem.fit(self.rows, seeds.generator("training")), self.rows)

    def weights(self, training: int) -> Tensor:
        """A(D) by the problem's own training, (d,)."""
        return self._trained(None, training).weights


def without(problem: Problem, forget: Tensor) -> Problem:
    """The problem in the world in which the rows `forget` (n_u,) never were.

    The others are renumbered in their order; what is declared stays.
    """
    rows = torch.arange(len(problem.train))
    return replace(problem, train=problem.train.take(rows[~torch.isin(rows, forget)]))


def unlearned(
    method: Method, world: World, forget: Tensor, *, target: Target, seeds: Seeds
) -> Release:
    """U(D, D_u, A(D)), the side that a release is on.

    Args:
        method: U, and A where it has a training of its own.
        world: D.
        forget: (n_u,) rows of D.
        target: that is asked for.
        seeds: of training and of the request.

    Raises:
        LetheError: if the method does not answer.
    """
    state = world.original(method, seeds.training)
    request = Request.of(world.problem, state, forget, target=target, seeds=seeds)
    return method.answer(request)


def reference(
    method: Method,
    world: World,
    claimed: Release,
    *,
    target: Target,
    seeds: Seeds,
    number: int = 0,
) -> Release:
    """The other side, as the definition of the claim has it.

    Args:
        method: that made the claim.
        world: D_r, in which D_u never was.
        claimed: the release on the first side.
        target: that was asked for.
        seeds: of training and of the request.
        number: of the request in a stream.

    Raises:
        LetheError: if the method does not answer, or does not do what the definition takes it to.
    """
    state, nothing = world.original(method, seeds.training), torch.tensor([], dtype=torch.int64)
    request = Request.of(world.problem, state, nothing, target=target, seeds=seeds, number=number)
    return definition.find(present(claimed.claim).definition).reference(method, request, claimed)


def difference(claimed: Release, other: Release) -> str:
    """What an observer would tell the sides apart by, whatever the weights; "" if nothing.

    All but the centre of the noise must be the same: its size, the number of noisy steps, the
    shape of what is published, and whatever a claim says in public. Of a release that is exact
    by construction only its definition and verdict are compared.
    """
    one, two = present(claimed.claim), other.claim
    if two is None:
        return "a claim on one side alone"
    parts: list[tuple[Any, ...]] = [("definition", one.definition, two.definition)]
    parts += [("verdict", definition.verdict(one), definition.verdict(two))]
    if not isinstance(one.evidence, Construction):
        parts += [("noise", one.release_sigma, two.release_sigma)]
        parts += [("steps with noise", _steps(one), _steps(two))]
        shapes = (tuple(side.predictor.members.shape) for side in (claimed, other))
        parts += [("published shape", *shapes)]
        parts += _public("claim", one.public(), two.public())
    return next(
        (f"{name} of {a} and of {b} on the two sides" for name, a, b in parts if a != b), ""
    )


def _steps(claim: Claim) -> int:
    """How many draws of noise a release takes, as far as the claim says."""
    return getattr(claim.evidence, "steps", 1)


def _public(name: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves of two JSON values side by side, each under its name."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        for key in one:
            yield from _public(f"{name}.{key}", one[key], two[key])
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for left, right in zip(one, two, strict=True):
            inner = left.get("name", "") if isinstance(left, dict) else ""
            yield from _public(f"{name}.{inner}" if inner else name, left, right)
    else:
        yield name, one, two
