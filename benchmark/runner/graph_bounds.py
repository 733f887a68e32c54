"""The published bounds of a graph request beside ours, where they speak of the same step."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmark.contract.claim import Alternative, Claim
from benchmark.curvature.kept_sums import matrix, with_bias
from benchmark.errors import present
from benchmark.graph.propagation import Propagation
from benchmark.runner.workbench import Workbench
from benchmark.theory.graph_step import (
    data_dependent_bound,
    worst_edge_bound,
    worst_feature_bound,
    worst_node_bound,
)


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
