"""A graph convolutional net as a model of rows: each is a node, seen in one of some graphs.

The rows of a problem are numbers, so that a request on a graph is an edit of rows here too. A node
whose neighbourhood a request does not touch keeps its row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.graph.graph import Change, Graph
from benchmark.graph.propagation import Propagation
from benchmark.problem.model import Model
from benchmark.problem.models.spec import ModelSpec
from benchmark.sparse import SparseMatrix

#: Whole numbers up to it are exact in single precision.
_LARGEST = 2**24


class _Product(torch.autograd.Function):
    """A constant sparse matrix, or its transpose, times a dense one.

    On a CPU a fifth of the time of `torch.sparse.mm` on coordinates, to the same bits: that calls
    the library once an entry, and sorts the transpose in every backward pass.
    """

    @staticmethod
    def forward(ctx: Any, dense: Tensor, constant: SparseMatrix, flipped: bool) -> Tensor:
        ctx.constant, ctx.flipped = constant, flipped
        matrix = constant.transposed if flipped else constant.matrix
        if dense.device.type != "cpu":
            return matrix @ dense
        return torch.sparse.mm(matrix, dense.contiguous(), "sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grads[0], ctx.constant, not ctx.flipped), None, None


def times(constant: SparseMatrix, dense: Tensor) -> Tensor:
    """The product (m, k) of (m, n) and (n, k); it can be differentiated as often as one likes."""
    return _Product.apply(dense, constant, False)


class GraphNet(Model):
    """P relu(P N(X) W1 + b1) W2 + b2, of nodes in the graphs that it was shown.

    Row `g V + v` is node v in the graph of number g, of those with V nodes each. A row that stays
    the same in later graphs keeps its number, and is computed in the last graph of a batch.

    Args:
        spec: the architecture.
        inputs: features of a node.
        classes: number of labels.
        propagation: whose matrix is P, with as many hops as the net has.
        like: a tensor of the device and the precision of the weights.
    """

    def __init__(
        self, spec: ModelSpec, inputs: int, classes: int, propagation: Propagation, like: Tensor
    ) -> None:
        super().__init__(spec, inputs, classes)
        self._propagation, self._like = propagation, like
        self._steps: list[SparseMatrix] = []
        self._features: list[SparseMatrix] = []
        #: For each graph, (V,) the number of the first one in which each node's row is the same.
        self._versions: list[np.ndarray] = []
        self._graphs: list[Graph] = []

    def show(
        self, graph: Graph, since: int | None = None, changed: np.ndarray | None = None
    ) -> int:
        """The number of another graph.

        Args:
            graph: to see.
            since: number of the graph that it was made of; None for none.
            changed: nodes whose rows are others than there.

        Raises:
            LetheError: if numbers of rows are no longer exact in the precision of the weights.
        """
        number = len(self._steps)
        if (number + 1) * len(graph) > _LARGEST and self._like.dtype != torch.float64:
            raise LetheError(
                "the graphs of this stream have too many nodes for single precision: set "
                "problem.precision = 'float64'"
            )
        self._graphs.append(graph)
        self._steps.append(self._sparse(self._propagation.matrix(graph)))
        self._features.append(self._sparse(self._propagation.once(graph)))
        versions = np.full(len(graph), number)
        if since is not None:
            versions = self._versions[since].copy()
            versions[changed] = number
        self._versions.append(versions)
        return number

    def rows(self, number: int, nodes: np.ndarray) -> np.ndarray:
        """Rows (m, 1) float64 of `nodes` (m,) in a graph."""
        versions = self._versions[number]
        return (versions[nodes] * len(versions) + nodes)[:, None].astype(np.float64)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `weights` (d,) and rows `x` (n, 1)."""
        places = x[:, 0].to("cpu", torch.int64).numpy()
        numbers, nodes = np.divmod(places, len(self._versions[0]))
        left, order, found = np.arange(len(places)), [], [weights.new_zeros(0, self.classes)]
        while len(left):
            last = numbers[left].max()
            here = self._versions[last][nodes[left]] == numbers[left]
            logits = self._logits(weights, last)
            found.append(logits[torch.from_numpy(nodes[left[here]]).to(logits.device)])
            order.append(left[here])
            left = left[~here]
        back = np.argsort(np.concatenate(order)) if order else left
        return torch.cat(found)[torch.from_numpy(back).to(weights.device)]

    @property
    def shown(self) -> tuple[str, ...]:
        """Hashes of the graphs, in order."""
        return tuple(graph.content_hash for graph in self._graphs)

    def in_training(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits as outside of training: every layer does the same in both."""
        return self(weights, x)

    def _logits(self, weights: Tensor, number: int) -> Tensor:
        """Logits (V, classes) of all nodes of a graph."""
        first, first_bias, second, second_bias = self.named(weights).values()
        hidden = torch.relu(times(self._features[number], first.T) + first_bias)
        return times(self._steps[number], hidden @ second.T) + second_bias

    def _sparse(self, matrix: sparse.csr_array) -> SparseMatrix:
        """The matrix in the precision and the place of the weights."""
        matrix.sort_indices()
        dtype = torch.empty(0, dtype=self._like.dtype).numpy().dtype
        return SparseMatrix(matrix.astype(dtype), self._like.device)


class GraphRows:
    """Stands for a propagation where a net sees the graph itself; what it keeps is a number.

    Attributes:
        net: that graphs are shown to.
    """

    #: A row is a number, and no norm of it means anything.
    largest_norm = None

    def __init__(self, net: GraphNet, propagation: Propagation) -> None:
        self.net = net
        self._reach = propagation

    def rows(self, graph: Graph, nodes: np.ndarray, kept: int) -> np.ndarray:
        """Rows (m, 1) of `nodes` (m,) in the graph of number `kept`."""
        return self.net.rows(kept, np.asarray(nodes, dtype=np.int64))

    def sums(self, graph: Graph) -> int:
        """The number of the first graph."""
        return self.net.show(graph)

    def sums_after(self, kept: int, old: Graph, new: Graph, change: Change) -> int:
        """The number of the graph after a request."""
        return self.net.show(new, kept, self.changed(old, new, change))

    def changed(self, old: Graph, new: Graph, change: Change) -> np.ndarray:
        """See `Propagation.changed`."""
        return self._reach.changed(old, new, change)
