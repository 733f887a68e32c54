"""However a run ends: what is finished is kept, nobody is left, and the code says what happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmark import cli, ends, files, plugins, registry, settings
from benchmark.contract.claim import Claim
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.errors import LetheError
from benchmark.records import read_record
from benchmark.runner.run_cell import describe_failure
from benchmark.study.executors import executor
from benchmark.study.run import Tally
from methods.newton import Newton
from tests import tiny_experiment
from tests.processes import Program

ROOT = Path(__file__).parents[1]
METHODS = '["retrain", "nothing", "newton"]'


def write(folder: Path, seeds: int = 2, more: str = "", methods: str = METHODS) -> Path:
    head = f"seeds = {list(range(seeds))}\nmethods = {methods}\n{more}"
    return tiny_experiment.write(folder, ("seeds = [0, 1]", head))


def lethe(*arguments: str, cwd: Path, **environment: str) -> Program:
    """`lethe`, in a process group of its own."""
    return Program("-m", "benchmark", *arguments, cwd=cwd, **environment)


def afresh(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`lethe` in an interpreter that is yet to import everything, out of `cwd` first."""
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{cwd}:{ROOT}"},
        capture_output=True,
        text=True,
        preexec_fn=_hears,
        check=False,
    )


def _hears() -> None:
    """Undo what a shell does to what it starts in the background, which would stay deaf."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def group_is_gone(process: Program, seconds: float = 60) -> bool:
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
        time.sleep(0.05)
    assert there()


def records(results: Path) -> list[Path]:
    return sorted(results.rglob("seed-*.json"))


def stray(results: Path) -> list[Path]:
    return [path for path in results.rglob(".*") if files._TEMPORARY.fullmatch(path.name)]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_code_and_nobody_is_left(
    tmp_path: Path, jobs: int, signum: int
) -> None:
    toml, results = write(tmp_path, seeds=600), tmp_path / "runs"
    process = lethe("run", str(toml), "--jobs", str(jobs), cwd=tmp_path)
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
    assert len(records(results)) < 1800, "it came in the middle"
    assert all(path.read_bytes() == content for path, content in before.items())
    assert all(read_record(path).status == "ok" for path in records(results))


def test_a_signal_that_c_code_cannot_pass_on_is_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Last:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    told: list[str] = []

    def hook(error: Any) -> None:
        told.append(str(error.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", hook)
    with ends.program():
        Last(ends.Stopped(signal.SIGTERM))
        Last(ValueError("of the method"))
    assert told == ["of the method"]
    assert sys.unraisablehook is hook


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: a socket's path may not be long."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_temporary_folder_with_too_long_a_name_is_one_line(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    process = lethe(
        "run", str(write(tmp_path, seeds=3)), "--jobs", "2", cwd=tmp_path, TMPDIR=str(deep)
    )
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "set TMPDIR to a folder with a shorter name" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("amid", [False, True])
def test_a_killed_run_leaves_no_process_and_no_socket(
    tmp_path: Path, short: Path, amid: bool
) -> None:
    temporary, results = short, tmp_path / "runs"
    toml = write(tmp_path, seeds=600)
    process = lethe("run", str(toml), "--jobs", "2", cwd=tmp_path, TMPDIR=str(temporary))
    wait_for(lambda: records(results) if amid else any(temporary.glob("*/*")))
    process.kill()
    process.communicate(timeout=120)
    assert group_is_gone(process)
    assert list(temporary.iterdir()) == []


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
    done = afresh("list", cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr == "stopped: the same command goes on from here\n"


def test_who_interrupts_does_not_wait_for_the_interpreter_to_be_taken_apart(
    tmp_path: Path,
) -> None:
    (tmp_path / "typer.py").write_text(
        "import atexit, builtins, os, signal\n"
        "class Heavy:\n"
        "    def __del__(self): os.write(1, b'taken apart')\n"
        "builtins.heavy = Heavy()\n"
        "atexit.register(print, 'registered')\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = afresh("list", cwd=tmp_path)
    assert done.returncode == 143
    assert done.stderr == "stopped: the same command goes on from here\n"
    assert done.stdout == "registered\n"


def test_the_program_is_a_module(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "benchmark.cli", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "leaderboard" in process.stdout


def test_a_signal_that_a_method_swallowed_is_heard_after_it() -> None:
    def swallow() -> None:
        with suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)

    def program() -> None:
        with ends.program():
            swallow()
            ends.check()

    with pytest.raises(SystemExit) as caught:
        program()
    assert caught.value.code == 143


@pytest.mark.parametrize("met", ["swallowed", "an error of its own"])
def test_no_record_is_made_of_a_method_that_met_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: str
) -> None:
    def interrupted(self: Newton, request: Request) -> Release:
        with suppress(ends.Stopped):
            signal.raise_signal(signal.SIGTERM)
        if met != "swallowed":
            raise SystemError("returned a result with an exception set")
        return request.release(request.original.weights)

    def program() -> None:
        with ends.program():
            finish(write(tmp_path, seeds=1), tmp_path / "runs")

    monkeypatch.setattr(Newton, "unlearn", interrupted)
    with pytest.raises(SystemExit) as caught:
        program()
    assert caught.value.code == 143
    assert "newton" not in {path.parent.name for path in records(tmp_path / "runs")}


# --- code that ends the program -----------------------------------------------------------------

ENDS = {
    "sys.exit(0)": "it called sys.exit(0)",
    "os._exit(0)": "it called os._exit(0)",
    "raise GeneratorExit": "it raised GeneratorExit()",
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


def end(call: str) -> None:
    exec(call, {"os": os, "sys": sys})


class Quitter(Method):
    """End the program."""

    name = "quitter"
    title = "Quitter"
    source = Source(paper="None", url="https://example.org")
    call: str = ""

    def unlearn(self, request: Request) -> Release:
        end(self.call)
        return request.release(request.original.weights)


@pytest.fixture
def with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of this file are registered beside the others."""
    ours = {one.name: registry.Registered(one, "outside") for one in (Vandal, Quitter, Settler)}
    found = ours | registry.discover()
    monkeypatch.setattr(registry, "discover", lambda: found)


