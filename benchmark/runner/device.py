"""Choosing and preparing the device."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmark.curvature.lissa import differentiated, lissa
from benchmark.errors import LetheError
from benchmark.problem.training.descent import descend
from benchmark.rows import Rows

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
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
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
