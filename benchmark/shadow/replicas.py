"""Independent runs of retraining and of a method on one forget set."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import torch
from torch import Tensor

from benchmark.contract.certificate import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.predictor import Predictor
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


def unlearned(
    store: ModelStore,
    method: Method,
    requests: tuple[Tensor, ...],
    seeds: Seeds,
    count: int,
    *,
    target: Target | None = None,
    role: str = "unlearned",
    listener: Listener | None = None,
) -> list[Predictor]:
    """What `count` independent runs of a method publish after the last of `requests`.

    Each run trains on every training row, then unlearns. Originals are trained together and
    shared by all methods; answers are kept on disk beside them, one file a run.

    Args:
        store: of the problem.
        method: with its parameters.
        requests: (n_u,) row indices each, answered in turn.
        seeds: that the runs' own follow from.
        count: how many.
        target: the (epsilon, delta) asked for.
        role: a name that tells sets of replicas apart.
        listener: hears how many answers are there, and of how many.

    Raises:
        LetheError: if `count` is 0, a request is not valid or the method fails in a known way.
        DiskError: if the store's folder cannot be written.
    """
    problem, target = store.problem, target or Target()
    rows = torch.arange(len(problem.train))
    shared = None
    if not method.has_own_training():
        shared = trained(store, rows, seeds, role, count)
    predictors = []
    for k in range(count):
        own = replica_seeds(seeds, role, k)
        key = store.key(
            method=method.name,
            source=_source(method),
            params=method.model_dump(mode="json"),
            requests=[request.tolist() for request in requests],
            target=target.model_dump(mode="json"),
            seeds=own.model_dump(mode="json"),
        )
        weights = store.read(key)
        if weights is None:
            clock = Clock(problem.device)
            if shared is None:
                state = method.train(problem, rows, own, clock)
                store.write(_training_key(store, method, rows, own), state.weights)
            else:
                state = State(shared[k], rows)
            state = method.prepare(problem, state, own, clock)
            weights = _answer(problem, method, state, requests, own, target)
            store.write(key, weights)
        predictors.append(Predictor(problem.model, weights))
        if listener is not None:
            listener(k + 1, count)
    return predictors


def trained_by(
    store: ModelStore, method: Method, rows: Tensor, seeds: Seeds, role: str, count: int
) -> list[Predictor]:
    """As `trained`, for a method with a training of its own.

    On all rows and under the role of `unlearned`, these are the originals that it unlearned; if
    the store keeps anything, they are not trained again.

    Args:
        store: of the problem.
        method: that overrides `train`.
        rows: (m,) sorted indices.
        seeds: that the replicas' own follow from.
        role: a name that tells sets of replicas apart.
        count: how many.

    Raises:
        LetheError: if the method fails in a known way.
        DiskError: if the store's folder cannot be written.
    """
    predictors = []
    for k in range(count):
        own = replica_seeds(seeds, role, k)
        key = _training_key(store, method, rows, own)
        weights = store.read(key)
        if weights is None:
            weights = method.train(store.problem, rows, own, Clock(store.problem.device)).weights
            store.write(key, weights)
        predictors.append(Predictor(store.problem.model, weights))
    return predictors


def _training_key(store: ModelStore, method: Method, rows: Tensor, seeds: Seeds) -> str:
    return store.key(
        trained_by=method.name,
        source=_source(method),
        params=method.model_dump(mode="json"),
        rows=rows.tolist(),
        seeds=seeds.model_dump(mode="json"),
    )


def _source(method: Method) -> str:
    """sha256, in hex, of the file the method is written in."""
    return hashlib.sha256(Path(inspect.getfile(type(method))).read_bytes()).hexdigest()


def _answer(
    problem: Problem,
    method: Method,
    state: State,
    requests: tuple[Tensor, ...],
    seeds: Seeds,
    target: Target,
) -> Tensor:
    """The weights that are published after the last request, (d,) or (members, d)."""
    weights = state.weights
    for number, forget in enumerate(requests):
        request = Request.of(problem, state, forget, target=target, seeds=seeds, number=number)
        release = method.answer(request)
        state, weights = release.state, release.predictor.weights
    return weights
