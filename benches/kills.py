"""Commands killed at random moments, and what that loses: `python -m benches.kills`.

Every kill begins with a part of the records there. The command is killed between its start and its
usual end: every other time before its first record, else after some of them. Then it is run again
to its end. The records are compared with those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).parents[1]
EXPERIMENT = """
title = "Killed"
description = "Some seconds of work."
seeds = [{seeds}]
methods = ["retrain", "nothing", "newton", "gradient-ascent"]

[problem]
data = "digits"
features = "unit-pixels"
precision = "float64"
split = {{ test = 60, negatives = 40, train = 120 }}
model = {{ kind = "softmax" }}
objective = {{ loss = "cross_entropy", ridge = 1e-2 }}
training = {{ algorithm = "newton-cg", tolerance = 1e-9 }}

[forget]
scenario = "random"
count = 5
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
#: Seconds after a kill in which every process has to be gone.
PATIENCE = 10.0
#: Of the environment, by which the processes of a command are found, orphans too.
MARK = "LETHE_KILLED_BY"
#: Commands under way at a time, one for each core of a small machine.
AT_A_TIME = 2


@dataclass(frozen=True)
class Command:
    """A command of `lethe`, how many seeds it has, and the names of its records."""

    name: str
    seeds: int
    options: tuple[str, ...]
    pattern: str = "*/*/seed-*.json"

    def start(self, folder: Path, mark: str) -> subprocess.Popen:
        """Start it in a session of its own, with a temporary folder of its own."""
        temporary = folder / "temporary"
        temporary.mkdir(parents=True, exist_ok=True)
        study = folder / "killed.toml"
        study.write_text(
            EXPERIMENT.format(seeds=", ".join(map(str, range(self.seeds)))), encoding="utf-8"
        )
        command, *options = self.options
        words = [command, str(study), "--no-board", "--results", str(folder / "runs"), *options]
        one_thread = {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary), MARK: mark}
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmark", *words],
                cwd=ROOT,
                env=os.environ | one_thread,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self, folder: Path) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: if it fails.
        """
        if code := self.start(folder, "none").wait(timeout=600):
            log = (folder / "log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"lethe {self.name} ended with {code}:\n{log}")

    def records(self, folder: Path) -> dict[str, bytes]:
        """The bytes of every record, by its path below the results."""
        runs = folder / "runs"
        return {str(p.relative_to(runs)): p.read_bytes() for p in self.paths(folder)}

    def paths(self, folder: Path) -> list[Path]:
        """Its records."""
        return list((folder / "runs").glob(self.pattern))


COMMANDS = (
    Command("run --jobs 1", 30, ("run", "--jobs", "1")),
    Command("run --jobs 2", 60, ("run", "--jobs", "2")),
    Command(
        "forget-quality",
        2,
        ("forget-quality", "--runs", "8", "--shadows", "2"),
        "*/*/quality-*.json",
    ),
)


@dataclass
class Damage:
    """What kills did.

    Attributes:
        kills: how many.
        amid: of them, those that left a record of the killed command, and not all.
        lost: records that were there before and are not, or that never came.
        changed: records with other bytes than before, with other numbers than in a run that was
            left alone, or that do not parse.
        left: processes that were there after `PATIENCE`.
        stray: files that a run which was left alone does not have, once the command was run again.
    """

    kills: int = 0
    amid: int = 0
    lost: int = 0
    changed: int = 0
    left: int = 0
    stray: int = 0
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Damage) -> None:
        """Count what another one counted as well."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def none(self) -> bool:
        return not (self.lost or self.changed or self.left or self.stray)


@dataclass(frozen=True)
class Whole:
    """A run that was left alone: its folder, and the seconds until its first record."""

    folder: Path
    seconds: float

    @classmethod
    def of(cls, command: Command, folder: Path) -> Whole:
        """Run a command to its end.

        Raises:
            RuntimeError: if it fails.
        """
        start = time.time()
        command.finish(folder)
        return cls(folder, min(p.stat().st_mtime for p in command.paths(folder)) - start)


