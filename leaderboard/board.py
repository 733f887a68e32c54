"""Writing the board, and checking that the one on disk is what the records give."""

from __future__ import annotations

from pathlib import Path

from benchmark.files import replace_file
from leaderboard.charts import draw_charts
from leaderboard.markdown import render_markdown
from leaderboard.page import render_page
from leaderboard.sections import load_sections
from leaderboard.spreadsheet import render_csv
from leaderboard.table import load

_ROOT = Path(__file__).resolve().parents[1]


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
    sections = load_sections(results, out / "bench", tables)
    files = {
        "README.md": render_markdown(tables, charts, sections).encode(),
        "board.csv": render_csv(tables).encode(),
        "index.html": render_page(tables, charts, sections, _place(results)).encode(),
    }
    drawn = [chart for of_table in charts.values() for chart in of_table] + sections.charts
    return files | {chart.path: chart.svg for chart in drawn}


def _place(results: Path) -> str:
    """The folder as seen from the repository's root; as it was given where it lies elsewhere."""
    whole = results.resolve()
    return (whole.relative_to(_ROOT) if whole.is_relative_to(_ROOT) else results).as_posix()


def _plots(out: Path) -> set[str]:
    return {f"plots/{path.name}" for path in out.glob("plots/*.svg")}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
