"""What a board consists of: what is committed, what is generated, and how a track appears."""

from __future__ import annotations

import ast
import csv
import io
import re
import shutil
from pathlib import Path

import pytest

from leaderboard import build, check, studies
from leaderboard.board import FIGURES
from leaderboard.model.section import Cell, Facts, Line, Missing, Page, Prose, Section, grid
from leaderboard.model.table import load
from leaderboard.render.html import render_html
from leaderboard.render.markdown import render_markdown
from leaderboard.render.spreadsheet import render_seeds
from leaderboard.render.terminal import render_terminal
from tests.test_leaderboard import PROVED, failed, record, store

ROOT = Path(__file__).resolve().parents[1]
BOARD = ROOT / "leaderboard"


def test_what_is_committed_is_small() -> None:
    assert (BOARD / "README.md").stat().st_size <= 40_000
    assert (BOARD / "index.html").stat().st_size <= 300_000
    assert len(FIGURES) <= 6


def test_the_committed_plots_are_those_that_documents_show() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [path.read_text("utf-8") for path in documents]
    shown = set(re.findall(r"leaderboard/(plots/[\w.-]+\.svg)", "".join(texts)))
    shown |= set(
        re.findall(r"\]\((plots/[\w.-]+\.svg)\)", (BOARD / "README.md").read_text("utf-8"))
    )
    assert shown == set(FIGURES)
    assert {f"plots/{path.name}" for path in (BOARD / "plots").iterdir()} == shown


def test_a_clone_has_no_site_and_is_checked_without_one(tmp_path: Path) -> None:
    results, out = store(tmp_path / "results", [record("newton")]), tmp_path / "out"
    build(results, out)
    (out / "site" / "toy.html").write_text("other")
    assert check(results, out) == ["site/toy.html"]
    shutil.rmtree(out / "site")
    (out / ".board").unlink()
    assert check(results, out) == []
    (out / "seeds.csv").unlink()
    assert check(results, out) == ["seeds.csv"]


def test_seeds_have_a_line_each_with_every_metric(tmp_path: Path) -> None:
    cells = [
        record("newton", seed, claim=PROVED, metrics={"accuracy_test_gap": gap})
        for seed, gap in enumerate((0.25, -0.5))
    ]
    text = render_seeds(load(store(tmp_path, [*cells, failed("tune")])))
    first, second, broken = csv.DictReader(io.StringIO(text))
    assert [line["seed"] for line in (first, second)] == ["0", "1"]
    assert [line["accuracy_test_gap"] for line in (first, second)] == ["0.25", "-0.5"]
    assert (first["experiment"], first["label"]) == ("toy", "newton")
    assert (first["epsilon"], first["speedup"], first["verdict"]) == ("1", "4", "proved")
    assert (broken["status"], broken["accuracy_test_gap"]) == ("failed", "")


STUDY = """
from leaderboard.model.section import Prose, Section

ORDER = 99


def sections(evidence):
    return [Section("graphs", "Graphs", parts=(Prose(("Nodes are forgotten.",)),), summary="Yes.")]
"""


def test_a_study_appears_by_being_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graphs_for_a_test.py").write_text(STUDY)
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path)])
    build(store(tmp_path / "results", [record("newton")]), tmp_path / "out")
    assert "Graphs: Yes." in (tmp_path / "out" / "README.md").read_text()
    assert "Nodes are forgotten." in (tmp_path / "out" / "site" / "study-graphs.html").read_text()
    assert "site/study-graphs.html" in (tmp_path / "out" / "index.html").read_text()


PAGE = Page(
    "page",
    "Title | of all",
    "What it is.",
    (
        Section("empty", "Nothing below"),
        Section(
            "all",
            "Every part",
            ("How to read it.",),
            (
                Prose(("One paragraph.",)),
                Prose(("a point", "another"), numbered=True),
                Prose(("make it",), "command"),
                Facts((("name", "what it is"),), "Facts"),
                Missing("No record.", "make records"),
                grid(
                    ("words", "number"),
                    [
                        Line("first", "", (Cell("one"), Cell("1", best=True, aside="± 2"))),
                        Line("second", "", (Cell("two"), Cell("–", alarm="n = 2")), alarm=True),
                    ],
                    caption="A table.",
                ),
                grid(("a", "b"), [], caption="An empty table."),
                Section("within", "Within", parts=(Prose(("Deeper.",)),), folded=True),
            ),
            aside="small",
        ),
    ),
)


def test_every_format_says_every_part() -> None:
    said = ("How to read it.", "One paragraph.", "another", "make it", "what it is", "No record.")
    said += ("make records", "first", "± 2", "n = 2", "Within", "Deeper.", "Nothing below", "small")
    for text in (render_markdown(PAGE), render_html(PAGE)):
        for words in said:
            assert words in text, words
    assert "Title \\| of all" in render_markdown(PAGE)
    assert "| first | one | **1 ± 2** |" in render_markdown(PAGE)
    assert len(render_terminal(PAGE.sections[1])) == 2


def test_markdown_refuses_a_part_that_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="Markdown has no object"):
        render_markdown(Page("x", "X", "", (Section("y", "Y", parts=(object(),)),)))


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    for path in BOARD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                first = text.split(" ")[0]
                assert first not in ("Of", "That", "Those"), f"{path.name}: {text}"
