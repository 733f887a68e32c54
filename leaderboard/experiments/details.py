"""What stands below a table: claims, what was measured besides, phases, data and machine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from benchmark.contract.claim import (
    Algorithm,
    Alternative,
    Claim,
    Constant,
    Construction,
    Distance,
)
from benchmark.contract.definition import Definition, find
from benchmark.records import Record, Step
from leaderboard.model import words
from leaderboard.model.columns import ASIDE
from leaderboard.model.numbers import number, span
from leaderboard.model.section import (
    Cell,
    Facts,
    Grid,
    Line,
    Part,
    Section,
    bullets,
    grid,
    paragraph,
)
from leaderboard.model.shown import NOTHING, gaussian, shown
from leaderboard.model.table import Row, Table

_HASH_DIGITS = 12


_Pairs = list[tuple[str, str]]


def claim_parts(row: Row) -> tuple[Part, ...]:
    """The claim of the row's first seed that has one: what is published of it, and what is not."""
    for seed, record in row.done.items():
        if record.claim is not None:
            # nothing adds up where every release is exact
            stream = record.stream if record.claim.epsilon else ()
            return (
                _published_section(row, seed, record.claim),
                *_withheld_section(record.claim),
                *([_releases(stream)] if stream else []),
            )
    return ()


def _published_section(row: Row, seed: int, claim: Claim) -> Section:
    """Definition, guarantee, constants and caveats: what an observer is told."""
    definition = find(claim.definition)
    varies = _varies(row.claims)
    shown_is = f"Shown is the claim of seed {seed}{f'; over seeds, {varies}' if varies else ''}."
    told = f"{definition.title} ({definition.name}): {definition.words} {definition.source}."
    return Section(
        f"row-{row.label}-published",
        "What is published",
        parts=(
            *paragraph(f"{_told(claim, definition)} {shown_is}", "quiet"),
            Facts((("definition", told), *_published(claim))),
            *_constants("Constants", claim.constants),
            *bullets([f"Caveat: {caveat}" for caveat in claim.caveats]),
        ),
    )


def _withheld_section(claim: Claim) -> tuple[Part, ...]:
    """Why this release is within what is published, for the reader of the benchmark alone."""
    withheld = _withheld(claim)
    if not withheld:
        return ()
    evidence = claim.evidence
    parts: tuple[Part, ...] = (*paragraph(words.WITHHELD, "quiet"), Facts(tuple(withheld)))
    if isinstance(evidence, Distance):
        parts += _constants("Measured", evidence.measured)
        parts += _alternatives(evidence.alternatives)
    return (Section("", "What only the reader of the benchmark sees", parts=parts),)


def _constants(caption: str, found: Sequence[Constant]) -> tuple[Grid, ...]:
    """Constants with what each is known by; nothing without any."""
    if not found:
        return ()
    lines = []
    for c in found:
        cells = (Cell(number(c.value)), Cell(c.provenance, badge=c.provenance), Cell(c.meaning))
        lines.append(Line(c.name, "", cells))
    return (grid(("value", "provenance", "meaning"), lines, "name", caption),)


def _alternatives(found: Sequence[Alternative]) -> tuple[Grid, ...]:
    """Bounds that the noise is not made for; nothing without any."""
    if not found:
        return ()
    lines = [
        Line(
            words.statement(other.theorem),
            "",
            (Cell(number(other.value)), Cell("yes" if other.proved else "no")),
        )
        for other in found
    ]
    return (grid(("Δ", "proved"), lines, "bound", "Other bounds on the same distance"),)


def _releases(stream: Sequence[Step]) -> Grid:
    """Every release of a stream: what is published of it, and what is not."""
    published = ("ε alone", "ε of all so far, whatever they are", "bound Δ", "noise σ")
    withheld = ("ε of all so far, as measured", "bound reached", "steps", "seconds")
    lines = []
    for place, step in enumerate(stream, 1):
        shown = (step.epsilon, step.composed_epsilon, step.bound, step.sigma)
        values = (*shown, step.measured_epsilon, step.reached)
        cells = [Cell(NOTHING if value is None else number(value)) for value in values]
        cells.append(Cell(NOTHING if step.steps is None else str(step.steps)))
        lines.append(Line(str(place), "", (*cells, Cell(number(step.seconds)))))
    groups = (("published", published), ("not published", withheld))
    return Grid(groups, tuple(lines), "release", "Releases, one after the other")


def _varies(claims: list[Claim]) -> str:
    """What differs between seeds, as far as can be seen."""
    spans = {
        "ε": span([claim.epsilon for claim in claims]),
        "the bound": _span(claim.bound for claim in claims),
        "σ": _span(getattr(claim.evidence, "sigma", None) for claim in claims),
    }
    return ", ".join(f"{name} is {text}" for name, text in spans.items() if " to " in text)


