"""The soundness study's records: bounds and distances on random problems, and counts of them."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Literal

from rich.table import Table

from benchmark.contract.value import LARGEST, Number
from benchmark.metrics.slack import distance_slack
from benchmark.records import Envelope, study_path

# What a soundness study found, counted by method and bound.

#: Before the name of the bound that ended the steps to a public distance.
REACHED = "reached, "
#: After the name of a method that has a parameter off its default.
VARIED = ", varied"


@dataclass(frozen=True)
class Check:
    """One bound beside the distance that it is a bound on.

    Attributes:
        seed: of the random problem.
        bound: its name; `certified` is the one the noise is computed from.
        value, distance: L2 norms, before release noise.
    """

    seed: int
    method: str
    bound: str
    value: float
    distance: float

    @property
    def violated(self) -> bool:
        return not self.distance <= self.value  # a NaN is a violation, too

    @property
    def slack(self) -> float | None:
        """Bound over distance; None where the distance is 0, which any bound meets."""
        return distance_slack(self.value, self.distance)


@dataclass
class Tally:
    """Counts so far.

    Attributes:
        checks: by method and bound.
        asked: problems by method.
        refused: problems by method and reason, whatever the numbers in it.
        untrained: seeds of problems that could not be trained to their tolerance.
        slow: methods that are asked about a sub-sample.
    """

    checks: dict[tuple[str, str], list[Check]] = field(default_factory=lambda: defaultdict(list))
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    untrained: list[int] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)

    def add(self, method: str, checks: tuple[Check, ...], refusal: str | None) -> None:
        """Count one answer."""
        self.asked[method] += 1
        if refusal is not None:
            self.refused[method, re.sub(r"\d[\d.]*(e[+-]?\d+)?", "#", refusal)] += 1
        for check in checks:
            self.checks[method, check.bound].append(check)

    @property
    def violations(self) -> list[Check]:
        """Every violated bound, by seed."""
        found = [check for checks in self.checks.values() for check in checks if check.violated]
        return sorted(found, key=lambda check: (check.seed, check.method, check.bound))

    def reached(self, theorem: str) -> dict[str, list[float]]:
        """Slacks of the releases that this statement brought within their public distance.

        They stand by method; those of one with a parameter off its default are left out.
        """
        found: dict[str, list[float]] = {}
        for method in self.asked:
            checks = self.checks.get((method, REACHED + theorem), [])
            slacks = [check.slack for check in checks if check.slack is not None]
            if slacks and not method.endswith(VARIED):
                found[method] = slacks
        return found

    def table(self) -> Table:
        """A line for each method and bound; the last three columns are its slack."""
        table = Table(box=None, pad_edge=False)
        table.add_column("method", overflow="fold", min_width=15)
        table.add_column("bound", overflow="fold", min_width=12)
        for heading in ("checked", "violated", "min", "median", "max"):
            table.add_column(heading, justify="right", no_wrap=True)
        for method in self.asked:
            name = f"{method} (sub-sample)" if method in self.slow else method
            bounds = sorted(bound for owner, bound in self.checks if owner == method)
            for bound in bounds:
                table.add_row(name, bound, *_summary(self.checks[method, bound]))
            if not bounds:
                table.add_row(name, "-", "0", "0", "-", "-", "-")
        return table


def _summary(checks: list[Check]) -> tuple[str, ...]:
    violated = sum(check.violated for check in checks)
    slacks = [check.slack for check in checks if check.slack is not None]
    numbers = (min(slacks), median(slacks), max(slacks)) if slacks else ()
    shown = (f"{number:.3g}" if number < 1000 else f"{number:.0e}" for number in numbers)
    return str(len(checks)), str(violated), *shown


# The soundness study's records: bounds and distances on some random problems each.

SCHEMA: Final = 1
#: JSON has no word for what is not finite.
_Any = Number | Literal["inf", "nan"]


class SoundnessRecord(Envelope):
    """Random problems in a row.

    Attributes:
        first, count: seeds of the problems.
        requests: of each.
        asked: problems by method.
        slow: methods that were asked about the first few only.
        untrained: seeds of problems that could not be trained to their tolerance.
        refused: method, reason and how often.
        checks: seed, bound and distance, by method and by the name of the bound.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["soundness"] = "soundness"
    first: int
    count: int
    requests: int
    asked: dict[str, int]
    slow: tuple[str, ...]
    untrained: tuple[int, ...]
    refused: tuple[tuple[str, str, int], ...]
    checks: dict[str, dict[str, tuple[tuple[int, _Any, _Any], ...]]]

    @property
    def group(self) -> str:
        """The study."""
        return "soundness"

    @property
    def title(self) -> str:
        """The block."""
        return f"{'problems' if self.requests == 1 else 'streams'}-{self.first}-{self.count}"

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return path_of(self.title)

    def numbers(self) -> dict[str, Any]:
        """How many bounds were violated, and problems untrained.

        How many were checked, or refused, rests on how fast the machine is.
        """
        return {"violated": len(added([self]).violations), "untrained": len(self.untrained)}


def path_of(block: str) -> str:
    """Where a results folder keeps the record of a block."""
    return study_path("soundness", f"{block}.json")


def stored(tally: Tally) -> dict[str, Any]:
    """What a record says of a tally."""
    checks: dict[str, dict[str, list[tuple[int, float | str, float | str]]]] = {}
    for (method, bound), its in tally.checks.items():
        triples = [(check.seed, _word(check.value), _word(check.distance)) for check in its]
        checks.setdefault(method, {})[bound] = triples
    return {
        "asked": dict(tally.asked),
        "slow": tuple(sorted(tally.slow)),
        "untrained": tuple(tally.untrained),
        "refused": tuple((*what, count) for what, count in tally.refused.items()),
        "checks": checks,
    }


def added(records: Sequence[SoundnessRecord]) -> Tally:
    """What some records found together."""
    tally = Tally()
    for record in records:
        tally.asked.update(record.asked)
        tally.slow.update(record.slow)
        tally.untrained.extend(record.untrained)
        tally.refused.update({(m, reason): count for m, reason, count in record.refused})
        for method, bounds in record.checks.items():
            for bound, triples in bounds.items():
                its = (Check(n, method, bound, float(v), float(d)) for n, v, d in triples)
                tally.checks[method, bound].extend(its)
    return tally


def _word(number: float) -> float | str:
    """A number as JSON holds it; beyond what a record takes it is as good as infinite."""
    if math.isnan(number):
        return "nan"
    return number if number < LARGEST else "inf"
