"""The soundness study's records: bounds and distances on some random problems each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

from benchmark.contract.value import LARGEST, Number
from benchmark.records import Envelope, study_path
from benchmark.studies.tally import Check, Tally

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
