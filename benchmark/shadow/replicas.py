"""Independent runs of retraining and of a method on one forget set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from benchmark.code import hash_beside
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.shadow.store import Listener, ModelStore
from benchmark.shadow.training import Run


def replica_seeds(seeds: Seeds, role: str, number: int) -> Seeds:
    """Seeds with training and noise of their own; split, forget set and evaluation stay.

    Replicas of different roles are independent, so that retraining as a method is compared with
    other retrainings and not with itself.
    """
    return seeds.model_copy(
        update={
            axis: seeds.generator(axis, role, number).initial_seed()
            for axis in ("training", "noise")
        }
    )


def trained(store: ModelStore, rows: Tensor, seeds: Seeds, role: str, count: int) -> Tensor:
    """(count, d): models trained on the training rows `rows`, each with seeds of its own.

    On the retained rows this is the reference of KLoM and U-LiRA; under a second role, its floor.

    Args:
        store: of the problem.
        rows: (m,) sorted indices.
        seeds: that the replicas' own follow from.
        role: a name that tells sets of replicas apart.
        count: how many.

    Raises:
        LetheError: if `count` is 0.
        DiskError: if the store's folder cannot be written.
        DidNotConverge: if a training is held to a tolerance and misses it.
    """
    each = [replica_seeds(seeds, role, k) for k in range(count)]
    return store.train([Run.of(rows, own.generator("training")) for own in each])


@dataclass(frozen=True)
class Answer:
    """What one run of a method published.

    Attributes:
        predictor: after the last request.
        sigma: of its noise per coordinate; 0 without.
        inside: the noise was drawn by the algorithm and not at the release.
    """

    predictor: Predictor
    sigma: float
    inside: bool


@dataclass(frozen=True)
class Edit:
    """A request that leaves another problem behind, as one on a graph does.

    Attributes:
        lost, altered: (f,) and (c,) sorted row indices.
        before, after: the stores of the problems before and after it.
    """

    lost: Tensor
    altered: Tensor
    before: ModelStore
    after: ModelStore

    def request(self, state: State, **more: Any) -> Request:
        """The request, from the state that the last one left."""
        rows = self.before.problem.train
        problem = self.after.problem
        return Request.of(problem, state, self.lost, altered=self.altered, before=rows, **more)

    def tolist(self) -> list[Any]:
        """What tells it from others."""
        after = self.after.key(rows=self.altered.tolist())
        return [self.lost.tolist(), self.altered.tolist(), after]


def unlearned(
    store: ModelStore,
    method: Method,
    requests: tuple[Tensor | Edit, ...],
    seeds: Seeds,
    count: int,
    *,
    target: Target | None = None,
    role: str = "unlearned",
    listener: Listener | None = None,
) -> list[Answer]:
    """What `count` independent runs of a method publish after the last of `requests`.

    Each run trains on every training row, then unlearns. Originals are trained together and
    shared by all methods; answers are kept on disk beside them, one file a run.

    Args:
        store: of the problem.
        method: with its parameters.
        requests: (n_u,) row indices each, or edits, answered in turn.
        seeds: that the runs' own follow from.
        count: how many.
        target: the (epsilon, delta) asked for.
        role: a name that tells sets of replicas apart.
        listener: hears how many answers are there, and of how many.

    Raises:
        LetheError: if `count` is 0, a request is not valid or the method fails in a known way.
        DiskError: if the store's folder cannot be written.
    """
    target = target or Target()
    start = _Start(store, method, torch.arange(len(store.problem.train)), seeds, role, count)
    answers = []
    for k in range(count):
        answers.append(_answer(start, k, requests, target))
        if listener is not None:
            listener(k + 1, count)
    return answers


def compared_with(
    store: ModelStore,
    method: Method,
    answers: list[Answer],
    rows: Tensor,
    seeds: Seeds,
    role: str,
    *,
    target: Target | None = None,
) -> list[Predictor]:
    """Models trained on `rows`, by the method's own training if it has one, under its noise.

    On the retained rows they are what the definitions of certified unlearning compare the answers
    with: retrained models, the noise of a release added to them as well; where the noise is inside
    the algorithm, what that makes of a retrained model when it has nothing to forget. On all rows
    they are the ceiling: nothing is forgotten, and the noise hides what it hides.

    Args:
        store: of the problem.
        method: that gave the answers.
        answers: as many models come back, each under the noise of one answer.
        rows: (m,) sorted indices.
        seeds: that the replicas' own follow from.
        role: a name that tells sets of replicas apart; noise is drawn anew for each.
        target: the (epsilon, delta) asked for.

    Raises:
        LetheError: if the method fails in a known way.
        DiskError: if the store's folder cannot be written.
    """
    start = _Start(store, method, rows, seeds, role, len(answers))
    nothing = (torch.tensor([], dtype=torch.int64),)
    found = []
    for k, answer in enumerate(answers):
        if answer.inside:
            found.append(_answer(start, k, nothing, target or Target()).predictor)
            continue
        weights = start.weights(k)
        if answer.sigma > 0:
            noise = start.seeds(k).generator("noise", "compared", role)
            draw = torch.randn(weights.shape, generator=noise, dtype=torch.float64)
            weights = weights + (answer.sigma * draw).to(weights.device, weights.dtype)
        found.append(Predictor(store.problem.model, weights))
    return found


class _Start:
    """What the runs of a method start from: the problem's models, or those of its own training.

    Args:
        store: of the problem.
        method: that unlearns.
        rows: (m,) sorted indices that are trained on.
        seeds: that the runs' own follow from.
        role: a name that tells sets of replicas apart.
        count: how many.
    """

    def __init__(
        self, store: ModelStore, method: Method, rows: Tensor, seeds: Seeds, role: str, count: int
    ) -> None:
        self.store, self.method, self.rows = store, method, rows
        self._seeds, self._role, self._count = seeds, role, count

    def seeds(self, k: int) -> Seeds:
        """Seeds of run k."""
        return replica_seeds(self._seeds, self._role, k)

    def weights(self, k: int) -> Tensor:
        """Weights of run k; if the store keeps anything, they are trained once."""
        if not self.method.has_own_training():
            return self._shared[k]
        weights = self.store.read(self._key(k))
        return self.state(k).weights if weights is None else weights

    def state(self, k: int) -> State:
        """State of run k, with all that the method remembers of its training."""
        if not self.method.has_own_training():
            return State(self._shared[k], self.rows)
        problem = self.store.problem
        state = self.method.train(problem, self.rows, self.seeds(k), Clock(problem.device))
        self.store.write(self._key(k), state.weights)
        return state

    @cached_property
    def _shared(self) -> Tensor:
        return trained(self.store, self.rows, self._seeds, self._role, self._count)

    def _key(self, k: int) -> str:
        return _method_key(self.store, self.method, self.seeds(k), rows=self.rows.tolist())


@cache
def _source(cls: type[Method]) -> str | None:
    """The hash of a method's code, read once: an edited file is imported as another class."""
    return hash_beside(cls.__module__)


