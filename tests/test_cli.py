"""The command line: what a user types, and one clear line for what is wrong."""

from __future__ import annotations

import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from benchmark import plugins
from tests import tiny_experiment
from tests.conftest import Run


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, one line that holds `words`, no traceback."""
    code, _, error = result
    assert code == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    for word in words:
        assert word in error


def run(lethe: Run, folder: Path, *changes: tuple[str, str], more: tuple[str, ...] = ()) -> tuple:
    toml = tiny_experiment.write(folder, *changes)
    return lethe("run", str(toml), "--seed", "0", "--method", "newton", "--only", *more)


def record(lethe: Run, folder: Path) -> Path:
    """The record of one run, which made no board."""
    run(lethe, folder, more=("--no-board",))
    return folder / "runs" / "tiny" / "newton" / "seed-0.json"


def test_run_prints_the_table_and_the_page_and_keeps_what_is_there(
    lethe: Run, tmp_path: Path
) -> None:
    code, out, _ = run(lethe, tmp_path)
    assert code == 0
    assert "1 cells run, 0 kept, 0 failed" in out
    assert "Single-step Newton" in out
    assert str(Path("runs") / "leaderboard" / "index.html") in out
    assert (tmp_path / "runs" / "leaderboard" / "index.html").is_file()
    assert "0 cells run, 1 kept" in run(lethe, tmp_path)[1]


def test_a_file_that_is_named_twice_runs_once(lethe: Run, tmp_path: Path) -> None:
    tiny_experiment.write(tmp_path)
    (tmp_path / "copy").mkdir()
    tiny_experiment.write(tmp_path / "copy")
    names = ("tiny.toml", "./tiny.toml", str(tmp_path / "tiny.toml"), "copy/tiny.toml")
    scales = ("--profile", "paper", "--profile", "paper")
    own = ("--seed", "0", "--method", "nothing", "--only", "--no-board", "--jobs", "2")
    code, out, error = lethe("run", *names, *scales, *own)
    assert code == 0, error
    assert "1 cells run, 0 kept, 0 failed" in out


def test_a_failed_cell_shows_in_the_exit_code(lethe: Run, tmp_path: Path) -> None:
    code, out, error = run(lethe, tmp_path, ("tolerance = 1e-9", "tolerance = 1e-30"))
    assert code == 1
    assert "1 failed" in out
    assert "gradient norm" in error


def test_list_names_everything(lethe: Run) -> None:
    code, out, _ = lethe("list")
    assert code == 0
    for name in ("digits-softmax", "mnist-mlp", "newton", "sisa", "damping=None", "yes"):
        assert name in out


@pytest.mark.parametrize(("factor", "agrees"), [(1, True), (1 + 5e-6, True), (1 + 5e-5, False)])
def test_reproduce_allows_for_round_off_and_no_more(
    lethe: Run, tmp_path: Path, factor: float, agrees: bool
) -> None:
    path = record(lethe, tmp_path)
    content = json.loads(path.read_text())
    content["metrics"]["distance"]["value"] *= factor
    del content["digest"]  # else it is refused as edited by hand
    path.write_text(json.dumps(content))
    code, out, _ = lethe("reproduce", str(path))
    assert code == (0 if agrees else 1)
    assert ("DIFFERS" not in out) == agrees


def test_a_filtered_run_prints_the_rows_that_were_asked_for(lethe: Run, tmp_path: Path) -> None:
    _, out, _ = run(lethe, tmp_path)
    assert "Tiny (cpu)" in out
    assert "Single-step Newton" in out
    assert "Do nothing" not in out
    assert "Retrain" not in out
    plan = json.loads((tmp_path / "runs" / "tiny" / "plan.json").read_text())
    cells = 2 * len(plan["rows"])
    every = "lethe leaderboard --results runs --to runs/leaderboard"
    assert f"tiny: {cells - 1} of its {cells} cells are not run; every row: {every}" in out
    # an experiment that was run before is no part of the answer either
    toml = tiny_experiment.write(tmp_path, ('title = "Tiny"', 'title = "Other"'), name="other")
    _, out, _ = lethe(
        "run", str(toml), "--method", "nothing", "--only", "--seed", "1", "--seed", "0"
    )
    assert "Other (cpu)" in out
    assert "Tiny" not in out
    assert f"other: {cells - 2} of its {cells} cells are not run" in out
    _, out, _ = lethe(*every.split()[1:])
    assert "Tiny (cpu)" in out
    assert "missing" in out


def test_a_command_that_is_printed_can_be_copied(lethe: Run, tmp_path: Path) -> None:
    _, out, _ = run(lethe, tmp_path, more=("--results", "my runs"))
    assert "every row: lethe leaderboard --results 'my runs' --to 'my runs/leaderboard'" in out


def test_reproduce_takes_the_settings_that_are_given(lethe: Run, tmp_path: Path) -> None:
    path = str(record(lethe, tmp_path))
    refused(lethe("reproduce", path, "--threads", "0"), "threads must be 1 or more, not 0")
    refused(lethe("reproduce", path, "--device", ""), "'cpu' or 'cuda'")


def test_doctor_finds_the_embedded_data(
    lethe: Run, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LETHE_DATA", raising=False)
    code, out, _ = lethe("doctor")
    assert code == 0
    assert "1797 train rows, content hash verified" in out
    assert "not here yet" in out
    monkeypatch.setenv("LETHE_DATA", "/no/such/folder")
    code, out, _ = lethe("doctor")
    assert code == 1
    assert "is no folder" in out


def test_calibrate_measures_every_product_and_names_the_default(lethe: Run, tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path)
    code, out, error = lethe("calibrate", str(toml), "--budget", "60")  # rounds end it
    assert (code, error) == (0, "")
    for words in ("closed-form", "kept-graph", "timed on all 120", "the default: closed-form, 120"):
        assert words in out
    refused(lethe("calibrate", "digits-softmx"), "did you mean 'digits-softmax'?")
    refused(lethe("calibrate", str(toml), "--profile", "huge"), "huge")


def test_leaderboard_check(lethe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(lethe, tmp_path)
    where = ("--results", "runs", "--to", "board")
    assert lethe("leaderboard", *where)[0] == 0
    assert lethe("leaderboard", *where, "--check")[0] == 0
    (tmp_path / "board" / "README.md").write_text("edited by hand")
    refused(lethe("leaderboard", *where, "--check"), "README.md", "make leaderboard")
    from leaderboard import board

    monkeypatch.setattr(board, "check", lambda *_: [f"{number}.svg" for number in range(300)])
    many = "not what its records give (0.svg, 1.svg, 2.svg and 297 more): run 'make leaderboard'"
    refused(lethe("leaderboard", *where, "--check"), many)


# --- bad input ----------------------------------------------------------------------------------


def test_unknown_names(lethe: Run, tmp_path: Path) -> None:
    refused(lethe("run", "digits-softmx"), "did you mean 'digits-softmax'?")
    refused(lethe("run", "absent.toml"), "absent.toml", "does not exist")
    refused(lethe("run", "nosuch"), "unknown experiment 'nosuch': there is: adult, ")
    gone = lethe("run", "digits-softmax", "--method", "gone")
    refused(gone, "unknown method 'gone': there is: ", "downdate, ")
    refused(lethe("run", "digits-softmax", "--method", "newtno"), "did you mean 'newton'?")
    toml = tiny_experiment.write(tmp_path, ('data = "digits"', 'data = "digit"'))
    refused(lethe("run", str(toml)), "unknown data set 'digit'", "did you mean 'digits'?")
    row = '[forget]\nscenario = "random"\ncount = 5'
    extra = f'{row}\n\n[rows.n]\nmethod = "newton"\nparams = {{ dampng = 1 }}'
    toml = tiny_experiment.write(tmp_path, (row, extra))
    refused(lethe("run", str(toml)), "unknown parameter of newton", "did you mean 'damping'?")
    extra = extra.replace('"newton"', '"newtonn"')
    toml = tiny_experiment.write(tmp_path, (row, extra))
    refused(lethe("run", str(toml)), "'newtonn'", "did you mean 'newton'?")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epsilon = 1.0", "epsilon = 0.0", ["target.epsilon", "greater than 0"]),
        ("epsilon = 1.0", "epsilon = -3.0", ["target.epsilon"]),
        ("delta = 1e-5", "delta = 1.0", ["target.delta", "less than 1"]),
        ("delta = 1e-5", "delta = 0", ["target.delta"]),
        ("count = 5", "count = 0", ["forget.count"]),
        ("count = 5", "count = 120", ["forget fewer", "120"]),
        ("seeds = [0, 1]", "seeds = []", ["seeds"]),
        ("seeds = [0, 1]", "seeds = [1, 1]", ["distinct"]),
        ("ridge = 1e-2", "ridge = -1.0", ["ridge"]),
        ("ridge = 1e-2", "rigde = 1e-2", ["rigde"]),
        ('kind = "softmax"', 'kind = "resnet"', ["resnet"]),
        ("train = 120", "train = 1790", ["which has 1797"]),
        ('title = "Tiny"', "title = ", ["not valid TOML"]),
    ],
)
def test_a_bad_experiment_file(
    lethe: Run, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    refused(lethe("run", str(tiny_experiment.write(tmp_path, (old, new)))), *words)


def test_cuda_where_there_is_none(
    lethe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(run(lethe, tmp_path, more=("--device", "cuda")), "--device cpu")
    refused(run(lethe, tmp_path, more=("--device", "tpu")), "'cpu' or 'cuda'")
    refused(run(lethe, tmp_path, more=("--device", "cuda:1")), "--device cpu")
    refused(run(lethe, tmp_path, more=("--device", "mps")), "mps has no float64")
    refused(run(lethe, tmp_path, more=("--threads", "0")), "threads")


def test_LETHE_DATA_pointing_nowhere(
    lethe: Run, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_DATA", "/no/such/folder")
    refused(lethe("run", "mnist-softmax"), "/no/such/folder", "is no folder")


def test_no_network(lethe: Run, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.delenv("LETHE_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    refused(lethe("run", "mnist-softmax"), "check the network", "LETHE_DATA")


def test_a_corrupt_record(lethe: Run, tmp_path: Path) -> None:
    path = record(lethe, tmp_path)
    path.write_text(path.read_text()[:100])
    refused(lethe("reproduce", str(path)), "seed-0.json", "damaged")
    refused(lethe("leaderboard", "--results", "runs", "--to", "board"), "damaged")
    refused(lethe("reproduce", "no-such.json"), "cannot be read")
    plan = tmp_path / "runs" / "tiny" / "plan.json"
    refused(lethe("reproduce", str(plan)), "not a record of one row")


@pytest.mark.parametrize("kind", ["plan", "contents", None])
def test_reproduce_names_what_is_no_record_of_a_row(
    lethe: Run, tmp_path: Path, kind: str | None
) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"schema_version": 1, "kind": kind} if kind else []))
    result = lethe("reproduce", "found.json")
    refused(result, "found.json is not a record of one row: name a seed-<n>.json")


@pytest.mark.parametrize("schema", [1, 4])
def test_reproduce_never_advises_to_delete(lethe: Run, tmp_path: Path, schema: int) -> None:
    path = tmp_path / "seed-0.json"
    cures = {1: "run its experiment again", 4: "update Lethe"}
    path.write_text(json.dumps({"schema_version": schema, "kind": "cell"}))
    result = lethe("reproduce", "seed-0.json")
    refused(result, f"has schema {schema}; this version reads 3: {cures[schema]}")
    path.write_text("{")
    damaged = lethe("reproduce", "seed-0.json")
    refused(damaged, "damaged", "run its experiment again")
    assert "delete" not in result[2] + damaged[2]


def test_a_seed_that_the_experiment_does_not_have(lethe: Run, tmp_path: Path) -> None:
    toml = str(tiny_experiment.write(tmp_path))
    result = lethe("forget-quality", toml, "--seed", "1", "--seed", "99")
    refused(result, "experiment tiny has no seed 99: its seeds are 0, 1")
    assert not (tmp_path / "runs").exists()
    own = ("--method", "newton", "--only", "--no-board")
    code, out, error = lethe("run", toml, "--seed", "7", *own)
    assert code == 0, error
    assert "1 cells run" in out
    plan = json.loads((tmp_path / "runs" / "tiny" / "plan.json").read_text())
    assert plan["seeds"] == [0, 1, 7], "the board counts it"


def test_a_method_runs_beside_the_yardsticks(lethe: Run, tmp_path: Path) -> None:
    toml = str(tiny_experiment.write(tmp_path))
    code, out, error = lethe("run", toml, "--seed", "0", "--method", "newton")
    assert code == 0, error
    assert "3 cells run" in out
    for title in ("Single-step Newton", "Retrain", "Do nothing"):
        assert title in out
    again = run(lethe, tmp_path, more=("--no-board",))
    assert "0 cells run, 1 kept" in again[1], "--only leaves them out"


def test_a_broken_plug_in_is_said_before_a_table(
    lethe: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("broken", "no_such_module:Broken", group)]

    monkeypatch.setattr(plugins, "entry_points", points)
    result = lethe("list")
    refused(result, "plug-in 'broken' cannot be loaded", "repair it or uninstall it")
    assert result[1] == ""


def test_no_records(lethe: Run) -> None:
    refused(lethe("leaderboard", "--results", "nowhere", "--to", "board"), "nowhere")


def test_a_results_folder_that_cannot_be_written(lethe: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(lethe, tmp_path, more=("--results", "file")), "file is a file: name a folder")
    refused(run(lethe, tmp_path, more=("--results", "file/sub")), "file/sub cannot be written")


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("slack", "study.run.run"),
        ("inverse-hessian", "study.run.run"),
        ("audit", "study.run.run"),
        ("soundness", "study.run.run"),
        ("forget-quality", "study.run.run"),
        ("false-alarms", "studies.false_alarms.false_alarms"),
    ],
)
def test_the_results_folder_is_tried_before_anything_is_computed(
    lethe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, work: str
) -> None:
    class Begun(Exception):
        pass

    def begin(*_: object, **__: object) -> None:
        raise Begun

    monkeypatch.setattr(f"benchmark.{work}", begin)
    (tmp_path / "file").write_text("")
    refused(lethe(command, "--results", "file"), "--results file is a file: name a folder")
    refused(lethe(command, "--results", "file/sub"), "file/sub cannot be written")
    assert (tmp_path / "file").read_text() == ""
    with pytest.raises(Begun):
        lethe(command, "--results", "new/folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_full_disk(lethe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    refused(run(lethe, tmp_path), "the disk is full", "run the same command again")


def test_a_name_that_no_disk_takes(lethe: Run, tmp_path: Path) -> None:
    long = "a" * 300
    for command in (("collect", long), ("status", "--results", long), ("reproduce", long)):
        refused(lethe(*command), f"{long[:50]}", "File name too long")
    refused(lethe("reproduce", f"x.jsonl:{'9' * 5000}"), "File name too long")


def test_a_wrong_option(lethe: Run) -> None:
    code, _, error = lethe("run", "digits-softmax", "--nonsense")
    assert code == 2
    assert "--nonsense" in error
    assert "Traceback" not in error
