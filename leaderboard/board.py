"""Writing the board, and checking that the one on disk is what the records give."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.errors import LetheError
from benchmark.files import as_bytes, replace_file
from leaderboard.charts import Chart, draw_charts
from leaderboard.model.chart import is_drawn
from leaderboard.model.table import load
from leaderboard.render.html import render_page
from leaderboard.render.markdown import render_markdown
from leaderboard.render.spreadsheet import render_csv
from leaderboard.sections import load_sections

#: Holds the names of the files that the board wrote beside it: nothing else is replaced.
_LIST = ".board"
_ROOT = Path(__file__).resolve().parents[1]


def build(results: Path, out: Path) -> list[Path]:
    """Write the board of the records in `results` to `out`, and drop what it no longer has.

    Only what a board wrote is replaced or dropped. A plot is drawn if its data have changed.

    Args:
        results: a results folder, see `benchmark.records.Store`.
        out: gets `README.md`, `board.csv`, `index.html` and `plots/*.svg`; the records of
            `make bench` are in its folder `bench`, if there are any.

    Returns:
        The files written.

    Raises:
        LetheError: if there are no results, one of them is damaged, or a file is in the way.
    """
    pages, charts = _render(results, out)
    own, names = _written(out), {*pages, *charts}
    for name in _differing(out, pages, charts) - own:
        if (out / name).exists():
            raise LetheError(
                f"{out / name} was not written by the board and would be replaced: move it, or "
                "name another folder with --to"
            )
    _list(out, own | names)  # first, so that a board that is stopped here knows its files
    for name, content in pages.items():
        replace_file(out / name, content)
    for name in _differing(out, {}, charts):
        replace_file(out / name, charts[name].svg)
    for name in own - names:
        (out / name).unlink(missing_ok=True)
    _list(out, names)
    return [out / name for name in (*pages, *charts)]


def check(results: Path, out: Path) -> list[str]:
    """Names, relative to `out`, of the files that `build` would change, add or remove.

    A plot is compared by the data that it was drawn from.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    pages, charts = _render(results, out)
    gone = {name for name in _written(out) - {*pages, *charts} if (out / name).exists()}
    return sorted(_differing(out, pages, charts) | gone)


def _differing(out: Path, pages: dict[str, bytes], charts: dict[str, Chart]) -> set[str]:
    """Names of the files in `out` that are not what the board would write, or missing."""
    return {name for name, content in pages.items() if _read(out / name) != content} | {
        name for name, chart in charts.items() if not chart.is_in(_read(out / name))
    }


def _render(results: Path, out: Path) -> tuple[dict[str, bytes], dict[str, Chart]]:
    """Every page and every plot of the board, by name relative to the board's folder."""
    tables = load(results)
    charts = {table.slug: draw_charts(table) for table in tables}
    sections = load_sections(results, out / "bench", tables)
    renderers = {
        "README.md": lambda: render_markdown(tables, charts, sections),
        "board.csv": lambda: render_csv(tables),
        "index.html": lambda: render_page(tables, charts, sections, _place(results)),
    }
    # bytes at once, as a text of 50 MB takes 100 or 200
    pages = {name: as_bytes(render()) for name, render in renderers.items()}
    drawn = [chart for of_table in charts.values() for chart in of_table] + sections.charts
    return pages, {chart.path: chart for chart in drawn}


def _place(results: Path) -> str:
    """The folder as seen from the repository's root; as it was given where it lies elsewhere."""
    whole = results.resolve()
    return (whole.relative_to(_ROOT) if whole.is_relative_to(_ROOT) else results).as_posix()


def _written(out: Path) -> set[str]:
    """Names of the files in `out` that a board wrote.

    Where there is no list, as in a fresh clone, a board's page in Markdown vouches for the rest.
    """
    listed = _read(out / _LIST)
    if listed is not None:
        return {name for name in listed.decode(errors="replace").splitlines() if _is_inside(name)}
    page = _read(out / "README.md") or b""
    if not page.startswith(b"# Leaderboard\n") or b"[board.csv](board.csv)" not in page:
        return set()
    drawn = (path for path in out.glob("plots/*.svg") if is_drawn(path.read_bytes()))
    plots = {f"plots/{path.name}" for path in drawn}
    return {"README.md", "board.csv", "index.html", *plots}


def _is_inside(name: str) -> bool:
    """Whether a name in the list is one that a board gives."""
    return re.fullmatch(r"(plots/)?[\w.-]+", name) is not None and ".." not in name


def _list(out: Path, names: set[str]) -> None:
    replace_file(out / _LIST, as_bytes("".join(f"{name}\n" for name in sorted(names))))


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
