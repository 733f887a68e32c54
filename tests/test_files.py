"""Records in one file an experiment, and whatever else is read or printed, in whatever encoding."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmark import collected, console, json_file
from benchmark import files as files_of_text
from benchmark.collected import collect
from benchmark.data import images
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.experiments.experiment import load
from benchmark.problem.model import Model
from benchmark.problem.models.fully_connected import MLPSpec
from benchmark.records import Store, read_record
from benchmark.runner import device
from benchmark.runner.device import prepare
from benchmark.studies import experiments as runner
from benchmark.study.reproduce import recorded_in
from methods.newton import Newton
from tests import tiny_experiment
from tests.conftest import Run
from tests.test_cli import refused
from tests.test_cli import run as run_tiny

# Records in one file an experiment: the same answers, nothing lost, each damage one line.


def run(folder: Path, **more: object) -> runner.Tally:
    path = tiny_experiment.write(folder)
    more.setdefault("methods", ["newton", "nothing"])
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        loaded, store = [experiments.load(str(path))], Store(folder / "results")
        return runner.run(loaded, store, torch.device("cpu"), console=Console(file=sink), **more)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    run(tmp_path)
    return tmp_path / "results"


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json"))


def test_what_is_collected_is_what_there_was(results: Path) -> None:
    store = Store(results)
    plans, records = store.plans(), store.records("tiny")
    assert len(records) == 4
    assert collect(results) == [(results / "tiny.jsonl", 5)]
    assert files(results) == []
    assert not (results / "tiny").exists()
    assert (store.plans(), store.records("tiny")) == (plans, records)
    assert store.experiments() == ["tiny"]
    assert collect(results) == []


def test_a_line_is_one_record_and_they_are_sorted(results: Path) -> None:
    collect(results)
    lines = [json.loads(line) for line in (results / "tiny.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        "tiny/plan.json",
        *(f"tiny/{label}/seed-{seed}.json" for label in ("newton", "nothing") for seed in (0, 1)),
    ]
    assert lines[1]["content"]["method"]["label"] == "newton"


def test_what_lies_where_no_run_writes_is_left_alone(lethe: Run, results: Path) -> None:
    """Whichever folder is named: other people's JSON is not gathered, nor an empty name."""
    others = [results / "notes" / name for name in ("tsconfig.json", "a/b/seed-0.json", "c/d.json")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    for folder in (results, results.parent):
        code, out, error = lethe("collect", str(folder))
        assert code == 0, error
    assert "nothing to gather" in out
    assert sorted(p.name for p in results.parent.rglob("*.jsonl")) == ["tiny.jsonl"]
    assert all(path.exists() for path in others)
    refused(lethe("collect", ""), "the name of a folder is empty")


@pytest.mark.parametrize("name", ["digits-public", "slack.study"])
def test_all_that_was_ever_gathered_is_gathered_again(tmp_path: Path, name: str) -> None:
    known = collected.read(ROOT / "leaderboard" / "results" / f"{name}.jsonl")
    for place in known:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    collect(tmp_path)
    assert list(collected.below(tmp_path)) == list(known)


def test_two_gather_at_once(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, or would write what it read before over it."""
    record = results / "tiny" / "newton" / "seed-1.json"
    late, arranged = record.read_bytes(), collected._arranged
    record.unlink()
    second = threading.Thread(target=collect, args=(results,))

    def write(*given: Any) -> dict[Path, set[str]]:
        if second.ident is None:
            record.write_bytes(late)  # a run is going on
            second.start()
            second.join(0.3)
        return arranged(*given)

    monkeypatch.setattr(collected, "_arranged", write)
    collect(results)
    second.join()
    assert len(Store(results).records("tiny")) == 4


def test_a_name_with_a_raised_number_is_in_order() -> None:
    assert sorted(["x10²", "x9²", "x9"], key=collected.in_order) == ["x9", "x9²", "x10²"]


def test_seeds_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        json_path = tmp_path / "x" / "row" / f"seed-{seed}.json"
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text("{}")
    collect(tmp_path)
    assert list(collected.read(tmp_path / "x.jsonl")) == [
        f"x/row/seed-{s}.json" for s in (1, 9, 10)
    ]


def test_points_of_a_sweep_stand_in_the_file_of_their_experiment(results: Path) -> None:
    """Where they stood before, too: the file of their own is gone, and nothing twice."""
    records = Store(results).records("tiny")
    other = results / "tiny-10"
    other.mkdir()
    (other / "plan.json").write_text('{"a": 1}')
    assert [lines.name for lines, _ in collect(results)] == ["tiny-10.jsonl", "tiny.jsonl"]
    other.mkdir()
    (other / "plan.json").write_text("{}")
    assert collect(results, {"tiny-10": "tiny"}) == [(results / "tiny.jsonl", 1)]
    assert [path.name for path in results.glob("*.jsonl")] == ["tiny.jsonl"]
    assert collected.find(other / "plan.json") == ("{}", f"{results}/tiny.jsonl:6")
    assert Store(results).records("tiny") == records


@pytest.mark.parametrize("name", ["old.jsonl", "zero.jsonl"], ids=["before", "after"])
def test_a_line_that_a_stop_left_in_two_files_counts_once(results: Path, name: str) -> None:
    """In whatever order the files are read; the next call leaves it in its own file alone."""
    collect(results)
    lines = results / "tiny.jsonl"
    (results / name).write_bytes(lines.read_bytes())
    assert len(Store(results).records("tiny")) == 4
    collect(results)
    assert list(results.glob("*.jsonl")) == [lines]


def test_lines_in_two_files_that_differ_are_refused(results: Path) -> None:
    collect(results)
    lines = results / "tiny.jsonl"
    (results / "old.jsonl").write_text(lines.read_text().replace(': "ok"', ': "failed"', 1))
    with pytest.raises(LetheError, match=r"tiny\.jsonl:2 holds the record of .*old\.jsonl:2"):
        Store(results).records("tiny")


def test_files_of_lines_of_others_are_left_alone(results: Path) -> None:
    collect(results)
    (results.parent / "customers.jsonl").write_text('{"name": "x"}\n')
    (results / "notes.jsonl").write_text("")
    assert len(Store(results).records("tiny")) == 4
    assert collect(results) == []
    assert (results / "notes.jsonl").exists()


def test_a_run_keeps_what_is_collected_and_a_new_record_replaces_its_line(
    results: Path, tmp_path: Path
) -> None:
    collect(results)
    tally = run(tmp_path)
    assert (tally.kept, tally.ran) == (4, 0)
    assert files(results) == [], "a plan that is known is not written again"
    run(tmp_path, fresh=True, seeds=[1], methods=["newton"])
    assert files(results) == ["tiny/newton/seed-1.json"]
    path = results / "tiny" / "newton" / "seed-1.json"
    new = read_record(path)
    assert Store(results).records("tiny")[1] == new
    before = (results / "tiny.jsonl").read_text().splitlines()
    collect(results)
    after = (results / "tiny.jsonl").read_text().splitlines()
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [2]
    assert read_record(path) == new


def test_a_record_is_named_by_its_file_or_its_line(results: Path) -> None:
    wanted = read_record(results / "tiny" / "newton" / "seed-0.json")
    collect(results)
    assert recorded_in(results / "tiny" / "newton" / "seed-0.json") == wanted
    assert recorded_in(Path(f"{results}/tiny.jsonl:2")) == wanted
    with pytest.raises(LetheError, match="no line 9"):
        recorded_in(Path(f"{results}/tiny.jsonl:9"))
    with pytest.raises(LetheError, match="not a record of one row"):
        recorded_in(Path(f"{results}/tiny.jsonl:1"))
    with pytest.raises(LetheError, match=r"a record a line: name one of them, as in .*jsonl:12$"):
        recorded_in(results / "tiny.jsonl")


def test_a_line_is_read_as_it_stands_although_its_row_has_run_again(
    results: Path, tmp_path: Path
) -> None:
    collect(results)
    old = recorded_in(Path(f"{results}/tiny.jsonl:2"))
    run(tmp_path, fresh=True, seeds=[0], methods=["newton"])
    new = recorded_in(results / "tiny" / "newton" / "seed-0.json")
    assert new.finished != old.finished or new.seconds != old.seconds
    assert recorded_in(Path(f"{results}/tiny.jsonl:2")) == old


def test_a_last_line_without_its_end_counts(results: Path) -> None:
    collect(results)
    records, lines = Store(results).records("tiny"), results / "tiny.jsonl"
    lines.write_text(lines.read_text().removesuffix("\n"))
    assert Store(results).records("tiny") == records


@pytest.mark.parametrize("name", ["leaderboard", "wandb", "false-alarms"])
def test_what_is_no_experiment_is_not_taken(results: Path, name: str) -> None:
    path = results / name / "bench" / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    collect(results)
    assert files(results) == [f"{name}/bench/summary.json"]


def test_a_damaged_line_is_named_and_left_as_it_is(results: Path) -> None:
    collect(results)
    lines = results / "tiny.jsonl"
    text = lines.read_text()
    for damaged, words in (
        (text.replace('"content"', '"cntent"', 1), r"tiny\.jsonl:1 is damaged"),
        (
            text + text.splitlines(keepends=True)[1],
            r"tiny\.jsonl:6 holds the record of line 2: delete",
        ),
    ):
        lines.write_text(damaged)
        with pytest.raises(LetheError, match=words) as caught:
            Store(results).records("tiny")
        assert "\n" not in str(caught.value)
        assert lines.read_text() == damaged


def test_a_damaged_file_stops_before_anything_is_removed(results: Path) -> None:
    damaged = results / "tiny" / "newton" / "seed-0.json"
    damaged.write_text("{")
    before = files(results)
    with pytest.raises(LetheError, match=r"seed-0\.json is damaged"):
        collect(results)
    assert files(results) == before
    assert not (results / "tiny.jsonl").exists()


def test_a_file_that_a_run_writes_meanwhile_stays(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = results / "tiny" / "newton" / "seed-0.json"
    changed = read_record(path).model_copy(update={"seconds": 123.0})
    write = collected.replace_file

    def slow(to: Path, content: bytes) -> None:
        write(to, content)
        json_file.write(path, changed)

    monkeypatch.setattr(collected, "replace_file", slow)
    collect(results)
    assert files(results) == ["tiny/newton/seed-0.json"]
    assert read_record(path) == changed


def test_what_is_hidden_or_is_no_folder_is_left_alone(results: Path) -> None:
    (results / "slack.json").write_text("{}")
    hidden = results / "tiny" / ".artifacts" / "x.json"
    hidden.parent.mkdir()
    hidden.write_text("{}")
    collect(results)
    assert files(results) == ["slack.json", "tiny/.artifacts/x.json"]


# Whatever is read or printed, in whatever encoding: it works, or one line says what is wrong.

ROOT = Path(__file__).parents[1]
ODD = "Étude [/red] [batch, classes] :smile: $x_{$ 漢"


def odd(folder: Path) -> Path:
    toml = tiny_experiment.write(folder)
    text = toml.read_text("utf-8").replace('title = "Tiny"', f'title = "{ODD}"')
    toml.write_text(text, "utf-8")
    return toml


# --- reading ------------------------------------------------------------------------------------


def test_a_study_with_a_mark_in_front_is_read(tmp_path: Path) -> None:
    toml = odd(tmp_path)
    toml.write_bytes(b"\xef\xbb\xbf" + toml.read_bytes())
    assert load(str(toml)).title == ODD


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("latin-1", "Latin-1"), ("cp1252", "Latin-1")],
)
def test_a_study_in_another_encoding_is_one_line(tmp_path: Path, encoding: str, words: str) -> None:
    toml = tiny_experiment.write(tmp_path, ('"Tiny"', '"Étude"'))
    text = tiny_experiment.TOML.replace('"Tiny"', '"Étude"')
    toml.write_bytes(text.encode(encoding))
    with pytest.raises(LetheError, match=f"tiny.toml is not UTF-8 but .*{words}") as caught:
        load(str(toml))
    assert "save it as UTF-8" in str(caught.value)


def test_what_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    deep = 3_000
    toml = tmp_path / "deep.toml"
    toml.write_text(f"x = {'[' * deep}{']' * deep}")
    with pytest.raises(LetheError, match=r"deep\.toml is not valid TOML"):
        load(str(toml))
    toml.write_text("x" + ".x" * deep + " = 1")
    with pytest.raises(LetheError, match=r"deep\.toml"):
        load(str(toml))
    path = tmp_path / "deep.json"
    path.write_text("[" * 10**6)
    with pytest.raises(LetheError, match="damaged"):
        json_file.load(path, "record")


def test_an_interrupt_at_any_line_of_a_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    class Interrupt(BaseException):
        pass

    parts, left = ("files.py", "contextlib.py"), 0

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if Path(frame.f_code.co_filename).name not in parts:
            return None
        left -= event == "line"
        if event == "line" and left == 0:
            raise Interrupt
        return interrupt

    path, lines, before = tmp_path / "record.json", 0, sys.gettrace()
    while left == 0:
        path.write_bytes(b"before")
        lines, left = lines + 1, lines + 1
        try:
            sys.settrace(interrupt)
            files_of_text.replace_file(path, b"after")
        except Interrupt:
            pass
        finally:
            sys.settrace(before)
        assert list(tmp_path.iterdir()) == [path], f"line {lines}"
        assert path.read_bytes() in (b"before", b"after")
    assert lines > 20
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count = 5", f"count = {'9' * 5000}", r"tiny\.toml"),
        ("count = 5", f"count = {2**63}", "forget.count is no whole number of 64 bits"),
        ("seeds = [0, 1]", f"seeds = [0, {2**64}]", "seeds is no whole number of 64 bits"),
        ("tolerance = 1e-9", "tolerance = inf", "problem.training.tolerance is inf"),
        ("seeds = [0, 1]", "seeds = [0, nan]", "seeds is nan: write a finite number"),
    ],
)
def test_a_number_that_nothing_computes_with_is_one_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(LetheError, match=words):
        load(str(tiny_experiment.write(tmp_path, (old, new))))


def test_a_net_that_no_machine_holds_is_one_line() -> None:
    with pytest.raises(LetheError, match=r"problem\.model is too large for any machine"):
        Model(MLPSpec(kind="mlp", hidden=(2**60,)), 64, 10)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count = 5", "count = true", "forget.count: true is not a number"),
        ("count = 5", 'count = "5"', "forget.count: '5' is not a number"),
        ("epsilon = 1.0", "epsilon = true", "target.epsilon: true is not a number"),
        ("seeds = [0, 1]", "seeds = [0, true]", "seeds.1: true is not a number"),
        ("test = 60", "test = true", "problem.split.test: true is not a number"),
    ],
)
def test_a_truth_value_is_no_number(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(LetheError, match=words):
        load(str(tiny_experiment.write(tmp_path, (old, new))))


def test_a_truth_value_is_no_number_of_a_method_either() -> None:
    with pytest.raises(LetheError, match="method newton: damping: true is not a number"):
        Newton.build({"damping": True})


# --- printing -----------------------------------------------------------------------------------


def test_a_run_where_files_are_in_ascii_and_the_terminal_in_a_windows_code_page(
    tmp_path: Path,
) -> None:
    locale = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "cp1252",
    }
    toml, own = odd(tmp_path), ("--seed", "0", "--method", "nothing", "--only", "--results", "rüns")
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "run", str(toml), *own],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **locale},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"1 cells run" in done.stdout
    board = tmp_path / "rüns" / "leaderboard"
    for name in ("site/problems.html", "site/tiny.html"):
        page = (board / name).read_text("utf-8")
        assert "Étude" in page
        assert "漢" in page


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_a_question_mark(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    console.print_anything()
    console.console().print(f"half \ud800 {ODD} ≈")
    printed = stream.buffer.getvalue().decode(encoding)
    assert printed.startswith("half ? ")
    assert "[/red] [batch, classes] :smile: $x_{$" in printed


def test_markup_of_others_is_text(lethe: Run, tmp_path: Path, monkeypatch) -> None:
    def explode(*_: object) -> None:
        raise ValueError("[/red] half \ud800\n[batch, classes]")

    monkeypatch.setattr(Newton, "unlearn", explode)
    code, _, error = run_tiny(lethe, tmp_path, more=("--results", "r [/red] [x]"))
    assert code == 1
    assert "failed tiny · newton · seed 0: [/red] half ? [batch, classes]" in error
    code, _, error = run_tiny(lethe, tmp_path, more=("--results", "r [/red] [x]"))
    assert code == 1
    assert "[batch, classes] (kept; --fresh runs it again)" in error
    refused(lethe("run", "[/red].toml"), "experiment file [/red].toml does not exist")
    refused(lethe("leaderboard", "--results", "[/x]", "--to", "b"), "no results in [/x]")


def test_an_empty_folder_name_is_refused(lethe: Run, tmp_path: Path) -> None:
    refused(run_tiny(lethe, tmp_path, more=("--results", "")), "the name of a folder is empty")
    refused(lethe("leaderboard", "--results", "runs", "--to", " "), "the name of a folder is empty")


@pytest.mark.parametrize("threads", ["100000", "99999999999", "0", "-1"])
def test_more_threads_than_can_be_started(lethe: Run, tmp_path: Path, threads: str) -> None:
    refused(run_tiny(lethe, tmp_path, more=("--threads", threads)), "threads must be")
    with pytest.raises(LetheError, match="threads must be"):
        prepare("cpu", int(threads))


def test_a_table_in_a_narrow_terminal_keeps_names_whole() -> None:
    table = Table("experiment", "title", title="All")
    name = "an-experiment-with-a-name-that-is-longer-than-the-terminal"
    table.add_row(name, "A title that is rather long and goes over more lines than one")
    out = Console(width=40, file=io.StringIO(), markup=False)
    console.show(out, table)
    lines = out.file.getvalue().splitlines()
    assert name in lines
    assert any(line.strip().startswith("title: A title") for line in lines)
    assert all(len(line) <= 40 for line in lines if line != name)


# --- the machine --------------------------------------------------------------------------------


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("LETHE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(LetheError, match=r"HOME is not set, .*: set LETHE_CACHE"):
        files_of_text.cache_folder()


def png(*size: int) -> bytes:
    """An image of 8 x 8 pixels whose header says that it is of this size."""
    file = io.BytesIO()
    Image.new("1", (8, 8)).save(file, format="png")
    content = file.getvalue()
    header = b"IHDR" + struct.pack(">II", *size) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        (png(8, 8), "seven", "labels are of type string"),
        (png(8, 8), 0.5, "labels are of type double"),
        (png(20_000, 20_000), 7, "pixels"),
        (b"no image", 7, "cannot identify image"),
        (None, 7, "not images with a label"),
    ],
)
def test_a_parquet_file_of_something_else(image: bytes, label: object, words: str) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [{"bytes": image}], "label": [label]}), file)
    with pytest.raises(LetheError, match="x: its rows are not images") as caught:
        images._decode(pq.read_table(file), "image", "x")
    assert words in str(caught.value)


def test_a_copy_within_another_repository_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LETHE_REVISION", raising=False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "theirs"], check=True)
    copy = tmp_path / "vendor" / "lethe"
    copy.mkdir(parents=True)
    try:
        for root in (copy, tmp_path):
            monkeypatch.setattr(device, "_ROOT", root.resolve())
            device._git.cache_clear()
            assert device._git() == (None, None)
    finally:
        device._git.cache_clear()


def test_a_pattern_is_answered_from_the_lines_of_its_folders_alone(tmp_path: Path) -> None:
    """A look at every line for each of many experiments would take the square of the time."""
    names = [f"{top}/{row}/seed-{seed}.json" for top in "abc" for row in "xy" for seed in (0, 1)]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    collect(tmp_path)
    assert not (tmp_path / "b").exists()
    found = collected.paths(tmp_path, "b/*/seed-*.json")
    assert found == [tmp_path / name for name in names if name.startswith("b/")]
    assert collected.paths(tmp_path, "*/x/seed-1.json") == [
        tmp_path / f"{top}/x/seed-1.json" for top in "abc"
    ]
    assert collected.paths(tmp_path, "b/*") == []


def test_a_line_that_moves_or_changes_is_found_as_it_is_now(tmp_path: Path) -> None:
    """A look at one line asks only whether its own file is as it was."""

    def lines(number: int, *paths: str) -> str:
        return "".join(f'{{"path": "{one}", "content": {{"n": {number}}}}}\n' for one in paths)

    first, second, path = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "a/x/seed-0.json"))
    first.write_text(lines(1, "a/x/seed-0.json"), encoding="utf-8")
    second.write_text(lines(2, "b/x/seed-0.json"), encoding="utf-8")
    assert [collected.find(path)] * 2 == [('{"n": 1}', f"{first}:1")] * 2
    first.write_text(lines(33, "a/x/seed-0.json"), encoding="utf-8")
    assert collected.find(path) == ('{"n": 33}', f"{first}:1")
    second.write_text(lines(2, "b/x/seed-0.json", "a/x/seed-0.json"), encoding="utf-8")
    first.write_text(lines(4, "a/y/seed-0.json", "a/z/seed-0.json"), encoding="utf-8")
    assert collected.find(path) == ('{"n": 2}', f"{second}:2")
    second.unlink()
    assert collected.find(path) is None
    assert collected.find(tmp_path / "a/y/seed-0.json") == ('{"n": 4}', f"{first}:1")


def test_a_name_with_a_nul_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LetheError, match="its name has a NUL in it"):
        files_of_text.replace_file(tmp_path / "a\0b", b"")
    assert not collected.exists(tmp_path / "a\0b"), "as a record may say that it is called"
    assert files_of_text.unsealed(tmp_path / "a\0b") is None
