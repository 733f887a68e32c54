"""A small graph for tests: three classes, with more edges within them than between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TOML = """
title = "A small graph"
seeds = [0]

[problem]
data = "small"
graph = {{ file = "small.npz", hops = 2{graph} }}
split = {{ test = 20, negatives = 15 }}
objective = {{ loss = "{loss}", ridge = 1e-2 }}
training = {{ algorithm = "newton-cg", tolerance = 1e-10 }}

[forget]
scenario = "{scenario}"
count = 3
requests = {requests}

[target]
distance = 1e-3
"""


def arrays(n: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of an npz file; the last five nodes have no label."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 3
    u, v = np.triu_indices(n, 1)
    joined = draw.random(len(u)) < np.where(y[u] == y[v], 0.06, 0.01)
    x = draw.random((n, 8)) * (draw.random((n, 8)) < 0.4) + np.eye(8)[y]
    labels = np.where(np.arange(n) < n - 5, y, -1)
    return {"x": x, "y": labels, "edges": np.stack([u[joined], v[joined]], axis=1)}


def write(folder: Path, *, parts: bool = False, **changes: np.ndarray) -> Path:
    """The file in `folder`, with some arrays changed."""
    found = arrays() | changes
    if parts:
        found |= {"train": np.arange(30), "val": np.arange(30, 45), "test": np.arange(45, 65)}
    path = folder / "small.npz"
    np.savez(path, **found)
    return path


def experiment(
    folder: Path,
    scenario: str = "nodes",
    *,
    loss: str = "cross_entropy",
    requests: int = 1,
    graph: str = "",
) -> Path:
    """An experiment on the graph, as a file beside it."""
    path = folder / "small.toml"
    text = TOML.format(scenario=scenario, loss=loss, requests=requests, graph=graph)
    path.write_text(text, encoding="utf-8")
    return path
