"""Choosing and preparing the device."""

from __future__ import annotations

import torch

from benchmark.errors import LetheError
from benchmark.problem.rows import Rows
from benchmark.problem.training.descent import descend


def prepare(name: str, threads: int) -> torch.device:
    """The device called `name` (`cpu` or `cuda`), held to deterministic arithmetic and warm.

    A first step pays for imports and kernel selection; it is taken here, so that no method's
    time holds it.

    Raises:
        LetheError: for another name, or CUDA where there is none.
    """
    if name not in ("cpu", "cuda"):
        raise LetheError(f"unknown device '{name}': it is 'cpu' or 'cuda'")
    if name == "cuda" and not torch.cuda.is_available():
        raise LetheError("CUDA was asked for, but torch sees no GPU here: use --device cpu")
    if threads < 1:
        raise LetheError(f"threads must be 1 or more, not {threads}")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=name == "cuda")
    device = torch.device(name)
    row = Rows(torch.ones(1, 1, device=device), torch.zeros(1, dtype=torch.int64, device=device))
    descend(
        lambda w, rows: (rows.x @ w).square().mean(),
        torch.ones(1, device=device),
        row,
        torch.Generator(),
        epochs=1,
        batch=1,
        learning_rate=1e-3,
    )
    return device
