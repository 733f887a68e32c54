"""However a run ends: what is finished is kept, nobody is left, and the code says what happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import cli, ends, files, registry
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.experiments.experiment import load
from benchmark.records import Store, read_record
from benchmark.runner.reproduce import numbers
from benchmark.runner.run import run
from tests import tiny_experiment

ROOT = Path(__file__).parents[1]
METHODS = '["retrain", "nothing", "newton"]'


def write(folder: Path, seeds: int = 2, more: str = "", methods: str = METHODS) -> Path:
    head = f"seeds = {list(range(seeds))}\nmethods = {methods}\n{more}"
    return tiny_experiment.write(folder, ("seeds = [0, 1]", head))


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen:
    """`lethe`, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_is_gone(process: subprocess.Popen, seconds: float = 60) -> bool:
    """Whether every process of the group ends; it is given time, for a loaded machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    return False


def wait_for(there: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not there() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert there()


def records(results: Path) -> list[Path]:
    return sorted(results.rglob("seed-*.json"))


def stray(results: Path) -> list[Path]:
    return [path for path in results.rglob(".*") if files._TEMPORARY.fullmatch(path.name)]


@pytest.mark.parametrize(("jobs", "signum"), [(2, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_ends_a_run_with_its_code_and_nobody_is_left(
    tmp_path: Path, jobs: int, signum: int
) -> None:
    toml, results = write(tmp_path, seeds=60), tmp_path / "runs"
    process = start("run", str(toml), "--jobs", str(jobs), cwd=tmp_path)
    wait_for(lambda: len(records(results)) >= 2)
    before = {path: path.read_bytes() for path in records(results)}
    os.killpg(process.pid, signum)  # as a terminal does
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + signum, error
    assert "stopped: the same command goes on from here" in error
    assert "Traceback" not in error
    assert "died" not in error
    assert group_is_gone(process)
    assert stray(results) == []
    assert len(records(results)) < 180, "it came in the middle"
    assert all(path.read_bytes() == content for path, content in before.items())
    assert all(read_record(path).status == "ok" for path in records(results))


def test_runs_stopped_at_random_moments_end_with_the_records_of_one_left_alone(
    tmp_path: Path,
) -> None:
    toml, moments = write(tmp_path, seeds=4), random.Random(1)
    for signum in (signal.SIGTERM, signal.SIGKILL):
        process = start("run", str(toml), "--jobs", "2", cwd=tmp_path)
        count = len(records(tmp_path / "runs"))
        wait_for(lambda: len(records(tmp_path / "runs")) > count or process.poll() is not None)
        time.sleep(moments.uniform(0, 0.02))
        process.send_signal(signum)
        process.communicate(timeout=120)
        assert group_is_gone(process)
    for folder in ("runs", "whole"):
        run([load(str(toml))], Store(tmp_path / folder), torch.device("cpu"))
    whole, stopped = (
        {r.key: numbers(r) for r in Store(tmp_path / name).records("tiny")}
        for name in ("whole", "runs")
    )
    assert stopped == whole


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    left = tmp_path / "tiny" / "newton" / ".seed-0.json.abcd_123"
    left.parent.mkdir(parents=True)
    mine = tmp_path / ".notes.txt.abcd_123"
    for path in (left, mine):
        path.write_text("{")
    with files.replacing(tmp_path / "seed-1.json") as file:
        file.write(b"whole")
        files.sweep(tmp_path)
    assert (tmp_path / "seed-1.json").read_bytes() == b"whole"
    assert not left.exists()
    assert mine.exists()


def test_an_interrupt_while_modules_are_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    process = start("list", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error == "stopped: the same command goes on from here\n"


@pytest.mark.parametrize("module", ["benchmark", "benchmark.cli"])
def test_the_program_is_a_module(tmp_path: Path, module: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "leaderboard" in process.stdout


def test_a_signal_that_a_method_swallowed_is_heard_after_it() -> None:
    with pytest.raises(SystemExit) as caught, ends.program():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            pass
        ends.check()
    assert caught.value.code == 143


# --- code that ends the program -----------------------------------------------------------------

ENDS = {
    "sys.exit(0)": "it called sys.exit(0)",
    "os._exit(0)": "it called os._exit(0)",
    "raise GeneratorExit": "it raised GeneratorExit",
}
PLUG_IN = """
import os, sys
from benchmark.contract.method import Method, Source

class Outside(Method):
    name, title = "outside", "Outside"
    source = Source(paper="None", url="https://example.org")
    def unlearn(self, request):
        {call}
