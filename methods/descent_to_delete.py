"""Certified unlearning by gradient descent from the original weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field

from benchmark.certify.bounds import gaussian_certificate, gradient_bound
from benchmark.certify.constants import HeadConstants
from benchmark.certify.descent_to_delete import descent_promise
from benchmark.certify.measured import head_constants
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem


@dataclass(frozen=True)
class Kept:
    """What every later request starts from.

    Attributes:
        head: constants of the objective, on all rows that were trained on.
        held: G, the gradient norm that training is held to.
        error: bound on the distance of the state's weights to the minimiser on the state's rows.
    """

    head: HeadConstants
    held: float
    error: float


class DescentToDelete(Method):
    """K steps of full-batch gradient descent on the retained rows, from the weights before.

    The noise is fixed by the numbers of rows, for up to `capacity` of them a request; a larger
    one is refused and retrained. The weights before noise stay secret, and what they are off by
    is carried from request to request: it does not grow beyond a geometric series.
    """

    name = "descent-to-delete"
    title = "Descent-to-Delete"
    source = Source(
        paper="Neel, Roth, Sharifi-Malvajerdi: Descent-to-Delete: Gradient-Based Methods for "
        "Machine Unlearning (ALT 2021)",
        url="https://arxiv.org/abs/2007.02923",
    )
    certifies = True
    needs = frozenset({"retain", "strong_convexity"})

    #: K.
    steps: int = Field(400, ge=1)
    #: eta; by default 2 / (L + mu), the longest that the theorem allows.
    step_size: float | None = Field(None, gt=0, examples=[0.01])
    #: n_u that the noise of one request is made for.
    capacity: int = Field(20, ge=1)

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        head, held = head_constants(problem), problem.training.gradient_bound
        if head.sample_gradient is None or held is None:
            raise AssumptionBroken(
                "Descent-to-Delete needs bounded gradients of single rows (cross_entropy) and "
                "training to a gradient tolerance (newton-cg)"
            )
        return replace(original, memory=Kept(head, held, held / head.strong_convexity))

    def unlearn(self, request: Request) -> Release:
        problem, rows, weights = request.problem, request.retain_rows, request.original.weights
        kept: Kept = request.original.memory
        head, mu = kept.head, kept.head.strong_convexity
        step_size = self.step_size or 2 / (head.gradient_lipschitz + mu)
        promise = descent_promise(
            head,
            training_gradient=kept.held,
            carried=kept.error,
            trained=len(request.original.rows),
            capacity=self.capacity,
            step_size=step_size,
            steps=self.steps,
        )
        bound, error = promise.bound, promise.error
        if len(request.forget) > self.capacity:
            with request.clock.phase("training"):
                weights = problem.fit(request.retain, request.seeds.generator("training"))
            reason = f"refused and retrained: more than {self.capacity} rows were forgotten"
            bound, error = replace(bound, theorem=reason), kept.held / mu
        elif len(request.forget):
            with request.clock.phase("descent"):
                for _ in range(self.steps):
                    weights = weights - step_size * problem.gradient(weights, rows)
        with request.clock.phase("certificate"):
            measured = gradient_bound(problem, problem.gradient(weights, rows))
        certificate = gaussian_certificate(
            [bound, measured], promise.idle, request.target, promise=bound
        )
        return request.release(weights, certificate, replace(kept, error=error))
