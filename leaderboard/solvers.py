"""The tables of the inverse-Hessian bench, read from its records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmark.bench.record import (
    TOLERANCES,
    Folder,
    OperatorRecord,
    Outcome,
    Record,
    Rule,
    SolverRecord,
)
from leaderboard.grid import Cell, Grid, Line
from leaderboard.numbers import number

HEADING = "Inverse-Hessian solvers"

READING = (
    "Seconds until ‖b − (H + λI)x‖ is at most the tolerance times ‖b‖, set-up included: the median "
    "over five rounds, or as many as the number in brackets says. H is the Hessian of the mean "
    "loss over all rows. On one thread they are processor seconds, which a busy machine lengthens "
    "less than the wall clock. A solver that ends above the tolerance has no time: what it "
    "reached is given instead.",
    "The libraries are told beforehand the fewest iterations that reach the tolerance, which they "
    "do not find by themselves; that search is off the clock. The official recursion is the "
    "paper's: 10 chains of 1,000 steps on 10 rows each.",
    "× official, at λ = 0.1 ‖H‖: the recursion's whole run over the time to the first tolerance "
    "that is no worse than what the recursion reached.",
)

RULES: dict[Rule, str] = {
    "1-norm": "λ = ‖H‖",
    "0.1-norm": "λ = 0.1 ‖H‖",
    "1.5-lambda-min": "λ = 1.5 |λmin|",
}

#: The damping of the columns that need one.
MAIN: Rule = "0.1-norm"

_FULL_ROUNDS = 5


@dataclass(frozen=True)
class SystemTables:
    """One system on one device.

    Attributes:
        facts: what it is and where it was timed, by name.
        solvers, operators: None if there is no record of that kind.
    """

    slug: str
    title: str
    device: str
    facts: tuple[tuple[str, str], ...]
    solvers: Grid | None
    operators: Grid | None


def load_bench(folder: Path) -> list[Record]:
    """Every record of the bench, by path; none where there is no folder.

    Raises:
        LetheError: if a record is damaged.
    """
    return list(Folder(folder).records())


def bench_tables(records: Iterable[Record]) -> list[SystemTables]:
    """The tables, by device and system."""
    grouped: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        grouped[device(record), record.system.name].append(record)
    return [
        SystemTables(
            slug=f"bench-{found[0].environment.device}-{name}",
            title=found[0].system.title,
            device=where,
            facts=_facts(found),
            solvers=_solvers([r for r in found if isinstance(r, SolverRecord)]),
            operators=_operators([r for r in found if isinstance(r, OperatorRecord)]),
        )
        for (where, name), found in sorted(grouped.items())
    ]


def device(record: Record) -> str:
    """Where it was timed: `cpu`, or `cuda` with the GPU's name."""
    return " · ".join(filter(None, [record.environment.device, record.environment.gpu]))


def _facts(records: list[Record]) -> tuple[tuple[str, str], ...]:
    system = records[0].system
    dampings = {r.damping.rule: r.damping for r in records if isinstance(r, SolverRecord)}
    environments = [record.environment for record in records]
    loads = [e.load_average for e in environments if e.load_average is not None]
    conditions = [
        f"{RULES[rule]}: {number(d.condition, 2) if d.condition else 'indefinite'}"
        for rule in RULES
        if (d := dampings.get(rule))
    ]
    facts = {
        "rows": f"{system.rows:,}",
        "weights": f"{system.dimension:,}",
        "precision": system.precision,
        "spectrum of H": f"{number(system.smallest)} to {number(system.largest)}",
        "condition": "; ".join(conditions),
        "processor": _distinct(e.cpu for e in environments),
        "clock": _distinct(r.clock for r in records),
        "threads": _distinct(str(e.threads) for e in environments),
        "load": f"up to {number(max(loads), 2)}" if loads else "",
        "versions": "; ".join(_versions(records)),
        "revision": _distinct(
            (e.git_revision or "")[:7] + ("+" if e.git_dirty else "") for e in environments
        ),
    }
    return tuple((name, text) for name, text in facts.items() if text)


def _versions(records: list[Record]) -> list[str]:
    shown = ("torch", "curvlinops-for-pytorch", "dattri", "pyDVL")
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, version in record.environment.versions.items():
            found[name].add(version)
    return [f"{name} {', '.join(sorted(found[name]))}" for name in shown if name in found]


def _distinct(texts: Iterable[str]) -> str:
    return ", ".join(sorted({text for text in texts if text}))


# --- solvers -----------------------------------------------------------------------------------


