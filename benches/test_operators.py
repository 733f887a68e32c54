"""Time of one pass over the rows, for every operator."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.bench.clock import CLOCK
from benchmark.bench.machine import limits
from benchmark.bench.measure import ROUNDS, finish
from benchmark.bench.operators import OPERATORS, OperatorSpec, flops, least_bytes, reference
from benchmark.bench.session import Session
from benchmark.bench.systems import SystemSpec


@dataclass(frozen=True)
class Timed:
    """An operator on a system."""

    spec: SystemSpec
    operator: OperatorSpec

    @property
    def label(self) -> str:
        return f"{self.spec.name}-{self.operator.name}"


def operators(session: Session) -> list[Timed]:
    """Every operator on every system."""
    return [Timed(spec, one) for spec in session.specs for one in OPERATORS]


@pytest.mark.benchmark(timer=CLOCK)
def test_one_pass(operator: Timed, session: Session, benchmark: BenchmarkFixture) -> None:
    """Measure, unless a record is there."""
    spec, measured = operator.spec, operator.operator
    benchmark.group = f"{spec.title}, one pass"
    if session.kept_operator(spec, measured.name) is not None:
        pytest.skip("kept")
    bench = session.bench(spec)
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(len(bench.weights), generator=generator).to(bench.weights)
    start = CLOCK()
    one = measured.build(bench)
    finish(session.device)
    setup = CLOCK() - start

    def whole() -> torch.Tensor:
        result = one(vector)
        finish(session.device)
        return result

    whole()  # warm
    result = benchmark.pedantic(whole, rounds=ROUNDS, iterations=1)
    error = None
    if measured.role == "product":
        truth = reference(bench, vector)
        error = float((result.double() - truth).norm() / truth.norm())
    peak, bandwidth = limits(bench.weights.dtype, session.device)
    session.keep_operator(
        spec,
        measured.name,
        title=measured.title,
        role=measured.role,
        rows=measured.rows(len(bench.rows)),
        setup=setup,
        seconds=tuple(benchmark.stats.stats.data),
        flops=flops(one, vector),
        bytes=least_bytes(bench, measured.rows(len(bench.rows))),
        error=error,
        peak_flops=peak,
        bandwidth=bandwidth,
    )
