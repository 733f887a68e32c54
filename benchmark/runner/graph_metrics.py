"""Metrics of requests on a graph: how far they reach, and whether edges can be seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.value import Value
from benchmark.errors import present
from benchmark.graph.graph import Graph
from benchmark.graph.world import World
from benchmark.metrics.scores import population_auc
from benchmark.problem.model import Predictor
from benchmark.runner.workbench import Workbench


def graph_metrics(bench: Workbench, predictor: Predictor) -> dict[str, Value]:
    """Reach and the edge attack; nothing where the data are rows."""
    if bench.stream is None:
        return {}
    edits = bench.stream.edits
    altered = np.mean([len(edit.altered) for edit in edits])
    lost = np.mean([len(edit.lost) for edit in edits])
    scores = {
        "reach_nodes": Value(
            value=float(np.mean([edit.nodes for edit in edits])),
            unit="nodes",
            direction="none",
            n=len(edits),
            note="whose features a request may change, training nodes or not",
        ),
        "reach_rows": Value(
            value=float(lost + altered),
            unit="rows",
            direction="none",
            n=len(edits),
            note=f"training rows of a request: {lost:g} lost, {altered:g} altered",
        ),
    }
    return scores | _edge_attack(bench, predictor)


def _edge_attack(bench: Workbench, predictor: Predictor) -> dict[str, Value]:
    """How well forgotten edges are told from pairs without one, less than from a retrained model.

    The score of a pair is minus the distance of the two nodes' probabilities (He et al. 2021). Its
    AUC is high for every model, also a retrained one, as neighbours are alike. Only the gap counts.
    """
    stream = present(bench.stream)
    edges = np.concatenate([change.edges for change in stream.changes])
    if len(edges) == 0:
        return {}
    world = stream.worlds[-1]
    strangers = _strangers(stream.start.graph, len(edges), bench.edge_generator())
    retrained = Predictor(bench.problem.model, bench.reference[0])
    ours, theirs = (_auc(world, model, edges, strangers) for model in (predictor, retrained))
    return {
        "edge_auc": Value(value=ours, direction="none", n=2 * len(edges)),
        "edge_gap": Value(
            value=abs(ours - theirs),
            direction="lower",
            n=2 * len(edges),
            note="|AUC - AUC of retrain|, forgotten edges against pairs without one",
        ),
    }


def _auc(world: World, model: Predictor, edges: np.ndarray, strangers: np.ndarray) -> float:
    """The AUC of forgotten edges (k, 2) against other pairs (k, 2)."""
    distances = [_distances(world, model, pairs) for pairs in (edges, strangers)]
    return population_auc(*(d.cpu().numpy() for d in distances))


def _distances(world: World, model: Predictor, pairs: np.ndarray) -> Tensor:
    """(k,) of the probabilities of each pair."""
    ends = [model.log_probabilities(world.features_of(nodes)).exp() for nodes in pairs.T]
    return torch.linalg.vector_norm(ends[0] - ends[1], dim=1)


def _strangers(graph: Graph, count: int, generator: torch.Generator) -> np.ndarray:
    """(count, 2) pairs of nodes without an edge."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        drawn = torch.randint(len(graph), (4 * count, 2), generator=generator).numpy()
        u, v = np.sort(drawn, axis=1).T
        apart = (u != v) & (np.asarray(graph.a[u, v]).ravel() == 0)
        apart &= graph.there[u] & graph.there[v]
        found += list(zip(u[apart].tolist(), v[apart].tolist(), strict=True))
    return np.array(found[:count])