def _solvers(records: list[SolverRecord]) -> Grid | None:
    if not records:
        return None
    by_name: dict[str, dict[Rule, SolverRecord]] = defaultdict(dict)
    for record in records:
        by_name[record.name][record.damping.rule] = record
    rules = [rule for rule in RULES if any(rule in found for found in by_name.values())]
    best = {
        (rule, tolerance): min(
            (s for found in by_name.values() if (s := _seconds(found.get(rule), tolerance))),
            default=None,
        )
        for rule in rules
        for tolerance in TOLERANCES
    }
    official = next((f for f in by_name.values() if _any(f).family == "official"), {})
    lines = []
    for found in sorted(by_name.values(), key=_order):
        any_record = _any(found)
        cells = [
            _time_cell(found.get(rule), tolerance, best[rule, tolerance])
            for rule in rules
            for tolerance in TOLERANCES
        ]
        ratio = _over_official(official.get(MAIN), found.get(MAIN))
        memory = next((r.peak_memory for r in found.values() if r.peak_memory is not None), None)
        cells += [
            Cell(_products(found.get(MAIN))),
            Cell("–" if memory is None else number(memory / 2**20, 3)),
            Cell("–" if ratio is None else number(ratio, 2)),
        ]
        remark = any_record.source
        lines.append(Line(any_record.title, remark, tuple(cells)))
    tolerances = tuple(f"{tolerance:g}" for tolerance in TOLERANCES)
    groups = [(f"{RULES[rule]}, s to", tolerances) for rule in rules]
    groups.append(("", (f"products to {TOLERANCES[-1]:g}", "peak MB", "× official")))
    return Grid(tuple(groups), tuple(lines))


def _any(found: dict[Rule, SolverRecord]) -> SolverRecord:
    return next(iter(found.values()))


def _order(found: dict[Rule, SolverRecord]) -> tuple[int, float, str]:
    """Ours, libraries, the baseline; each by the time to 1e-2 at the main damping."""
    record = _any(found)
    family = ("ours", "peer", "official").index(record.family)
    return family, _seconds(found.get(MAIN), 1e-2) or float("inf"), record.title


def _outcome(record: SolverRecord | None, tolerance: float) -> Outcome | None:
    return None if record is None else record.outcome(tolerance)


def _seconds(record: SolverRecord | None, tolerance: float) -> float | None:
    outcome = _outcome(record, tolerance)
    return None if outcome is None else outcome.median


def _time_cell(record: SolverRecord | None, tolerance: float, best: float | None) -> Cell:
    outcome = _outcome(record, tolerance)
    if outcome is None:
        return Cell("–")
    if outcome.median is None:
        reached = outcome.residual
        ended = f"ends at {number(reached, 2)}" if reached is not None else "misses"
        return Cell("fails" if outcome.state == "failed" else ended)
    few = len(outcome.seconds) < _FULL_ROUNDS
    text = number(outcome.median, 3) + (f" ({len(outcome.seconds)})" if few else "")
    return Cell(text, best=outcome.median == best)


def _products(record: SolverRecord | None) -> str:
    outcome = _outcome(record, TOLERANCES[-1])
    if outcome is None or outcome.products is None or outcome.state != "reached":
        return "–"
    return f"{outcome.products:.3g}"


def _over_official(official: SolverRecord | None, record: SolverRecord | None) -> float | None:
    """Its whole run over the time to the first tolerance that is no worse than it reached."""
    run = _outcome(official, TOLERANCES[0])
    if run is None or not run.seconds or run.residual is None:
        return None
    whole = sorted(run.seconds)[len(run.seconds) // 2]
    within = [t for t in TOLERANCES if t <= run.residual] or [TOLERANCES[-1]]
    seconds = _seconds(record, within[0])
    if record is official or seconds is None:
        return None
    return whole / seconds


# --- operators ---------------------------------------------------------------------------------


def _operators(records: list[OperatorRecord]) -> Grid | None:
    if not records:
        return None
    gradient = next((r for r in records if r.role == "gradient"), None)
    roles = ("gradient", "product", "minibatch")
    ordered = sorted(records, key=lambda r: (roles.index(r.role), r.median))
    return Grid(
        (
            (
                "",
                (
                    "ms",
                    "× gradient",
                    "µs a row",
                    "GFLOP",
                    "GFLOP/s",
                    "of matmul peak",
                    "MB of rows",
                    "of bandwidth",
                    "rel. error",
                    "set-up, ms",
                ),
            ),
        ),
        tuple(Line(r.title, "", tuple(map(Cell, _pass(r, gradient)))) for r in ordered),
    )


def _pass(record: OperatorRecord, gradient: OperatorRecord | None) -> list[str]:
    seconds = record.median
    whole = gradient is not None and record.rows == gradient.rows
    speed, moved = record.flops / seconds, record.bytes / seconds
    return [
        number(seconds * 1e3),
        number(seconds / gradient.median) if gradient is not None and whole else "–",
        number(seconds / record.rows * 1e6),
        number(record.flops / 1e9),
        number(speed / 1e9),
        f"{100 * speed / record.peak_flops:.0f} %",
        number(record.bytes / 1e6),
        f"{100 * moved / record.bandwidth:.0f} %",
        "–" if record.error is None else number(record.error, 2),
        number(record.setup * 1e3),
    ]
