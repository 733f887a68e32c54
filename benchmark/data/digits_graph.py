"""The embedded graph: scikit-learn's digits, each joined to its five nearest."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmark.errors import LetheError
from benchmark.graph.graph import Graph

#: Neighbours of a node, before edges lose their direction.
NEIGHBOURS = 5
CONTENT_HASH = "f8466bf529e69c84"


def digits_graph() -> Graph:
    """1797 nodes in scikit-learn's order, with the 64 pixels as features.

    Distances are of whole numbers and so exact, and ties go to the lower number: the same graph on
    every machine.

    Raises:
        LetheError: if scikit-learn's digits are not what they were.
    """
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    bunch = load_digits()
    x = bunch.images.reshape(len(bunch.images), -1).astype(np.int64)
    squares = (x * x).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * x @ x.T
    np.fill_diagonal(distances, distances.max() + 1)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    pairs = np.stack([np.repeat(np.arange(len(x)), NEIGHBOURS), nearest.ravel()], axis=1)
    edges = np.unique(np.sort(pairs, axis=1), axis=0)
    graph = Graph.of(sparse.csr_array(x.astype(np.float64)), bunch.target.astype(np.int64), edges)
    if not graph.content_hash.startswith(CONTENT_HASH):
        raise LetheError(
            f"the graph of digits has content hash {graph.content_hash[:16]}, not {CONTENT_HASH}: "
            "install the scikit-learn version in constraints.txt"
        )
    return graph
