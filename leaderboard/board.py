"""Writing the board, and checking that the one on disk is what the records give."""

from __future__ import annotations

from pathlib import Path

from benchmark.files import replace_file
from benchmark.studies import audit_record, inverse_hessian_record, slack_record
from leaderboard.audits import audit_grid
from leaderboard.charts import draw_bench, draw_charts, draw_slack
from leaderboard.inverse_hessian import inverse_hessian_grid
from leaderboard.markdown import render_markdown
from leaderboard.page import render_page
from leaderboard.quality import quality_sections
from leaderboard.solvers import load_bench
from leaderboard.spreadsheet import render_csv
from leaderboard.table import load


def build(results: Path, out: Path) -> list[Path]:
    """Write the board of the records in `results` to `out`, and drop plots it no longer has.

    Args:
        results: a results folder, see `benchmark.records.Store`.
        out: gets `README.md`, `board.csv`, `index.html` and `plots/*.svg`; the records of
            `make bench` are in its folder `bench`, if there are any.

    Returns:
        The files written.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    files = _render(results, out)
    for name, content in files.items():
        replace_file(out / name, content)
    for name in _plots(out) - set(files):
        (out / name).unlink()
    return [out / name for name in files]


def check(results: Path, out: Path) -> list[str]:
    """Names, relative to `out`, of the files that `build` would change, add or remove.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    files = _render(results, out)
    changed = {name for name, content in files.items() if _read(out / name) != content}
    return sorted(changed | (_plots(out) - set(files)))


def _render(results: Path, out: Path) -> dict[str, bytes]:
    """Every file of the board, by its name relative to the board's folder."""
    tables = load(results)
    charts = {table.slug: draw_charts(table) for table in tables}
    study = slack_record.read(results)
    slack = draw_slack(study) if study else None
    bench = draw_bench(load_bench(out / "bench"))
    audited = audit_record.read(results)
    audit = audit_grid(audited) if audited else None
    inverses = inverse_hessian_record.read(results)
    quality = quality_sections(results)
    sections = {
        "slack": slack,
        "audit": audit,
        "inverse": inverse_hessian_grid(inverses) if inverses else None,
        "bench": bench,
        "forgotten": quality,
    }
    files = {
        "README.md": render_markdown(tables, charts, **sections).encode(),
        "board.csv": render_csv(tables).encode(),
        "index.html": render_page(tables, charts, **sections).encode(),
    }
    drawn = [chart for of_table in charts.values() for chart in of_table]
    drawn += [slack.chart] if slack else []
    drawn += bench.charts if bench else []
    drawn += [chart for section in quality for chart in section.charts]
    return files | {chart.path: chart.svg for chart in drawn}


def _plots(out: Path) -> set[str]:
    return {f"plots/{path.name}" for path in out.glob("plots/*.svg")}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