def _method_key(store: ModelStore, method: Method, seeds: Seeds, **content: Any) -> str:
    """The key of something that a method computed."""
    return store.key(
        method=method.name,
        source=_source(type(method)),
        params=method.model_dump(mode="json"),
        seeds=seeds.model_dump(mode="json"),
        **content,
    )


def _answer(start: _Start, k: int, requests: tuple[Tensor | Edit, ...], target: Target) -> Answer:
    """Run k's, read or computed."""
    store, method, seeds = start.store, start.method, start.seeds(k)
    content = {
        "rows": start.rows.tolist(),
        "requests": [request.tolist() for request in requests],
        "target": target.model_dump(mode="json"),
    }
    keys = [_method_key(store, method, seeds, part=part, **content) for part in ("", "noise")]
    weights, noise = (store.read(key) for key in keys)
    if weights is None or noise is None:
        problem = store.problem
        release = _release(problem, method, start.state(k), requests, seeds, target)
        weights, claim = release.predictor.weights, release.claim
        inside = claim is not None and claim.evidence.kind == "algorithm"
        sigma = getattr(claim.evidence, "sigma", 0.0) if claim is not None else 0.0
        noise = torch.tensor([sigma, inside], dtype=torch.float64)
        store.check(method.name)
        for key, tensor in zip(keys, (weights, noise), strict=True):
            store.write(key, tensor)
    return Answer(Predictor(store.problem.model, weights), float(noise[0]), bool(noise[1]))


def _release(
    problem: Problem,
    method: Method,
    state: State,
    requests: tuple[Tensor | Edit, ...],
    seeds: Seeds,
    target: Target,
) -> Release:
    """The answer to the last request."""
    state = method.prepare(problem, state, seeds, Clock(problem.device))
    for number, asked in enumerate(requests):
        if isinstance(asked, Edit):
            request = asked.request(state, target=target, seeds=seeds, number=number)
        else:
            request = Request.of(problem, state, asked, target=target, seeds=seeds, number=number)
        release = method.answer(request)
        state = release.state
    return release
