"""Newton steps on a tangent net, by a preconditioner that was set up once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.bounds import gradient_residual, tolerance
from benchmark.claims.uniform import Point, check_distance, uniform_claim, within_distance
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.hessian import downdated
from benchmark.curvature.krylov import conjugate_gradients
from benchmark.curvature.tangent import TangentHessian, TangentPreconditioner, precondition
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.tangent import Tangent
from benchmark.rows import Rows
from benchmark.solvers.svrg import inclusion, systematic_sample

#: Single precision aims this far below the gradient that Delta_0 allows.
AIM = 0.6
#: A solve leaves this share of the gradient at most, and at least: a sample is no better.
LOOSE, TIGHT = 0.1, 0.06
#: A retraining makes a preconditioner of its own once the gradient has fallen to this share.
FALLEN = 0.1
#: A change of the loss by this share of it drowns in single precision.
DROWNED = 1e-6


@dataclass(frozen=True)
class Sample:
    """Rows that stand for all, in single precision.

    Attributes:
        rows: m of them.
        index: (m,) which they are of all.
        counts: (m,) how many each stands for.
    """

    rows: Rows
    index: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Kept:
    """What the next request starts from: of rows that are trained on, and secret like them.

    Attributes:
        gradient: (d,) of the objective on the state's rows at the state's weights.
        preconditioner: of the Hessian as it was when the model was trained.
        rows: all training rows in single precision.
        sample: of them, for Hessian products; None if one is still to be drawn.
    """

    gradient: Tensor
    preconditioner: TangentPreconditioner
    rows: Rows
    sample: Sample | None


class TangentNewton(Method):
    """Preconditioned Newton steps in single precision, judged by a gradient in double.

    The Jacobian of a tangent never changes, so a preconditioner of its Hessian is set up once, from
    a sample of rows. The first gradient comes from the kept one and the forgotten rows. Steps in
    single precision, whose Hessian is that of a larger sample, go on until the next one can be
    expected to reach what the experiment's Delta_0 allows. Whether it has, one gradient in double
    precision and Theorem 5 decide. Neither samples nor single precision carry the proof.
    """

    name = "tangent-newton"
    title = "Tangent Newton"
    source = Source(
        paper="Golatkar, Achille, Ravichandran, Polito, Soatto: Mixed-Privacy Forgetting in Deep "
        "Networks (CVPR 2021), with a proved bound",
        url="https://arxiv.org/abs/2012.13431",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity", "tangent"})

    #: Axes of the inputs on which the preconditioner is the whole Hessian.
    axes: int = Field(100, ge=0, examples=[1])
    #: Rows that it is made of, drawn by their part in the Hessian.
    sample: int = Field(6000, ge=1, examples=[10])
    #: Rows of a Hessian product, drawn likewise.
    product_rows: int = Field(16000, ge=1, examples=[10])
    max_products: int = Field(500, ge=1, examples=[1])
    #: What a request is compared with: retraining from the public net by the same steps,
    #: with the preconditioner that was `kept`, or its `own`, of public rows until it is near.
    retrain: Literal["kept", "own"] | None = Field(None, examples=["kept"])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Sum up the gradient, copy the rows to single precision and make the preconditioner.

        Raises:
            AssumptionBroken: for another model, or training in a ball.
        """
        _check(problem)
        with clock.phase("gradient"):
            gradient = problem.hessian_on(original.weights, original.rows).gradient
            rows = Rows(problem.train.x.float(), problem.train.y)
        with clock.phase("preconditioner"):
            if self.retrain == "own":  # public rows alone: nothing private is kept for it
                public = Rows(problem.public.x.float(), problem.public.y)
                logits = problem.model(torch.zeros_like(original.weights).float(), public.x)
                every = torch.arange(len(public))
                made, sample = self.made(problem, public, every, logits, seeds), None
            else:
                logits = problem.model(original.weights.float(), rows.x)
                made = self.made(problem, rows, original.rows, logits, seeds)
                sample = self.drawn(problem, rows, original.rows, logits, seeds, self.product_rows)
        return replace(original, memory=Kept(gradient, made, rows, sample))

    def unlearn(self, request: Request) -> Release:
        kept = request.original.memory
        if not isinstance(kept, Kept):
            raise AssumptionBroken(
                "tangent-newton answers by a preconditioner that was kept: prepare the state"
            )
        with request.clock.phase("gradient"):
            start = self._start(request, kept)
        steps = _Steps(self, request, kept).all_from
        reached = within_distance(request, _stepped(request, start, steps), steps)
        end = reached.point
        claim = uniform_claim(request, reached)
        return request.release(end.weights, claim, replace(kept, gradient=end.gradient))

    def _start(self, request: Request, kept: Kept) -> Point:
        """Where steps begin, with the gradient on the retained rows."""
        weights, left = request.original.weights, len(request.forget)
        if not left:  # the other side of the definition is the original itself
            return Point(weights, kept.gradient)
        if self.retrain is not None:
            return Point.at(request, torch.zeros_like(weights))
        forgotten = request.problem.gradient(weights, request.forget_rows)
        trained = len(request.original.rows)
        return Point(weights, downdated(kept.gradient, forgotten, trained, left))

    def made(
        self, problem: Problem, rows: Rows, index: Tensor, logits: Tensor, seeds: Seeds
    ) -> TangentPreconditioner:
        """A preconditioner of the Hessian on `index` (n,) of some rows in single precision.

        Args:
            problem: with the tangent.
            rows: all.
            index: of those that it is for.
            logits: (all rows, classes), of the weights that it is for.
            seeds: of the sample.
        """
        sample = self.drawn(problem, rows, index, logits, seeds, self.sample)
        return precondition(
            problem.model.tangent,
            sample.rows.x,
            logits[sample.index].softmax(dim=1),
            sample.counts / len(index),
            ridge=problem.objective.ridge,
            axes=problem.model.axes,
            leading=self.axes,
        )

    def drawn(
        self,
        problem: Problem,
        rows: Rows,
        index: Tensor,
        logits: Tensor,
        seeds: Seeds,
        count: int,
    ) -> Sample:
        """About `count` of the rows `index` (n,), or all if they are fewer; see `made`.

        A row's chance follows its part in the Hessian: the trace of the loss's second derivative in
        the logits times the norm of the row's Jacobian, squared. The largest are certain.
        """
        index = index.to(logits.device)
        if count >= len(index):
            whole = len(index) == len(rows)
            return Sample(rows if whole else rows.take(index), index, logits.new_ones(len(index)))
        parts = problem.model.tangent.rows(rows.x)
        p = logits.softmax(dim=1)
        sizes = (1 - p.square().sum(dim=1)).clamp(min=1e-9)
        sizes = (sizes * (parts.scale * parts.norm)[:, 0].square())[index]
        chances = inclusion(sizes, count)
        drawn = systematic_sample(chances, seeds.generator("training", self.name))
        return Sample(rows.take(index[drawn]), index[drawn], (1 / chances[drawn]).to(logits.dtype))


