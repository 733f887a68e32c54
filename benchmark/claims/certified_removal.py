"""What certified removal claims of a release whose residual is within its budget."""

from __future__ import annotations

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.claim import Claim
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.request import Request
from benchmark.theory.gaussian import m_for

DEPENDENT = "the paper's proof takes the residual to be independent of b, of which it is a function"
SHARED = "all releases since training share one b: the statement is about the last of them alone"


def removal_claim(
    request: Request,
    *,
    budget: float,
    sigma: float,
    output_sigma: float,
    training_gradient: float,
    strong_convexity: float,
) -> Claim:
    """What the paper claims of a release whose residual is within the budget.

    Args:
        request: whose target the budget was computed for.
        budget: beta, see `residual_budget`.
        sigma: of the perturbation.
        output_sigma: of the noise on the weights.
        training_gradient: G.
        strong_convexity: mu.
    """
    first = request.number == 0
    return algorithmic_claim(
        request,
        "retrain",
        Gaussian(m=m_for(request.target.epsilon, request.target.delta)),
        "objective-perturbation",
        sigma=sigma,
        steps=1,
        settings={
            "residual_budget": budget,
            "output_sigma": output_sigma,
            "training_gradient": training_gradient,
            "strong_convexity": strong_convexity,
        },
        open_hypotheses=(DEPENDENT,) if first else (DEPENDENT, SHARED),
        composes=first,
    )
