"""The front page as a text, and what a board consists of."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shutil
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from benchmark.errors import LetheError
from leaderboard import studies
from leaderboard.board import FIGURES, build, check
from leaderboard.export import View, bibtex, export
from leaderboard.front.data import packed, payload, unpacked
from leaderboard.front.front import render_front, same_front
from leaderboard.model.section import (
    Cell,
    Facts,
    Line,
    Missing,
    Page,
    Prose,
    Section,
    grid,
    paragraph,
)
from leaderboard.model.table import load
from leaderboard.overview.overview import Overview, overview
from leaderboard.render.pages import render_html, render_markdown, render_terminal
from leaderboard.render.tables import entry, render_seeds, tabular, tex
from tests.conftest import Run
from tests.test_cli import refused
from tests.test_leaderboard import EVIL, PROVED, facts, failed, plan, record, store
from tests.test_overview import row, table

# The front page as a text: it stands alone, is small, and says what the overview says.

ANSWERS = Section(
    "answers",
    "Answers",
    parts=(
        Section(
            "answer-a",
            "Is it?",
            parts=(
                *paragraph("It is."),
                *paragraph("And more."),
                Section("answer-a-long", "In full: 1", parts=paragraph("All."), folded=True),
            ),
            summary="It is.",
        ),
    ),
)


@pytest.fixture
def found() -> Overview:
    """Two linear problems, a net that nothing serves, and a title that is no HTML."""
    evil = row("evil", (5.0, 5.1, 5.2))
    object.__setattr__(evil, "title", EVIL)
    net = facts(linear=False, model="mlp", problem="Digits, MLP")
    return overview(
        [
            table(row("newton"), row("slow", (1.6, 1.7, 1.8)), evil, slug="one"),
            table(row("newton", (0.1, 0.2, 0.3)), slug="two", of=facts(forgotten=50)),
            table(row("newton", gap=-40.0), slug="net", of=net),
        ]
    )


def page(found: Overview) -> str:
    return render_front(found, ANSWERS, found.problems(), "runs")


def test_the_page_asks_nothing_of_a_network(found: Overview) -> None:
    text = page(found)
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    assert not [s for s in sources if s.startswith(("http", "//"))]
    assert "sourceMappingURL" not in text


def test_a_page_without_a_row_stands() -> None:
    text = page(overview([]))
    data = re.search('<script type="text/plain" id="data">(.*?)</script>', text)[1]
    assert unpacked(data)["rows"] == []
    assert "For 0 problems" in text


def test_the_page_is_the_same_twice_and_hides_no_markup(found: Overview) -> None:
    text = page(found)
    assert page(found) == text
    assert EVIL not in text
    assert EVIL in json.dumps(unpacked(re.search('id="data">(.*?)</script>', text)[1]))
    assert "&lt;script&gt;alert" in text


def test_the_static_table_has_the_rows_that_count_by_rank(found: Overview) -> None:
    body = page(found).split('<table class="board"')[1].split("</table>")[0]
    lines = re.findall(r'<th scope="row" class="c-method">(\w+)</th>', body)
    assert lines == ["Newton", "Slow"]
    assert "2 of 2" in body
    assert "1 of 2" in body
    assert "lethe reproduce runs/two/newton/seed-0.json" in body


def test_each_problem_names_what_serves_it_and_links_to_its_page(found: Overview) -> None:
    text = page(found)
    (net,) = re.findall(r'<a href="site/net.html">.*?</li>', text, re.DOTALL)
    assert "no proved method is useful" in net
    (two,) = re.findall(r'<a href="site/two.html">.*?</li>', text, re.DOTALL)
    assert "Newton" in two
    assert "50 random rows" in two


def test_a_question_has_its_answer_in_a_line_and_in_full(found: Overview) -> None:
    """What the line says is not said twice, and a fold within is a list under its heading."""
    text = page(found)
    assert "<b>Is it?</b> <span>It is.</span>" in text
    assert "<li>It is.</li>" not in text
    assert "<ul>\n<li>And more.</li>\n</ul>\n<p>In full: 1</p>\n<ul>\n<li>All.</li>" in text


def test_pages_are_the_same_if_their_data_are_however_they_are_packed(found: Overview) -> None:
    one = page(found)
    data = re.search('<script type="text/plain" id="data">(.*?)</script>', one)[1]
    text = json.dumps(unpacked(data)).encode()
    stored = b64encode(zlib.compress(text, 0)).decode()
    assert same_front(one, one.replace(data, stored))
    other = b64encode(zlib.compress(text.replace(b'"rows"', b'"raws"'), 0)).decode()
    assert not same_front(one, one.replace(data, other))
    assert not same_front(one, one.replace(data, "?"))
    assert not same_front(one, "")


def test_the_data_say_what_the_rows_say(found: Overview) -> None:
    content = unpacked(packed(payload(found, "runs")))
    assert len(content["rows"]) == len(found.rows)
    first = content["rows"][0]
    assert content["problems"][first[0]]["slug"] == found.rows[0].table.slug
    assert content["methods"][first[1]]["label"] == found.rows[0].row.label
    assert content["verdicts"][first[3]] == "proved"
    assert first[9][0] == pytest.approx(found.rows[0].speedup.mean, rel=1e-4)


# --- tables for papers ---------------------------------------------------------------------------


def test_a_view_is_the_same_rows_in_every_format(found: Overview) -> None:
    view = View(filters=("one", "verdict=proved"), columns=("method", "speedup"))
    lines = export(found, view, "markdown").splitlines()
    assert lines[0] == "| Method | Speed-up (×) |"
    assert len(lines) == 5
    assert lines[2].startswith("| Newton | 2.01 ×÷ ")
    assert "Newton & 2.01 $\\times\\div$ " in export(found, view, "latex")
    assert export(found, view, "csv").splitlines()[0] == "track,method,speedup"
    assert json.loads(export(found, view, "json"))[0]["speedup"] == pytest.approx(2.0, rel=0.01)


def test_a_line_may_sum_up_a_method(found: Overview) -> None:
    view = View(filters=("method=newton", "family=linear-cross-entropy"), by="method")
    (line,) = json.loads(export(found, view, "json"))
    assert (line["problems"], line["experiments"]) == (2, ["one", "two"])


def test_useful_rows_are_asked_for(found: Overview) -> None:
    assert len(json.loads(export(found, View(("newton",)), "json"))) == 3
    assert len(json.loads(export(found, View(("newton",), useful=True), "json"))) == 2


@pytest.mark.parametrize(
    ("view", "form", "message"),
    [
        (View(("data=mars",)), "csv", "no row fits data=mars"),
        (View(("dta=digits",)), "csv", "unknown filter 'dta': did you mean 'data'"),
        (View(columns=("speed",)), "csv", "unknown column 'speed': did you mean 'speedup'"),
        (View(by="problem"), "csv", "unknown kind of line 'problem'"),
        (View(), "html", "unknown format 'html'"),
    ],
)
def test_what_there_is_not_is_one_line(
    found: Overview, view: View, form: str, message: str
) -> None:
    with pytest.raises(LetheError, match=re.escape(message)):
        export(found, view, form)


def test_tex_escapes_what_is_special_and_sets_signs_as_mathematics() -> None:
    assert tex("50 % of a_b & 1.0×10⁻⁵ ± 2 − ε") == (
        r"50 \% of a\_b \& 1.0$\times10^{-5}$ $\pm$ 2 $-$ $\varepsilon$"
    )
    text = tabular(["a", "b"], [("one", ["1", "2"]), ("one", ["3", "4"]), ("two", ["5", "6"])])
    assert text.count("\\midrule") == 2
    assert "\\multicolumn{2}{l}{\\emph{two}} \\\\\n5 & 6 \\\\" in text


def test_each_paper_is_cited_once(found: Overview) -> None:
    assert bibtex(found, View()).count("@misc{") == 1


def test_a_paper_becomes_an_entry() -> None:
    paper = "Zhang, Dong et al.: On $ and Unlearning (ICML 2024), as a certified update"
    made = entry(paper, "https://arxiv.org/abs/2408.00920")
    assert made.key == "zhang2024unlearning"
    assert made.text.splitlines() == [
        "@misc{zhang2024unlearning,",
        "  author = {Zhang and Dong and others},",
        r"  title = {{On \$ and Unlearning}},",
        "  howpublished = {ICML},",
        "  year = {2024},",
        "  note = {as a certified update},",
        "  eprint = {2408.00920},",
        "  archivePrefix = {arXiv},",
        "  url = {https://arxiv.org/abs/2408.00920},",
        "}",
    ]
    assert entry("Folklore", "").text == "@misc{folklore,\n  title = {{Folklore}},\n}"


def test_the_command_prints_a_table_of_records(lethe: Run, tmp_path: Path) -> None:
    planned = plan("newton", seeds=(0, 1)).model_copy(update={"facts": facts()})
    cells = [record("newton", seed, claim=PROVED) for seed in (0, 1)]
    results = str(store(tmp_path / "runs", cells, planned))
    code, out, _ = lethe("table", "toy", "--results", results, "--columns", "method,verdict")
    assert (code, out) == (0, "| Method | Verdict |\n| --- | --- |\n| Newton | proved |\n")
    code, out, _ = lethe("table", "--results", results, "--format", "latex", "--by", "method")
    assert "\\begin{tabular}" in out
    code, out, _ = lethe("table", "--results", results, "--bibtex")
    assert out.startswith("@misc{someone2024something,")
    refused(lethe("table", "mars", "--results", results), "no row fits mars")


# What a board consists of: what is committed, what is generated, and how a track appears.

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
