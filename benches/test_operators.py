"""Time of one pass over the rows, for every operator: the study `products`."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import SESSION, Session, timer
from benchmark.bench.record import CLOCK
from benchmark.studies.products import TimedPass
from benchmark.study.study import Unit


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a system and pass."""
    session = metafunc.config.stash[SESSION]
    passes = [
        pytest.param(unit, piece, id=f"{piece.spec.name}-{piece.name}")
        for unit, piece in session.pieces(session.products)
    ]
    metafunc.parametrize(("unit", "piece"), passes)


@pytest.mark.benchmark(timer=CLOCK)
def test_one_pass(
    unit: Unit, piece: TimedPass, session: Session, benchmark: BenchmarkFixture
) -> None:
    """Measure, unless a record is there."""
    benchmark.group = f"{piece.spec.title}, one pass"
    session.begin(session.products)
    if session.is_kept(session.products, piece):
        pytest.skip("kept")
    passes = session.open(session.products, unit)
    record = passes.run(piece, lambda _: None, timer(benchmark))
    session.store.put(piece.path, record)
