"""What the board shows beside the tables of experiments: answers and studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.studies import audit_record, inverse_hessian_record, quality_record, slack_record
from leaderboard.answers import answers
from leaderboard.answers.answer import Answer, Evidence
from leaderboard.charts import BenchSection, Chart, SlackSection, draw_bench, draw_slack
from leaderboard.model.section import Grid
from leaderboard.model.table import Table
from leaderboard.studies.audit import audit_grid
from leaderboard.studies.inverse_hessian import inverse_hessian_grid
from leaderboard.studies.quality import QualitySection, quality_sections
from leaderboard.studies.solvers import load_bench


@dataclass(frozen=True)
class Sections:
    """Everything but the tables, in the order of the page; what there is no record of is absent.

    Attributes:
        answers: what the records answer, one a question.
        quality: of forget quality, one an experiment.
        slack: of the slack study.
        audit: of the model-level audit.
        inverse: of the inverse-Hessian study.
        bench: of the inverse-Hessian bench.
    """

    answers: Sequence[Answer] = ()
    quality: Sequence[QualitySection] = ()
    slack: SlackSection | None = None
    audit: Grid | None = None
    inverse: Grid | None = None
    bench: BenchSection | None = None

    @property
    def charts(self) -> list[Chart]:
        """All plots."""
        return [
            *(chart for answer in self.answers for chart in answer.charts),
            *(chart for section in self.quality for chart in section.charts),
            *([self.slack.chart] if self.slack else []),
            *(self.bench.charts if self.bench else []),
        ]


def load_sections(results: Path, bench: Path, tables: list[Table]) -> Sections:
    """The sections that the records give.

    Args:
        results: a results folder.
        bench: the folder of `make bench`.
        tables: of the results.

    Raises:
        LetheError: if a record is damaged.
    """
    slack = slack_record.read(results)
    audit = audit_record.read(results)
    inverse = inverse_hessian_record.read(results)
    return Sections(
        answers=answers(Evidence(tables, quality_record.read_all(results))),
        quality=quality_sections(results, tables),
        slack=draw_slack(slack) if slack else None,
        audit=audit_grid(audit) if audit else None,
        inverse=inverse_hessian_grid(inverse) if inverse else None,
        bench=draw_bench(*load_bench(bench)),
    )