def _check(problem: Problem) -> None:
    """Refuse what is no tangent, or has no Theorem 5 without a ball.

    Raises:
        AssumptionBroken: if it is so.
    """
    if not isinstance(problem.model, Tangent) or problem.strong_convexity is None:
        raise AssumptionBroken(
            "tangent-newton is for nets linearised at public weights: take model.kind = 'tangent' "
            "and a ridge above 0"
        )
    if problem.training.radius is not None:
        raise AssumptionBroken("tangent-newton steps without a ball: set no radius")


def _stepped(request: Request, start: Point, steps: Callable[[Point], Tensor]) -> Point:
    """Where the steps end; the start where Theorem 5 holds there, or where they lead nowhere.

    Theorem 6 is not tried before: its Hessian product takes longer than the gradient that is due
    after the steps, and where it fails, both have to be paid for.
    """
    check_distance(request.problem, request.target.distance)
    with request.clock.phase("certificate"):
        plain = gradient_residual(request.problem, start.weights, start.gradient)
    if plain.value <= request.target.distance:
        return start
    with request.clock.phase("inverse_hessian"):
        way = steps(start)
    with request.clock.phase("gradient"):
        end = Point.at(request, start.weights - way, start.number + 1)
    return end if float(end.gradient.norm()) < float(start.gradient.norm()) else start


