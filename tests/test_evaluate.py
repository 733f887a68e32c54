"""lethe.evaluate, lethe.advise and lethe.from_sklearn, on small arrays."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, RidgeClassifier

import lethe
from benchmark import registry, settings
from benchmark.checks.rules import check_method
from benchmark.errors import AssumptionBroken, LetheError
from leaderboard.model.columns import CONTROLS, Column
from leaderboard.model.numbers import Estimate
from lethe.evaluation import certifying
from lethe.table import Row
from tests.plugin import Outside

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(120, 3))
Y = (X @ [1.0, -1.0, 0.5] + 0.5 * DRAWS.normal(size=120) > 0).astype(int)
IDS = [f"u{number}" for number in range(120)]
RANGES = {f"x{number}": (-6, 6) for number in range(3)}


class Faded(lethe.Method):
    """Scale all weights towards zero."""

    name = "faded"
    title = "Faded"
    source = lethe.Source(paper="None", url="https://example.org")
    needs = frozenset()

    factor: float = 0.5

    def unlearn(self, request: lethe.Request) -> lethe.Release:
        return request.release(self.factor * request.original.weights)


class Failing(Faded):
    """Raise an error."""

    name = "failing"
    title = "Failing"

    def unlearn(self, request: lethe.Request) -> lethe.Release:
        raise ValueError("not today")


def problem(**more: object) -> lethe.Problem:
    own = {"ids": IDS, "ranges": RANGES, "rows_at_least": 40, "name": "people"}
    return lethe.Problem.from_arrays(X, Y, **(own | more))


@pytest.fixture(scope="module")
def table() -> lethe.Table:
    asked = ["newton-chord", "retrain", Faded, Faded(factor=0.9), Failing()]
    return lethe.evaluate(asked, problem(), ["u17", "u81"], seeds=2)


def test_rows_stand_as_they_were_asked_for(table: lethe.Table) -> None:
    labels = [row.method for row in table.rows]
    assert labels == ["newton-chord", "retrain", "faded", "faded-2", "failing"]
    assert table["newton-chord"].verdict == "proved"
    assert table["retrain"].verdict == "exact"
    assert (table["faded"].verdict, table["faded"].claim) == ("none", None)
    assert table["faded-2"].title == "Faded (factor 0.9)"
    assert table["failing"].failure == "not today"
    assert table["newton-chord"]["slack"].mean >= 1
    with pytest.raises(LetheError, match="no row 'gone': there is newton-chord, retrain"):
        table["gone"]
    with pytest.raises(LetheError, match="no column 'gone'"):
        table["retrain"]["gone"]


def test_every_format_has_every_row(table: lethe.Table, tmp_path: Path) -> None:
    frame = table.to_frame()
    assert list(frame.index) == [row.method for row in table.rows]
    assert frame.loc["newton-chord", "speedup_low"] <= frame.loc["newton-chord", "speedup"]
    page = table.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    for text in (str(table), table.to_markdown(), table.to_latex(), page):
        assert all(row.title in text for row in table.rows)
    assert len(table.to_markdown().splitlines()) == len(table) + 2
    assert "not today" in str(table)
    assert "not today" in page
    assert "u17" not in page
    with pytest.raises(LetheError, match="cannot be written"):
        table.to_html(tmp_path / "report.html" / "another.html")


def test_a_bar_in_a_title_opens_no_column_in_markdown(table: lethe.Table) -> None:
    barred = replace(table, rows=(replace(table["retrain"], title="a|b"),))
    heading, _, line = barred.to_markdown().splitlines()
    assert line.startswith("| a\\|b |")
    assert line.count("|") - line.count("\\|") == heading.count("|")


def test_nothing_outlives_the_call(table: lethe.Table) -> None:
    assert "faded" not in registry.discover()
    before = {name: one.get() for name, one in settings._SETTINGS.items()}
    torch.use_deterministic_algorithms(False)
    lethe.evaluate(["nothing"], problem(), 2, seeds=1)
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert {name: one.get() for name, one in settings._SETTINGS.items()} == before


def test_records_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    asked = {"forget": ["u3"], "seeds": [4], "records": tmp_path / "kept"}
    first = lethe.evaluate(["retrain"], problem(), **asked)
    assert first.records == tmp_path / "kept"
    (record,) = (tmp_path / "kept").rglob("seed-4.json")
    said, before = record.read_text(encoding="utf-8"), record.stat().st_mtime_ns
    assert '"u3"' not in said
    again = lethe.evaluate(["retrain"], problem(), **asked)
    assert record.stat().st_mtime_ns == before
    assert again["retrain"]["unlearn"] == first["retrain"]["unlearn"]


def test_ids_name_the_rows_that_they_are_of() -> None:
    by_ids = lethe.evaluate(["retrain"], problem(), ["u17", "u81"], seeds=1)
    by_rows = lethe.evaluate(["retrain"], problem(ids=None), np.array([81, 17]), seeds=1)
    assert by_ids["retrain"]["accuracy_test"] == by_rows["retrain"]["accuracy_test"]


def test_a_frame_of_several_types_and_numbers_of_numpy_are_what_they_look_like() -> None:
    frame = pandas.DataFrame({"a": X[:, 0], "old": Y > 0})
    frame["count"] = pandas.array(range(len(X)), dtype="Int64")
    mixed = lethe.Problem.from_arrays(frame, Y, name="people")
    plain = lethe.Problem.from_arrays(frame.astype(float), Y, name="people")
    assert mixed.dataset.train.content_hash == plain.dataset.train.content_hash
    found = lethe.evaluate(["retrain"], mixed, np.int64(3), seeds=np.int64(1))
    assert found["retrain"].failure == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"methods": "retrain"}, "methods is a list"),
        ({"methods": ["retrian"]}, "did you mean 'retrain'"),
        ({"methods": [3]}, "3 is no method"),
        ({"methods": [type("Twin", (Faded,), {"name": "retrain"})]}, "there is a method 'retrain'"),
        ({"forget": ["u999"]}, "no row of people has this id"),
        ({"forget": "u17"}, "a list of ids or row numbers, or how many, not one text"),
        ({"forget": ["u1", "u1"]}, "the same id as"),
        ({"forget": 0.1}, "a list of ids or row numbers, or how many, not another value"),
        ({"problem": (X, Y)}, "the problem is a lethe.Problem"),
        ({"seeds": None}, "seeds is how many there are"),
        ({"seeds": 1.5}, "seeds is how many there are"),
        ({"seeds": 0}, "seeds is how many there are"),
        ({"epsilon": 0.0}, "target.epsilon: Input should be greater than 0"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_what_is_wrong_is_one_line(asked: dict, words: str) -> None:
    with pytest.raises(LetheError, match=words) as caught:
        lethe.evaluate(**({"methods": ["retrain"], "problem": problem(), "forget": 2} | asked))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ridge": -1.0}, "ridge: Input should be greater than or equal to 0"),
        ({"model": "sofmax"}, "did you mean 'softmax'"),
        ({"model": lambda inputs, classes: None}, "define it with def"),
        ({"objective": {}}, "objective is set by arguments of its own"),
        ({"features": "rgb"}, "features are "),
        ({"name": 3}, "name is what the data are called, a text"),
        ({"ranges": {"x0": None}}, r"the range of 'x0' is \[low, high\]"),
        ({"ranges": {"x0": (6, -6)}}, r"the range of 'x0' is \[low, high\]"),
        ({"ranges": {"x0": (-np.inf, np.inf)}}, "the range of 'x0' is wider than"),
        ({"classes": [0, 1, 1]}, "a class is listed twice"),
        ({"ids": IDS[:3]}, "X has 120 rows and ids is of shape 3"),
    ],
)
def test_a_wrong_problem_is_one_line(more: dict, words: str) -> None:
    with pytest.raises(LetheError, match=words) as caught:
        problem(**more)
    assert "\n" not in str(caught.value)


# --- advice --------------------------------------------------------------------------------------


def test_advice_ranks_what_is_proved_and_says_why() -> None:
    found = lethe.advise(problem(), 20, methods=["newton-chord", "sisa", Faded()], seeds=2)
    names = [choice.method for choice in found.choices]
    assert set(names) == {"newton-chord", "sisa", "retrain", "faded"}
    assert names[-1] == "faded"
    fitting = [choice for choice in found.choices if choice.fits]
    assert found.best == fitting[0]
    assert [one.seconds for one in fitting] == sorted(one.seconds for one in fitting)
    chord = next(choice for choice in found.choices if choice.method == "newton-chord")
    assert "for whoever sees all 20 releases" in " ".join(chord.reasons)
    assert "not proved, none" in found.choices[-1].reasons[0]
    assert str(found).startswith(f"Take {found.best.row.title}")


@pytest.mark.parametrize("key", CONTROLS)
@pytest.mark.parametrize(
    ("spread", "over"), [(0.5, True), (1.0, False), (2.0, False), (None, False)]
)
def test_a_control_is_beaten_by_the_interval_and_by_no_single_seed(
    key: str, spread: float | None, over: bool
) -> None:
    class Measured:
        def estimate(self, column: Column) -> Estimate | None:
            return Estimate(1.0, spread, 3) if column.key == key else None

    assert Row("a", "A", "proved", None, "", (), Measured()).over_control is over


def test_every_method_that_can_certify_is_asked() -> None:
    there = certifying(problem())
    assert {"retrain", "newton-chord", "sisa"} <= set(there)
    assert not {"downdate", "fine-tune", "nothing", "retrain-other-seed"} & set(there)
    with pytest.raises(LetheError, match="1 or more"):
        lethe.advise(problem(), 0)


# --- scikit-learn --------------------------------------------------------------------------------


def test_an_estimator_with_the_same_function_is_the_same_model() -> None:
    found = lethe.from_sklearn(LogisticRegression(solver="liblinear", C=0.5, tol=1e-10), X, Y)
    assert found.exact
    assert found.difference < 1e-6
    assert found.disagreement == 0
    ridge = found.problem.experiment(1, (0,)).problem.objective.ridge
    assert ridge == pytest.approx(2 / (0.5 * 120))


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (LogisticRegression(), "the intercept is free there"),
        (LogisticRegression(fit_intercept=False), "no intercept there"),
        (RidgeClassifier(), "the intercept is free there"),
        (LogisticRegression(solver="liblinear", l1_ratio=1.0), "the penalty is l1"),
    ],
)
def test_what_is_not_the_same_is_said_and_shown(estimator: object, words: str) -> None:
    found = lethe.from_sklearn(estimator, X + 1.0, Y)
    assert not found.exact
    assert words in found.notes[0]
    assert found.difference > 1e-4
    assert words in str(found)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (Ridge(alpha=0.0), "nothing is certified"),
        (Ridge(positive=True), "leave it out"),
        (Lasso(), "Lasso has no counterpart"),
        (LogisticRegression(C=np.inf), "without a penalty has no counterpart"),
        (LogisticRegression(class_weight="balanced"), "leave class_weight out"),
        (RidgeClassifier(alpha=0.0), "nothing is certified"),
    ],
)
def test_an_estimator_without_a_counterpart_is_refused(estimator: object, words: str) -> None:
    with pytest.raises(LetheError, match=words):
        lethe.from_sklearn(estimator, X, Y)


# --- checks --------------------------------------------------------------------------------------


def test_checks_find_what_the_contract_tests_do() -> None:
    assert all(outcome.kept for outcome in check_method(Outside))
    broken = {outcome.broken for outcome in check_method(Failing()) if not outcome.kept}
    assert broken == {"ValueError: not today"}


def test_an_instance_is_checked_with_its_own_parameters() -> None:
    assert all(outcome.kept for outcome in check_method(Faded))
    broken = [outcome.broken for outcome in check_method(Faded(factor=1.0)) if not outcome.kept]
    assert broken
    assert all("declare does_nothing" in words for words in broken)


def test_a_method_that_refuses_everything_or_claims_nothing_does_not_pass() -> None:
    class Refusing(Faded):
        """Refuse every request."""

        name = "refusing"
        title = "Refusing"

        def unlearn(self, request: lethe.Request) -> lethe.Release:
            raise AssumptionBroken("not here")

    class Silent(Faded):
        """Declare evidence, and claim nothing."""

        name = "silent"
        title = "Silent"
        evidence = "distance"

    refusing, silent = (
        {one.broken for one in check_method(method) if not one.kept}
        for method in (Refusing, Silent)
    )
    assert refusing == {"it answers on no problem at all: not here"}
    assert "it declares evidence = 'distance' and claims nothing" in silent


def test_a_frame_is_what_a_spreadsheet_reads(table: lethe.Table) -> None:
    rows = list(csv.DictReader(io.StringIO(table.to_frame().to_csv())))
    assert rows[0]["method"] == "newton-chord"
    assert float(rows[0]["accuracy_test"]) > 50