def with_row(folder: Path, method: str, **params: str) -> Path:
    inside = ", ".join(f'{name} = "{value}"' for name, value in params.items())
    row = f"[rows.{method}]\nparams = {{ {inside} }}\n"
    head = ("seeds = [0, 1]", f"seeds = [0]\nmethods = {METHODS}")
    return tiny_experiment.write(folder, head, ("[target]", f"{row}[target]"))


def finish(toml: Path, folder: Path, **more: bool) -> Tally:
    return tiny_experiment.run(toml, folder=folder, **more)


@pytest.mark.usefixtures("with_ours")
@pytest.mark.parametrize("call", ENDS)
def test_a_method_that_ends_the_program_is_a_failed_cell(tmp_path: Path, call: str) -> None:
    tally = finish(with_row(tmp_path, "quitter", call=call), tmp_path / "runs")
    assert tally.ran == 4
    (failed,) = tally.failed
    assert failed.failure.message == ENDS[call]
    assert os._exit is ends._exit


@pytest.mark.parametrize("call", ENDS)
def test_a_plug_in_that_ends_the_program_at_import_is_named(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("outside", "outside:Outside", "lethe.methods")
    monkeypatch.setattr(EntryPoint, "load", lambda _: end(call))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(LetheError) as caught:
        registry.discover()
    assert str(caught.value).startswith("plug-in 'outside' cannot be loaded")
    assert ENDS[call] in str(caught.value)


def test_a_process_that_ends_with_0_is_noticed_like_any_other(tmp_path: Path) -> None:
    call = "import posix; posix._exit(0)"
    install(tmp_path, PLUG_IN.format(call=call))
    toml = write(tmp_path, methods='["outside", "nothing"]')
    path = f"{tmp_path}:{ROOT}"
    process = lethe("run", str(toml), "--jobs", "2", cwd=tmp_path, PYTHONPATH=path)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "a process of the run died (tiny, seed" in error
    assert "it ended with 0" in error
    assert group_is_gone(process)


def test_an_interrupt_without_a_signal_is_an_error_of_the_method() -> None:
    own = pytest.raises(ends.Exited, match="it raised KeyboardInterrupt")
    with ends.program(), own, ends.kept_alive():
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), ends.kept_alive():  # where others hear signals
        raise KeyboardInterrupt


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
            "removed": lambda: object.__setattr__(problem, "negatives", None),
            "deleted": lambda: object.__delattr__(problem, "negatives"),
            "a setting": lambda: object.__setattr__(problem.objective, "ridge", 5.0),
            "gradients": lambda: request.original.weights.requires_grad_(),
            "rows": lambda: request.original.rows.zero_(),
        }
        harm[self.target]()
        return request.release(answer)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("weights", "weights of the original"),
        ("labels", "test labels"),
        ("unseen by torch", "train inputs"),
        ("replaced", "negatives inputs"),
        ("removed", "negatives inputs"),
        ("deleted", "negatives inputs"),
        ("a setting", "objective"),
        ("gradients", "weights of the original"),
        ("rows", "row numbers"),
    ],
)
@pytest.mark.usefixtures("with_ours")
def test_a_method_that_changes_its_inputs_fails_and_no_other_row_notices(
    tmp_path: Path, target: str, named: str
) -> None:
    fresh = target == "labels"  # then nothing is read from disk that a method cannot change
    toml = with_row(tmp_path, "vandal", target=target)
    (failed,) = finish(toml, tmp_path / "runs", fresh=fresh).failed
    assert failed.failure.type == "InputsChanged"
    assert failed.failure.message.startswith("vandal changed its inputs (")
    assert named in failed.failure.message
    finish(write(tmp_path, seeds=1), tmp_path / "alone")
    for name in ("retrain", "nothing", "newton"):
        together, alone = (
            read_record(tmp_path / folder / "tiny" / name / "seed-0.json").numbers()
            for folder in ("runs", "alone")
        )
        assert together == alone


