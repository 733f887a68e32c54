"""What stands below a table: certificates, phases, data and machine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

from benchmark.contract.certificate import Certificate
from benchmark.records import Record, Step
from leaderboard.numbers import number, span
from leaderboard.table import Row, Table

_HASH_DIGITS = 12


@dataclass(frozen=True)
class Proof:
    """A row's certificate: that of `seed`, with the ranges of its scales over all seeds."""

    seed: int
    certificate: Certificate
    stream: tuple[Step, ...]
    sensitivity: str
    sigma: str

    @property
    def varies(self) -> bool:
        """Whether seeds differ, as far as can be seen."""
        return " to " in self.sensitivity + self.sigma


def proof(row: Row) -> Proof | None:
    """The certificate of the row's first seed that has one."""
    for seed, record in row.done.items():
        if record.certificate is not None:
            return Proof(
                seed=seed,
                certificate=record.certificate,
                stream=record.stream,
                sensitivity=span([c.sensitivity for c in row.certificates]),
                sigma=span([c.sigma for c in row.certificates]),
            )
    return None


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
