"""What the README shows is so, and its figures are those of the records."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import baselines
from benchmark import registry
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.study.reproduce import recorded_in
from leaderboard import document_blocks as blocks
from tests import problems
from tests.dropped_in import dropped_in

ROOT = Path(__file__).resolve().parents[1]
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
