"""Several seeds at a time give what one after the other gives."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.files import DiskError
from benchmark.records import Store
from benchmark.studies import experiments as runner
from tests import tiny_experiment

METHODS = ["nothing", "newton"]


def run(toml: Path, folder: Path, **more: object) -> runner.Tally:
    return tiny_experiment.run(toml, folder=folder, methods=METHODS, **more)


def contents(folder: Path) -> dict[str, dict]:
    return {record.key: record.numbers() for record in Store(folder).records("tiny")}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tiny_experiment.write(tmp_path, ("seeds = [0, 1]", "seeds = [0, 1, 2]"))


def test_the_records_are_the_same(toml: Path, tmp_path: Path) -> None:
    alone = run(toml, tmp_path / "alone")
    both = run(toml, tmp_path / "both", jobs=2)
    assert (both.ran, both.kept, both.failed) == (alone.ran, 0, [])
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    again = run(toml, tmp_path / "both", jobs=2)
    assert (again.ran, again.kept) == (0, alone.ran)


def test_what_a_process_raises_is_raised_here(toml: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / ".artifacts").write_text("not a folder")
    with pytest.raises(DiskError):
        run(toml, results, jobs=2)


def test_a_process_that_dies_ends_the_run_with_a_line(toml: Path, tmp_path: Path) -> None:
    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not active_children() and time.monotonic() < deadline:
            time.sleep(0.01)
        active_children()[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(LetheError, match="a process of the run died"):
        run(toml, tmp_path / "results", jobs=2)
    killer.join()
    assert active_children() == [], "the others are stopped"
    run(toml, tmp_path / "results")
    assert len(contents(tmp_path / "results")) == 3 * len(METHODS)


def test_processes_end_soon_after_a_run_that_is_killed(tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, ("seeds = [0, 1]", f"seeds = {list(range(200))}"))
    results = tmp_path / "results"
    code = (
        "import sys; from pathlib import Path; from tests.test_side_by_side import run\n"
        "if __name__ == '__main__': run(Path(sys.argv[1]), Path(sys.argv[2]), jobs=2)"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script), str(toml), str(results)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.DEVNULL,
    )
    tiny_experiment.kill_after(1, process, results)
    deadline = time.monotonic() + 120
    count, settled = -1, 0
    while settled < 2 and time.monotonic() < deadline:
        time.sleep(1)
        now = len(list(results.rglob("seed-*.json")))
        settled, count = (settled + 1 if now == count else 0), now
    assert 1 <= count < 400, "nobody went on to the end"


@pytest.mark.parametrize(
    ("jobs", "device", "message"),
    [(0, "cpu", "jobs must be 1 or more, not 0"), (2, "cuda", "one GPU runs one job at a time")],
)
def test_settings_that_make_no_sense(
    toml: Path, tmp_path: Path, jobs: int, device: str, message: str
) -> None:
    loaded = [experiments.load(str(toml))]
    with pytest.raises(LetheError, match=message):
        runner.run(loaded, Store(tmp_path / "results"), torch.device(device), jobs=jobs)
