"""Writing the board, and checking that the one on disk is what the records give."""

from __future__ import annotations

from pathlib import Path

from benchmark.files import replace_file
from leaderboard.charts import Chart, draw_charts
from leaderboard.markdown import render_markdown
from leaderboard.page import render_page
from leaderboard.sections import load_sections
from leaderboard.spreadsheet import render_csv
from leaderboard.table import load

_ROOT = Path(__file__).resolve().parents[1]


def build(results: Path, out: Path) -> list[Path]:
    """Write the board of the records in `results` to `out`, and drop plots it no longer has.

    Only plots whose data have changed are drawn.

    Args:
        results: a results folder, see `benchmark.records.Store`.
        out: gets `README.md`, `board.csv`, `index.html` and `plots/*.svg`; the records of
            `make bench` are in its folder `bench`, if there are any.

    Returns:
        The files written.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    pages, charts = _render(results, out)
    for name, content in pages.items():
        replace_file(out / name, content)
    for chart in charts:
        if not chart.is_in(_read(out / chart.path)):
            replace_file(out / chart.path, chart.svg)
    drawn = {chart.path for chart in charts}
    for name in _plots(out) - drawn:
        (out / name).unlink()
    return [out / name for name in (*pages, *drawn)]


def check(results: Path, out: Path) -> list[str]:
    """Names, relative to `out`, of the files that `build` would change, add or remove.

    A plot is compared by the data that it was drawn from.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    pages, charts = _render(results, out)
    changed = {name for name, content in pages.items() if _read(out / name) != content}
    changed |= {chart.path for chart in charts if not chart.is_in(_read(out / chart.path))}
    return sorted(changed | (_plots(out) - {chart.path for chart in charts}))


def _render(results: Path, out: Path) -> tuple[dict[str, bytes], list[Chart]]:
    """Every page of the board, by its name relative to the board's folder, and its plots."""
    tables = load(results)
    charts = {table.slug: draw_charts(table) for table in tables}
    sections = load_sections(results, out / "bench", tables)
    pages = {
        "README.md": render_markdown(tables, charts, sections).encode(),
        "board.csv": render_csv(tables).encode(),
        "index.html": render_page(tables, charts, sections, _place(results)).encode(),
    }
    return pages, [chart for of_table in charts.values() for chart in of_table] + sections.charts


def _place(results: Path) -> str:
    """The folder as seen from the repository's root; as it was given where it lies elsewhere."""
    whole = results.resolve()
    return (whole.relative_to(_ROOT) if whole.is_relative_to(_ROOT) else results).as_posix()


def _plots(out: Path) -> set[str]:
    return {f"plots/{path.name}" for path in out.glob("plots/*.svg")}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
