"""Fixed propagation of features over a graph: nothing in it is fitted or learned."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from scipy import sparse

from benchmark.graph.graph import Change, Graph


def _one_form(value: Any) -> Any:
    """Refuse, in one sentence, what are no weights; a union would write several."""
    numbers = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in value
    )
    if value not in ("sgc", "appnp") and not numbers:
        raise ValueError(f"weights are 'sgc', 'appnp' or a list of numbers, not {value!r}")
    return tuple(value) if numbers else value


#: Share of entries of the features from which on they are multiplied as dense numbers: the same
#: sums in the same order, in less time.
DENSE = 0.05
#: Columns of dense features that are multiplied at a time.
COLUMNS = 128


@dataclass(frozen=True)
class Patched:
    """A dense matrix, and rows that stand in the place of some of its own.

    Attributes:
        base: (V, inputs), shared by the worlds of a stream.
        nodes: (m,) sorted numbers of the rows that are others.
        rows: (m, inputs) these.
    """

    base: np.ndarray
    nodes: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, base: np.ndarray) -> Patched:
        """The matrix as it is."""
        return cls(base, np.zeros(0, dtype=np.int64), base[:0])

    def but(self, nodes: np.ndarray, rows: np.ndarray) -> Patched:
        """The same with other rows (k, inputs) of `nodes` (k,), sorted."""
        older = ~np.isin(self.nodes, nodes)
        both = np.concatenate([self.nodes[older], nodes])
        order = np.argsort(both)
        return Patched(self.base, both[order], np.concatenate([self.rows[older], rows])[order])

    def take(self, nodes: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """The rows of `nodes` (k,), sorted."""
        found = self.base[nodes, columns]
        mine = np.isin(nodes, self.nodes)
        found[mine] = self.rows[np.searchsorted(self.nodes, nodes[mine]), columns]
        return found

    def times(self, step: sparse.csr_array, scale: float = 1.0) -> np.ndarray:
        """`step` (m, V) times `scale` times the matrix.

        Some columns are multiplied at a time, so that they stay in the cache.
        """
        used = np.zeros(step.shape[1], dtype=bool)
        used[step.indices] = True
        nodes, places = used.nonzero()[0], np.cumsum(used) - 1
        shape = (step.shape[0], len(nodes))
        step = sparse.csr_array((step.data, places[step.indices], step.indptr), shape=shape)
        found = np.empty((step.shape[0], self.base.shape[1]))
        for first in range(0, self.base.shape[1], COLUMNS):
            part = slice(first, first + COLUMNS)
            columns = self.take(nodes, part)
            found[:, part] = step @ (columns if scale == 1 else scale * columns)
        return found


@dataclass(frozen=True)
class Sums:
    """Sums that are kept of a graph for the rows that requests change.

    Attributes:
        features: (V, inputs) N(X).
        before_last: (V, inputs) all but the last hop.
    """

    features: Patched
    before_last: Patched


class Propagation(BaseModel):
    """Z = sum over k <= K of theta_k P^k N(X), each row of Z then brought to norm 1.

    N scales each row of X to norm 1 and P is D^-1 (A + I), `row`, or D^-1/2 (A + I) D^-1/2, `sym`,
    with D the degrees of A + I. A row without features stays 0. Theta is written down beforehand.

    Attributes:
        normalisation: of P.
        hops: K.
        weights: theta: `sgc` is P^K alone, `appnp` alpha (1 - alpha)^k and (1 - alpha)^K for the
            last, a list gives the K + 1 numbers.
        alpha: of `appnp`.
        unit_rows: whether rows have norm 1 after propagation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    normalisation: Literal["row", "sym"] = "row"
    hops: int = Field(2, ge=0)
    weights: Annotated[Literal["sgc", "appnp"] | tuple[float, ...], BeforeValidator(_one_form)] = (
        "sgc"
    )
    alpha: float = Field(0.1, gt=0, le=1)
    unit_rows: bool = True

    @model_validator(mode="after")
    def _enough_weights(self) -> Propagation:
        if isinstance(self.weights, tuple) and len(self.weights) != self.hops + 1:
            raise ValueError(
                f"{self.hops} hops take {self.hops + 1} weights, not {len(self.weights)}"
            )
        return self

    @property
    def theta(self) -> tuple[float, ...]:
        """The K + 1 weights."""
        if self.weights == "sgc":
            return (*([0.0] * self.hops), 1.0)
        if self.weights == "appnp":
            shares = [self.alpha * (1 - self.alpha) ** k for k in range(self.hops)]
            return (*shares, (1 - self.alpha) ** self.hops)
        return self.weights

    @property
    def largest_norm(self) -> float | None:
        """A bound on the norm of a row of Z on any graph; None where degrees decide (Lemma 1)."""
        if self.unit_rows:
            return 1.0
        return sum(map(abs, self.theta)) if self.normalisation == "row" else None

    def matrix(self, graph: Graph) -> sparse.csr_array:
        """(V, V) P."""
        everything = np.arange(len(graph))
        return self._step(graph, everything, everything)

    def once(self, graph: Graph) -> sparse.csr_array:
        """(V, inputs) P N(X)."""
        return self.matrix(graph) @ _unit(graph.x)

    def full(self, graph: Graph) -> np.ndarray:
        """(V, inputs) Z of all nodes."""
        return self.rows(graph, np.arange(len(graph)))

    def rows(self, graph: Graph, nodes: np.ndarray, kept: Sums | None = None) -> np.ndarray:
        """(m, inputs) Z of `nodes` (m,), from what lies within K hops of them and nothing else.

        A row is the same to the last bit whatever other nodes are asked for, kept sums or not.

        Args:
            graph: to propagate over.
            nodes: of the rows.
            kept: of the graph, see `sums`; a single hop is then left to do.
        """
        nodes = np.asarray(nodes, dtype=np.int64)
        wanted, back = np.unique(nodes, return_inverse=True)
        z = self._last_hop(graph, wanted, kept) if kept else self._anew(graph, wanted)
        if self.unit_rows:
            norms = np.sqrt(np.einsum("ij,ij->i", z, z))
            z /= np.where(norms > 0, norms, 1.0)[:, None]
        return z if np.array_equal(wanted, nodes) else z[back]

    def sums(self, graph: Graph) -> Sums | None:
        """All but the last hop, for requests to start from.

        None where they save nothing: with fewer than two hops, and where features are sparse, as
        few of the nodes are then near a request, and the sums would be larger than the graph.
        """
        if self.hops < 2 or not _is_dense(graph):
            return None
        features = Patched.of(_unit(graph.x).toarray())
        everything = np.arange(len(graph))
        return Sums(features, Patched.of(self._before_last._from(features, graph, everything)))

    def sums_after(self, kept: Sums | None, old: Graph, new: Graph, change: Change) -> Sums | None:
        """The sums of the `new` graph, from those of the `old` one and its changed rows alone."""
        if kept is None:
            return None
        inner, blank = self._before_last, np.union1d(change.nodes, change.features)
        features = kept.features.but(blank, np.zeros((len(blank), old.given.shape[1])))
        changed = inner.changed(old, new, change)
        rows = inner._from(features, new, changed)
        return Sums(features, kept.before_last.but(changed, rows))

    @property
    def _before_last(self) -> Propagation:
        """The propagation whose rows, averaged once more, and theta_0 N(X) make Z."""
        return Propagation(
            normalisation=self.normalisation,
            hops=self.hops - 1,
            weights=self.theta[1:],
            unit_rows=False,
        )

    def _anew(self, graph: Graph, wanted: np.ndarray) -> np.ndarray:
        """(m, inputs) rows of sorted nodes, from the features of their neighbourhood."""
        balls = self._balls(graph, wanted, self.hops)
        steps = [self._step(graph, inner, outer) for inner, outer in pairwise(balls)]
        x = _unit(graph.x[balls[-1]])
        dense = _is_dense(graph)
        z: Any = self._horner(x.toarray() if dense else x, steps, balls)
        return z if dense else z.toarray()

    def _from(self, features: Patched, graph: Graph, wanted: np.ndarray) -> np.ndarray:
        """The same from kept features, for a hop or more."""
        theta, balls = self.theta, self._balls(graph, wanted, self.hops - 1)
        found = features.times(self._step(graph, balls[-1], np.arange(len(graph))), theta[-1])
        for k in range(self.hops - 1, -1, -1):
            if k < self.hops - 1:
                found = self._step(graph, balls[k], balls[k + 1]) @ found
            if theta[k]:
                found += theta[k] * features.take(balls[k])
        return found

    def _last_hop(self, graph: Graph, wanted: np.ndarray, kept: Sums) -> np.ndarray:
        """The same from kept sums."""
        z = kept.before_last.times(self._step(graph, wanted, np.arange(len(graph))))
        return z + self.theta[0] * kept.features.take(wanted) if self.theta[0] else z

    def _balls(self, graph: Graph, nodes: np.ndarray, hops: int) -> list[np.ndarray]:
        """Sorted nodes, then what lies within one hop of them, within two, ..."""
        balls = [nodes]
        for _ in range(hops):
            balls.append(graph.ball(balls[-1], 1).nonzero()[0])
        return balls

    def changed(self, old: Graph, new: Graph, change: Change) -> np.ndarray:
        """Sorted numbers of the nodes whose row of Z may change by a request (Lemma 2).

        Args:
            old: the graph before.
            new: the graph after.
            change: the request.
        """
        structural = old.structural(change)
        touched = np.union1d(change.nodes, change.features)
        reach = self.hops if self.normalisation == "sym" and self.hops else self.hops - 1
        inside = np.zeros(len(old), dtype=bool)
        for graph in (old, new):
            inside |= graph.ball(structural, reach) | graph.ball(touched, self.hops)
        return inside.nonzero()[0]

    def _horner(
        self,
        x: sparse.csr_array | np.ndarray,
        steps: list[sparse.csr_array],
        balls: list[np.ndarray],
    ) -> sparse.csr_array | np.ndarray:
        """From the outside in: theta_k x + P (what was found of the wider ball)."""
        theta = self.theta
        found = x if theta[-1] == 1 else theta[-1] * x
        for k in range(self.hops - 1, -1, -1):
            found = steps[k] @ found
            if theta[k]:
                found = found + theta[k] * x[np.searchsorted(balls[-1], balls[k])]
        return found

    def _step(self, graph: Graph, inner: np.ndarray, outer: np.ndarray) -> sparse.csr_array:
        """Rows `inner` and columns `outer` of P."""
        part = graph.a[inner][:, outer]
        loops = sparse.csr_array(
            (np.ones(len(inner)), (np.arange(len(inner)), np.searchsorted(outer, inner))),
            shape=part.shape,
        )
        part = sparse.csr_array(part + loops)
        part.sort_indices()
        degrees = graph.degrees + 1.0
        if self.normalisation == "row":
            scale = np.repeat(1 / degrees[inner], np.diff(part.indptr))
        else:
            left = np.repeat(degrees[inner], np.diff(part.indptr))
            scale = 1 / np.sqrt(left * degrees[outer][part.indices])
        part.data = part.data * scale
        return part


def _is_dense(graph: Graph) -> bool:
    """Whether its features are multiplied as dense numbers."""
    return graph.x.nnz > DENSE * len(graph) * graph.x.shape[1]


def _unit(x: sparse.csr_array) -> sparse.csr_array:
    """The rows of `x` scaled to norm 1; those without an entry stay 0."""
    squares = np.asarray(x.multiply(x).sum(axis=1)).ravel()
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    return sparse.csr_array(
        (x.data / np.repeat(norms, np.diff(x.indptr)), x.indices, x.indptr), shape=x.shape
    )
