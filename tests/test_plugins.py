"""Methods register by existing, and every other plug-in as one file outside the project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import baselines
from benchmark import extend, plugins, predictions, registry
from benchmark.cli import app
from benchmark.contract import definition
from benchmark.data import catalogue
from benchmark.errors import LetheError
from benchmark.experiments.experiment import load
from benchmark.metrics import metric
from benchmark.problem.objective import Objective
from benchmark.properties import property as properties
from benchmark.records import Record, Store
from benchmark.runner.plans import plan_cells
from benchmark.solvers.solver import SOLVERS
from benchmark.study.executors.executor import KIND as EXECUTORS
from benchmark.templates import TEMPLATES
from leaderboard.export import View, export, read
from methods.newton import Newton
from tests import tiny_experiment

# Each kind of plug-in as one file in a folder outside the project, with no edit elsewhere.

STUDY = (
    ('data = "digits"', 'data = "outside-set"'),
    ('"unit-pixels"', '"outside-feature"'),
    ('kind = "softmax"', 'kind = "outside-model"'),
    ('loss = "cross_entropy", ridge = 1e-2', 'loss = "outside-loss"'),
    ('algorithm = "newton-cg", tolerance = 1e-9', 'algorithm = "adam", epochs = 2'),
    ('scenario = "random"', 'scenario = "outside-scenario"'),
    ("seeds = [0, 1]", 'seeds = [0]\nmethods = ["retrain", "outside-method"]'),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one plug-in of each kind, as `lethe new` writes it."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind in TEMPLATES:
        extend.write(kind, "outside-set" if kind == "data" else f"outside-{kind}", folder)
    return folder


@pytest.fixture
def outside(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of plug-ins; nothing of them is known afterwards."""
    monkeypatch.setenv(plugins.FOLDER, str(written))
    _forget()
    yield written
    _forget()


def _forget() -> None:
    plugins.find.cache_clear()
    catalogue.clear()
    definition.discover.cache_clear()
    properties.discover.cache_clear()


def records(folder: Path) -> list[Record]:
    return Store(folder).records("tiny")


def test_there_is_a_file_of_every_kind(outside: Path) -> None:
    kinds = {kind for kind, _ in plugins.installed()}
    # a study brings records of its own: its test stands with the other studies'
    assert kinds == set(plugins.kinds()) - {"study"}
    assert len(list(outside.glob("*.py"))) == len(kinds) + 1, "and a method"


def test_a_study_uses_them_all_and_no_file_of_the_project_names_them(
    outside: Path, tmp_path: Path
) -> None:
    path, folder = tiny_experiment.write(tmp_path, *STUDY), tmp_path / "runs"
    assert tiny_experiment.run(path, folder=folder).ran == 2
    found = records(folder)
    assert {one.method.label: one.status for one in found} == {
        "retrain": "ok",
        "outside-method": "ok",
    }
    assert tiny_experiment.run(path, folder=folder).kept == 2
    # a new column, of a metric that no cell was run with
    view = View(columns=["method", "outside-metric.test"])
    assert "| 60.0 |" in export(read(folder), view)
    header, *lines = export(read(folder), View(by="seed"), "csv").splitlines()
    assert "outside-metric.forget" in header.split(",")
    assert len(lines) == 1


