"""Writing the board, and checking that the one on disk is what the records give."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.table import Table as RichTable

from benchmark.errors import LetheError
from benchmark.files import as_bytes, replace_file
from benchmark.studies import quality_record
from leaderboard import studies
from leaderboard.answers import answers
from leaderboard.board_readme import cards_section, column_meanings, glossary, reading, readme
from leaderboard.charts.tables import draw_charts
from leaderboard.experiments.problem import compact, problem_page
from leaderboard.front.front import render_front, same_front
from leaderboard.model.section import Cell, Chart, Line, Page, Section, grid, is_drawn
from leaderboard.model.table import Evidence, Table, by_data_set, load, short
from leaderboard.model.words import INTRODUCTION
from leaderboard.overview.overview import overview
from leaderboard.render.drawing import drawing
from leaderboard.render.pages import GENERATOR, render_html, render_markdown, render_terminal
from leaderboard.render.tables import render_csv, render_seeds

#: The plots that are committed: README.md, the docs and the board's README.md show them.
FIGURES = (
    "plots/scale.svg",
    "plots/slack.svg",
    "plots/budget.svg",
    "plots/nonconvergence.svg",
    "plots/ablation.svg",
    "plots/solvers-cpu.svg",
)
#: Folder of what is generated and never committed: a page a problem, and every plot.
SITE = "site"
#: Holds the names of the files that the board wrote beside it: nothing else is replaced.
_LIST = ".board"
#: Problems whose tables a terminal shows; of more it says what to use.
_IN_A_TERMINAL = 6
_A_TABLE = "The table of a problem: lethe table EXPERIMENT"
_COUNTS = "Rows of each problem's table, and the records that they rest on."
_ROOT = Path(__file__).resolve().parents[1]
_LINKS = (
    ("index.html: search, filter and compare", "index.html"),
    ("board.csv: means", "board.csv"),
    ("seeds.csv: every seed", "seeds.csv"),
)


def build(results: Path, out: Path) -> list[Path]:
    """Write the board of the records in `results` to `out`, and drop what it no longer has.

    Only what a board wrote is replaced or dropped. A plot is drawn if its data have changed.

    Args:
        results: a results folder, see `benchmark.records.Store`.
        out: gets `README.md`, `index.html`, `board.csv`, `seeds.csv`, a few plots, and `site/` with
            a page a problem and all plots.

    Returns:
        The files written.

    Raises:
        LetheError: if there are no results, one of them is damaged, or a file is in the way.
    """
    board = _Board(results, out)
    own, names = _written(out), board.names
    for name in names - own:
        if (out / name).exists() and not board.files[name].is_in(_read(out / name)):
            raise LetheError(
                f"{out / name} was not written by the board and would be replaced: move it, or "
                "name another folder with --to"
            )
    _list(out, own | names)  # first, so that a board that is stopped here knows its files
    with drawing(_stale(board.plots, out)):
        _write(board.texts, out)
    _write(board.plots, out)  # what a helper left
    for name in own - names:
        (out / name).unlink(missing_ok=True)
    _list(out, names)
    return [out / name for name in board.files]


def check(results: Path, out: Path) -> list[str]:
    """Names, relative to `out`, of the files that `build` would change, add or remove.

    A plot is compared by the data that it was drawn from. Where there is no `site/`, as in a fresh
    clone, the rest counts alone.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    board = _Board(results, out)
    whole = (out / SITE).is_dir()
    files = {name: f for name, f in board.files.items() if whole or not _in_site(name)}
    differing = {name for name, file in files.items() if not file.is_in(_read(out / name))}
    gone = {name for name in _written(out) - board.names if (out / name).exists()}
    return sorted(differing | gone)


