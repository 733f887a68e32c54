"""What is measured of requests on a graph, beside what is measured of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.claim import Alternative, Claim
from benchmark.contract.value import Value
from benchmark.curvature.kept_sums import matrix, with_bias
from benchmark.errors import present
from benchmark.graph.graph import Graph
from benchmark.graph.propagation import Propagation
from benchmark.graph.world import World
from benchmark.metrics.scores import population_auc
from benchmark.problem.model import Predictor
from benchmark.runner.workbench import Workbench
from benchmark.theory.graph_step import (
    data_dependent_bound,
    worst_edge_bound,
    worst_feature_bound,
    worst_node_bound,
)

# How far requests reach, and whether edges can be seen.


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


# The published bounds of a graph request beside ours, where they speak of the same step.


def with_published(
    claim: Claim | None, bench: Workbench, start: Tensor, end: Tensor
) -> Claim | None:
    """The claim, with the bounds of Chien et al. among its alternatives where there are any.

    They are of one exact Newton step from the original on a logistic regression without a bias, of
    rows no longer than 1, one class against the rest. Here the bias is one more column, a step that
    was solved inexactly or with a kept Hessian counts as exact, and several nodes, edges or
    features add up. So they are shown beside ours, never `proved`, and stand for no claim.

    Args:
        claim: of the release, or None.
        bench: with the request.
        start: (d,) weights before the step.
        end: (d,) after it.
    """
    if claim is None or claim.bound is None or not _one_step(claim) or bench.stream is None:
        return claim
    evidence = claim.distance
    if bench.problem.objective.loss != "one_vs_rest" or len(bench.requests) > 1:
        return claim
    published = (
        Alternative(theorem="chien22-data", value=_of_data(bench, start - end), proved=False),
        Alternative(theorem="chien22-worst", value=_worst(bench), proved=False),
    )
    more = evidence.model_copy(update={"alternatives": (*evidence.alternatives, *published)})
    return claim.model_copy(update={"evidence": more})


def _one_step(claim: Claim) -> bool:
    """Whether the release is one step from the original."""
    taken = {c.name: c.value for c in claim.distance.measured}
    return claim.definition == "this-pair" or taken.get("steps_taken") == 1


def _of_data(bench: Workbench, step: Tensor) -> float:
    problem = bench.after
    rows = with_bias(problem.train.take(bench.retain).x)
    return sum(
        data_dependent_bound(
            spectral_norm=bench.spectral_norm,
            step_norm=float(x.norm()),
            moved_norm=float((rows @ x).norm()),
            rows=len(rows),
            ridge=problem.objective.ridge,
        )
        for x in matrix(step, problem.model.classes)
    )


def _worst(bench: Workbench) -> float:
    stream = present(bench.stream)
    (change,), graph = stream.changes, stream.start.graph
    assert isinstance(stream.start.propagation, Propagation)
    hops = stream.start.propagation.hops
    shared: dict[str, Any] = {"rows": len(bench.retain), "ridge": bench.problem.objective.ridge}
    degrees = graph.degrees.tolist()
    found = [worst_node_bound(degree=degrees[v], hops=hops, **shared) for v in change.nodes]
    found += [worst_feature_bound(degree=degrees[v], **shared) for v in change.features]
    found += [worst_edge_bound(hops=hops, **shared)] * len(change.edges)
    return bench.problem.model.classes * sum(found)
