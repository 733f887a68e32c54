"""Requests on graphs: nodes, edges or features, drawn by the forget seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.errors import LetheError, present
from benchmark.graph.graph import NO_LABEL, Change, Graph

#: Each scenario in words that follow the number.
WORDS = {
    "nodes": "training nodes",
    "nodes-any": "nodes, with a label or without",
    "nodes-high-degree": "training nodes with the most edges",
    "nodes-class": "all training nodes of one class",
    "edges": "edges",
    "edges-of-node": "edges of one training node",
    "edges-planted": "edges between classes that were planted before training",
    "features": "training nodes' features, their labels stay",
    "features-and-labels": "training nodes' features and labels",
}


@dataclass(frozen=True)
class Drawn:
    """A stream of requests.

    Attributes:
        graph: that training starts from; with more edges where some were planted.
        changes: one a request.
    """

    graph: Graph
    changes: tuple[Change, ...]


def draw(
    scenario: str,
    graph: Graph,
    train: np.ndarray,
    count: Callable[[int], int | None],
    requests: int,
    generator: torch.Generator,
) -> Drawn:
    """Disjoint requests on a graph.

    Args:
        scenario: what they name, one of `WORDS`.
        graph: to draw from.
        train: (n,) sorted numbers of the training nodes.
        count: from how many there are to choose from to the number of each request.
        requests: how many.
        generator: of the forget seed.

    Raises:
        LetheError: if there are too few to choose from, or nothing would be left.
    """
    chooser = _Chooser(graph, train, count, requests, generator)
    return _DRAWS[scenario](chooser)


@dataclass(frozen=True)
class _Chooser:
    graph: Graph
    train: np.ndarray
    count: Callable[[int], int | None]
    requests: int
    generator: torch.Generator

    def shuffled(self, items: np.ndarray) -> np.ndarray:
        order = torch.randperm(len(items), generator=self.generator).numpy()
        return items[order]

    def parts(self, items: np.ndarray, what: str, *, most: int | None = None) -> list[np.ndarray]:
        """The first of `items` in disjoint parts, one a request."""
        size = present(self.count(len(items)))
        wanted, most = size * self.requests, len(items) if most is None else most
        if wanted > most:
            raise LetheError(
                f"the requests name {wanted} {what}, and {most} are there to name: forget fewer"
            )
        return [items[i * size : (i + 1) * size] for i in range(self.requests)]

    def nodes(self) -> Drawn:
        """Training nodes, one of which stays at least."""
        parts = self.parts(self.shuffled(self.train), "training nodes", most=len(self.train) - 1)
        return self.drawn(Change(nodes=part) for part in parts)

    def nodes_any(self) -> Drawn:
        """Nodes of the whole graph."""
        items = self.shuffled(self.graph.there.nonzero()[0])
        return self.drawn(Change(nodes=part) for part in self.parts(items, "nodes"))

    def nodes_high_degree(self) -> Drawn:
        """Training nodes by their degree, the highest first; ties by the forget seed."""
        items = self.shuffled(self.train)
        items = items[np.argsort(-self.graph.degrees[items], kind="stable")]
        parts = self.parts(items, "training nodes", most=len(items) - 1)
        return self.drawn(Change(nodes=part) for part in parts)

    def nodes_class(self) -> Drawn:
        """All training nodes of as many classes as there are requests."""
        labels = self.graph.y[self.train]
        classes = self.shuffled(np.unique(labels))
        if self.requests >= len(classes):
            raise LetheError(
                f"{self.requests} requests forget a class each, and there are {len(classes)}: "
                "forget fewer"
            )
        chosen = classes[: self.requests]
        return self.drawn(Change(nodes=self.train[labels == label]) for label in chosen)

    def edges(self) -> Drawn:
        """Edges of the whole graph."""
        parts = self.parts(self.shuffled(self.graph.edges), "edges")
        return self.drawn(Change(edges=part) for part in parts)

    def edges_of_node(self) -> Drawn:
        """For each request edges of a training node of its own."""
        changes: list[Change] = []
        used = np.zeros((0, 2), dtype=np.int64)
        for node in self.shuffled(self.train):
            own = self.graph.edges[(self.graph.edges == node).any(axis=1)]
            own = own[~(own[:, None] == used[None]).all(axis=2).any(axis=1)]
            size = present(self.count(len(own)))
            if len(own) >= size and len(changes) < self.requests:
                changes.append(Change(edges=self.shuffled(own)[:size]))
                used = np.concatenate([used, changes[-1].edges])
        if len(changes) < self.requests:
            raise LetheError(
                f"{len(changes)} training nodes have so many edges, for {self.requests} requests: "
                "forget fewer edges"
            )
        return self.drawn(changes)

    def edges_planted(self) -> Drawn:
        """Edges between training nodes of different classes that the graph did not have."""
        wanted = present(self.count(len(self.graph.edges))) * self.requests
        planted: list[tuple[int, int]] = []
        there = set(map(tuple, self.graph.edges))
        for _ in range(200):
            pairs = self.train[
                torch.randint(len(self.train), (2 * wanted, 2), generator=self.generator).numpy()
            ]
            for u, v in np.sort(pairs, axis=1).tolist():
                apart = self.graph.y[u] != self.graph.y[v] and (u, v) not in there
                if apart and len(planted) < wanted:
                    there.add((u, v))
                    planted.append((u, v))
            if len(planted) == wanted:
                break
        else:
            raise LetheError(f"{wanted} edges between classes cannot be planted: plant fewer")
        edges = np.array(planted)
        parts = np.split(edges, self.requests)
        return Drawn(self.graph.plus_edges(edges), tuple(Change(edges=part) for part in parts))

    def features(self) -> Drawn:
        """Features of training nodes; the nodes stay, and so do their labels."""
        parts = self.parts(self.shuffled(self.train), "training nodes")
        return self.drawn(Change(features=part) for part in parts)

    def features_and_labels(self) -> Drawn:
        """Features and labels of training nodes; the nodes stay as neighbours."""
        parts = self.parts(self.shuffled(self.train), "training nodes", most=len(self.train) - 1)
        return self.drawn(Change(features=part, labels=part) for part in parts)

    def drawn(self, changes: Iterable[Change]) -> Drawn:
        return Drawn(self.graph, tuple(changes))


_DRAWS = {name: getattr(_Chooser, name.replace("-", "_")) for name in WORDS}


def trainable(graph: Graph) -> np.ndarray:
    """Sorted numbers of the nodes that have a label."""
    return (graph.y != NO_LABEL).nonzero()[0]
