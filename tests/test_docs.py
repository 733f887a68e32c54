"""What the documentation shows is so."""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmark.cli import NewKind, app
from benchmark.curvature.lanczos import extreme_eigenvalues
from benchmark.problem.products import PRODUCTS
from benchmark.theory.statements import NAMES

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
    page = (DOCS / "theory" / "methods.md").read_text(encoding="utf-8")
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
    """In a block from the records, or with the day and the revision, in its paragraph or bullet."""
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
