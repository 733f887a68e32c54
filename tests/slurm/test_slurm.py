"""Studies on a real Slurm of two nodes: nothing is lost, and nothing is run twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import cli
from benchmark.experiments import experiment as experiments
from benchmark.records import Record, Store
from benchmark.studies import experiments as runner
from benchmark.study.executors import submission
from benchmark.study.executors.submission import Progress, progress
from tests import tiny_experiment

ROOT = Path(__file__).resolve().parents[2]
#: Seconds in which a task begins or ends, on a machine that has other things to do.
PATIENCE = 120

#: A method that does not answer before a file is there: what runs stays so until a test says.
GATE = '''
import os
import time
from pathlib import Path

from benchmark import Method, Release, Request, Source


class Gate(Method):
    """Wait."""

    name = "zz-gate"
    title = "Gate"
    source = Source(paper="None", url="https://example.org")

    def unlearn(self, request: Request) -> Release:
        folder = Path(os.environ["LETHE_TEST_GATE"])
        task = os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"]
        (folder / task).write_text(str(os.getpid()), encoding="utf-8")
        while not (folder / "open").exists():
            time.sleep(0.05)
        return request.release(request.original.weights)
'''

Lethe = Callable[..., tuple[int, str]]


@pytest.fixture
def lethe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lethe:
    """Call the command line in a folder with a cluster file: exit code, what it prints."""
    monkeypatch.chdir(tmp_path)
    tiny_experiment.widen(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the tasks import what is tested here
    Path("cluster.toml").write_text(
        'partition = "main"\nminutes = 5\nmemory_gb = 0.5\n[sbatch]\ncomment = "a test"\n',
        encoding="utf-8",
    )

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lethe", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out + captured.err

    return call


def study(folder: Path, name: str, methods: list[str], *changes: tuple[str, str]) -> str:
    """The file of a tiny experiment with these methods."""
    listed = ", ".join(f'"{method}"' for method in methods)
    first = ("seeds = [0, 1]", f"seeds = [0, 1]\nmethods = [{listed}]")
    return str(tiny_experiment.write(folder, first, *changes, name=name))


def states() -> dict[tuple[str, str], Progress]:
    return {(one.group, one.part): one for one in progress(Store(Path("runs")))}


def until(wanted: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < end, counted()
        time.sleep(0.3)


def counted() -> Counter[str]:
    return Counter(one.state for one in states().values())


def records(*names: str) -> dict[str, Record]:
    return {r.key: r for name in names for r in Store(Path("runs")).records(name)}


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("runs").rglob("seed-*.json")}


def attempts(name: str, seed: int) -> int:
    """How many tasks of a seed Slurm was ever given."""
    files = submission.folder_of(Store(Path("runs"))).glob("*/submission.json")
    tasks = [task for path in files for task in submission.read(path).tasks]
    return tasks.count((name, f"seed {seed}"))


def test_two_experiments_are_run_once_and_as_here(lethe: Lethe, tmp_path: Path) -> None:
    one = study(tmp_path, "one", ["nothing", "newton"])
    failing = study(tmp_path, "failing", ["newton"], ("tolerance = 1e-9", "tolerance = 1e-30"))
    code, said = lethe("run", one, failing, "--on", "cluster.toml", "--wait")
    assert code == 1, said
    assert re.search(r"job \d+: one \(2 tasks\), failing \(2 tasks\)", said)
    assert "6 cells run, 0 kept, 2 failed" in said
    assert Path("runs/leaderboard/index.html").is_file(), "the process that waits renders"

    runner.run([experiments.load(one)], Store(Path("here")), torch.device("cpu"))
    here = {record.key: record.numbers() for record in Store(Path("here")).records("one")}
    assert {key: record.numbers() for key, record in records("one").items()} == here
    nodes = {record.environment.node for record in records("one", "failing").values()}
    assert nodes <= {"n1", "n2"}  # one may be slow to start

    code, said = lethe("status")
    assert code == 0, "a cell that failed is done: its record says why"
    assert counted() == {"done": 4}
    assert said.count("1 of 1 failed") == 2
    before = contents()
    code, said = lethe("run", one, failing, "--on", "cluster.toml", "--no-board")
    assert "not submitted: 4 done, 0 running or waiting" in said
    assert (code, contents()) == (0, before)
    assert not list(Path("runs/.slurm").rglob("index.html"))


def test_a_task_that_fails_is_told_of_and_submitted_again(
    lethe: Lethe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = study(tmp_path, "one", ["nothing"])
    with monkeypatch.context() as here:
        plug_in(tmp_path / "plug-in", here)
    (tmp_path / "plug-in" / "gate.py").unlink()  # broken, and seen by the nodes alone
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path / "plug-in")]))
    code, said = lethe("run", one, "--seed", "0", "--on", "cluster.toml", "--wait", "--no-board")
    assert code == 1
    assert "1 task is not done: lethe status" in said
    code, said = lethe("status")
    assert code == 1
    assert re.search(r"failed: one, seed 0, job \d+: FAILED: error: plug-in 'zz-gate'", said), said
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code, said = lethe("run", one, "--seed", "0", "--on", "cluster.toml", "--wait", "--no-board")
    assert code == 0, said
    assert states()["one", "seed 0"].state == "done"


def test_what_is_cancelled_in_the_middle_goes_on_where_it_was(
    lethe: Lethe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path / "plug-in", monkeypatch)
    gate = tmp_path / "gate"
    gate.mkdir()
    monkeypatch.setenv("LETHE_TEST_GATE", str(gate))
    methods = ["nothing", "zz-gate"]
    files = [study(tmp_path, "one", methods), study(tmp_path, "two", methods)]
    command = ("run", *files, "--on", "cluster.toml", "--no-board")
    code, said = lethe(*command)
    assert code == 0
    assert "lethe status --results runs" in said
    until(lambda: len(list(gate.iterdir())) == 2)  # one task a node, each in its second cell
    assert counted() == {"running": 2, "waiting": 2}
    assert "not submitted: 0 done, 4 running or waiting" in lethe(*command)[1]

    running = [one.place for one in states().values() if one.state == "running"]
    waiting = [one.place for one in states().values() if one.state == "waiting"]
    subprocess.run(["scancel", running[0].job, waiting[0].job], check=True)
    until(lambda: counted()["gone"] == 2)
    os.kill(int((gate / running[1].job).read_text(encoding="utf-8")), signal.SIGKILL)
    until(lambda: counted()["failed"] == 1)
    code, said = lethe("status")
    assert code == 1
    assert said.count("gone: ") == 2
    assert "CANCELLED" in said, "the accounting need not know of the one that had not begun"
    begun = contents()
    assert len(begun) >= 2, "the first cells of the tasks that ran"

    (gate / "open").touch()
    until(lambda: counted()["done"] == 1)
    code, said = lethe(*command, "--wait")
    assert code == 0, said
    assert "not submitted: 1 done, 0 running or waiting" in said
    assert counted() == {"done": 4}
    assert {record.status for record in records("one", "two").values()} == {"ok"}
    assert begun.items() <= contents().items(), "nothing is lost, nothing is run twice"
    tried = sorted(attempts(name, seed) for name in ("one", "two") for seed in (0, 1))
    assert tried == [1, 2, 2, 2]
    assert not list(Path("runs").rglob(".seed-*")), "no file is half there"


def test_another_study_goes_to_the_cluster_as_well(lethe: Lethe, tmp_path: Path) -> None:
    command = ("soundness", "--count", "2", "--streams", "1", "--seed", "3")
    code, said = lethe(*command, "--on", "cluster.toml", "--wait")
    assert code == 0, said
    assert re.search(r"job \d+: soundness \(2 tasks\)", said)
    assert "no bound is violated" in said
    assert counted() == {"done": 2}
    assert lethe(*command)[0] == 0, "what the cluster has done is kept here"


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the gate, for this process and for those that inherit its environment."""
    metadata = folder / "gate-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "gate.py").write_text(GATE, encoding="utf-8")
    (metadata / "METADATA").write_text("Name: gate\nVersion: 1\n", encoding="utf-8")
    points = "[lethe.methods]\nzz-gate = gate:Gate\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(folder)]))
