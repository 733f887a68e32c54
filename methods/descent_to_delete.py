"""Certified unlearning by gradient descent from the original weights."""

from __future__ import annotations

from pydantic import Field

from benchmark.claims.altered import check_counted
from benchmark.claims.bounds import Bound, diameter, gradient_residual
from benchmark.claims.descent_to_delete import Promise, descent_promise, moved_minimiser
from benchmark.claims.stated import caveats
from benchmark.contract.claim import Claim, Distance
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.convex import project
from benchmark.theory.gaussian import m_for


class DescentToDelete(Method):
    """K steps of full-batch gradient descent on the retained rows, from the weights before.

    The noise is fixed by declared constants, for up to `capacity` rows a request; a larger one
    takes as many steps more as it may need. The weights before noise stay secret, and what they
    are off by is no more after a request than it was before.
    """

    name = "descent-to-delete"
    title = "Descent-to-Delete"
    source = Source(
        paper="Neel, Roth, Sharifi-Malvajerdi: Descent-to-Delete: Gradient-Based Methods for "
        "Machine Unlearning (ALT 2021)",
        url="https://arxiv.org/abs/2007.02923",
    )
    evidence = "distance"
    needs = frozenset({"retain", "strong_convexity"})

    #: K.
    steps: int = Field(400, ge=1)
    #: eta; by default 2 / (L + mu), the longest that the theorem allows.
    step_size: float | None = Field(None, gt=0, examples=[0.01])
    #: n_u of a request that K steps are made for.
    capacity: int = Field(20, ge=1)

    def unlearn(self, request: Request) -> Release:
        check_counted(request)
        problem, weights = request.problem, request.original.weights
        promise = descent_promise(
            problem,
            left=len(request.retain),
            capacity=self.capacity,
            step_size=self.step_size,
            steps=self.steps,
        )
        rows = request.retain_rows
        with request.clock.phase("descent"):
            for _ in range(self._steps(request, promise)):
                step = promise.step_size * problem.gradient(weights, rows)
                weights = project(weights - step, problem.training.radius)
        with request.clock.phase("certificate"):
            measured = gradient_residual(problem, weights, problem.gradient(weights, rows))
        return request.release(weights, self._claim(request, promise, measured))

    def _steps(self, request: Request, promise: Promise) -> int:
        """None for nothing; K, or what a request beyond the capacity may need."""
        if len(request.forget) == 0:
            return 0
        unaltered = len(request.retain) - len(request.altered)
        if unaltered == 0:  # as many as there were: no count of rows says less than the ridge
            return promise.steps(diameter(request.problem), self.steps)
        moved = moved_minimiser(request.problem, unaltered, len(request.forget))
        return promise.steps(moved, self.steps)

    def _claim(self, request: Request, promise: Promise, measured: Bound) -> Claim:
        target, bound = request.target, promise.bound
        m = m_for(target.epsilon, target.delta)
        evidence = Distance(
            bound=bound.value,
            sigma=bound.value / m,
            trivial=min(promise.idle, diameter(request.problem)),
            constants=bound.constants,
            theorem=bound.theorem,
            reached=min(bound.value, measured.value),
            alternatives=(measured.alternative,),
            measured=tuple(c for c in measured.constants if c.provenance == "measured"),
        )
        return Claim.of(
            "unlearn-on-retain",
            Gaussian(m=m),
            evidence,
            delta=target.delta,
            caveats=caveats(request),
        )