"""


def install(folder: Path, source: str) -> Path:
    """A plug-in as an installer leaves it; the folder is to be on the path."""
    (folder / "outside.py").write_text(source)
    about = folder / "outside-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: outside\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[lethe.methods]\noutside = outside:Outside\n")
    return folder


@pytest.mark.parametrize("call", ENDS)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_method_that_ends_the_program_is_a_failed_cell(
    tmp_path: Path, call: str, jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if jobs == "2" and call != "os._exit(0)":
        pytest.skip("the same code runs in the process")
    install(tmp_path, PLUG_IN.format(call=call))
    toml = write(tmp_path, methods='["outside", "nothing"]')
    path = f"{tmp_path}:{ROOT}"
    process = start("run", str(toml), "--jobs", jobs, cwd=tmp_path, PYTHONPATH=path)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 1, error
    assert len(records(tmp_path / "runs")) == 4
    record = read_record(tmp_path / "runs" / "tiny" / "outside" / "seed-0.json")
    assert record.failure.message == ENDS[call]
    assert ENDS[call] in error


@pytest.mark.parametrize("call", ENDS)
def test_a_plug_in_that_ends_the_program_at_import_is_named(tmp_path: Path, call: str) -> None:
    install(tmp_path, f"import os, sys\n{call}\n")
    process = start("list", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert out == ""
    assert error.startswith("error: plug-in 'outside' of outside cannot be loaded")
    assert ENDS[call] in error
    assert error.count("\n") == 1


def test_a_process_that_ends_with_0_is_noticed_like_any_other(tmp_path: Path) -> None:
    call = "import posix; posix._exit(0)"
    install(tmp_path, PLUG_IN.format(call=call))
    toml = write(tmp_path, methods='["outside", "nothing"]')
    path = f"{tmp_path}:{ROOT}"
    process = start("run", str(toml), "--jobs", "2", cwd=tmp_path, PYTHONPATH=path)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "a process of the run died (tiny, seed" in error
    assert "it ended with 0" in error
    assert group_is_gone(process)


def test_a_child_of_a_method_may_end_as_it_likes() -> None:
    with ends.kept_alive():
        child = os.fork()
        if not child:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


# --- what a method does to its inputs -----------------------------------------------------------


class Vandal(Method):
    """Change something, then answer."""

    name = "vandal"
    title = "Vandal"
    source = Source(paper="None", url="https://example.org")
    target: str = ""

    def unlearn(self, request: Request) -> Release:
        problem, answer = request.problem, request.original.weights.clone()
        harm = {
            "weights": lambda: request.original.weights.zero_(),
            "labels": lambda: problem.test.y.fill_(3),
            "unseen by torch": lambda: problem.train.x.numpy().fill(0),
            "replaced": lambda: object.__setattr__(problem, "negatives", problem.test),
            "rows": lambda: request.original.rows.zero_(),
            "raised": self._raise,
        }
        harm[self.target]()
        return request.release(answer)

    def _raise(self) -> None:
        raise ValueError("afterwards")


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("weights", "weights of the original"),
        ("labels", "test labels"),
        ("unseen by torch", "train inputs"),
        ("replaced", "negatives inputs"),
        ("rows", "row numbers"),
    ],
)
@pytest.mark.parametrize("fresh", [False, True])
def test_a_method_that_changes_its_inputs_fails_and_no_other_row_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, named: str, fresh: bool
) -> None:
    found = {"vandal": registry.Registered(Vandal, "outside")} | registry.discover()
    monkeypatch.setattr(registry, "discover", lambda: found)
    row = f'[[rows]]\nmethod = "vandal"\nlabel = "vandal"\nparams = {{ target = "{target}" }}\n'
    change = ("[target]", f"{row}[target]")
    methods = ("seeds = [0, 1]", f"seeds = [0]\nmethods = {METHODS}")
    toml = tiny_experiment.write(tmp_path, methods, change)
    tally = run([load(str(toml))], Store(tmp_path / "runs"), torch.device("cpu"), fresh=fresh)
    (failed,) = tally.failed
    assert failed.failure.type == "InputsChanged"
    assert failed.failure.message.startswith("vandal changed its inputs (")
    assert named in failed.failure.message
    toml = tiny_experiment.write(tmp_path, methods)
    run([load(str(toml))], Store(tmp_path / "alone"), torch.device("cpu"))
    for name in ("retrain", "nothing", "newton"):
        together, alone = (
            numbers(read_record(tmp_path / folder / "tiny" / name / "seed-0.json"))
            for folder in ("runs", "alone")
        )
        assert together == alone


# --- what cannot be printed ---------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_an_output_that_is_full_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", "list"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


def test_an_interrupt_of_any_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "discover", interrupt)
    monkeypatch.setattr(sys, "argv", ["lethe", "list"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "stopped: the same command goes on from here\n"
