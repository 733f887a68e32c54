"""A run that is killed again and again ends with the records of one that was left alone."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

from benchmark.records import Store
from benchmark.studies import experiments as runner
from tests import tiny_experiment

METHODS = ["nothing", "newton", "gradient-ascent"]
SEEDS = [0, 1, 2]


def finish(toml: str, folder: str) -> runner.Tally:
    return tiny_experiment.run(Path(toml), folder=Path(folder), methods=METHODS, seeds=SEEDS)


def contents(folder: Path) -> dict[str, dict]:
    return {record.key: record.numbers() for record in Store(folder).records("tiny")}


def finished(folder: Path) -> int:
    """How many cells have a record."""
    return len(list(folder.rglob("seed-*.json")))


def test_a_run_killed_at_ten_random_moments_ends_with_the_same_records(tmp_path: Path) -> None:
    toml = str(tiny_experiment.write(tmp_path))
    finish(toml, str(tmp_path / "whole"))
    expected = contents(tmp_path / "whole")
    assert len(expected) == len(METHODS) * len(SEEDS)

    moments = random.Random(0)
    killed = tmp_path / "killed"
    counts = [0]
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(
            target=finish, args=(toml, str(killed))
        )
        process.start()
        while process.is_alive() and finished(killed) == counts[-1]:
            time.sleep(0.001)
        process.join(moments.uniform(0, 0.02))  # and then somewhere in the next cell
        process.kill()
        process.join()
        counts.append(finished(killed))
    assert any(0 < count < len(expected) for count in counts), "some kill came in the middle"
    assert counts == sorted(counts), "nothing finished is lost"
    assert finish(toml, str(killed)).kept >= counts[-1]
    assert contents(killed) == expected
