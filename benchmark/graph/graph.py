"""An undirected graph with features and labels, and what can be taken out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from benchmark.errors import LetheError

#: The label of a node that has none.
NO_LABEL = -1


def _nothing() -> np.ndarray:
    return np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Change:
    """One request on a graph: nodes, edges, features and labels that go.

    Attributes:
        nodes: (a,) whose features, label and incident edges go.
        edges: (b, 2) pairs of nodes, in either direction.
        features: (c,) nodes whose features go; their edges and their label stay.
        labels: (d,) nodes whose label goes, so that they are not trained on any more.
    """

    nodes: np.ndarray = field(default_factory=_nothing)
    edges: np.ndarray = field(default_factory=_nothing)
    features: np.ndarray = field(default_factory=_nothing)
    labels: np.ndarray = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        for name in ("nodes", "features", "labels"):
            object.__setattr__(self, name, _numbers(getattr(self, name)))
        object.__setattr__(self, "edges", np.asarray(self.edges, dtype=np.int64).reshape(-1, 2))

    @property
    def size(self) -> int:
        """Nodes, edges and features that are named; a node by its features and its label once."""
        named = len(np.union1d(self.features, self.labels))
        return len(self.nodes) + len(self.edges) + named


@dataclass(frozen=True)
class Graph:
    """Nodes are numbered 0 .. V - 1 for good: whatever goes, the others keep their numbers.

    Attributes:
        given: (V, inputs) float64 CSR, sorted and without zeros, the features before any request.
        bare: (V,) bool, whether a node's features have been taken out.
        y: (V,) int64, `NO_LABEL` where there is none.
        a: (V, V) float64 CSR, symmetric, of zeros and ones, without loops.
        there: (V,) bool, whether a node has not been taken out.
    """

    given: sparse.csr_array
    bare: np.ndarray
    y: np.ndarray
    a: sparse.csr_array
    there: np.ndarray

    @classmethod
    def of(cls, x: sparse.sparray, y: np.ndarray, edges: np.ndarray) -> Self:
        """The graph with features `x` (V, inputs), labels `y` (V,) and `edges` (E, 2).

        Raises:
            LetheError: if features or labels do not fit the nodes, a label is below `NO_LABEL`, or
                an edge names no node, is a loop, or stands there twice, in either direction.
        """
        x = sparse.csr_array(x, dtype=np.float64)
        x.sum_duplicates()
        x.eliminate_zeros()
        y, n = np.asarray(y), x.shape[0]
        if y.shape != (n,) or y.dtype.kind not in "iu":
            raise LetheError(
                f"a graph of {n} nodes needs {n} labels, whole numbers or {NO_LABEL} for none, "
                f"not an array of shape {y.shape} and type {y.dtype}"
            )
        if n and y.min() < NO_LABEL:
            raise LetheError(
                f"a label is {y.min()}: number them from 0, and take {NO_LABEL} for none"
            )
        if not np.isfinite(x.data).all():
            raise LetheError("a feature is no finite number: replace it by 0 or leave it out")
        edges = _checked_edges(edges, n)
        ones = np.ones(2 * len(edges))
        ends = np.concatenate([edges, edges[:, ::-1]]).T
        a = sparse.csr_array((ones, tuple(ends)), shape=(n, n))
        a.sort_indices()
        nowhere = np.zeros(n, dtype=bool)
        return cls(x, nowhere, y.astype(np.int64), a, ~nowhere)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def x(self) -> sparse.csr_array:
        """(V, inputs) the features, without those taken out; copied only when asked for."""
        return _rows_kept(self.given, ~self.bare) if self.bare.any() else self.given

    @cached_property
    def degrees(self) -> np.ndarray:
        """(V,) int64, without the loop that propagation adds."""
        return np.diff(self.a.indptr)

    @cached_property
    def edges(self) -> np.ndarray:
        """(E, 2) int64, each once with u < v, sorted."""
        u = np.repeat(np.arange(len(self)), self.degrees)
        upper = u < self.a.indices
        return np.stack([u[upper], self.a.indices[upper]], axis=1).astype(np.int64)

    @cached_property
    def content_hash(self) -> str:
        """sha256, in hex, of features, labels and edges in the order of the nodes.

        It is that of the concatenated sha256 of three parts, all little endian: shape (int64),
        indptr (int64), indices (int32) and values (float32) of the features; labels (int64); edges
        (int32).
        """
        parts = (
            (
                (np.array(self.x.shape), "<i8"),
                (self.x.indptr, "<i8"),
                (self.x.indices, "<i4"),
                (self.x.data, "<f4"),
            ),
            ((self.y, "<i8"),),
            ((self.edges, "<i4"),),
        )
        digests = [
            hashlib.sha256(b"".join(array.astype(kind).tobytes() for array, kind in part)).digest()
            for part in parts
        ]
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def without(self, change: Change) -> Graph:
        """The graph as it would be without what the request names; numbers stay.

        Raises:
            LetheError: if something is named twice, or is not there (any more).
        """
        for what in ("nodes", "features", "labels"):
            self._check_nodes(getattr(change, what), what)
        self._check_edges(change.edges)
        gone = self._mask(change.nodes)
        y = np.where(gone | self._mask(change.labels), NO_LABEL, self.y)
        return replace(
            self,
            bare=self.bare | gone | self._mask(change.features),
            y=y,
            a=self._cut(gone, change.edges),
            there=self.there & ~gone,
        )

    def plus_edges(self, edges: np.ndarray) -> Graph:
        """The graph with more `edges` (k, 2), none of which is there yet."""
        grown = Graph.of(self.x, self.y, np.concatenate([self.edges, np.asarray(edges)]))
        return replace(grown, there=self.there)

    def cut(self, inside: np.ndarray) -> Graph:
        """The graph without the edges between nodes that are `inside` (V,) bool and the others."""
        u, v = self.edges.T
        return replace(
            self, a=self._cut(np.zeros(len(self), bool), self.edges[inside[u] != inside[v]])
        )

    def ball(self, nodes: np.ndarray, hops: int) -> np.ndarray:
        """(V,) bool, what lies within so many hops of `nodes`; nothing for fewer than 0."""
        inside = self._mask(nodes) if hops >= 0 else np.zeros(len(self), bool)
        for _ in range(hops):
            inside = inside | (self.a @ inside.astype(np.float64) > 0)
        return inside

    def structural(self, change: Change) -> np.ndarray:
        """Sorted numbers of the nodes whose row of the adjacency matrix a request changes."""
        around = self.ball(change.nodes, 1).nonzero()[0]
        return np.union1d(around, change.edges.ravel())

    def _cut(self, gone: np.ndarray, edges: np.ndarray) -> sparse.csr_array:
        """Adjacency without the nodes `gone` (V,) bool and without `edges` (k, 2)."""
        u = np.repeat(np.arange(len(self)), self.degrees)
        v = self.a.indices
        keep = ~(gone[u] | gone[v])
        both = np.concatenate([edges, edges[:, ::-1]])
        keep &= ~np.isin(u * len(self) + v, both[:, 0] * len(self) + both[:, 1])
        ends = np.concatenate([[0], np.cumsum(np.bincount(u[keep], minlength=len(self)))])
        return sparse.csr_array(
            (self.a.data[keep], v[keep], ends.astype(self.a.indptr.dtype)), shape=self.a.shape
        )

    def _mask(self, nodes: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self), dtype=bool)
        mask[nodes] = True
        return mask

    def _check_nodes(self, nodes: np.ndarray, what: str) -> None:
        missing = nodes[(nodes < 0) | (nodes >= len(self))]
        if len(missing):
            raise LetheError(f"the request names node {missing[0]}, the graph has {len(self)}")
        numbers, counts = np.unique(nodes, return_counts=True)
        if (counts > 1).any():
            raise LetheError(f"the request names node {numbers[counts > 1][0]} twice in {what}")
        gone = nodes[~self.there[nodes]]
        if len(gone):
            raise LetheError(f"the request names node {gone[0]}, which was forgotten before")
        bare = nodes[self.y[nodes] == NO_LABEL] if what == "labels" else []
        if len(bare):
            raise LetheError(f"the request forgets the label of node {bare[0]}, which has none")

    def _check_edges(self, edges: np.ndarray) -> None:
        edges = _checked_edges(edges, len(self))
        for u, v in edges:
            row = self.a.indices[self.a.indptr[u] : self.a.indptr[u + 1]]
            if v not in row:
                raise LetheError(f"the request forgets the edge {u}-{v}, which is not there")


def _checked_edges(edges: np.ndarray, nodes: int) -> np.ndarray:
    """(E, 2) int64 with u < v.

    Raises:
        LetheError: see `Graph.of`.
    """
    edges = np.asarray(edges)
    if edges.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise LetheError(
            f"edges are pairs of node numbers, (E, 2) whole numbers, not an array of shape "
            f"{edges.shape} and type {edges.dtype}"
        )
    edges = edges.astype(np.int64)
    outside = edges[(edges < 0).any(axis=1) | (edges >= nodes).any(axis=1)]
    if len(outside):
        u, v = outside[0]
        raise LetheError(f"the edge {u}-{v} names no node: they are 0 to {nodes - 1}")
    loops = edges[edges[:, 0] == edges[:, 1]]
    if len(loops):
        u, v = loops[0]
        raise LetheError(f"the edge {u}-{v} is a loop: leave it out, propagation adds its own")
    ordered = np.sort(edges, axis=1)
    pairs, counts = np.unique(ordered, axis=0, return_counts=True)
    if (counts > 1).any():
        u, v = pairs[counts > 1][0]
        same = edges[(ordered == (u, v)).all(axis=1)]
        how = "twice" if len(np.unique(same, axis=0)) == 1 else "in both directions"
        raise LetheError(f"the edge {u}-{v} stands there {how}: list each edge once")
    return ordered


def _numbers(values: object) -> np.ndarray:
    return np.asarray(values, dtype=np.int64).ravel()


def _rows_kept(x: sparse.csr_array, keep: np.ndarray) -> sparse.csr_array:
    """The features without the rows that are not to be kept."""
    entries = np.repeat(keep, np.diff(x.indptr))
    counts = np.where(keep, np.diff(x.indptr), 0)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(x.indptr.dtype)
    return sparse.csr_array((x.data[entries], x.indices[entries], indptr), shape=x.shape)
