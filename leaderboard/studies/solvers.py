"""The tables of solver timings, read from the records of the studies `solvers` and `products`."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.bench.record import (
    TOLERANCES,
    Outcome,
    ProductRecord,
    Rule,
    SolverInfo,
    SolverRecord,
)
from benchmark.records import Store
from leaderboard.charts import solvers as plot
from leaderboard.charts.solvers import RULES
from leaderboard.model.numbers import number
from leaderboard.model.section import (
    Cell,
    Chart,
    Facts,
    Grid,
    Line,
    Missing,
    Part,
    Section,
    bullets,
    grid,
)
from leaderboard.model.table import Evidence, slug

ORDER = 50
HEADING = "Inverse-Hessian solvers"

READING = (
    "Seconds until ‖b − (H + λI)x‖ is at most the tolerance times ‖b‖, set-up included: the median "
    "over five rounds, or as many as the number in brackets says. H is the Hessian of the mean "
    "loss over all rows. On one thread they are processor seconds, which a busy machine lengthens "
    "less than the wall clock. A solver that ends above the tolerance has no time: what it "
    "reached is given instead. Not run: a solve would take longer than the run's limit, about as "
    "long as is said. Missing: planned, but not measured yet.",
    "The libraries are told beforehand the fewest iterations that reach the tolerance, which they "
    "do not find by themselves; that search is off the clock. The official recursion is that "
    "of Zhang et al. (2024): 10 chains of 1,000 steps on 10 rows each.",
    "A product over several processes is timed by the wall clock, and so is the product of a "
    "single process beside it. Its share of the matmul peak is of the peak with as many threads.",
    "The matmul peak is the speed of a large square product by whichever of torch's kernels is the "
    "faster one, torch.mm's or, on a CPU, oneDNN's, in the same run.",
    "× official, at λ = 0.1 ‖H‖: the recursion's whole run over the time to the first tolerance "
    "that is no worse than what the recursion reached.",
)

MISSING = "no solver has been timed here yet."

#: The damping of the columns that need one.
MAIN: Rule = "0.1-norm"

_SECONDS = "Seconds to a relative residual, median of the rounds. Bold: fastest."
_PASS = "One pass over the rows, median of the rounds."
_FULL_ROUNDS = 5
# characters of a remark
_NOTE = 200

Record = SolverRecord | ProductRecord
#: Dampings and names of solvers that are planned and have no record, by device and system's name.
Lacking = Mapping[tuple[str, str], Collection[tuple[str, str]]]


@dataclass(frozen=True)
class SystemTables:
    """One system on one device.

    Attributes:
        facts: what it is and where it was timed, by name.
        solvers, operators: None if there is no record of that kind.
        notes: why a solver has neither a time nor a residual, one a solver and reason.
        command: what times the solvers, if that is planned and no record is there; else "".
        summary: the fastest solver; "" where none reaches the tolerance.
    """

    slug: str
    title: str
    device: str
    facts: tuple[tuple[str, str], ...]
    solvers: Grid | None
    operators: Grid | None
    notes: tuple[str, ...] = ()
    command: str = ""
    summary: str = ""

    @property
    def section(self) -> Section:
        """The tables with what is missing, why, and the setting, folded: there are many systems."""
        parts: list[Part] = []
        if self.command:
            parts.append(Missing(MISSING, self.command))
        if self.solvers:
            parts.append(self.solvers)
        parts += bullets(self.notes, "quiet")
        if self.operators:
            parts.append(self.operators)
        if self.facts:
            parts.append(Facts(self.facts, "Setting"))
        return Section(
            self.slug,
            self.title,
            parts=tuple(parts),
            summary=self.summary,
            aside=self.device,
            folded=True,
        )


def sections(evidence: Evidence) -> list[Section]:
    """The tables by system, and a plot a device; nothing without a record or a plan."""
    records, lacking = read(evidence.results) if evidence.results else ([], {})
    if not records and not lacking:
        return []
    tables = [table.section for table in timing_tables(records, lacking)]
    parts: tuple[Part, ...] = (*tables, *_charts(records))
    return [Section("solvers", HEADING, READING, parts, _summary(records))]


def _charts(records: list[Record]) -> list[Chart]:
    timed = [record for record in records if isinstance(record, SolverRecord)]
    charts = []
    for where in sorted({device(record) for record in timed}):
        here = [record for record in timed if device(record) == where]
        path = f"plots/{plot.NAME}-{slug(where)}.svg"
        charts.append(Chart(path, f"{where}: {plot.CAPTION}", plot.draw, (here,)))
    return charts


def _summary(records: list[Record]) -> str:
    """On how many systems one of ours is the fastest to 0.01 at the main damping."""
    best: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for record in records:
        if not isinstance(record, SolverRecord) or record.damping.rule != MAIN:
            continue
        if (seconds := _seconds(record, TOLERANCES[1])) is not None:
            found = best[device(record), record.system.name]
            found[record.solver.family] = min(seconds, found.get(record.solver.family, seconds))
    both = [found for found in best.values() if {"ours", "peer"} <= found.keys()]
    won = sum(found["ours"] < found["peer"] for found in both)
    if not both:
        return ""
    return (
        f"Ours is the fastest solver to a residual of {TOLERANCES[1]:g} on {won} of the "
        f"{len(both)} systems that a library's solver was timed on as well."
    )


def read(results: Path) -> tuple[list[Record], Lacking]:
    """Every record of the timings, by path, and what is planned beside them.

    Raises:
        LetheError: if a record or a table of contents is damaged.
    """
    store = Store(results)
    solvers = store.gathered("solvers", SolverRecord)
    products = store.gathered("products", ProductRecord)
    found = [*(solvers.records if solvers else ()), *(products.records if products else ())]
    there = {record.path for record in found}
    lacking: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for path in store.contents("solvers").pieces if solvers else ():
        if path not in there:
            kind, system, rule, name = path.removesuffix(".json").split("/")[1:]
            lacking[kind, system].append((rule, name))
    return found, dict(lacking)


def timing_tables(records: Iterable[Record], lacking: Lacking | None = None) -> list[SystemTables]:
    """The tables, by device and system; a planned system without records has its place."""
    grouped: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        grouped[device(record), record.system.name].append(record)
    every = [record for found in grouped.values() for record in found]
    kinds = {device(record): record.environment.device for record in every}
    planned = _placed(lacking or {}, kinds, grouped)
    names = _Names(
        {record.system.name: record.system.title for record in every},
        {r.solver.name: r.solver for r in every if isinstance(r, SolverRecord)},
    )
    return [
        _tables(
            where,
            _slug(where, kinds, name),
            name,
            grouped[where, name],
            planned.get((where, name), ()),
            names,
        )
        for where, name in sorted({*grouped, *planned})
    ]


@dataclass(frozen=True)
class _Names:
    """Titles of systems, and who solvers are, by name: of all that have a record anywhere."""

    systems: Mapping[str, str]
    solvers: Mapping[str, SolverInfo]

    def solver(self, name: str) -> SolverInfo:
        """Who it is; what no record knows is a library that is installed nowhere."""
        unknown = SolverInfo(name=name, title=name, family="peer", source="")
        return self.solvers.get(name, unknown)


def _placed(lacking: Lacking, kinds: dict[str, str], timed: Iterable[tuple[str, str]]) -> Lacking:
    """What is lacking, by where and system's name; a plan knows no GPU's name, records do.

    A system that no GPU has timed yet has its place with the first one.

    Args:
        lacking: of all kinds of devices.
        kinds: `cpu` or `cuda`, by where it was timed.
        timed: where and system's name of what has records.
    """
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for where, name in sorted(timed):
        places[kinds[where], name].append(where)
    first = {kind: where for where, kind in sorted(kinds.items(), reverse=True)}
    return {
        (where, system): solves
        for (kind, system), solves in lacking.items()
        for where in places[kind, system] or [first.get(kind, kind)]
    }


def _slug(where: str, kinds: dict[str, str], name: str) -> str:
    """The system's name in addresses, with the GPU's where several were used."""
    kind = kinds.get(where, where)
    alone = sum(other == kind for other in kinds.values()) < 2
    card = "" if alone else slug(where.removeprefix(kind).lower())
    return "-".join(filter(None, ["bench", kind, card, name]))


def _tables(
    where: str,
    slug: str,
    name: str,
    records: list[Record],
    lacking: Collection[tuple[str, str]],
    names: _Names,
) -> SystemTables:
    """Tables of one system, from its records and what is lacking."""
    timed = [r for r in records if isinstance(r, SolverRecord)]
    return SystemTables(
        slug=slug,
        title=names.systems.get(name, name),
        device=where,
        facts=_facts(records) if records else (),
        solvers=_solvers(_rows(timed, lacking, names)) if timed else None,
        operators=_operators([r for r in records if isinstance(r, ProductRecord)]),
        notes=_notes(_rows(timed, (), names)),
        command="" if timed or not lacking else _command(where, name),
        summary=_fastest(timed),
    )


def _fastest(records: list[SolverRecord]) -> str:
    """The solver that is first at the middle tolerance and the main damping, in words."""
    times = {
        record.solver.title: seconds
        for record in records
        if record.damping.rule == MAIN and (seconds := _seconds(record, TOLERANCES[1])) is not None
    }
    if not times:
        return ""
    best = min(times, key=times.__getitem__)
    return f"{best} first, {number(times[best])} s to {TOLERANCES[1]:g} at {RULES[MAIN]}"


def _command(where: str, system: str) -> str:
    options = "" if where == "cpu" else f" --device {where.partition(' ')[0]}"
    return f"lethe solvers --system {system} --results leaderboard/results{options}"


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


@dataclass(frozen=True)
class _Row:
    """A solver on a system.

    Attributes:
        solver: who it is.
        records: by damping.
        lacking: the dampings that it should have a record of, and has none.
    """

    solver: SolverInfo
    records: dict[str, SolverRecord]
    lacking: tuple[str, ...]


def _rows(
    records: list[SolverRecord], lacking: Collection[tuple[str, str]], names: _Names
) -> list[_Row]:
    """Every solver that has a record or should have one."""
    by_name: dict[str, dict[str, SolverRecord]] = defaultdict(dict)
    for record in records:
        by_name[record.solver.name][record.damping.rule] = record
    absent: dict[str, list[str]] = defaultdict(list)
    for rule, name in lacking:
        absent[name].append(rule)
    rows = [
        _Row(names.solver(name), by_name[name], tuple(absent[name]))
        for name in [*by_name, *(name for name in absent if name not in by_name)]
    ]
    return sorted(rows, key=_order)


def _solvers(rows: list[_Row]) -> Grid:
    rules = [r for r in RULES if any(r in row.records or r in row.lacking for row in rows)]
    best = {
        (rule, tolerance): min(
            (s for row in rows if (s := _seconds(row.records.get(rule), tolerance))),
            default=None,
        )
        for rule in rules
        for tolerance in TOLERANCES
    }
    official = next((row.records for row in rows if row.solver.family == "official"), {})
    lines = []
    for row in rows:
        found = row.records
        cells = [
            _time_cell(row, rule, tolerance, best[rule, tolerance])
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
        lines.append(Line(row.solver.title, row.solver.source, tuple(cells)))
    tolerances = tuple(f"{tolerance:g}" for tolerance in TOLERANCES)
    groups = [(f"{RULES[rule]}, s to", tolerances) for rule in rules]
    groups.append(("", (f"products to {TOLERANCES[-1]:g}", "peak MB", "× official")))
    return Grid(tuple(groups), tuple(lines), "Solver", _SECONDS)


def _order(row: _Row) -> tuple[int, float, str]:
    """Ours, libraries, the baseline; each by the time to 1e-2 at the main damping."""
    family = ("ours", "peer", "official").index(row.solver.family)
    return family, _seconds(row.records.get(MAIN), 1e-2) or float("inf"), row.solver.title


def _outcome(record: SolverRecord | None, tolerance: float) -> Outcome | None:
    return None if record is None else record.outcome(tolerance)


def _seconds(record: SolverRecord | None, tolerance: float) -> float | None:
    outcome = _outcome(record, tolerance)
    return None if outcome is None else outcome.median


def _time_cell(row: _Row, rule: Rule, tolerance: float, best: float | None) -> Cell:
    outcome = _outcome(row.records.get(rule), tolerance)
    if outcome is None:
        return Cell("missing", missing=True) if rule in row.lacking else Cell("–")
    if outcome.state == "not run":
        estimate = outcome.estimate
        return Cell("not run", aside="" if estimate is None else f"≈ {number(estimate, 2)} s")
    if outcome.median is None:
        reached = outcome.residual
        ended = f"ends at {number(reached, 2)}" if reached is not None else "misses"
        return Cell("fails" if outcome.state == "failed" else ended)
    few = len(outcome.seconds) < _FULL_ROUNDS
    text = number(outcome.median, 3) + (f" ({len(outcome.seconds)})" if few else "")
    return Cell(text, best=outcome.median == best)


def _notes(rows: list[_Row]) -> tuple[str, ...]:
    """The recorded reasons behind cells without a number, in the order of the table."""
    found = [
        f"{row.solver.title}: {' '.join(outcome.remark.split())}"
        for row in rows
        for record in row.records.values()
        for outcome in record.outcomes
        if outcome.state in ("failed", "missed") and outcome.residual is None and outcome.remark
    ]
    return tuple(textwrap.shorten(note, _NOTE, placeholder=" …") for note in dict.fromkeys(found))


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


def _operators(records: list[ProductRecord]) -> Grid | None:
    if not records:
        return None
    gradient = next((r for r in records if r.product.role == "gradient"), None)
    roles = ("gradient", "product", "minibatch")
    ordered = sorted(records, key=lambda r: (roles.index(r.product.role), r.median))
    lines = [Line(r.product.title, "", tuple(map(Cell, _pass(r, gradient)))) for r in ordered]
    return grid(_OPERATOR_COLUMNS, lines, "One pass", _PASS)


_OPERATOR_COLUMNS = (
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
)


def _pass(record: ProductRecord, gradient: ProductRecord | None) -> list[str]:
    seconds = record.median
    whole = gradient is not None and record.product.rows == gradient.product.rows
    speed, moved = record.flops / seconds, record.bytes / seconds
    return [
        number(seconds * 1e3),
        number(seconds / gradient.median) if gradient is not None and whole else "–",
        number(seconds / record.product.rows * 1e6),
        number(record.flops / 1e9),
        number(speed / 1e9),
        f"{100 * speed / (record.product.processes * record.peak_flops):.0f} %",
        number(record.bytes / 1e6),
        f"{100 * moved / record.bandwidth:.0f} %",
        "–" if record.error is None else number(record.error, 2),
        number(record.setup * 1e3),
    ]
