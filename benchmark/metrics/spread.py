"""Whether a set of models differs at all."""

from __future__ import annotations

import numpy as np

#: Below this, relative to the margin, models differ by round-off and stopping tolerance only.
RESOLUTION = 1e-6


def deterministic(margins: np.ndarray) -> bool:
    """Whether some example has the same margin under every model, up to round-off.

    Convex training to a tolerance gives one model whatever its seed; its margins have no
    distribution that another could be compared with.

    Args:
        margins: (models, n).
    """
    scale = np.maximum(np.abs(margins).max(axis=0), 1)
    return bool((margins.std(axis=0) <= RESOLUTION * scale).any())
