"""Noise for a request: for what was reached, or for a budget that was fixed beforehand."""

from __future__ import annotations

from torch import Tensor

from benchmark.certify.bounds import Bound, gaussian_certificate, retrained_bound
from benchmark.contract.certificate import Certificate
from benchmark.contract.request import Request
from benchmark.errors import AssumptionBroken


def certified(
    request: Request, weights: Tensor, bounds: list[Bound], trivial: Bound, budget: float | None
) -> tuple[Tensor, Certificate]:
    """The weights to release (d,), before noise, and their certificate.

    Without a budget, noise for the least proved bound (mode `instance`). With one, Delta_0, noise
    for it whatever was reached (mode `budgeted`, Guo et al. 2020): the noise does not depend on
    the request, and one whose bound exceeds Delta_0 is refused and retrained.

    Args:
        request: that is answered.
        weights: (d,), reached on the retained rows.
        bounds: for these weights; the first one's constants are the certificate's.
        trivial: the bound that doing nothing has.
        budget: Delta_0.

    Raises:
        AssumptionBroken: if the budget is below what training itself guarantees.
    """
    if budget is None:
        return weights, gaussian_certificate(bounds, trivial, request.target)
    problem = request.problem
    least = retrained_bound(problem).value
    if least > budget:
        raise AssumptionBroken(
            f"budget {budget:.3g} is below what training itself guarantees, 2 G / mu = "
            f"{least:.3g}: raise it or train further"
        )
    reached = min(bound.value for bound in bounds if bound.proved)
    kept = f"{bounds[0].theorem} within a budget"
    if reached > budget:
        kept = f"refused and retrained: Delta was {reached:.3g}, over the budget"
        with request.clock.phase("training"):
            weights = problem.fit(request.retain, request.seeds.generator("training"))
        bounds = [retrained_bound(problem)]
    promise = Bound(kept, budget, bounds[0].constants)
    certificate = gaussian_certificate(bounds, trivial, request.target, promise=promise)
    return weights, certificate
