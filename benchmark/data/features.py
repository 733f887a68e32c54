"""Fixed features: functions of one row alone, so that nothing fitted has to be unlearned."""

from __future__ import annotations

from typing import Literal

import numpy as np

Features = Literal["unit-pixels", "centred-pixels"]


def compute(kind: Features, images: np.ndarray, levels: int) -> np.ndarray:
    """(n, height * width [* channel]) float64 features of uint8 `images`.

    `unit-pixels` has rows of norm 1 (0 for a blank image), which makes the norm of a row with its
    bias column at most sqrt(2), exactly. `centred-pixels` maps 0..levels to -1..1.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)
    if kind == "centred-pixels":
        return flat / (levels / 2) - 1
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.maximum(norms, 1)  # a pixel is an integer: only a blank image is below 1
