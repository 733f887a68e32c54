"""What a soundness study found, counted by method and bound."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table

from benchmark.metrics.slack import distance_slack

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
