"""Time to a relative residual, set-up included, for every solver."""

from __future__ import annotations

import math

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.bench.clock import CLOCK
from benchmark.bench.contender import Answer, Run, Unsolvable
from benchmark.bench.measure import finish, rounds
from benchmark.bench.record import TOLERANCES, Outcome
from benchmark.bench.session import Session, Work
from benchmark.errors import LetheError

#: A recursion's own residual drifts from the true one by round-off; 1 % covers it.
SLACK = 1.01


@pytest.mark.benchmark(timer=CLOCK)
def test_time_to_residual(work: Work, session: Session, benchmark: BenchmarkFixture) -> None:
    """Measure, unless a record is there or the answer follows from a looser tolerance."""
    benchmark.group = f"{work.spec.title}, damping {work.rule}, to {work.tolerance:g}"
    session.keep_plan()
    if (kept := session.kept(work)) is not None:
        pytest.skip(f"kept: {kept.state}")
    if reason := work.contender.missing():
        pytest.skip(reason)
    outcome = _known(work, session)
    if outcome is None:
        outcome = _measure(work, session, benchmark)
    session.keep(work, outcome)
    if outcome.state != "reached":
        pytest.skip(f"{outcome.state}: {outcome.remark}")


def _known(work: Work, session: Session) -> Outcome | None:
    """What a looser tolerance has shown already, None if it has to be measured."""
    earlier = _looser(work, session)
    if earlier is None:
        return None
    if not work.contender.aims and earlier.residual is not None:
        changes = {"tolerance": work.tolerance, **_judged(earlier.residual, work.tolerance)}
        return earlier.model_copy(update=changes)
    if earlier.state != "reached":
        return earlier.model_copy(update={"tolerance": work.tolerance})
    return None


def _looser(work: Work, session: Session) -> Outcome | None:
    """The outcome of the next looser tolerance, if there is one."""
    place = TOLERANCES.index(work.tolerance)
    if not place:
        return None
    before = Work(work.spec, work.rule, work.contender, TOLERANCES[place - 1])
    return session.kept(before)


def _measure(work: Work, session: Session, benchmark: BenchmarkFixture) -> Outcome:
    try:
        with work.contender.ready(session.task(work)) as run:
            return _timed(work, session, benchmark, run)
    except Unsolvable as error:
        return Outcome(tolerance=work.tolerance, state="missed", remark=str(error))
    except (RuntimeError, ValueError, ArithmeticError, LetheError) as error:
        lines = str(error).splitlines() or [""]
        remark = f"{type(error).__name__}: {lines[0]}"
        return Outcome(tolerance=work.tolerance, state="failed", remark=remark)


def _timed(work: Work, session: Session, benchmark: BenchmarkFixture, run: Run) -> Outcome:
    estimate = run.estimate or _estimate(work, session, run)
    if estimate > session.limit:
        remark = f"it would take about {estimate:.0f} s"
        return Outcome(tolerance=work.tolerance, state="not run", remark=remark, estimate=estimate)
    count = rounds(estimate, session.budget)

    def whole() -> Answer:
        found = run.solve()
        finish(session.device)
        return found

    answer: Answer = benchmark.pedantic(whole, rounds=count, iterations=1, warmup_rounds=0)
    residual = session.bench(work.spec).system(work.rule).residual(answer.x)
    judged = _judged(residual, work.tolerance)
    remark = "; ".join(filter(None, [answer.remark, judged.pop("remark")]))
    return Outcome(
        tolerance=work.tolerance,
        seconds=tuple(benchmark.stats.stats.data),
        residual=residual if math.isfinite(residual) else None,
        products=answer.products,
        remark=remark,
        **judged,
    )


def _judged(residual: float, tolerance: float) -> dict[str, str]:
    if residual <= SLACK * tolerance:
        return {"state": "reached", "remark": ""}
    ended = f"ended at {residual:.2g}" if math.isfinite(residual) else "diverged"
    return {"state": "missed", "remark": ended}


def _estimate(work: Work, session: Session, run: Run) -> float:
    """Seconds of one solve: from a first one off the record, or from a looser tolerance."""
    place = (work.spec.name, work.contender.name)
    earlier = _looser(work, session)
    if earlier is not None and earlier.seconds and place in session.warm:
        return 2 * max(earlier.seconds)
    session.warm.add(place)
    start = CLOCK()
    run.solve()
    finish(session.device)
    return CLOCK() - start
