"""What holds of a release where BatchNorm's statistics are among the weights.

And of one of a loss that is a plug-in's, whose constants no theorem knows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmark.contract.request import Release, Request
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem


def refuse_bounds(problem: Problem) -> None:
    """Refuse bounds or noise as a certificate of BatchNorm, nets over graphs, plug-ins' losses.

    A precaution where a theorem asks nothing of the loss.

    Raises:
        AssumptionBroken: naming the condition that fails.
    """
    if not problem.objective.closed:
        raise AssumptionBroken(
            f"loss '{problem.objective.loss}' is a plug-in's: the constants of a certificate by "
            "bounds or noise are those of the project's own losses; take one of these, or retrain"
        )
    if problem.model.spec.hops is not None:
        raise AssumptionBroken(
            f"a {problem.model.spec.title} trains what passes between neighbours, and a "
            "certificate by bounds or noise takes a fixed propagation: take model.kind = 'softmax' "
            "for it, or retrain, sisa, influence, fine-tune or gradient-ascent here"
        )
    if problem.model.statistics is not None:
        raise AssumptionBroken(
            "BatchNorm: a certificate by bounds or noise takes training to minimise a mean of the "
            "rows' losses, but here a row's loss depends on its batch, and the statistics, "
            "functions of the forgotten rows, minimise nothing; use norm = 'group'"
        )


def check(name: str, request: Request, release: Release) -> None:
    """Hold the answer of the method `name` to the rules on statistics.

    What is exact by construction may have any. Else there is no certificate, and they are the
    original's, or those that training on the retained rows sets.

    Raises:
        AssumptionBroken: for a certificate by bounds or noise.
        LetheError: if the method has moved statistics as if they were trained weights.
    """
    statistics, claim = request.problem.model.statistics, release.claim
    if claim is not None and claim.evidence.kind == "construction":
        return
    if claim is not None:
        refuse_bounds(request.problem)
    if statistics is None:
        return
    originals = torch.atleast_2d(request.original.weights)
    for original, released in zip(originals, release.predictor.members, strict=True):
        kept = torch.equal(original.cpu()[statistics], released.cpu()[statistics])
        if not kept and not _set_by_training(request, released):
            raise LetheError(
                f"{name} moves BatchNorm's statistics, which training alone sets: leave it out "
                "here, or use norm = 'group'"
            )


def _set_by_training(request: Request, weights: Tensor) -> bool:
    """Whether the statistics in `weights` (d,) are those of a pass over the retained rows."""
    problem = request.problem
    training: Any = problem.training  # a training in batches: no other one has statistics
    again = problem.model.with_statistics(weights, request.retain_rows.x, training.batch)
    return torch.allclose(again, weights, rtol=1e-4, atol=1e-6)
