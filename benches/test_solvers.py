"""Time to a relative residual, set-up included, for every solver: the study `solvers`."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches.conftest import SESSION, Session, timer
from benchmark.bench.record import CLOCK, TOLERANCES
from benchmark.studies.solvers import Timed
from benchmark.study.study import Unit


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a system, damping, solver and tolerance."""
    session = metafunc.config.stash[SESSION]
    works = [
        pytest.param(unit, piece, tolerance, id=f"{_name(piece)}-{tolerance:g}")
        for unit, piece in session.pieces(session.solvers)
        for tolerance in TOLERANCES
    ]
    metafunc.parametrize(("unit", "piece", "tolerance"), works)


def _name(piece: Timed) -> str:
    return f"{piece.spec.name}-{piece.damping}-{piece.solver.name}"


@pytest.mark.benchmark(timer=CLOCK)
def test_time_to_residual(
    unit: Unit, piece: Timed, tolerance: float, session: Session, benchmark: BenchmarkFixture
) -> None:
    """Measure, unless a record is there or the answer follows from a looser tolerance.

    The record is written after the last tolerance.
    """
    benchmark.group = f"{piece.spec.title}, damping {piece.damping}, to {tolerance:g}"
    session.begin(session.solvers)
    found = session.outcomes.setdefault(piece.key, [])
    if not found and session.is_kept(session.solvers, piece):
        pytest.skip("kept")
    solves = session.open(session.solvers, unit)
    start = time.perf_counter()
    for looser in TOLERANCES[len(found) : TOLERANCES.index(tolerance)]:  # was not selected
        found.append(solves.outcome(piece, looser, found))
    found.append(solves.outcome(piece, tolerance, found, timer(benchmark)))
    session.spent[piece.key] += time.perf_counter() - start
    if tolerance == TOLERANCES[-1]:
        record = solves.run(piece, lambda _: None, found)
        seconds = record.seconds + session.spent[piece.key]
        session.store.put(piece.path, record.model_copy(update={"seconds": seconds}))
    if found[-1].state != "reached":
        pytest.skip(f"{found[-1].state}: {found[-1].remark}")
