"""Which product with the Hessian is fastest on the machine at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from benchmark.contract.clock import Clock
from benchmark.curvature import convolutional
from benchmark.curvature.hessian import Differentiated, default_chunk
from benchmark.errors import LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.products import default, serving
from benchmark.rows import Rows
from benchmark.runner.device import PeakMemory

#: Seconds that a calibration takes, about.
BUDGET = 2.0
#: Rounds, in each of which every product is timed once; with fewer than ENOUGH no difference is
#: told from noise.
ROUNDS, ENOUGH = 5, 3
#: Sizes of a chunk that are tried, as multiples of the default one.
MULTIPLES = (1, 1 / 4, 4)
#: Passes of a candidate in gradients: its set-up, and a product for each round and a first one.
PASSES = 2 + 2 * (1 + ROUNDS)


@dataclass(frozen=True)
class Measured:
    """A product, with one size of chunk.

    Attributes:
        product: its name.
        chunk: rows multiplied at a time.
        setup: seconds to build the operator of all rows, extrapolated from the sample.
        seconds: in each round, for a product over all rows, extrapolated from the sample.
        memory: bytes at the peak of set-up and a product on the sample; None where unmeasurable.
    """

    product: str
    chunk: int
    setup: float
    seconds: tuple[float, ...]
    memory: int | None

    @property
    def median(self) -> float:
        return median(self.seconds)

    def clearly_faster(self, other: Measured) -> bool:
        """Whether its slowest round is faster than the other's fastest, in enough of them."""
        return len(self.seconds) >= ENOUGH and max(self.seconds) < min(other.seconds)


@dataclass(frozen=True)
class Calibration:
    """What was measured, the default first.

    Attributes:
        rows: that a product is over.
        sample: rows that were timed.
        gradient: seconds of a gradient over all rows, extrapolated.
        measured: of those products and chunks that the budget and the sample had room for.
        left_out: how many they had no room for.
    """

    rows: int
    sample: int
    gradient: float
    measured: tuple[Measured, ...]
    left_out: int

    @property
    def default(self) -> Measured:
        """What `Problem.hessian` does unless it is told otherwise."""
        return self.measured[0]

    @property
    def fastest(self) -> Measured:
        """By the median round."""
        return min(self.measured, key=lambda one: one.median)

    @property
    def choice(self) -> Measured:
        """The fastest where that is clear of noise, else the default."""
        return self.fastest if self.fastest.clearly_faster(self.default) else self.default

    def remarks(self) -> list[str]:
        """What was measured on what, and what follows, as lines of text."""
        whole = self.sample == self.rows
        base = (
            f"all {self.rows:,}" if whole else f"{self.sample:,} of {self.rows:,} and extrapolated"
        )
        lines = [f"a product over all rows, timed on {base}; a gradient: {self.gradient:.3g} s"]
        if self.left_out:
            lines.append(f"{self.left_out} more left out for want of time: raise --budget")
        lines.append(f"the default: {self.default.product}, {self.default.chunk:,} rows a chunk")
        best = self.fastest
        if len(best.seconds) < ENOUGH:
            lines.append("too few rounds to tell a difference from noise: raise --budget")
        elif self.choice is self.default:
            lines.append("nothing is faster than the default by more than the noise")
        else:
            gain = self.default.median / best.median
            lines.append(
                f"{gain:.2g} times as fast, more than the noise: problem.hessian(weights, rows, "
                f'product="{best.product}", chunk={best.chunk})'
            )
        return lines


def calibrate(
    problem: Problem,
    weights: Tensor,
    rows: Rows,
    *,
    budget: float = BUDGET,
    now: Callable[[], float] | None = None,
) -> Calibration:
    """Time every product that serves the problem, at a few sizes of chunk, on a sample of rows.

    The sample is as large as the budget allows, and one default chunk at least, so a budget that
    is too small for that is exceeded by one candidate. Rounds alternate between the products, so
    that what else the machine does is spread over all of them. The sample keeps the same share
    of passes as all rows would; but a convolutional net's R-operator keeps what fits into its
    bound, and where a sample does and all rows do not, it takes up to half as long again on them.
    Nothing is chosen for anybody: pass `choice.product` and `choice.chunk` to `Problem.hessian`.

    Args:
        problem: whose Hessian.
        weights: (d,), any.
        rows: over which products are wanted.
        budget: seconds, about.
        now: a clock; by default seconds of the processor on one CPU thread, else wall-clock.

    Raises:
        LetheError: if two products differ by more than rounding, or there is no row.
    """
    if len(rows) == 0:
        raise LetheError("there are no rows to calibrate on")
    now = now or Clock(rows.x.device).now
    start = now()
    halfway, deadline = start + budget / 2, start + budget
    candidates = _candidates(problem, rows)
    for product in serving(problem):  # what is loaded on first use is no product's time
        _ = problem.hessian(weights, _head(rows, 1), product=product) @ weights
    gradient = _gradient_seconds(problem, weights, _head(rows, candidates[0][1]), now)
    size = _sample_size(len(rows), candidates, budget, gradient)
    sample = _head(rows, size)
    trials: list[_Trial] = []
    for product, chunk in candidates:
        if trials and (chunk > size or now() >= halfway):
            continue  # the other half of the budget is for the rounds
        trial = _Trial(problem, weights, sample, product, chunk, len(rows), now)
        trials.append(trial)
        _compare(trials[0], trial)
    for _ in range(ROUNDS):
        for trial in trials:
            trial.again()
        if now() >= deadline:
            break
    return Calibration(
        rows=len(rows),
        sample=size,
        gradient=gradient * len(rows),
        measured=tuple(trial.measured() for trial in trials),
        left_out=len(candidates) - len(trials),
    )


