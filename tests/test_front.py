"""The front page as a text: it stands alone, is small, and says what the overview says."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from benchmark.errors import LetheError
from leaderboard.export import View, bibtex, export
from leaderboard.front import render_front, same_front
from leaderboard.front.data import packed, payload, unpacked
from leaderboard.model.section import Section, paragraph
from leaderboard.overview import Overview, overview
from leaderboard.render.bibtex import entry
from leaderboard.render.latex import tabular, tex
from tests.test_cli import Run, lethe, refused  # noqa: F401
from tests.test_leaderboard import EVIL, PROVED, facts, plan, record, store
from tests.test_overview import row, table

ANSWERS = Section(
    "answers",
    "Answers",
    parts=(Section("answer-a", "Is it?", parts=paragraph("It is. And more."), summary="It is."),),
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
    assert "<b>Is it?</b> <span>It is.</span>" in page(found)
    assert "<p>It is. And more.</p>" in page(found)


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


def test_the_command_prints_a_table_of_records(lethe: Run, tmp_path: Path) -> None:  # noqa: F811
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