def test_the_code_of_plug_ins_is_part_of_the_keys(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = ("[problem]", '[property]\nname = "outside-property"\n\n[problem]')
    path = str(tiny_experiment.write(tmp_path, *STUDY, declared))

    def key() -> str:
        return plan_cells(load(path), "cpu", ["retrain"], seeds=[0])[0].key

    before = key()
    assert key() == before
    kinds = ("Feature", "Model", "Loss", "Scenario", "Property")
    for changed in (f"Outside{kind}" for kind in kinds):
        real = plugins.code_of

        def other(cls: type, changed: str = changed, real: Any = real) -> str | None:
            return "0" * 64 if cls.__name__ == changed else real(cls)

        with monkeypatch.context() as patch:
            patch.setattr(plugins, "code_of", other)
            assert key() != before, changed
    assert Objective().code is None, "the project's own are vouched for by RECIPE"


def test_what_was_recorded_of_other_code_is_refused(outside: Path) -> None:
    assert Objective.model_validate({"loss": "outside-loss"}).code
    with pytest.raises(ValueError, match="code of outside-loss has changed since"):
        Objective.model_validate({"loss": "outside-loss", "code": "0" * 64})


def test_bounds_are_refused_of_a_loss_whose_constants_nobody_knows(
    outside: Path, tmp_path: Path
) -> None:
    changes = [one for one in STUDY if "outside-loss" in one[1] or "algorithm" in one[1]]
    rows = ("seeds = [0, 1]", 'seeds = [0]\nmethods = ["retrain", "output-perturbation"]')
    path = tiny_experiment.write(tmp_path, *changes, rows)
    tiny_experiment.run(path, folder=tmp_path / "runs")
    verdicts = {one.method.label: (one.status, one.verdict) for one in records(tmp_path / "runs")}
    assert verdicts["retrain"] == ("ok", "exact")
    assert verdicts.get("output-perturbation", ("failed", "none"))[0] == "failed"
    assert "strong_convexity" not in load(str(path)).problem.offers


def test_a_solver_a_definition_and_an_executor_are_known_by_name(outside: Path) -> None:
    assert "outside-solver" in list(SOLVERS)
    assert SOLVERS["outside-solver"].title == "Outside solver"
    assert definition.find("outside-definition").proves
    assert EXECUTORS.find("outside-executor").title == "Outside executor"
    with pytest.raises(LetheError, match=r"unknown solver 'cgg': did you mean 'cg'\?"):
        SOLVERS["cgg"]


def test_an_executor_of_a_plug_in_runs_a_study(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_experiment.widen(monkeypatch)
    path = tiny_experiment.write(tmp_path, ("seeds = [0, 1]", "seeds = [0]"))
    where = tmp_path / "where.toml"
    where.write_text('executor = "outside-executor"\n', encoding="utf-8")
    asked = ["run", str(path), "--method", "nothing", "--on", str(where), "--no-board"]
    found = CliRunner().invoke(app, [*asked, "--results", str(tmp_path / "runs")])
    assert found.exit_code == 0, found.output
    assert records(tmp_path / "runs")
    where.write_text('executor = "nowhere"\n', encoding="utf-8")
    again = CliRunner().invoke(app, [*asked, "--results", str(tmp_path / "other")])
    assert "unknown executor 'nowhere'" in str(again.exception)


@pytest.mark.parametrize("name", ["calibration", "class_accuracy", "outside-metric"])
def test_a_metric_is_a_function_of_predictions_alone(outside: Path, name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 3, generator=generator)
    given = metric.Predictions(
        logits.log_softmax(dim=1).numpy(), torch.randint(3, (40,), generator=generator).numpy()
    )
    found = metric.measured({"test": given})
    mine = {key: value for key, value in found.items() if key.startswith(f"{name}.test")}
    assert mine
    assert all(value.value is not None for value in mine.values())
    assert metric.measured({"test": given}) == found


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_what_was_not_kept_of_a_release_is_said_and_never_a_number(
    tmp_path: Path, content: bytes | None
) -> None:
    folder, columns = tmp_path / "runs", ("calibration.test", "class_accuracy.test.0")
    one_seed = ("seeds = [0, 1]", 'seeds = [0]\nmethods = ["retrain", "nothing"]')
    tiny_experiment.run(tiny_experiment.write(tmp_path, one_seed), folder=folder)
    for record in predictions.with_metrics(folder, records(folder)):
        assert all(record.metrics[name].value is not None for name in columns)
    gone = predictions.path_of(folder, records(folder)[0].key)
    gone.unlink()
    if content is not None:
        gone.write_bytes(content)
    without, whole = predictions.with_metrics(folder, records(folder))
    for name in columns:
        assert without.metrics[name].value is None
        assert without.metrics[name].note == metric.NOT_KEPT
        assert whole.metrics[name].value is not None


def test_a_metric_that_fails_is_a_column_that_says_so(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: metric.Predictions) -> float:
        raise RuntimeError("no")

    monkeypatch.setattr(metric.discover()["calibration"], "measure", broken)
    given = metric.Predictions(
        torch.zeros(2, 2).log_softmax(dim=1).numpy(), torch.zeros(2).long().numpy()
    )
    found = metric.measured({"test": given})
    assert found["calibration.test"].value is None
    assert found["calibration.test"].note == "calibration failed: RuntimeError: no"
    assert found["class_accuracy.test.0"].value == 100


def test_calibration_and_accuracy_per_class_by_hand() -> None:
    sure = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]]).log().numpy()
    found = metric.measured({"test": metric.Predictions(sure, torch.tensor([0, 1, 1]).numpy())})
    # one bin with two rows, half right at 0.9; one with a row, right at 0.7
    assert found["calibration.test"].value == pytest.approx(100 * (2 * 0.4 + 0.3) / 3, rel=1e-6)
    assert found["class_accuracy.test.0"].value == 100
    assert found["class_accuracy.test.1"].value == 50


