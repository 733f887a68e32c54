"""Trained weights on disk, each in a file under the hash of everything that determines it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.files import replace_file, seal, unsealed

#: Hexadecimal digits of a key that name its file.
_DIGITS = 32


class WeightFiles:
    """Weights behind checksums: what is damaged counts as missing.

    Args:
        folder: that may be deleted; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def path(self, key: str) -> Path | None:
        """The file of a key."""
        return None if self._folder is None else self._folder / f"{key[:_DIGITS]}.npz"

    def read(
        self, key: str, device: torch.device, shape: tuple[int, ...] | None = None
    ) -> tuple[Tensor, float] | None:
        """The weights under `key` and the seconds that they took; None if missing or damaged.

        Args:
            key: the hash of what determines them.
            device: where to put them.
            shape: another one counts as damaged; None takes any.
        """
        path = self.path(key)
        if path is None or (payload := unsealed(path)) is None:
            return None
        with np.load(io.BytesIO(payload)) as found:
            weights, seconds = torch.from_numpy(found["weights"]), float(found["seconds"])
        if shape is not None and weights.shape != shape:
            return None
        return weights.to(device), seconds

    def write(self, key: str, weights: Tensor, seconds: float = 0.0) -> None:
        """Keep weights, and the seconds that they took where somebody asks for them.

        Raises:
            DiskError: if the folder cannot be written.
        """
        path = self.path(key)
        if path is not None:
            buffer = io.BytesIO()
            np.savez(buffer, weights=weights.detach().cpu().numpy(), seconds=seconds)
            replace_file(path, seal(buffer.getvalue()))
