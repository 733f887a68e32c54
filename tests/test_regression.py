"""A real target from the data to the board: scale, exact sums, measures, refusals."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from typer.testing import CliRunner

import lethe
from benchmark import predictions, registry
from benchmark.checks import problems
from benchmark.checks.problems import ask, trained
from benchmark.cli import app
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import NormalEquations, flat
from benchmark.data import catalogue
from benchmark.data.dataset import Dataset
from benchmark.data.named import NamedSet
from benchmark.data.own.arrays import from_arrays
from benchmark.data.own.spec import Arrays, OwnData
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import load, of_tables
from benchmark.metrics.metric import Numbers, Predictions, discover, measured
from benchmark.problem.influence import most_influential
from benchmark.problem.model import Predictor
from benchmark.problem.variants import PerturbedProblem
from benchmark.rows import RANGE_CAVEAT, RealTarget
from benchmark.runner.evaluate import predict, score
from benchmark.runner.judge import judge_of
from benchmark.runner.plans import plan_of, rows_of
from leaderboard.answers.answer import mean
from leaderboard.board import terminal_tables
from leaderboard.experiments.problem import results_grid
from leaderboard.export import read
from leaderboard.model.columns import BY_KEY, OVER_CONTROL, TEST_GAP
from leaderboard.model.ranking import LOSS
from leaderboard.model.table import load as load_tables
from leaderboard.model.table import point
from leaderboard.overview.row import NUMBER

DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(120, 4))
Y = 40 + 10 * X @ np.array([1.0, -2.0, 0.5, 0.0]) + DRAWS.normal(size=120)
RANGES = {f"x{i}": (-5.0, 5.0) for i in range(4)} | {"target": (-60.0, 140.0)}


def own(folder: Path, kind: str) -> OwnData:
    """The arrays as a file of a kind."""
    names = [f"x{i}" for i in range(4)]
    path, settings = folder / f"set.{kind}", {"target": "price"}
    columns = dict(zip(names, X.T, strict=True)) | {"price": Y}
    if kind == "csv":
        lines = [",".join(map(repr, row)) for row in np.column_stack([X, Y]).tolist()]
        path.write_text("\n".join([",".join([*names, "price"]), *lines]), encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        np.savez(path, X=X, y=Y)
        settings = {}
    return OwnData.model_validate({kind: path.name} | settings).located(folder)


# --- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_numbers_with_fractions_are_predicted_as_numbers(kind: str, tmp_path: Path) -> None:
    data = own(tmp_path, kind)
    found, arrays = data.load(), from_arrays(X, Y)
    assert found.train.content_hash == arrays.train.content_hash == data.content_hash
    assert data.task == "regression", "what was found is recorded"
    again = OwnData.model_validate_json(data.model_dump_json())
    assert catalogue.has_real_target(again), "a record says so without the file"
    assert found.train.labels.min() == -1
    assert found.train.labels.max() == 1
    units = found.target.in_units(found.train.labels)
    assert units == pytest.approx(Y[found.train.places])
    assert found.caveats == (RANGE_CAVEAT,)


def test_a_declared_range_is_no_caveat_and_bounds_the_scale() -> None:
    found = from_arrays(X, Y, ranges=RANGES)
    assert found.target == RealTarget("target", -60.0, 140.0)
    assert found.caveats == ()
    assert np.abs(found.train.labels).max() < 1
    assert found.train.labels == pytest.approx((Y[found.train.places] - 40) / 100)
    assert found.train.content_hash == from_arrays(X, Y).train.content_hash


@pytest.mark.parametrize(("given", "name"), [("price", "price"), (" ", "target"), (7, "target")])
def test_a_series_of_real_numbers_is_called_by_its_name(given: object, name: str) -> None:
    found = from_arrays(X, pd.Series(Y, name=given), ranges=RANGES)
    assert found.target == RealTarget(name, -60.0, 140.0)
    assert found.train.content_hash == from_arrays(X, Y).train.content_hash


def test_whole_numbers_of_few_values_are_classes_and_of_many_are_asked_about() -> None:
    few, many = np.arange(120) % 5, np.arange(120) % 60
    assert from_arrays(X, few).target is None
    assert from_arrays(X, few, task="regression").target == RealTarget("target", 0, 4, False)
    assert from_arrays(X, few, ranges={"target": (0.0, 9.0)}).target.high == 9
    with pytest.raises(LetheError, match=r"60 different whole numbers.*'classification' or 'regr"):
        from_arrays(X, many)
    assert from_arrays(X, many, task="classification").classes == 60
    assert from_arrays(X, many, task="regression").classes == 1
    assert from_arrays(X, many.astype(str), classes=map(str, range(60))).classes == 60
    with pytest.raises(LetheError, match="unknown task 'regresion'"):
        from_arrays(X, Y, task="regresion")


def test_classes_and_numbers_have_other_hashes() -> None:
    few = np.arange(120) % 5
    hashes = {from_arrays(X, few, task=task).train.content_hash for task in (None, "regression")}
    assert len(hashes) == 2


def test_images_are_classified() -> None:
    images = np.zeros((6, 4, 4), dtype=np.uint8)
    with pytest.raises(LetheError, match="'regression' is for tables, and these are images"):
        from_arrays(images, np.arange(6) + 0.5, task="regression")
    with pytest.raises(LetheError, match="has numbers with fractions, which are no classes"):
        from_arrays(images, np.arange(6) + 0.5)


def test_diabetes_is_read_from_scikit_learn_and_by_name() -> None:
    bundled = OwnData.model_validate({"sklearn": "diabetes"}).located(Path()).load()
    named = catalogue.load("diabetes-progression")
    assert bundled.target == RealTarget("target", 25.0, 346.0, declared=False)
    assert named.target == RealTarget("progression", 0.0, 400.0)
    assert named.caveats == ()
    for found in (bundled, named):
        assert len(found.train.labels) == 442
        assert found.target.in_units(found.train.labels).mean() == pytest.approx(152.133, abs=1e-3)


@pytest.mark.parametrize("real", [True, False])
def test_a_set_that_declares_another_target_than_it_has_is_refused(
    real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Prices(NamedSet):
        name, title, source, real_target = "prices", "Prices", "none", not real

        @classmethod
        def load(cls) -> Dataset:
            return from_arrays(X, Y if real else Y > 40, name=cls.name)

    monkeypatch.setattr(catalogue, "find", lambda _: Prices)
    with pytest.raises(LetheError, match=f"Prices declares .*: set real_target = {real}$"):
        catalogue.load("prices")


# --- problem ----------------------------------------------------------------------------------


def test_the_defaults_are_ridge_regression_by_one_solve(tmp_path: Path) -> None:
    spec = of_tables(
        {
            "name": "t",
            "title": "t",
            "problem": {"data": own(tmp_path, "csv")},
            "forget": {"count": 3},
        },
        tmp_path,
        "t",
    ).problem
    assert (spec.objective.loss, spec.training.algorithm) == ("squared", "direct")
    assert spec.real_target
    assert "classes" not in spec.offers
    problem, _ = build(spec, Seeds.all(0), torch.device("cpu"))
    assert problem.model.dimension == 5
    assert problem.target.name == "price"
    assert problem.train.y.dtype == torch.float64


def test_the_weights_are_those_of_scikit_learns_ridge() -> None:
    """Its sum is n times our mean, and its intercept is penalised if it is a column."""
    problem = problems.real()
    weights = problem.fit(problems.every_row(problem), torch.Generator().manual_seed(0))
    x = torch.cat([problem.train.x, torch.ones(len(problem.train), 1)], dim=1).numpy()
    alpha = len(x) * problem.objective.ridge
    expected = Ridge(alpha=alpha, fit_intercept=False).fit(x, problem.train.y.numpy())
    assert weights.numpy() == pytest.approx(expected.coef_, abs=1e-12)
    assert float(problem.gradient(weights, problem.train).norm()) < 1e-12
    hessian = problem.hessian(weights, problem.train)
    assert torch.allclose(hessian.gradient, problem.gradient(weights, problem.train), atol=1e-12)
    vector = torch.linspace(-1, 1, len(weights), dtype=torch.float64)
    by_hand = torch.from_numpy(x).T @ (torch.from_numpy(x) @ vector) / len(x)
    assert torch.allclose(hessian @ vector, by_hand + problem.objective.ridge * vector)


def test_a_tilted_objective_is_solved_as_it_is() -> None:
    """Certified removal trains with a linear term, which a direct solve must not lose."""
    for problem in (problems.real(), problems.squared()):
        draws = torch.Generator().manual_seed(0)
        b = 0.1 * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
        tilted = PerturbedProblem.of(problem, b)
        weights = tilted.fit(problems.every_row(problem), draws)
        assert float(tilted.gradient(weights, tilted.train).norm()) < 1e-10
        assert float(problem.gradient(weights, problem.train).norm()) > 0.1


@pytest.mark.parametrize("count", [1, 10, 100])
def test_downdate_gives_the_bytes_of_retraining(count: int) -> None:
    problem = problems.real(n=160)
    method = registry.find("downdate").method()
    order = torch.randperm(160, generator=torch.Generator().manual_seed(count))
    request, release = ask(method, problem, order[:count].sort().values)
    retrained = problem.fit(request.retain, torch.Generator().manual_seed(1))
    assert release.state.weights.numpy().tobytes() == retrained.numpy().tobytes()
    assert release.claim.epsilon == 0


def test_a_stream_of_downdates_ends_at_the_same_bytes() -> None:
    problem, seeds = problems.real(n=160), Seeds()
    method = registry.find("downdate").method()
    state = trained(method, problem, seeds)
    order = torch.randperm(160, generator=torch.Generator().manual_seed(5))
    for number, rows in enumerate(order[:110].split(11)):
        request = Request.of(problem, state, rows.sort().values, seeds=seeds, number=number)
        state = method.answer(request).state
    retrained = problem.fit(order[110:].sort().values, torch.Generator().manual_seed(1))
    assert state.weights.numpy().tobytes() == retrained.numpy().tobytes()


def test_sums_are_the_same_bytes_in_any_order() -> None:
    rows = problems.real(n=160).train
    sums = NormalEquations.of(rows.x, rows.y, 1)
    order = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    other = NormalEquations.of(rows.x[order], rows.y[order], 1)
    back = other.without(rows.x[:7], rows.y[:7]).including(rows.x[:7], rows.y[:7])
    for found in (other, back):
        assert torch.equal(found.moments, sums.moments)
        assert torch.equal(flat(found.moments), flat(sums.moments))


def test_a_target_off_the_grid_is_refused() -> None:
    problem = problems.real()
    off = replace(problem, train=replace(problem.train, y=problem.train.y + 1e-9))
    with pytest.raises(AssumptionBroken, match="declared as multiples of"):
        _ = off.fixed_point
    spec = load("diabetes-regression").problem
    built, _ = build(spec, Seeds.all(0), torch.device("cpu"))
    assert built.fixed_point is not None, "what is built is on the grid"


def test_the_most_influential_rows_need_no_class() -> None:
    problem = problems.real()
    weights = problem.fit(problems.every_row(problem), torch.Generator().manual_seed(0))
    found = most_influential(problem, weights, problems.every_row(problem), 4)
    assert len(found.unique()) == 4


# --- measures ---------------------------------------------------------------------------------


def test_the_metrics_are_scikit_learns() -> None:
    numbers = Numbers(Y + DRAWS.normal(size=120), Y)
    pair = numbers.targets, numbers.predicted
    expected = {
        "rmse": root_mean_squared_error(*pair),
        "mae": mean_absolute_error(*pair),
        "r2": 100 * r2_score(*pair),
    }
    metrics = discover()
    for name, value in expected.items():
        assert metrics[name].measure(numbers) == pytest.approx(value, rel=1e-12)
    assert metrics["rmse"].measure(Numbers(Y + 3, Y)) == pytest.approx(3)
    assert metrics["mae"].measure(Numbers(Y - 3, Y)) == pytest.approx(3)
    assert metrics["r2"].measure(Numbers(np.full(120, Y.mean()), Y)) == pytest.approx(0, abs=1e-9)
    for same in (1.0, 0.1):  # the mean of three times 0.1 is not 0.1
        with pytest.raises(LetheError, match="two different targets"):
            metrics["r2"].measure(Numbers(np.ones(3), np.full(3, same)))


def test_scores_are_in_the_targets_units() -> None:
    """The scale is a factor of 4: two models that differ by 0.25 on it differ by 1."""
    problem = problems.real()
    weights = problem.fit(problems.every_row(problem), torch.Generator().manual_seed(0))
    other = weights.clone()
    other[-1] += 0.25
    forget, retain = torch.arange(5), torch.arange(5, 60)
    ours, theirs = (
        predict(Predictor(problem.model, w), problem, forget, retain) for w in (other, weights)
    )
    found = score(ours, theirs)
    assert found["rms_to_retrain_test"].value == pytest.approx(1)
    assert found["rmse_test"].unit == found["rmse_test_gap"].unit == "target"
    residuals = 4 * ((problem.test.x @ other[:-1] + other[-1]) - problem.test.y)
    assert found["rmse_test"].value == pytest.approx(float(residuals.square().mean().sqrt()))
    assert found["mae_test"].value == pytest.approx(float(residuals.abs().mean()))
    expected = 100 * r2_score(problem.test.y, problem.test.y + residuals / 4)
    assert found["r2_test"].value == pytest.approx(expected)
    assert (found["r2_test"].unit, found["r2_test_gap"].unit) == ("%", "points")
    gap = found["rmse_forget"].value - score(theirs, theirs)["rmse_forget"].value
    assert found["rmse_forget_gap"].value == pytest.approx(gap)
    assert found["attack_auc"].value is not None
    assert not [name for name in found if "accuracy" in name or "js" in name or "kl" in name]
    assert {found[f"loss_{part}"].unit for part in ("test", "forget", "retain")} == {""}


def test_one_forgotten_row_has_no_r_squared_and_says_so() -> None:
    problem = problems.real()
    predictor = Predictor(problem.model, torch.zeros(6, dtype=torch.float64))
    outputs = predict(predictor, problem, torch.tensor([0]), torch.arange(1, 60))
    found = score(outputs, outputs)
    assert (found["r2_forget"].value, found["r2_forget_gap"].value) == (None, None)
    assert found["r2_forget"].note
    assert found["rmse_forget"].value is not None


def test_probabilities_of_classes_are_refused_and_numbers_of_classes_too() -> None:
    real, classes = problems.real(), problems.softmax()
    with pytest.raises(LetheError, match="the target is a real number, and this asks for prob"):
        Predictor(real.model, torch.zeros(6).double()).log_probabilities(real.test.x)
    with pytest.raises(LetheError, match="the target is of classes"):
        Predictor(classes.model, torch.zeros(18).double()).numbers(classes.test.x)


def test_an_ensemble_predicts_the_mean() -> None:
    problem = problems.real()
    members = torch.stack([torch.zeros(6), torch.ones(6)]).double()
    found = Predictor(problem.model, members).numbers(problem.test.x)
    alone = Predictor(problem.model, members[1]).numbers(problem.test.x)
    assert torch.allclose(found, alone / 2)


def test_settings_are_chosen_by_the_error_on_validation_rows() -> None:
    problem = problems.real()
    judge, test = judge_of(problem), problem.test
    predictor = Predictor(problem.model, torch.zeros(6, dtype=torch.float64))
    worth = judge.worth(judge.outputs(predictor, test.x), test.y)
    assert worth == pytest.approx(1 - float(test.y.square().mean().sqrt()))


def test_kept_predictions_are_numbers_and_metrics_of_classes_pass_them_over() -> None:
    parts = {"test": Numbers(Y, Y + 1)}
    content = predictions.content_of(parts)
    with np.load(io.BytesIO(content)) as found:
        again = predictions._part(found, "test")
    assert np.array_equal(again.predicted, Y)
    assert np.array_equal(again.targets, Y + 1)
    assert measured(parts) == {}, "the record has the metrics of numbers already"
    of_classes = {"test": Predictions(np.log(np.full((2, 2), 0.5)), np.array([0, 1]))}
    assert not [key for key in measured(of_classes) if key.startswith(("rmse", "r2", "mae"))]


# --- what is of classes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget.scenario": "mislabelled"}, "'mislabelled' is of classes, and the target is a re"),
        ({"forget.scenario": "memorised"}, "'memorised' is of classes"),
        ({"problem.objective.loss": "cross_entropy"}, "takes squared loss and a linear model"),
        ({"problem.model": {"kind": "mlp", "hidden": [8]}}, "takes squared loss and a linear"),
        ({"problem.split.public": 20}, "the control of public rows is of classes: leave out"),
        ({"property": {"name": "monotone", "increasing": ["bmi"]}}, "properties are of classes"),
    ],
)
def test_settings_of_classes_are_refused_by_one_line(changes: dict, message: str) -> None:
    with pytest.raises(LetheError, match=message) as caught:
        load("diabetes-regression", changes=changes)
    assert "\n" not in str(caught.value)


def test_forgetting_a_class_is_refused(tmp_path: Path) -> None:
    tables = {
        "name": "t",
        "title": "t",
        "problem": {"data": own(tmp_path, "csv")},
        "forget": {"class": "yes"},
    }
    with pytest.raises(LetheError, match=r"forget\.class names a class, and the target 'price' is"):
        of_tables(tables, tmp_path, "t")


def test_methods_of_classes_take_no_part_and_say_why_when_asked() -> None:
    experiment = load("diabetes-regression")
    methods = {row.method for row in rows_of(experiment)}
    refused = {"random-labels", "salun", "bad-teacher", "scrub", "fisher-forgetting"}
    assert not methods & (refused | {"downdate-fast", "newton-kept", "newton-tangent"})
    assert {"retrain", "downdate", "newton", "newton-chord", "certified-removal"} <= methods
    problem = problems.real()
    for name in (*refused, "downdate-fast"):
        with pytest.raises(AssumptionBroken, match=f"{name} is made for classes"):
            ask(registry.find(name).method(), problem)


# --- front door and board -----------------------------------------------------------------------


def test_evaluate_and_advise_speak_of_numbers() -> None:
    problem = lethe.Problem.from_arrays(
        X, Y, ranges=RANGES, name="prices", ridge=1e-3, fixed_point={"clip": 1.0, "bits": 16}
    )
    assert repr(problem).startswith("Problem 'prices': 120 rows, a number from -60 to 140, a lin")
    table = lethe.evaluate(["retrain", "downdate", "newton-chord", "salun"], problem, 3, seeds=2)
    assert "Test R² (%)" in str(table)
    assert "Test RMSE (target)" in table.to_markdown()
    assert "accuracy" not in str(table)
    assert table["downdate"].verdict == "exact"
    assert table["downdate"]["r2_test_gap"].mean == 0
    assert table["downdate"]["rmse.retain"].mean == table["retrain"]["rmse.retain"].mean > 0
    assert table["retrain"]["r2_test"].mean > 80
    assert table["retrain"]["accuracy_test"] is None
    assert table["newton-chord"].verdict == "proved"
    assert "made for classes" in table["salun"].failure
    assert {"r2_test", "r2_test_gap", "rmse_test"} <= set(table.to_frame().columns)
    advice = lethe.advise(problem, 10, methods=["downdate"], seeds=2)
    assert advice.best is not None
    assert "test R²" in str(advice)
    assert "downdate-fast" not in lethe.evaluation.certifying(problem)


def test_advice_does_not_call_a_loss_what_has_no_number() -> None:
    """One test row has no R², and nothing is said of accuracy."""
    problem = lethe.Problem.from_arrays(X, Y, ranges=RANGES, ridge=1e-2, split={"test": 1})
    said = str(lethe.advise(problem, 10, methods=["newton-chord"], seeds=1))
    assert "test R² has no number on these test rows" in said
    assert "loses" not in said
    assert "accuracy" not in said


def test_the_smoke_run_is_a_table_with_its_columns(tmp_path: Path) -> None:
    names = ("downdate", "newton", "noisy-fine-tune", "fine-tune")
    command = ["run", "diabetes-regression", "--profile", "smoke", "--no-board"]
    chosen = [part for name in names for part in ("--method", name)]
    done = CliRunner().invoke(app, [*command, *chosen, "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (table,) = load_tables(tmp_path)
    assert table.facts.number == "progression"
    assert table.settings["predicted"] == "progression, a number"
    rows = {row.label: row for row in table.rows}
    exact = rows["downdate"]
    assert exact.estimate(TEST_GAP).mean == exact.estimate(BY_KEY["r2_test_gap"]).mean == 0
    assert exact.estimate(BY_KEY["accuracy_test_gap"]) is None
    assert 50 < exact.estimate(BY_KEY["rmse_test"]).mean < 65
    assert rows["noisy-fine-tune"].estimate(OVER_CONTROL) is not None
    drawn = point(rows["newton"].done[0], 1.0, "newton")
    assert drawn.gap == rows["newton"].estimate(BY_KEY["r2_test_gap"]).mean
    headings = [name for _, names in results_grid(table).groups for name in names]
    assert {"Test R² (%)", "R² gap (points)", "Test RMSE (progression)"} <= set(headings)
    assert not [name for name in headings if "accuracy" in name]
    record = json.loads(
        (tmp_path / "diabetes-regression-smoke/downdate/seed-0.json").read_text("utf-8")
    )
    assert record["metrics"]["rmse_test"]["unit"] == "progression"
    arguments = ["table", "diabetes-regression-smoke", "--results", str(tmp_path)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "RMSE, test (progression)" in shown.output
    assert "R², test (%)" in shown.output
    other = CliRunner().invoke(app, [*arguments, "--columns", "method,calibration.test"])
    assert other.exit_code == 0, other.output
    assert "not kept" not in other.output, "there is nothing to keep"
    (compact,) = terminal_tables(tmp_path)
    headings = [str(column.header).replace("\n", " ") for column in compact.columns]
    assert "R² gap (points)" in headings
    assert "Test gap (points)" not in headings


def test_what_did_not_run_is_not_said_to_have_been_thrown_away(tmp_path: Path) -> None:
    command = ["run", "diabetes-regression", "--profile", "smoke", "--no-board"]
    command += ["--method", "fine-tune", "--method", "newton", "--results", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    arguments = ["table", "--results", str(tmp_path), "--columns", "method,rmse.test"]
    shown = CliRunner().invoke(app, [*arguments, "--format", "markdown"])
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.output.splitlines() if "Downdate" in line]
    assert lines, "the plan has it"
    assert all(line.endswith("| – |") for line in lines)


def test_a_plan_of_classes_says_nothing_of_numbers() -> None:
    plan = plan_of(load("digits-softmax"))
    assert "number" not in plan.facts.model_dump()
    assert "predicted" not in plan.settings
    assert "task" not in Arrays.of(from_arrays(X, np.arange(120) % 3)).model_dump()


def test_a_row_that_loses_r_squared_is_not_useful(tmp_path: Path) -> None:
    """The same rule as for accuracy, in the ranking, in the answers and in the overview."""
    command = ["run", "diabetes-regression", "--profile", "smoke", "--no-board", "--method"]
    for name in ("noisy-fine-tune", "downdate"):
        done = CliRunner().invoke(app, [*command, name, "--results", str(tmp_path)])
        assert done.exit_code == 0, done.output
    (table,) = load_tables(tmp_path)
    rows = {row.label: row for row in table.rows}
    assert mean(rows["noisy-fine-tune"], "accuracy_test_gap") < -LOSS
    assert mean(rows["downdate"], "accuracy_test_gap") == 0
    found = {row.row.label: row for row in read(tmp_path).rows}
    assert not found["noisy-fine-tune"].accurate
    assert found["downdate"].accurate
    assert found["downdate"].track.family.key == NUMBER


def test_scikit_learns_ridge_is_translated() -> None:
    """Centred columns and a range around the mean make both intercepts 0, so ours costs nothing."""
    x, y = X - X.mean(axis=0), Y - Y.mean()
    reach = float(np.abs(y).max())
    found = lethe.from_sklearn(Ridge(alpha=3.0), x, y, ranges={"target": (-reach, reach)})
    assert found.difference < 1e-3 * reach
    assert not found.exact
    assert "the intercept is free there" in str(found)
    assert "labels" not in str(found)
    assert found.problem.experiment(1, (0,)).problem.objective.ridge == pytest.approx(3 / 120)
    shifted = lethe.from_sklearn(Ridge(alpha=3.0, fit_intercept=False), x + 1, y + 50)
    assert shifted.difference > 1


def test_forget_quality_refuses_numbers_before_it_trains(tmp_path: Path) -> None:
    command = ["forget-quality", "diabetes-regression", "--results", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code != 0
    assert "compares probabilities of classes" in str(done.exception or done.output)


def test_the_hash_of_numbers_is_printed_and_none_of_them(tmp_path: Path) -> None:
    own(tmp_path, "csv")
    command = ["data", "hash", str(tmp_path / "set.csv"), "--target", "price"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "4 inputs, a number caveat: the range of the target" in said
    assert not [cell for cell in (Y.min(), Y.max()) if f"{cell:.3g}" in said], "no cell is printed"
    wrong = CliRunner().invoke(app, [*command, "--task", "classes"])
    assert wrong.exit_code != 0
