"""What the README shows is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median

import pytest
import torch

import baselines
from benchmark import collected, registry
from benchmark.bench.record import SolverRecord, read
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.studies.quality_record import read_all
from benchmark.study.reproduce import recorded_in
from leaderboard.answers import answers
from leaderboard.model.evidence import Evidence
from leaderboard.model.section import Page
from leaderboard.model.table import load
from leaderboard.render.markdown import render_markdown
from tests import problems

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_method_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "shrink.py").write_text(code)
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
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
    assert len(named) == 2
    for path in named:
        assert recorded_in(ROOT / path).status == "ok"


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z0-9-]+)", README))
    assert {"demo", "test"} <= named <= targets


# --- what it found: figures typed into sentences, each held against the records ------------------

FOUND = " ".join(README.split("### What it found")[1].split("![")[0].split())
NUMBER = r"([0-9.]*[0-9])"


def says(sentence: str, *figures: float) -> None:
    """The README has this sentence once, with the figures, as it rounds them, for each #."""
    (found,) = re.finditer(re.escape(sentence).replace(r"\#", NUMBER), FOUND)
    shown = found.groups()
    assert shown == tuple(
        f"{figure:.{len(text.partition('.')[2])}f}"
        for figure, text in zip(figures, shown, strict=True)
    )


@cache
def board() -> str:
    """The board's answers in full, as the committed records give them."""
    results = ROOT / "leaderboard" / "results"
    found = answers(Evidence(load(results), read_all(results)))
    return render_markdown(Page("answers", found.heading, "", (found,)))


def on_the_board(pattern: str) -> list[list[float]]:
    """The figures, # in the pattern, of each place where the generated board says this."""
    found = list(re.finditer(pattern.replace("#", NUMBER), board()))
    assert found, pattern
    return [[float(figure) for figure in match.groups()] for match in found]


def test_the_speed_ups_of_proved_heads_are_those_of_the_board() -> None:
    cells = r"[^|]* \| [^|]* \| [^|]* \| [^|]* \| # [^|]*\|"  # up to the speed-up
    row = r"\n\| (?![^|]*squared loss)[^|]*: {} \| \(1, 1e-5\) \| proved \| " + cells
    for name, sentence in (
        ("Chord Newton", "Chord Newton by # to # times a request"),
        ("Single-step Newton", "the single Newton step by # to # times without any"),
    ):
        factors = [factor for (factor,) in on_the_board(row.format(name))]
        says(sentence, min(factors), max(factors))


def test_the_speed_ups_by_kept_sums_are_those_of_the_board() -> None:
    cells = r"[^|]* \| [^|]* \| [^|]* \| [^|]* \| # [^|]*\|"
    row = r"\n\| MNIST, squared loss on HOG[^|]*: Downdate, {} \| \(1, 1e-5\) \| {} \| " + cells
    for name, verdict, sentence in (
        ("exact", "exact", "exact to the last bit by # to # times"),
        ("fast", "proved", "proved by # to # times"),
    ):
        factors = [factor for (factor,) in on_the_board(row.format(name, verdict))]
        says(sentence, min(factors), max(factors))


def test_the_slack_is_that_of_the_board() -> None:
    ((slack,),) = on_the_board(
        r"with the verdict “proved” the bound is [^.]*\.[^,]* distance, with a median of #\."
    )
    says(
        "The bounds proved on linear heads are # times the measured distance, in the median", slack
    )


def test_the_contests_are_those_of_the_board() -> None:
    ((contests, won),) = on_the_board(
        r"\n# comparisons of a certified row[^;]*?By more than the interval, # beat retraining"
    )
    says("in # of # contests, so does that", won, contests)


def test_the_stream_is_that_of_the_board() -> None:
    row = r"\n\| MNIST, a stream [^|]*: Chord Newton \| proved \| "
    ((composed,),) = on_the_board(row + r"10 \| 1.00 \| # \|")
    ((_, capacity),) = on_the_board(row + r"# \| # [^|]*\| 10 \|")
    says("Ten requests at ε = 1 compose to ε = #.", composed)
    says(
        "By the bounds that were proved for these ten, Chord Newton keeps (1, 1e-5) for about # "
        "requests",
        capacity,
    )


def bench_of_the_mlp(device: str) -> tuple[Callable[[str], float], SolverRecord]:
    """The fastest median of a family to 0.01 at 0.1 ||H||, and the recursion's record."""
    bench = ROOT / "leaderboard" / "bench"
    paths = collected.paths(bench, f"{device}/mnist-mlp/0.1-norm/*.json")
    records = [read(path) for path in paths]

    def fastest(family: str) -> float:
        outcomes = [r.outcome(1e-2) for r in records if r.family == family]
        return min(o.median for o in outcomes if o is not None and o.median is not None)

    (official,) = [r for r in records if r.family == "official"]
    return fastest, official


def test_the_seconds_of_the_inverse_hessian_step_are_those_of_the_records() -> None:
    fastest, official = bench_of_the_mlp("cpu")
    says(
        "reaches a residual of 0.01 in # s; the fastest library takes # s, and the paper's "
        "recursion ends at # after # s",
        fastest("ours"),
        fastest("peer"),
        official.outcomes[0].residual,
        median(official.outcomes[0].seconds),
    )
    fastest, official = bench_of_the_mlp("cuda")
    assert "H100" in official.environment.gpu
    says(
        "On an H100 ours takes # ms, the fastest library # ms, and the recursion # s",
        1e3 * fastest("ours"),
        1e3 * fastest("peer"),
        median(official.outcomes[0].seconds),
    )
