"""Random requests on random graphs, each determined by one number, and bounds on their answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from scipy import sparse

from benchmark.contract.claim import Target
from benchmark.contract.method import Method
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.graph.graph import NO_LABEL, Change, Graph
from benchmark.graph.propagation import Propagation
from benchmark.graph.world import Edit, Roles, World
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Declared, Rows
from benchmark.studies import two_sides
from benchmark.studies.random_problem import public_distance
from benchmark.studies.soundness import proved
from benchmark.studies.soundness_record import Check

#: What requests name; some name several things at once.
KINDS = ("nodes", "any nodes", "edges", "features", "features and labels", "all at once")


def draw(seed: int) -> tuple[World, Change]:
    """A graph problem in float64, and a request on it.

    16 to 120 nodes in 2 to 4 classes, sparse to dense, some without a label or without an edge;
    one to three hops, either normalisation, rows scaled or not, either kind of weights; a softmax
    or squared head with a ridge of 1e-4 to 1, trained to 1e-10 to 1e-4. The seed's remainder by 6
    is the kind of the request. What spans decades is uniform in its logarithm.
    """
    bits = Seeds.all(seed).generator("split", "random graph")
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=bits)))
    classes, n = int(random.integers(2, 5)), int(_log_uniform(random, 16, 120))
    graph = _graph(random, n, classes)
    labelled = random.permutation((graph.y != NO_LABEL).nonzero()[0])
    train, negatives, test = np.split(labelled, [len(labelled) // 2, 3 * len(labelled) // 4])
    roles = Roles(np.sort(train), np.sort(negatives), np.sort(test))
    propagation = Propagation(
        normalisation="row" if random.random() < 0.5 else "sym",
        hops=int(random.integers(1, 4)),
        weights="sgc" if random.random() < 0.5 else "appnp",
        unit_rows=bool(random.random() < 0.5),
    )
    change = _change(random, graph, roles.train, KINDS[seed % len(KINDS)])
    gone = np.intersect1d(roles.train, np.union1d(change.nodes, change.labels))

    def rows(nodes: np.ndarray) -> Rows:
        z = propagation.rows(graph, nodes)
        return Rows(torch.from_numpy(z), torch.from_numpy(graph.y[nodes]))

    problem = Problem(
        Model(SoftmaxSpec(), graph.x.shape[1], classes),
        Objective(
            loss="cross_entropy" if random.random() < 0.7 else "squared",
            ridge=_log_uniform(random, 1e-4, 1),
        ),
        NewtonTraining(tolerance=_log_uniform(random, 1e-10, 1e-4)),
        train=rows(roles.train),
        negatives=rows(roles.negatives),
        test=rows(roles.test),
        declared=Declared(len(train) - len(gone), propagation.largest_norm),
    )
    return World(graph, propagation, roles, problem), change


def without(edit: Edit) -> Problem:
    """The problem in the world in which what was named never was: it has no other rows."""
    problem = edit.world.problem
    return replace(problem, train=problem.train.take(torch.from_numpy(edit.world.trained)))


@lru_cache(maxsize=64)
def posed(seed: int) -> tuple[two_sides.World, Edit, two_sides.World]:
    """The world before request `seed`, what the request changes, and the world without it."""
    world, change = draw(seed)
    edit = world.after(change)
    return two_sides.World(world.problem), edit, two_sides.World(without(edit))


def checks(seed: int, method: Method) -> Iterator[Check]:
    """Every bound on the method's release, beside the distance of the two sides.

    Args:
        seed: of the graph and the request.
        method: that is asked.

    Raises:
        LetheError: if the method does not answer.
    """
    (world, edit, never), seeds = posed(seed), Seeds.all(seed)
    problem = edit.world.problem
    counted = len(edit.lost) + len(edit.altered)
    named = min(counted, len(problem.train) - 1)
    target = Target(distance=public_distance(problem, named, seed))
    request = Request.of(
        problem,
        world.original(method, seeds.training),
        edit.lost,
        altered=edit.altered,
        before=world.problem.train,
        target=target,
        seeds=seeds,
    )
    release = method.answer(request)
    other = two_sides.reference(method, never, release, target=target, seeds=seeds)
    distance = float((release.state.weights - other.state.weights).norm())
    for bound, value in proved(release.claim).items():
        yield Check(seed, method.name, bound, value, distance)


def _graph(random: np.random.Generator, n: int, classes: int) -> Graph:
    """Joined more within classes than between them; every tenth node or so has no label."""
    y = random.integers(0, classes, n)
    u, v = np.triu_indices(n, 1)
    density = _log_uniform(random, 0.5 / n, 0.3)
    joined = random.random(len(u)) < np.where(y[u] == y[v], density, density / 5)
    inputs = int(random.integers(3, 11))
    x = random.random((n, inputs)) * (random.random((n, inputs)) < 0.5)
    x[np.arange(n), y % inputs] += random.random()
    x *= _log_uniform(random, 1e-2, 10)
    y = np.where(random.random(n) < 0.1, NO_LABEL, y)
    y[:8] = np.arange(8) % classes
    return Graph.of(sparse.csr_array(x), y, np.stack([u[joined], v[joined]], axis=1))


def _change(random: np.random.Generator, graph: Graph, train: np.ndarray, kind: str) -> Change:
    """From one to a few of the nodes or edges; half of the training nodes stay at least."""
    most = max(1, len(train) // 4)
    count = min(most, int(_log_uniform(random, 1, most + 1)))
    nodes, others = np.split(random.permutation(train)[: 2 * count], [count])
    edges = graph.edges[random.permutation(len(graph.edges))[:count]]
    if kind == "nodes":
        return Change(nodes=nodes)
    if kind == "any nodes":
        free = (graph.y == NO_LABEL).nonzero()[0]
        return Change(nodes=np.concatenate([nodes[: count // 2], free[:count]]))
    if kind == "edges":
        return Change(edges=edges)
    if kind == "features":
        return Change(features=nodes)
    if kind == "features and labels":
        return Change(features=nodes, labels=nodes)
    return Change(nodes=nodes, edges=edges, features=others, labels=others[:1])


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return low * math.exp(random.random() * math.log(high / low))