def terminal_tables(
    results: Path, only: Mapping[str, Collection[str]] | None = None
) -> list[RichTable]:
    """A compact table for each experiment and device; of many that are ranked, what to use.

    Args:
        results: the folder of the records.
        only: by experiment the labels of the rows to show; every row of every one if None.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    tables, found = load(results), []
    if only is None and len(tables) > _IN_A_TERMINAL:
        ranked = overview(tables, quality_record.read_all(results))
        found = cards_section(ranked, because=False, caption=f"{_A_TABLE} --results {results}")
    if not found:
        shown = (compact(t, None if only is None else only.get(t.experiment, ())) for t in tables)
        found = [section for section in shown if section]
    return [table for section in found for table in render_terminal(section)]


# --- what a board has ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """A file that is rendered anew to be compared or written, and not kept."""

    render: Callable[[], str]
    same: Callable[[str, str], bool] = operator.eq

    def is_in(self, old: bytes | None) -> bool:
        """Whether the old file is the same."""
        return self.instead_of(old) is None

    def instead_of(self, old: bytes | None) -> bytes | None:
        """The file's content, None where the old one is the same."""
        text = self.render()
        same = old is not None and self.same(text, old.decode(errors="replace"))
        return None if same else as_bytes(text)


@dataclass(frozen=True)
class _Plot:
    """A plot in a file."""

    chart: Chart

    def is_in(self, old: bytes | None) -> bool:
        """Whether the old file was drawn from the same data."""
        return self.chart.is_in(old)

    def instead_of(self, old: bytes | None) -> bytes | None:
        """The file's content, None where the old one was drawn from the same data."""
        return None if self.is_in(old) else self.chart.svg


class _Board:
    """Every file of a board, none of them rendered before it is asked for."""

    def __init__(self, results: Path, out: Path) -> None:
        tables = load(results)
        self._results = _place(results)
        self._evidence = Evidence(tables, quality_record.read_all(results), results)
        self._answers = answers(self._evidence)
        self._studies = studies.sections(self._evidence)
        self._charts = {table.slug: draw_charts(table) for table in tables}

    @cached_property
    def files(self) -> dict[str, _Text | _Plot]:
        """Every file by its name relative to the board's folder."""
        return dict([*self._committed(), *self._site()])

    @property
    def names(self) -> set[str]:
        return set(self.files)

    @property
    def texts(self) -> dict[str, _Text]:
        return {name: file for name, file in self.files.items() if isinstance(file, _Text)}

    @property
    def plots(self) -> dict[str, _Plot]:
        return {name: file for name, file in self.files.items() if isinstance(file, _Plot)}

    @property
    def _figures(self) -> list[Chart]:
        """The plots of answers and studies."""
        return [*self._answers.figures, *(f for study in self._studies for f in study.figures)]

    def _committed(self) -> Iterator[tuple[str, _Text | _Plot]]:
        tables = self._evidence.tables
        shown = {chart.path: chart for chart in self._figures if chart.path in FIGURES}
        figures = [shown[path] for path in FIGURES if path in shown]
        found = overview(tables, self._evidence.quality)
        page = readme(found, self._answers, self._studies, figures)
        yield "README.md", _Text(lambda: render_markdown(page, _LINKS))
        yield (
            "index.html",
            _Text(
                lambda: render_front(found, self._answers, tables, self._results, self._studies),
                same_front,
            ),
        )
        yield "board.csv", _Text(lambda: render_csv(tables))
        yield "seeds.csv", _Text(lambda: render_seeds(tables))
        for chart in figures:
            yield chart.path, _Plot(chart)

    def _site(self) -> Iterator[tuple[str, _Text | _Plot]]:
        words, links = column_meanings(), self._links()
        for page in self._pages():
            yield f"{SITE}/{page.slug}.html", _html(_ready(page), links, words)
        for table in self._evidence.tables:
            yield f"{SITE}/{table.slug}.html", _html(self._problem(table), links, words)
        charts = [chart for of_table in self._charts.values() for chart in of_table]
        for chart in [*self._figures, *charts]:  # the largest are drawn first
            yield f"{SITE}/{chart.path}", _Plot(chart)

    def _problem(self, table: Table) -> Callable[[], Page]:
        return lambda: problem_page(table, self._charts[table.slug], self._results)

    def _pages(self) -> list[Page]:
        """The pages beside the problems'."""
        lead = " ".join(self._answers.reading)
        parts = tuple(part for part in self._answers.parts if isinstance(part, Section))
        return [
            Page("problems", "Problems", INTRODUCTION, _contents(self._evidence.tables)),
            Page("answers", self._answers.heading, lead, parts),
            *(Page(f"study-{one.slug}", one.heading, "", (one,)) for one in self._studies),
            Page("words", glossary().heading, "", (reading(), glossary())),
        ]

    def _links(self) -> list[tuple[str, str]]:
        return [("Front page", "../index.html")] + [
            (page.title, f"{page.slug}.html") for page in self._pages()
        ]