def _span(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return span(known) if known else ""


def _told(claim: Claim, definition: type[Definition]) -> str:
    fixed = definition.proves and not claim.open_constants
    return f"{words.PUBLISHED} {words.SAME if fixed else words.DEPENDS}"


def _published(claim: Claim) -> _Pairs:
    """Guarantee and noise."""
    evidence = claim.evidence
    guarantee = ", ".join(filter(None, [claim.guarantee.kind, gaussian([claim])]))
    facts = [
        ("guarantee", f"(ε, δ) = ({number(claim.epsilon)}, {number(claim.delta)})"),
        ("kind", f"{guarantee}. {words.GUARANTEES[claim.guarantee.kind]}"),
    ]
    if isinstance(evidence, Distance):
        facts += [
            ("bound Δ", f"{number(evidence.bound)}, the distance that the noise is made for"),
            ("noise σ", f"{number(evidence.sigma)} on every weight that is published"),
        ]
        if evidence.trivial is not None:
            facts.append(("Δ of doing nothing", number(evidence.trivial)))
    if isinstance(evidence, Algorithm):
        facts += [
            ("theorem", words.statement(evidence.theorem)),
            ("noise σ", f"{number(evidence.sigma)} at each of {evidence.steps:,} noisy steps"),
        ]
    if claim.projected:
        then = "projected onto a convex set that depends on no row: post-processing, on both sides"
        facts.append(("after the noise", then))
    return facts


def _withheld(claim: Claim) -> _Pairs:
    """Why this release is within what is published; nothing where the noise is inside."""
    evidence = claim.evidence
    if isinstance(evidence, Construction):
        return [("reason", evidence.reason)]
    if isinstance(evidence, Distance):
        return [
            ("theorem", words.statement(evidence.theorem)),
            ("bound reached", number(evidence.reached)),
        ]
    return []


def aside(row: Row) -> _Pairs:
    """What was measured besides the table's columns, means over seeds, and tests of the noise."""
    facts = [(c.heading, shown(row, c).line) for c in ASIDE if row.values(c)]
    noise = {s: r.metrics["noise_p"] for s, r in row.done.items() if "noise_p" in r.metrics}
    known = {seed: value for seed, value in noise.items() if value.value is not None}
    return facts + [(f"Noise, seed {seed}", value.note) for seed, value in known.items()]


def phases(row: Row) -> list[tuple[str, str]]:
    """Mean seconds of each named part of the answer, longest first."""
    times = [record.times.phases for record in row.done.values() if record.times]
    names = {name for parts in times for name in parts}
    means = {name: fmean([parts.get(name, 0.0) for parts in times]) for name in names}
    ordered = sorted(means, key=lambda name: (-means[name], name))
    return [(name.replace("_", " "), number(means[name])) for name in ordered]


def command(table: Table, row: Row, results: str) -> str:
    """What runs the row's first cell again; empty if the row has no record.

    Args:
        table: of the row.
        row: of the table.
        results: the folder of the records, as seen from the repository's root.
    """
    if not row.found:
        return ""
    seed = row.found[0].seeds.split
    path = f"{results}/{table.experiment}/{row.label}/seed-{seed}.json"
    return f".venv/bin/lethe reproduce {shlex.quote(path)}"


def seconds(row: Row) -> str:
    """What the row's first cell was timed at, one part after the other; empty without times."""
    times = row.found[0].times if row.found else None
    if times is None:
        return ""
    parts = {
        "to train": times.training,
        "to retrain": times.retrain,
        "once for all requests": times.precomputation,
        "to tune": times.tuning,
        "to unlearn": times.unlearn,
    }
    return ", ".join(f"{number(spent)} s {name}" for name, spent in parts.items() if spent)


def data(table: Table) -> list[tuple[str, str]]:
    """Rows of data and their content hashes."""
    known = [record.data for record in table.records if record.data is not None]
    facts = [
        ("data set", _list(info.name for info in known)),
        ("training rows", _list(info.train for info in known)),
        ("rows to forget", _list(info.forget for info in known)),
        ("test rows", _list(info.test for info in known)),
        ("never-trained rows", _list(info.negatives for info in known)),
    ]
    hashes = {
        (split, value[:_HASH_DIGITS]) for i in known for split, value in i.content_hash.items()
    }
    facts.append(("content hash", _list(f"{split} {value}…" for split, value in hashes)))
    return [(name, text) for name, text in facts if text]


def environment(table: Table) -> list[tuple[str, str]]:
    """Machine, software and revision of a table's records."""
    if not table.records:
        return []

    def all_of(read: Callable[[Record], object]) -> str:
        return _list(read(record) for record in table.records)

    loads = [r.environment.load_average for r in table.records]
    known = [load for load in loads if load is not None]
    versions = {item for r in table.records for item in r.environment.versions.items()}
    days = sorted(record.finished[:10] for record in table.records)
    return [
        ("CPU", all_of(lambda r: r.environment.cpu)),
        ("GPU", all_of(lambda r: r.environment.gpu or "none")),
        ("platform", all_of(lambda r: r.environment.platform)),
        ("threads", all_of(lambda r: r.environment.threads)),
        ("load average", f"{min(known):g} to {max(known):g}" if known else "not measured"),
        ("versions", _list(f"{name} {version}" for name, version in versions)),
        (
            "git revision",
            all_of(lambda r: (r.environment.git_revision or "unknown")[:_HASH_DIGITS]),
        ),
        ("uncommitted changes", _dirty([r.environment.git_dirty for r in table.records])),
        ("measured on", _list({days[0], days[-1]}).replace(", ", " to ")),
    ]


def _dirty(flags: list[bool | None]) -> str:
    if set(flags) == {None}:
        return "unknown: outside a git checkout"
    changed = flags.count(True)
    return f"yes, in {changed} of {len(flags)} records" if changed else "no"


def _list(items: Iterable[object]) -> str:
    return ", ".join(sorted({str(item) for item in items}))