class _Trial:
    """A product with a size of chunk: its operator on the sample, and the seconds so far."""

    def __init__(
        self,
        problem: Problem,
        weights: Tensor,
        sample: Rows,
        product: str,
        chunk: int,
        rows: int,
        now: Callable[[], float],
    ) -> None:
        self.product, self._chunk, self._now = product, chunk, now
        self._scale = rows / len(sample)
        self._vector = torch.randn(
            len(weights), generator=torch.Generator().manual_seed(0), dtype=torch.float64
        ).to(weights)
        with PeakMemory(weights.device) as memory:
            start = now()
            self._operator = self._build(problem, weights, sample, rows)
            self._setup = now() - start
            self.result = self._operator @ self._vector
        self._memory = memory.bytes
        self._seconds: list[float] = []

    def _build(self, problem: Problem, weights: Tensor, sample: Rows, rows: int) -> Differentiated:
        bounded = weights.device.type == "cpu" and self.product != "r-operator"
        kept = problem.model.chunk if bounded else None
        share = 1.0 if kept is None else min(1.0, kept / rows)
        return problem.hessian(
            weights,
            sample,
            product=self.product,
            chunk=self._chunk,
            kept_rows=None if kept is None else round(share * len(sample)),
        )

    def again(self) -> None:
        """Time one more product."""
        start = self._now()
        _ = self._operator @ self._vector
        self._seconds.append(self._now() - start)

    def measured(self) -> Measured:
        """What was found, for all rows."""
        return Measured(
            product=self.product,
            chunk=self._chunk,
            setup=self._setup * self._scale,
            seconds=tuple(seconds * self._scale for seconds in self._seconds),
            memory=self._memory,
        )


def _candidates(problem: Problem, rows: Rows) -> list[tuple[str, int]]:
    """Products and sizes of chunk: the default first, then the others at the default size."""
    usual = min(len(rows), _usual_chunk(problem, rows))
    chunks = [max(1, round(usual * multiple)) for multiple in MULTIPLES]
    fitting = [chunk for chunk in dict.fromkeys(chunks) if chunk <= len(rows)]
    return [(product, chunk) for chunk in fitting for product in serving(problem)]


def _usual_chunk(problem: Problem, rows: Rows) -> int:
    """Rows that `Problem.hessian` multiplies at a time by default."""
    if rows.x.device.type != "cpu":
        return len(rows)
    own = default(problem)
    if own == "r-operator" and problem.model.chunk is not None:
        return convolutional.CPU_CHUNK
    if own in ("closed-form", "r-operator"):
        return default_chunk(rows.x)
    return problem.model.chunk or len(rows)


def _gradient_seconds(
    problem: Problem, weights: Tensor, rows: Rows, now: Callable[[], float]
) -> float:
    """Seconds a row."""
    problem.gradient(weights, rows)  # warm
    start = now()
    problem.gradient(weights, rows)
    return (now() - start) / len(rows)


def _sample_size(n: int, candidates: list[tuple[str, int]], budget: float, gradient: float) -> int:
    """Rows: what all candidates have time for, in whole chunks, and a default chunk at least."""
    room = budget / max(gradient * PASSES * len(candidates), 1e-12)
    if room >= n:
        return n
    usual = candidates[0][1]
    chunk = max((c for _, c in candidates if usual <= c <= room), default=usual)
    return max(chunk, int(room) // chunk * chunk)


def _head(rows: Rows, size: int) -> Rows:
    return Rows(rows.x[:size], rows.y[:size])


def _compare(default: _Trial, other: _Trial) -> None:
    """Raise LetheError unless both have computed the same product, to half the digits."""
    tolerance = math.sqrt(torch.finfo(default.result.dtype).eps)
    size, error = default.result.norm(), (default.result - other.result).norm()
    if not float(error) <= tolerance * float(size):
        raise LetheError(
            f"the products '{default.product}' and '{other.product}' differ by "
            f"{float(error / size):.2g} of their size: one of them is wrong, please report it"
        )