# --- what a method does to settings that all share ---------------------------------------------


SETTINGS = {
    "the default dtype": lambda: torch.set_default_dtype(torch.float16),
    "the default device": lambda: torch.set_default_device("meta"),
    "the number of threads": lambda: torch.set_num_threads(2),
    "deterministic mode": lambda: torch.use_deterministic_algorithms(False),
    "gradient mode": lambda: torch.set_grad_enabled(False),
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "the precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "automatic mixed precision": lambda: torch.set_autocast_enabled("cpu", True),
    "the handling of denormal numbers": lambda: torch.set_flush_denormal(True),
    "the kernels of the processor": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "NNPACK": lambda: torch.backends.nnpack.set_flags(False),
    "the kernels of the GPU": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "the order of products in einsum": lambda: setattr(
        torch.backends.opt_einsum, "strategy", "greedy"
    ),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "torch's random generator": lambda: torch.rand(1),
    "NumPy's random generator": lambda: np.random.rand(),  # noqa: NPY002
    "Python's random generator": lambda: random.random(),
    "the current folder": lambda: os.chdir("/"),
    "the permissions of new files": lambda: os.umask(0o777),
    "what signals do": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
}


class Settler(Method):
    """Change a setting of everybody's, then answer or fail."""

    name = "settler"
    title = "Settler"
    source = Source(paper="None", url="https://example.org")
    setting: str = ""
    fails: str = ""

    def unlearn(self, request: Request) -> Release:
        SETTINGS[self.setting]()
        if self.fails:
            raise RuntimeError(self.fails)
        return request.release(request.original.weights)