def _html(
    page: Callable[[], Page], links: list[tuple[str, str]], words: Mapping[str, str]
) -> _Text:
    return _Text(lambda: render_html(page(), links, words))


def _ready(page: Page) -> Callable[[], Page]:
    return lambda: page


def _contents(tables: list[Table]) -> tuple[Section, ...]:
    """Links to every problem's page, data set by data set."""
    lines = [_entry(name, one) for name, found in by_data_set(tables).items() for one in found]
    return (Section("", "Problems", parts=(grid(("rows", "records"), lines, "Problem", _COUNTS),)),)


def _entry(data: str, table: Table) -> Line:
    cells = (Cell(str(len(table.rows))), Cell(str(len(table.records))))
    return Line(short(table), "", cells, page=f"{table.slug}.html", group=data)


def _place(results: Path) -> str:
    """The folder as seen from the repository's root; as it was given where it lies elsewhere."""
    whole = results.resolve()
    return (whole.relative_to(_ROOT) if whole.is_relative_to(_ROOT) else results).as_posix()


# --- what is on disk -----------------------------------------------------------------------------


def _written(out: Path) -> set[str]:
    """Names of the files in `out` that a board wrote.

    Where there is no list, as in a fresh clone, a board's page in Markdown vouches for the rest.
    """
    listed = _read(out / _LIST)
    if listed is not None:
        return {name for name in listed.decode(errors="replace").splitlines() if _is_inside(name)}
    page = _read(out / "README.md") or b""
    if not page.startswith(b"# Leaderboard\n") or b"(board.csv)" not in page:
        return set()
    plots = [*out.glob("plots/*.svg"), *out.glob(f"{SITE}/plots/*.svg")]
    drawn = [path for path in plots if is_drawn(path.read_bytes())]
    pages = [path for path in out.glob(f"{SITE}/*.html") if _is_page(path)]
    found = {path.relative_to(out).as_posix() for path in (*drawn, *pages)}
    return {"README.md", "board.csv", "seeds.csv", "index.html", *found}


def _is_page(path: Path) -> bool:
    return f'content="{GENERATOR}"'.encode() in path.read_bytes()[:1000]


def _is_inside(name: str) -> bool:
    """Whether a name in the list is one that a board gives."""
    return re.fullmatch(rf"({SITE}/)?(plots/)?[\w.-]+", name) is not None and ".." not in name


def _in_site(name: str) -> bool:
    return name.startswith(f"{SITE}/")


def _stale(plots: Mapping[str, _Plot], out: Path) -> list[tuple[Path, Chart]]:
    """The plots to draw, and their files."""
    found = ((out / name, plot) for name, plot in plots.items())
    return [(path, plot.chart) for path, plot in found if not plot.is_in(_read(path))]


def _write(files: Mapping[str, _Text | _Plot], out: Path) -> None:
    for name, file in files.items():
        if content := file.instead_of(_read(out / name)):
            replace_file(out / name, content)


def _list(out: Path, names: set[str]) -> None:
    replace_file(out / _LIST, as_bytes("".join(f"{name}\n" for name in sorted(names))))


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