def kill(command: Command, whole: Whole, signum: int, moments: random.Random, amid: bool) -> Damage:
    """Kill a command once, run it to its end, and compare."""
    found = Damage(kills=1)
    with tempfile.TemporaryDirectory() as name:
        folder, mark = Path(name), uuid.uuid4().hex
        _keep_a_part(command, whole.folder, folder, moments, moments.uniform(0, 0.5))
        before = command.records(folder)
        process = command.start(folder, mark)
        moment = _wait(command, folder, process, whole, moments, amid)
        if process.poll() is None:
            # a terminal's interrupt goes to all processes, and other signals to the one named
            (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
        left = _left(mark, process)
        found.left += len(left)
        after, expected = command.records(folder), command.records(whole.folder)
        found.amid += len(before) < len(after) < len(expected)
        _compare(before, after, found)
        command.finish(folder)
        final = command.records(folder)
        _compare(after, final, found)
        found.lost += len(expected.keys() - final.keys())
        found.changed += sum(
            _numbers(final[one]) != _numbers(expected[one]) for one in final.keys() & expected
        )
        strays = _files(folder) - _files(whole.folder)
        found.stray += len(strays)
        if not found.none:
            where = f"lethe {command.name}, {signal.Signals(signum).name} after {moment:.2f} s"
            found.remarks.append(f"{where}: {found}; {[*left, *sorted(strays)]}")
    return found


def _wait(
    command: Command,
    folder: Path,
    process: subprocess.Popen,
    whole: Whole,
    moments: random.Random,
    amid: bool,
) -> float:
    """Wait for the moment of the kill, or for the end of the process; the seconds that it took.

    The moment is before the first record, or `amid` them.
    """
    start, there = time.monotonic(), len(command.paths(folder))
    pause = moments.uniform(0, 0.1 if amid else whole.seconds)
    if amid:
        more = moments.randrange(1, len(command.paths(whole.folder)) - there)
        while process.poll() is None and len(command.paths(folder)) < there + more:
            time.sleep(0.005)
    with suppress(subprocess.TimeoutExpired):
        process.wait(pause)
    return time.monotonic() - start


def _keep_a_part(
    command: Command, whole: Path, folder: Path, moments: random.Random, share: float
) -> None:
    """Copy the records of a run, each with probability `share`."""
    for name, content in sorted(command.records(whole).items()):
        if moments.random() < share:
            path = folder / "runs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _left(mark: str, process: subprocess.Popen) -> list[str]:
    """The command lines of the processes that are not gone in time; they are killed then."""
    deadline = time.monotonic() + PATIENCE
    while (there := dict(_marked(mark))) and time.monotonic() < deadline:
        process.poll()  # else the one that was killed stays as a zombie
        time.sleep(0.05)
    for pid in there:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return list(there.values())


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    """Number and command line of every process with the mark in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(folder.name), words.decode(errors="replace")
        except OSError:  # it is gone, or somebody else's
            continue


def _compare(before: dict[str, bytes], after: dict[str, bytes], found: Damage) -> None:
    """Count what is lost, changed or damaged."""
    found.lost += len(before.keys() - after.keys())
    found.changed += sum(after[one] != before[one] for one in before.keys() & after.keys())
    found.changed += sum(_numbers(content) is None for content in after.values())


def _numbers(content: bytes) -> Any:
    """What a record says but for times; None if it does not parse."""
    try:
        record = json.loads(content)
        return record["key"], record["status"], record.get("metrics"), record.get("scores")
    except (ValueError, KeyError, TypeError):
        return None


def _files(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def study(command: Command, signum: int, kills: int, whole: Whole, seed: int) -> Damage:
    """Kill a command again and again."""
    total = Damage()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        moments = [random.Random(f"{seed} {command.name} {signum} {k}") for k in range(kills)]
        amid = [bool(k % 2) for k in range(kills)]
        each = pool.map(partial(kill, command, whole, signum), moments, amid)
        label = f"{signal.Signals(signum).name}, lethe {command.name}"
        for one in track(each, label, total=kills, console=Console(stderr=True), transient=True):
            total.add(one)
    return total


def main() -> None:
    """Kill every command with every signal and print what that did."""
    parser = argparse.ArgumentParser(description="Kill commands at random moments.")
    parser.add_argument("--kills", type=int, default=20, help="of each command and signal")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    # what a shell starts in the background is deaf to interrupts, and so would be its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out, total = Console(), Damage()
    words = ("signal", "command", "kills", "amid", "lost", "changed", "left-over", "stray")
    table = Table(*words, box=None, pad_edge=False)
    for command in COMMANDS:
        with tempfile.TemporaryDirectory() as name:
            whole = Whole.of(command, Path(name))
            for signum in SIGNALS:
                one = study(command, signum, arguments.kills, whole, arguments.seed)
                total.add(one)
                counts = (one.kills, one.amid, one.lost, one.changed, one.left, one.stray)
                row = (signal.Signals(signum).name, command.name, *map(str, counts))
                table.add_row(*row)
                # an hour in all, and what is known by then must not be lost
                print("  ".join(row), file=sys.stderr, flush=True)
    out.print(table)
    for remark in total.remarks:
        out.print(remark, markup=False, soft_wrap=True)
    sys.exit(not total.none)


if __name__ == "__main__":
    main()
