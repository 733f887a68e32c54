"""Asking Slurm what became of tasks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator

from benchmark.errors import LetheError
from benchmark.study.executors.submission import Place

#: Seconds that a command of Slurm may take.
PATIENCE = 60


def in_queue(places: Collection[Place]) -> dict[Place, str]:
    """Slurm's word for each of these tasks that runs or waits; the others are left out.

    Raises:
        LetheError: if Slurm cannot be asked.
    """
    if not places:
        return {}
    names = ",".join(sorted({place.submission.name for place in places}))
    text = _ask("squeue", "--noheader", "--array", f"--name={names}", "--format=%j|%K|%T")
    words = {}
    for line in text.splitlines():
        name, index, word = line.split("|")
        words[name, int(index) if index.isdigit() else 0] = word
    known = {place: (place.submission.name, place.index) for place in places}
    return {place: words[key] for place, key in known.items() if key in words}


def afterwards(places: Collection[Place]) -> dict[Place, str]:
    """The accounting's word for tasks that are over; what it does not know is left out.

    Raises:
        LetheError: if there is an accounting and it cannot be asked.
    """
    jobs = sorted({place.submission.job for place in places if place.submission.job})
    if not jobs:
        return {}
    try:
        text = _ask(
            "sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State",
            f"--jobs={','.join(jobs)}",
        )  # fmt: skip
    except LetheError as error:
        if shutil.which("sacct") is None or "storage is disabled" in str(error):
            return {}  # a cluster without accounting
        raise
    words = {
        job: line.partition("|")[2]
        for line in text.splitlines()
        for job in expanded(line.partition("|")[0])
    }
    return {place: words[place.job] for place in places if place.job in words}


def expanded(job: str) -> Iterator[str]:
    """Every task of what accounting calls a job, e.g. `17_3` and `17_4` for `17_[3-4%2]`."""
    found = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", job)
    if found is None:
        yield job
        return
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        yield from (f"{found[1]}_{index}" for index in range(int(first), int(last or first) + 1))


def _ask(*command: str) -> str:
    """What a command of Slurm prints."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer in {PATIENCE} s"
        raise LetheError(
            f"{command[0]} cannot be asked ({reason}): is this the cluster?"
        ) from error
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise LetheError(f"{command[0]} cannot be asked ({reason}): try again later")
    return done.stdout
