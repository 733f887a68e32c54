"""Small problems, nets and graphs for tests, and what is asked of a release on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.checks.problems import (
    declared,
    every_row,
    mlp,
    one_vs_rest,
    rows,
    softmax,
    squared,
    tangent,
)
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.rows import Rows

__all__ = ["declared", "every_row", "mlp", "one_vs_rest", "rows", "softmax", "squared", "tangent"]


#: Parameters off the methods' defaults, for a test's time: with fewer steps.
QUICK: dict[str, dict[str, object]] = {
    "descent-to-delete": {"steps": 40},
    "dp-sgd": {"steps": 10},
    "langevin": {"learning_steps": 30, "sigma": 5.0},
    "newton-lissa": {"chains": 2, "depth": 20},
    "recollection": {"steps": 40},
    "rewind": {"steps": 40, "rewound": 30},
    "sisa": {"shards": 3, "slices": 2},
}


def numbers(release: Release) -> dict[str, float]:
    """Every constant of the claim and every number measured for it, by its name."""
    evidence = release.claim.evidence
    return {c.name: c.value for c in (*evidence.constants, *getattr(evidence, "measured", ()))}


def bounds(release: Release) -> dict[str, float]:
    """Every bound on the distance of a release, by the id of its statement."""
    evidence = release.claim.evidence
    others = {other.theorem: other.value for other in evidence.alternatives}
    return others | {evidence.theorem: evidence.reached}


def away(request: Request, release: Release) -> float:
    """The distance to the retrained weights, before noise."""
    retrained = request.problem.fit(request.retain, Seeds().generator("training"))
    return float((release.state.weights - retrained).norm())


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no method draw noise."""

    def none(self: Request, like: Tensor, sigma: float, *scope: object) -> Tensor:
        return torch.zeros_like(like)

    monkeypatch.setattr(Request, "noise", none)


# Five small nets as functions of flat weights, each with rows, in float64.

ROWS = 23  # no multiple of a chunk

#: How the rows of a product are cut, and how many are kept.
FORMS = {
    "whole": {},
    "ragged": {"chunk": 7},
    "half kept": {"chunk": 5, "kept_rows": 11},
    "none kept": {"chunk": 9, "kept_rows": 0},
    "chunk above the rows": {"chunk": 1000},
}


@dataclass(frozen=True)
class Net:
    """Logits as a function of weights (d,) and x, and where to differentiate the objective.

    `problem` is the same net as the project knows it, if it does.
    """

    logits: Callable[[Tensor, Tensor], Tensor]
    objective: Objective
    rows: Rows
    weights: Tensor
    problem: Problem | None = None

    def loss(self, weights: Tensor, rows: Rows) -> Tensor:
        logits = self.logits(weights, rows.x)
        return self.objective.data_term(logits, rows.y) + self.objective.penalty(weights)

    def dense(self) -> Tensor:
        """The Hessian by brute force, (d, d)."""
        return torch.autograd.functional.hessian(lambda w: self.loss(w, self.rows), self.weights)

    def gradient(self) -> Tensor:
        return torch.autograd.functional.jacobian(lambda w: self.loss(w, self.rows), self.weights)


def _known(problem: Problem) -> Net:
    drawn = rows(ROWS, 5, 3, 0, torch.float64)
    weights = problem.model.initial_weights(torch.Generator().manual_seed(1))
    return Net(problem.model, problem.objective, drawn, weights, problem)


def _unpack(weights: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    ends = list(accumulate(math.prod(shape) for shape in shapes))
    return [
        weights[end - math.prod(shape) : end].view(shape)
        for end, shape in zip(ends, shapes, strict=True)
    ]


CONVOLUTION = [(3, 1, 3, 3), (3,), (3, 3 * 4), (3,)]
RESIDUAL = [(2, 1, 3, 3), (2, 2, 3, 3), (2,), (2,), (3, 2), (3,)]


def _convolution(weights: Tensor, x: Tensor) -> Tensor:
    kernel, bias, head, shift = _unpack(weights, CONVOLUTION)
    hidden = F.avg_pool2d(F.conv2d(x, kernel, bias, padding=1).tanh(), 2)
    return hidden.flatten(1) @ head.T + shift


def _residual(weights: Tensor, x: Tensor) -> Tensor:
    stem, kernel, scale, offset, head, shift = _unpack(weights, RESIDUAL)
    hidden = F.conv2d(x, stem, padding=1)
    branch = F.group_norm(F.conv2d(hidden, kernel, padding=1), 1, scale, offset)
    return (hidden + branch.tanh()).mean(dim=(2, 3)) @ head.T + shift


def _image_net(logits: Callable[[Tensor, Tensor], Tensor], shapes: list[tuple[int, ...]]) -> Net:
    generator = torch.Generator().manual_seed(2)
    d = sum(math.prod(shape) for shape in shapes)
    x = torch.randn(ROWS, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (ROWS,), generator=generator)
    weights = 0.4 * torch.randn(d, generator=generator, dtype=torch.float64)
    return Net(logits, Objective(ridge=0.02), Rows(x, y), weights)


NETS: dict[str, Callable[[], Net]] = {
    "softmax": lambda: _known(softmax()),
    "quadratic": lambda: _known(softmax(loss="squared")),
    "tanh": lambda: _known(mlp()),
    "relu": lambda: _known(mlp(activation="relu")),
    "convolution": lambda: _image_net(_convolution, CONVOLUTION),
    "residual": lambda: _image_net(_residual, RESIDUAL),
}


def quick(method: type[Method]) -> Method:
    """The method, with fewer steps than by default where it takes many."""
    return method.build(QUICK.get(method.name, {}))


@cache
def dense_hessian(name: str) -> Tensor:
    """By brute force, once; each test has a net of its own, as some change its weights."""
    return NETS[name]().dense()


@cache
def dense_gauss_newton(name: str) -> Tensor:
    """By brute force: the Jacobian of the logits, and each row's Hessian in its logits."""
    net = NETS[name]()
    jacobian = torch.autograd.functional.jacobian(lambda w: net.logits(w, net.rows.x), net.weights)
    logits = net.logits(net.weights, net.rows.x)
    inner = torch.stack(
        [
            torch.autograd.functional.hessian(
                lambda one, i=i: net.objective.data_term(one[None], net.rows.y[i : i + 1]),
                logits[i],
            )
            for i in range(len(logits))
        ]
    )
    total = torch.einsum("nci,nce,nej->ij", jacobian, inner, jacobian) / len(logits)
    return total + net.objective.ridge * torch.eye(len(total)).double()


# A small graph for tests: three classes, with more edges within them than between.

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