@pytest.mark.usefixtures("with_ours")
@pytest.mark.parametrize("fails", ["", "at once"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_method_that_changes_a_setting_fails_and_it_is_put_back(
    tmp_path: Path, setting: str, fails: str
) -> None:
    get = settings._SETTINGS[setting].get
    before = get()
    toml = with_row(tmp_path, "settler", setting=setting, fails=fails)
    (failed,) = finish(toml, tmp_path / "runs").failed
    assert failed.failure.type == "SettingsChanged"
    assert failed.failure.message.startswith(f"settler changed {setting} for all that run after it")
    assert get() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda: setattr(torch.backends, "fp32_precision", "ieee"),
        lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
        lambda: setattr(torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    ],
)
def test_the_precision_of_products_is_put_back_in_all_words_that_torch_has(
    change: Callable[[], None],
) -> None:
    def words() -> tuple[str, bool, str]:
        older = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        return *older, torch.backends.mkldnn.matmul.fp32_precision

    before = words()
    complaint = "a method changed the precision of matrix products for all"
    with pytest.raises(settings.SettingsChanged, match=complaint), settings.kept("a method"):
        change()
    assert words() == before


def test_a_setting_is_put_back_and_not_complained_of_when_the_program_is_to_end() -> None:
    def work() -> None:
        with settings.kept("a method"):
            torch.set_default_dtype(torch.float64)
            raise ends.Stopped(signal.SIGTERM)

    with pytest.raises(ends.Stopped):
        work()
    assert torch.get_default_dtype() == torch.float32


def test_a_claim_that_is_not_valid_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Claim(
            definition="this-pair",
            guarantee={"kind": "gaussian", "m": 1e308},
            epsilon=1.0,
            delta=1e-5,
            evidence={"kind": "distance", "bound": 0, "sigma": 1, "theorem": "none", "reached": 0},
        )
    assert describe_failure(MemoryError()).message == "MemoryError, without a text"
    wordless = type("Wordless", (Exception,), {"__str__": lambda _: 1 / 0})()
    assert describe_failure(wordless).message == "Wordless, without a text"
    assert describe_failure(caught.value).message == (
        "Claim: guarantee.gaussian.m: 1e+308 is too large to compute with: at most 1e+150"
    )


# --- what cannot be printed ---------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_an_output_that_is_full_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written: No space left on device\n"


def test_a_signal_that_became_another_error_is_one_line_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """NumPy makes a TypeError of a signal that comes while it compares rows."""

    def compare() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except ends.Stopped as stopped:
            raise TypeError("cannot compare") from stopped

    with pytest.raises(ends.Left) as left, ends.program():
        compare()
    assert left.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped: the same command goes on from here\n"


def test_an_error_without_a_signal_stays_one() -> None:
    with pytest.raises(TypeError), ends.program():
        raise TypeError("a fault of ours")


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


@pytest.mark.parametrize("signalled", [True, False])
def test_a_process_leaves_quietly_where_c_code_swallowed_the_signal(
    signalled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pipe:
        def recv(self) -> None:
            if signalled:
                ends._received.append(signal.SIGTERM)
            raise RuntimeError("an error of C code")

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(ends, "_received", [])
    monkeypatch.setattr(ends, "leave", leave)
    monkeypatch.setattr(ends, "listen", dict)
    monkeypatch.setattr(executor, "_end_with_the_run", lambda: None)
    monkeypatch.setattr(executor, "prepare", lambda *_: torch.device("cpu"))
    with pytest.raises(SystemExit if signalled else RuntimeError):
        executor._serve(Pipe(), SimpleNamespace(threads=1))


def test_a_second_signal_does_not_disturb_what_the_first_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A group of processes is told, and then each of them by the run."""
    monkeypatch.setattr(ends, "_received", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back at the end
    before = ends.listen(once=True)
    try:
        with pytest.raises(ends.Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert ends.came()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
