"""The problem that a graph makes, before a request and after it, under the same row numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.clock import Clock
from benchmark.errors import LetheError
from benchmark.graph.graph import NO_LABEL, Change, Graph
from benchmark.graph.net import GraphRows
from benchmark.graph.propagation import Propagation
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.sparse import SparseMatrix


@dataclass(frozen=True)
class Roles:
    """What nodes are for: sorted numbers, each node in one of them at most.

    Attributes:
        train: row i of a problem's training rows is node train[i], whatever is forgotten.
        negatives, test: never trained on.
        validation: likewise; None if there are none.
    """

    train: np.ndarray
    negatives: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None

    @property
    def held_out(self) -> np.ndarray:
        """Sorted numbers of the nodes that are never trained on."""
        parts = (self.negatives, self.test, self.validation)
        return np.unique(np.concatenate([part for part in parts if part is not None]))

    def with_label(self, y: np.ndarray) -> Roles:
        """The same without held-out nodes that have lost their label (V,).

        Raises:
            LetheError: if no test node or no negative is left.
        """
        left: dict[str, Any] = {}
        for name in ("negatives", "test", "validation"):
            nodes = getattr(self, name)
            left[name] = None if nodes is None else nodes[y[nodes] != NO_LABEL]
            if nodes is not None and not len(left[name]):
                raise LetheError(f"the request forgets every node of {name}: forget fewer")
        return Roles(self.train, **left)


@dataclass(frozen=True)
class World:
    """A graph, and the problem that its propagated features make.

    Attributes:
        graph: as it is now.
        propagation: from the graph to rows; of a net, which sees the graph itself, their numbers.
        roles: of the nodes.
        problem: its training rows are those of `roles.train`; one that is lost is all zeros.
        sums: what is kept of the graph for the next request, see `Propagation.sums`.
    """

    graph: Graph
    propagation: Propagation | GraphRows
    roles: Roles
    problem: Problem
    sums: Any = None

    @property
    def trained(self) -> np.ndarray:
        """Sorted numbers of the training rows that are still there."""
        return (self.graph.y[self.roles.train] != NO_LABEL).nonzero()[0]

    def after(self, change: Change) -> Edit:
        """The world in which what the request names had never been there.

        Rows are computed anew where Lemma 2 lets them change, from their neighbourhood alone.

        Raises:
            LetheError: if the request does not fit the graph.
        """
        clock = Clock(self.problem.device)
        began = clock.now()
        graph = self.graph.without(change)
        changed = self.propagation.changed(self.graph, graph, change)
        roles = self.roles.with_label(graph.y)
        used = np.intersect1d(changed, np.union1d(roles.train, roles.held_out))
        used = used[graph.there[used]]
        sums: Any = self.propagation.sums_after(self.sums, self.graph, graph, change)
        features = _Features(used, self._finished(self.propagation.rows(graph, used, sums)))
        seconds = clock.now() - began  # the rest copies rows that stay as they were
        held_out: dict[str, Any] = {
            name: self._held_out(name, getattr(roles, name), features)
            for name in ("negatives", "test", "validation")
        }
        problem = replace(self.problem, train=self._train(graph, features), **held_out)
        world = World(graph, self.propagation, roles, problem, sums)
        before, kept = self.trained, world.trained
        near = torch.from_numpy(kept[np.isin(roles.train[kept], used)])
        differs = (problem.train.x[near] != self.problem.train.x[near]).any(dim=1)
        return Edit(
            world,
            torch.from_numpy(np.setdiff1d(before, kept)),
            near[differs.cpu()],
            len(changed),
            seconds,
        )

    def features_of(self, nodes: np.ndarray) -> Tensor:
        """(m, inputs) of any nodes (m,), as the problem has them."""
        return self._finished(self.propagation.rows(self.graph, nodes, self.sums))

    def _train(self, graph: Graph, features: _Features) -> Rows:
        """All training rows; those that are lost are zeros, without a label to tell."""
        rows = features.put(self.roles.train, self.problem.train)
        labels = torch.from_numpy(graph.y[self.roles.train])
        lost = labels == NO_LABEL
        x, y = rows.x, rows.y.clone()
        if lost.any():
            x = x.clone() if x is self.problem.train.x else x
            x[lost] = 0
            y[lost] = 0
        return compressed(self.problem, Rows(x, y))

    def _held_out(self, name: str, nodes: np.ndarray | None, features: _Features) -> Rows | None:
        """The rows of a part that is not trained on."""
        if nodes is None:
            return None
        places = np.searchsorted(getattr(self.roles, name), nodes)
        return features.put(nodes, getattr(self.problem, name).take(torch.from_numpy(places)))

    def _finished(self, z: np.ndarray) -> Tensor:
        """Propagated features (m, inputs) in the problem's form, precision and place."""
        return finished(z, self.problem)


@dataclass(frozen=True)
class Edit:
    """What a request on a graph does to the problem.

    Attributes:
        world: after it.
        lost: (f,) sorted training rows that are gone.
        altered: (c,) sorted training rows that stay with other features.
        nodes: whose row of Z may have changed, training rows or not.
        seconds: that the edit of the graph and the propagation took, see `Clock`.
    """

    world: World
    lost: Tensor
    altered: Tensor
    nodes: int
    seconds: float


@dataclass(frozen=True)
class _Features:
    """New features `x` (m, inputs) of `nodes` (m,), sorted."""

    nodes: np.ndarray
    x: Tensor

    def put(self, of: np.ndarray, rows: Rows) -> Rows:
        """The rows of the nodes `of` (k,) with what is new of them; themselves if nothing is."""
        mine = np.isin(of, self.nodes)
        if not mine.any():
            return rows
        x = rows.x.clone()
        places = np.searchsorted(self.nodes, of[mine])
        x[torch.from_numpy(mine)] = self.x[torch.from_numpy(places)]
        return Rows(x, rows.y)


def compressed(problem: Problem, rows: Rows) -> Rows:
    """Training rows of a problem with their `sparse` form, where a linear head gains by it."""
    if not problem.model.spec.linear:
        return rows
    return replace(rows, sparse=SparseMatrix.within(rows.x))


def finished(z: np.ndarray, problem: Problem) -> Tensor:
    """Propagated features (m, inputs) float64 in a problem's form, precision and place."""
    x = torch.from_numpy(np.ascontiguousarray(z))
    form = problem.declared.fixed_point
    x = x if form is None else form.truncated(x)
    return x.to(problem.device, problem.dtype)