class _Steps:
    """Newton steps in single precision on the retained rows of a request."""

    def __init__(self, method: TangentNewton, request: Request, kept: Kept) -> None:
        self._method, self._request, self._rows = method, request, kept.rows
        self._preconditioner, self._sample = kept.preconditioner, kept.sample
        self._retain = request.retain.to(kept.rows.y.device)
        self._shares = kept.rows.x.new_zeros(len(kept.rows))
        self._shares[self._retain] = 1 / len(self._retain)
        mu, held = tolerance(request.problem)
        self._goal = AIM * (mu * request.target.distance - held)
        self._renewed = method.retrain != "own"

    def all_from(self, point: Point) -> Tensor:
        """(d,) of the way from a point to where the gradient is within the goal, or stalls.

        Where the share that a solve leaves reaches the goal, the step is the last one, and neither
        searched nor looked at: the caller's gradient in double precision judges it.
        """
        start, gradient = point.weights.float(), point.gradient.float()
        moved, at, logits = torch.zeros_like(start), self._at(start), None
        first = norm = float(gradient.norm())
        self._sample = self._sample or self._drawn(at.logits)
        while True:
            last = TIGHT * norm <= self._goal
            if logits is None and not last:  # else those of the sample suffice
                logits = at.logits
            if not self._renewed and norm <= FALLEN * first:
                self._renew(at.logits)
            step = self._solved(start - moved, logits, gradient, norm)
            if last:
                return moved.add(step).to(point.weights.dtype)
            length, logits, seen = self._searched(at, start - moved, gradient, step)
            moved = moved.add(step, alpha=length)
            at = self._at(start - moved, logits)
            gradient, before = at.gradient, norm
            norm = float(gradient.norm())
            if norm <= self._goal or (norm > before / 2 and not seen):
                return moved.to(point.weights.dtype)

    def _drawn(self, logits: Tensor) -> Sample:
        """Retained rows for products with the Hessian at the weights of `logits`."""
        return self._method.drawn(*self._retained(logits), self._method.product_rows)

    def _renew(self, logits: Tensor) -> None:
        """A sample and a preconditioner of the retained rows at the weights of `logits`."""
        self._sample, self._renewed = self._drawn(logits), True
        self._preconditioner = self._method.made(*self._retained(logits))

    def _retained(self, logits: Tensor) -> tuple[Problem, Rows, Tensor, Tensor, Seeds]:
        request = self._request
        return request.problem, self._rows, self._retain, logits, request.seeds

    def _at(self, weights: Tensor, logits: Tensor | None = None) -> TangentHessian:
        return self._hessian(self._rows, weights, self._shares, logits)

    def _sampled(self, weights: Tensor, logits: Tensor | None) -> TangentHessian:
        """The Hessian at weights, about, by the sample's rows that are retained."""
        sample = self._sample
        shares = self._shares[sample.index] * sample.counts
        known = None if logits is None else logits[sample.index]
        return self._hessian(sample.rows, weights, shares, known)

    def _hessian(
        self, rows: Rows, weights: Tensor, shares: Tensor, logits: Tensor | None
    ) -> TangentHessian:
        problem = self._request.problem
        return TangentHessian(
            problem.model.tangent.to(torch.float32),
            rows.x,
            rows.y,
            weights,
            loss=problem.objective.loss,
            ridge=problem.objective.ridge,
            shares=shares,
            logits=logits,
        )

    def _solved(
        self, weights: Tensor, logits: Tensor | None, gradient: Tensor, norm: float
    ) -> Tensor:
        """A step (d,), solved as well as one or more of them need it to reach the goal."""
        return conjugate_gradients(
            self._sampled(weights, logits),
            gradient,
            tolerance=min(max(self._goal / norm / 2, TIGHT), LOOSE),
            max_products=self._method.max_products,
            preconditioner=self._preconditioner.solve,
            recompute=False,
        ).x

    def _searched(
        self, at: TangentHessian, weights: Tensor, gradient: Tensor, step: Tensor
    ) -> tuple[float, Tensor, bool]:
        """The first of 1, 1/2, ... that does not raise the loss, 0 if none, and the logits there.

        The logits are linear in the step: one pass serves every length. The last value is whether
        single precision sees the loss fall.
        """
        change, slope = at.change(step), float(gradient.dot(step))
        before, length = self._loss(at.logits, weights), 1.0
        while length > 1e-4:
            logits = at.logits.sub(change, alpha=length)
            after = self._loss(logits, weights.sub(step, alpha=length))
            if after <= before - 1e-4 * length * slope + DROWNED * before:
                return length, logits, after < before * (1 - DROWNED)
            length /= 2
        return 0.0, at.logits, False

    def _loss(self, logits: Tensor, weights: Tensor) -> float:
        """The objective on the retained rows, summed in double precision."""
        right = logits.gather(1, self._rows.y.unsqueeze(1))[:, 0]
        losses = (logits.logsumexp(dim=1) - right).double().dot(self._shares.double())
        return float(losses + self._request.problem.objective.penalty(weights.double()))
