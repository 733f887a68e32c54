"""What a soundness study found, counted by method and bound."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table

from benchmark.metrics.slack import distance_slack


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
        asked, refused: problems by method.
        untrained: seeds of problems that could not be trained to their tolerance.
        slow: methods that are asked about a sub-sample.
    """

    checks: dict[tuple[str, str], list[Check]] = field(default_factory=lambda: defaultdict(list))
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    untrained: list[int] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)

    def add(self, method: str, checks: tuple[Check, ...], refusal: str | None) -> None:
        """Count one answer."""
        self.asked[method] += 1
        self.refused[method] += refusal is not None
        for check in checks:
            self.checks[method, check.bound].append(check)

    @property
    def violations(self) -> list[Check]:
        """Every violated bound, by seed."""
        found = [check for checks in self.checks.values() for check in checks if check.violated]
        return sorted(found, key=lambda check: (check.seed, check.method, check.bound))

    def table(self) -> Table:
        """A line for each method and bound; the last three columns are its slack."""
        numbers = ("refused", "checked", "violated", "min", "median", "max")
        table = Table(box=None, pad_edge=False)
        table.add_column("method", overflow="fold", min_width=15)
        table.add_column("bound", no_wrap=True)
        for heading in numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        for method in self.asked:
            name = f"{method} (sub-sample)" if method in self.slow else method
            refused = str(self.refused[method])
            bounds = sorted(bound for owner, bound in self.checks if owner == method)
            for bound in bounds:
                table.add_row(name, bound, refused, *_summary(self.checks[method, bound]))
            if not bounds:
                table.add_row(name, "-", refused, "0", "0", "-", "-", "-")
        return table


def _summary(checks: list[Check]) -> tuple[str, ...]:
    violated = sum(check.violated for check in checks)
    slacks = [check.slack for check in checks if check.slack is not None]
    numbers = (min(slacks), median(slacks), max(slacks)) if slacks else ()
    shown = (f"{number:.3g}" for number in numbers)
    return str(len(checks)), str(violated), *shown
