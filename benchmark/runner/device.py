"""Choosing and preparing the device; the machine that a cell ran on, and its memory."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import warnings
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmark.curvature.lissa import differentiated, lissa
from benchmark.errors import LetheError
from benchmark.problem.training.descent import descend
from benchmark.records import Environment
from benchmark.rows import Rows

# Choosing and preparing the device.

#: Kinds of devices, and what a word for one may be.
_DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,3})?")


def named(name: str) -> torch.device:
    """The device called `name`, whether or not this machine has it.

    Raises:
        LetheError: for anything but `cpu`, `cuda`, `cuda:<n>` and `mps`.
    """
    if not _DEVICE.fullmatch(name):
        raise LetheError(f"unknown device '{name}': it is 'cpu' or 'cuda', 'cuda:1' or 'mps'")
    return torch.device(name)


def refuse_precision(name: str, precisions: Iterable[str]) -> None:
    """Refuse float64 where the device has none.

    Raises:
        LetheError: it says what to do.
    """
    if named(name).type == "mps" and "float64" in precisions:
        raise LetheError(
            "mps has no float64: set problem.precision = 'float32', or use --device cpu"
        )


def prepare(name: str, threads: int) -> torch.device:
    """The device called `name`, held to deterministic arithmetic and warm.

    TensorFloat-32 is off, which torch has on for convolutions: a residual of 1e-3 is out of its
    reach.

    Args:
        name: `cpu`, `cuda`, `cuda:<n>` for one of several GPUs, or `mps`.
        threads: of the processor.

    Raises:
        LetheError: for another name, or a device that this machine has not.
    """
    device = named(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise LetheError("CUDA was asked for, but torch sees no GPU here: use --device cpu")
    if (device.index or 0) >= max(1, torch.cuda.device_count()):
        last = torch.cuda.device_count() - 1
        raise LetheError(f"there is no GPU {device.index} here: the last one is cuda:{last}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise LetheError("torch sees no Apple GPU here: use --device cpu")
    refuse_count("threads", threads)
    # cuBLAS is deterministic with workspaces of a fixed size, which it reads when it is first used
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)  # SciPy's BLAS has threads of its own
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    _warm_up(device)
    return device


def refuse_count(what: str, number: int) -> None:
    """Refuse a number of threads or processes that is none, or more than this machine can start.

    Raises:
        LetheError: it says what is possible.
    """
    if number < 1:
        raise LetheError(f"{what} must be 1 or more, not {number}")
    most = max(64, 4 * (os.cpu_count() or 1))
    if number > most:
        raise LetheError(f"{what} must be {most} or fewer on this machine, not {number}")


def _warm_up(device: torch.device) -> None:
    """Take a first step of each kind: its imports and kernel selection are no method's time."""
    row = Rows(torch.ones(1, 1, device=device), torch.zeros(1, dtype=torch.int64, device=device))
    weights = torch.ones(1, device=device)

    def loss(w: Tensor, rows: Rows) -> Tensor:
        return (rows.x @ w).square().mean()

    descend(loss, weights, row, torch.Generator(), epochs=1, batch=1, learning_rate=1e-3)
    with warnings.catch_warnings():
        # torch's forward-mode rules are loaded through its own deprecated torch.jit
        warnings.simplefilter("ignore", FutureWarning)
        lissa(
            differentiated(loss, weights),
            row,
            weights,
            torch.Generator(),
            damping=1.0,
            scale=4.0,
            chains=1,
            depth=1,
            batch=1,
        )


# The machine and the software a cell ran on.

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


_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Bytes a block needed above what was in use when it began; `None` where unmeasurable.

    On CUDA the allocator's peak; on Linux the process's resident high-water mark, reset at entry
    once the allocator has given back what earlier work left unused.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int | None = None
        self.bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = _resident("VmRSS") if _reset() else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            return
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _resident("VmHWM") or self._before
        self.bytes = max(0, peak - self._before)


def _reset() -> bool:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc alone keeps freed memory
        trim(0)
    try:
        _CLEAR.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