def test_a_folder_that_is_none_and_a_file_that_breaks_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.FOLDER, str(tmp_path / "absent"))
    with pytest.raises(LetheError, match="LETHE_PLUGINS names no folder"):
        metric.discover()
    (tmp_path / "broken_plug_in.py").write_text("def (\n", encoding="utf-8")
    monkeypatch.setenv(plugins.FOLDER, str(tmp_path))
    with pytest.raises(LetheError, match=r"plug-in broken_plug_in\.py cannot be imported: Syntax"):
        metric.discover()


# Methods register by existing; mistakes are one clear line.

GOOD = """
from benchmark.contract.method import Method, Source
class Extra(Method):
    '''A dropped-in method.'''
    name = "{name}"
    title = "Extra"
    source = Source(paper="A paper", url="https://example.org")
    strength: float = 1.0
    def unlearn(self, request):
        return request.release(request.original.weights * self.strength)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second place where files of the package `baselines` are looked for."""
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    return tmp_path


def test_every_file_is_found() -> None:
    found = registry.discover()
    names = {"newton", "retrain", "retrain-other-seed", "fine-tune", "gradient-ascent", "sisa"}
    assert names | {"nothing"} <= set(found)
    assert found["newton"].family == "methods"
    assert found["sisa"].family == "baselines"


def test_a_new_file_is_there_without_an_edit(folder: Path) -> None:
    (folder / "extra_one.py").write_text(GOOD.format(name="extra-one"))
    assert registry.find("extra-one").method.model_fields["strength"].default == 1.0
    assert "extra-one" in registry.discover()


def test_two_methods_of_one_name_are_an_error(folder: Path) -> None:
    (folder / "extra_two.py").write_text(GOOD.format(name="newton"))
    with pytest.raises(LetheError, match=r"two methods are called 'newton'.*newton\.py.*extra_two"):
        registry.discover()


def test_a_broken_file_is_named(folder: Path) -> None:
    (folder / "extra_three.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(LetheError, match=r"baselines/extra_three\.py cannot be imported"):
        registry.discover()


def test_a_missing_declaration_is_named(folder: Path) -> None:
    text = GOOD.format(name="extra-four").replace("    title", "    # title")
    (folder / "extra_four.py").write_text(text)
    with pytest.raises(LetheError, match=r"extra_four\.py \(Extra\) declares no 'title'"):
        registry.discover()


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(LetheError, match=r"unknown method 'newtn': did you mean 'newton'\?"):
        registry.find("newtn")
    with pytest.raises(LetheError, match=r"'dampin': did you mean 'damping'\?"):
        Newton.build({"dampin": 1})
    with pytest.raises(LetheError, match="damping"):
        Newton.build({"damping": -1})


def test_an_entry_point_adds_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("outside", "tests.plugin:Outside", group)]

    monkeypatch.setattr(plugins, "entry_points", points)
    assert registry.find("outside").method.name == "outside"


def test_an_entry_point_that_is_no_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("outside", "tests.plugin:NOT_A_METHOD", group)]

    monkeypatch.setattr(plugins, "entry_points", points)
    with pytest.raises(LetheError, match=r"is not a Method class.*: repair it or uninstall it$"):
        registry.discover()


def test_a_broken_plug_in_names_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "lethe_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lethe-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lethe.methods]\nx = lethe_extra_broken:Extra\n")
    (tmp_path / "lethe_extra_broken.py").write_text("def (\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    words = r"'x' of lethe-extra cannot be loaded \(SyntaxError: .*lethe_extra_broken\.py"
    with pytest.raises(LetheError, match=words + ".*: repair it or uninstall lethe-extra$"):
        registry.discover()
    (tmp_path / "lethe_extra_broken.py").unlink()
    with pytest.raises(LetheError, match=r"ModuleNotFoundError: .*uninstall lethe-extra$"):
        registry.discover()
