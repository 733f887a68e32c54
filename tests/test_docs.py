"""What README.md and the documentation show is so, runs as it stands, and costs what it says."""

from __future__ import annotations

import csv
import doctest
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

import baselines
import lethe
import methods
from benchmark import registry
from benchmark.cli import NewKind, app
from benchmark.code import parsed
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.curvature.krylov import extreme_eigenvalues
from benchmark.errors import LetheError
from benchmark.problem.products import PRODUCTS
from benchmark.runner.source import Theory
from benchmark.study.reproduce import recorded_in
from benchmark.theory.statements import NAMES
from leaderboard import document_blocks as blocks
from tests import problems
from tests.plugin import dropped_in

# What the documentation shows is so.

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEXT = (DOCS / "curvature.md").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_it_names_every_product() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)) == set(PRODUCTS)


def test_its_examples_work_as_they_stand() -> None:
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, names)
    assert names["found"].converged
    assert names["found"].residual <= 1.01e-3 * float(names["b"].norm())
    problem, w = names["problem"], names["weights"]
    start = torch.randn(len(w), generator=torch.Generator().manual_seed(0))
    ends = extreme_eigenvalues(problem.hessian(w, problem.train), start, 40)
    assert abs(float(names["largest"][0])) == pytest.approx(max(map(abs, ends)), rel=1e-3)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as code hosts and the site give them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[`*$\\,.:()?']", "", heading).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    """Each link between pages, also where no site is built."""
    path = DOCS / page
    for link, anchor in re.findall(
        r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", path.read_text(encoding="utf-8")
    ):
        target = (path.parent / link).resolve() if link else path
        assert target.exists(), f"{page} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page} links to {link}#{anchor}"


def named_pages() -> Iterator[tuple[str, str]]:
    """Each page of `docs/` that code, a test or a page outside of it names, and where."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for package in ("benchmark", "methods", "baselines", "leaderboard", "tests", "benches"):
        files += (ROOT / package).rglob("*.py")
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        yield from ((found, file.name) for found in re.findall(r"docs/[\w/-]+\.md", text))


def test_every_page_that_code_names_is_there() -> None:
    for page, where in named_pages():
        assert (ROOT / page).exists(), f"{where} names {page}"


def test_every_statement_is_on_the_page_of_methods() -> None:
    page = (DOCS / "theory" / "index.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(cells))) == set(NAMES)


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `lethe ([a-z-]+)", page, re.MULTILINE))
    there = {one.name or one.callback.__name__.replace("_", "-") for one in app.registered_commands}
    assert named == there


def test_the_page_of_commands_names_every_kind_of_plug_in() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\| `lethe new .*$", page, re.MULTILINE)
    assert set(re.findall(r"`([a-z]+)`", line)) == set(typing.get_args(NewKind))


def test_only_targets_that_the_makefile_has_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (groups,) = re.findall(r"^GROUPS +:= (.*)$", makefile, re.MULTILINE)
    targets = {*re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE), *groups.split()}
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))):
        text = file.read_text(encoding="utf-8")
        said = re.findall(r"`make ([^`\n]*)`", text)
        for block in re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            said += re.findall(r"^make (.*)$", block, re.MULTILINE)
        for line in said:
            named = {
                word
                for word in line.partition("#")[0].split()
                if word.islower() and "=" not in word
            }
            assert named <= targets, f"{file.name} says 'make {line}'"


#: Figures that follow from the formula beside them, or that a test computes which they name.
DERIVED = ("142 times", "4.9 times", "3.2 times")
_FIGURE = re.compile(
    r"\d[\d.,]*(?: %)? (?:times|ms|µs|s|seconds|products|points|of the rows|faster|slower)\b"
)
_DATED = re.compile(r"\(\d{1,2} [A-Z][a-z]+ 20\d\d, (?:before )?revision\s+[0-9a-f]{7}")


@pytest.mark.parametrize("page", PAGES)
def test_a_figure_that_was_measured_is_generated_or_says_where(page: str) -> None:
    """It stands in a block from the records, or its paragraph or bullet has day and revision."""
    text = (DOCS / page).read_text(encoding="utf-8")
    text = re.sub(r"<!-- generated: .*?<!-- end -->|```.*?```", "", text, flags=re.DOTALL)
    for said in re.split(r"\n\s*\n|\n(?=\s*[-*] )", text):
        plain = re.sub(r"\$[^$]*\$|`[^`]*`", "", said)
        found = [one for one in _FIGURE.findall(plain) if one not in DERIVED]
        assert not found or _DATED.search(said), f"{page}: {found} in '{said.strip()[:80]} ...'"


# --- formulas ------------------------------------------------------------------------------------


@pytest.fixture
def formulas(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The extension of the site that sets formulas; skips where Sphinx is not installed."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    return importlib.import_module("mathml")


def test_a_fraction_of_two_digits_has_two_parts(formulas: ModuleType) -> None:
    assert "".join(formulas.mathml(r"\frac12x", as_block=False).split()).startswith(
        '<mathxmlns="http://www.w3.org/1998/Math/MathML"><mfrac><mn>1</mn><mn>2</mn></mfrac><mi>x'
    )


def test_a_formula_may_break_after_a_relation_and_nowhere_else(formulas: ModuleType) -> None:
    pieces = formulas.pieces(formulas.mathml(r"a + b \le c_{i=1} = d", as_block=False))
    assert ["".join(re.sub(r"<[^>]*>", "", piece).split()) for piece in pieces] == [
        "a+b≤",
        "ci=1=",
        "d",
    ]


def test_a_formula_that_cannot_be_set_is_named(formulas: ModuleType) -> None:
    errors = pytest.importorskip("sphinx.errors")
    with pytest.raises(errors.ExtensionError, match="cannot be set"):
        formulas.mathml(r"\nosuchthing x", as_block=False)


def test_every_formula_of_the_pages_can_be_set(formulas: ModuleType) -> None:
    found = 0
    for page in PAGES:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", (DOCS / page).read_text("utf-8"), flags=re.DOTALL)
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", text, re.DOTALL):
            formulas.mathml(block or inline, as_block=bool(block))
            found += 1
    assert found > 1000


# What the README shows is so, and its figures are those of the records.

BOARD = ROOT / "leaderboard"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_has_120_lines_at_most() -> None:
    assert len(README.splitlines()) <= 120


def test_the_example_method_works_as_it_stands(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(from .*?)```", README, re.DOTALL)
    (tmp_path / "shrink.py").write_text(code)
    with dropped_in(baselines, tmp_path):
        method = registry.find("shrink").method()
    problem = problems.softmax()
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    release = method.answer(Request.of(problem, original, torch.tensor([1, 2])))
    assert torch.allclose(release.predictor.weights, 0.9 * original.weights)


def test_every_file_it_names_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_every_record_it_names_is_one() -> None:
    named = re.findall(r"lethe reproduce (\S+?)[`\s]", README)
    assert named
    for path in named:
        assert recorded_in(ROOT / path).status == "ok"


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z0-9-]+)", README))
    assert {"demo", "test", "docs"} <= named <= targets


# --- blocks that are written from the records -----------------------------------------------------


def test_the_blocks_are_what_the_records_give() -> None:
    assert blocks.check(ROOT, BOARD / "results", BOARD) == []


def test_no_figure_is_typed_by_hand() -> None:
    """What is measured stands in a block: a decimal, a percentage, a factor."""
    typed = re.sub(r"<!-- generated: .*?<!-- end -->|```.*?```", "", README, flags=re.DOTALL)
    typed = typed.replace("Python 3.11", "").replace("Apache-2.0", "")
    assert re.findall(r"\d+\.\d+|\d+ ?%|\d+ times|\d+ points", typed) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one block, beside a board in which one number is another."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("a\n<!-- generated: results -->\n<!-- end -->\nb\n")
    with (BOARD / "board.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if (row["experiment"], row["label"]) == ("mnist-hog", "newton-chord"):
            row["accuracy_test_mean"] = "12.34"
    with (tmp_path / "board.csv").open("w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def test_a_block_is_written_and_the_rest_is_left_alone(project: Path) -> None:
    page, given = project / "README.md", (project, BOARD / "results", project)
    assert blocks.check(*given) == [page]
    assert blocks.build(*given) == [page]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- generated: results -->\n| model")
    assert text.endswith("<!-- end -->\nb\n")
    assert "| Chord Newton | proved | 12.34 % |" in text
    assert blocks.check(*given) == blocks.build(*given) == []


def test_rows_of_a_real_target_are_useful_by_r_squared() -> None:
    board = blocks.load(BOARD / "results", BOARD)
    lines = {one.label: one for one in board.lines if one.experiment == "diabetes-regression"}
    assert lines["downdate"].number("accuracy_test_gap_mean") is None
    assert blocks._is_useful(lines["downdate"])
    lost = lines["downdate"].cells | {"r2_test_gap_mean": "-1.5"}
    assert not blocks._is_useful(replace(lines["downdate"], cells=lost))
    over = lines["noisy-fine-tune"]
    assert over.number("control_r2_test_gap_mean") is not None
    level = over.cells | {"r2_test_gap_mean": "0", "control_r2_test_gap_mean": "0"}
    assert not blocks._is_useful(replace(over, cells=level))


def test_a_table_by_forgotten_rows_sets_no_other_requests_side_by_side() -> None:
    board = blocks.load(BOARD / "results", BOARD)
    gone = ("mnist-hog-squared-forget-1", "downdate")
    kept = tuple(one for one in board.lines if (one.experiment, one.label) != gone)
    assert "| rows forgotten | 1 |" in blocks.BLOCKS["squared"](board)
    with pytest.raises(LetheError, match="forget different numbers of rows"):
        blocks.BLOCKS["squared"](replace(board, lines=kept))


@pytest.mark.parametrize(
    ("gone", "words"),
    [(True, "finds no row on the board"), (False, "mnist-hog, retrain: nothing in 'accuracy_test")],
)
def test_a_figure_that_the_board_lacks_is_named(gone: bool, words: str) -> None:
    board, lines = blocks.load(BOARD / "results", BOARD), []
    for one in board.lines:
        if (one.experiment, one.label) != ("mnist-hog", "retrain"):
            lines.append(one)
        elif not gone:
            lines.append(replace(one, cells=one.cells | {"accuracy_test_mean": ""}))
    with pytest.raises(LetheError, match=words):
        blocks.BLOCKS["found"](replace(board, lines=tuple(lines)))


def test_a_block_without_a_writer_is_named(project: Path) -> None:
    (project / "docs" / "one.md").write_text("<!-- generated: result -->\n<!-- end -->\n")
    with pytest.raises(LetheError, match="unknown generated block 'result': did you mean"):
        blocks.check(project, BOARD / "results", project)


def test_a_column_that_is_gone_is_named(project: Path) -> None:
    table = project / "board.csv"
    table.write_text(table.read_text().replace("accuracy_test_mean", "accuracy", 1))
    with pytest.raises(LetheError, match="no column 'accuracy_test_mean': run 'make leaderboard'"):
        blocks.check(project, BOARD / "results", project)


# The tutorials run as they stand, each in an empty folder.
#
# A block of `pycon` is a session whose answers are compared. A block whose first line is a comment
# with a file's name is written to that file. Of a block of `sh` the lines that run something or
# read what was run are carried out; what sets up a machine or reads the board is left out.

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide"
TUTORIALS = ("start", "add-a-method", "tables")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CARRIED_OUT = re.compile(r"lethe run |lethe table .*--results runs")
FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")


class Tutorial:
    """A page, run block by block in the current folder."""

    def __init__(self, name: str) -> None:
        self.name, self.names = name, {}
        self.text = (GUIDE / f"{name}.md").read_text(encoding="utf-8")

    def run(self) -> int:
        """Run every block; the number of blocks that did something."""
        return sum(self._block(language, body) for language, body in BLOCK.findall(self.text))

    def _block(self, language: str, body: str) -> bool:
        if named := FILE.match(body):
            path = Path(named[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
            return True
        if language == "pycon":
            return self._session(body)
        commands = [line for line in body.splitlines() if CARRIED_OUT.match(line)]
        for command in commands if language == "sh" else ():
            done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
            assert done.exit_code == 0, done.output
        return bool(commands)

    def _session(self, body: str) -> bool:
        test = doctest.DocTestParser().get_doctest(body, self.names, self.name, None, 0)
        said: list[str] = []
        done = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=said.append, clear_globs=False
        )
        self.names.update(test.globs)
        assert not done.failed, "".join(said)
        return True


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with dropped_in(baselines, tmp_path / "baselines"), dropped_in(methods, tmp_path / "methods"):
        assert Tutorial(name).run() >= 4


# `import lethe`: every public name is there, and what it costs to import.


def python(*arguments: str, cwd: Path = ROOT) -> str:
    """What Python prints, started in a folder of its own."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def test_every_name_is_there_and_has_words() -> None:
    assert sorted(lethe._MODULES) == lethe.__all__
    assert set(lethe.__all__) <= set(dir(lethe))
    for name in lethe.__all__:
        assert inspect.getdoc(getattr(lethe, name)), name
    with pytest.raises(AttributeError, match="no attribute 'Methods'"):
        lethe.Methods  # noqa: B018


def test_it_waits_for_no_numerical_library(tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'sklearn', 'pandas', 'pydantic'}"
    code = f"import sys, lethe; print(lethe.__version__, sorted({heavy} & set(sys.modules)))"
    assert python("-c", code, cwd=tmp_path).endswith("[]\n")


def test_it_is_the_command_line(tmp_path: Path) -> None:
    assert python("-m", "lethe", "--version", cwd=tmp_path).startswith("lethe ")


def test_a_theorem_that_comes_in_by_the_door_counts() -> None:
    by_door, by_name = (
        parsed(f"from {module} import Gaussian\nGaussian(m=1.0)".encode())
        for module in ("lethe", "benchmark.contract.guarantee")
    )
    theory = Theory(ROOT)
    assert theory.digests([by_door]) == theory.digests([by_name])
    assert any("Gaussian" in name for name in theory.digests([by_door]))
