"""The machine and the software a cell ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmark.records import Environment

_PACKAGES = ("lethe", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "datasets")
_ROOT = Path(__file__).resolve().parents[2]


def describe(device: torch.device) -> Environment:
    """What is true now; the load average is that of the last minute."""
    revision, dirty = _git()
    return Environment(
        versions=versions(),
        git_revision=revision,
        git_dirty=dirty,
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_model(),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        device=device.type,
        threads=torch.get_num_threads(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        node=os.environ.get("SLURMD_NODENAME"),
    )


@cache
def versions() -> dict[str, str]:
    """Python's and the packages' versions; a package that is missing is left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def _git() -> tuple[str | None, bool | None]:
    """The checked-out revision and whether the tree differs from it.

    Where the code is a copy without its history, `$LETHE_REVISION` says it, and the second is
    unknown. A copy within another project's history has none of its own.
    The leaderboard does not count: records that are being written there change no number.
    """
    # set within a hook, they name another repository
    ours = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    elsewhere = {name: value for name, value in os.environ.items() if name not in ours}

    def ask(*arguments: str) -> str:
        # without locks, as a run that is killed while git has one would leave it behind
        command = ["git", "--no-optional-locks", "-C", str(_ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, check=True, env=elsewhere)
        return os.fsdecode(done.stdout).strip()

    if revision := os.environ.get("LETHE_REVISION"):
        return revision, None
    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != _ROOT:
            return None, None
        ask("ls-files", "--error-unmatch", "--", __file__)
        changed = ask("status", "--porcelain", "--", ".", ":!leaderboard")
        return ask("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, None
