"""All that the board rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmark.studies.quality_record import QualityRecord
from leaderboard.model.study import without_variations
from leaderboard.model.table import Table


@dataclass(frozen=True)
class Evidence:
    """The records of a board, as tables where there are some.

    Attributes:
        tables: of the experiments.
        quality: records of forget quality.
        results: the results folder; None where only the above count.
    """

    tables: list[Table]
    quality: list[QualityRecord] = field(default_factory=list)
    results: Path | None = None

    @property
    def problems(self) -> list[Table]:
        """The tables without those of studies that vary a problem's settings."""
        return without_variations(self.tables)
