"""MNIST with every digit shifted about: as many rows as a study of time against n needs."""

from __future__ import annotations

import numpy as np

from benchmark.data import images
from benchmark.data.dataset import Dataset, Part
from benchmark.data.named import NamedSet
from benchmark.data.sets.mnist import MNIST

#: Pixels down and across. No two of them give a digit the same image.
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 2))
#: Of the 600,000 training rows.
CONTENT_HASH = "dc6a71e645ccc2ee55066d0be1a43415d951d353452657d3faa7bec7154e4f74"


class MnistShifted(NamedSet):
    """The training digits of MNIST, ten rows of each, and the test digits as they are.

    The rows of one digit are a group: none is trained on while another is held back.
    """

    name = "mnist-shifted"
    title = "MNIST, shifted"
    source = MNIST.citation
    official_test = True
    made_of = MNIST.name

    @classmethod
    def load(cls) -> Dataset:
        """The set, made of MNIST; see `benchmark.data.images.load`."""
        source = images.load(MNIST)
        digits, n = source.train, len(source.train.labels)
        train = Part.verified(
            np.concatenate([shifted(digits.images, *by) for by in SHIFTS]),
            np.tile(digits.labels, len(SHIFTS)),
            CONTENT_HASH,
            cls.title,
            "the shifts have changed: give the data set another name",
            groups=np.tile(np.arange(n), len(SHIFTS)),
        )
        return Dataset(cls.name, source.classes, train, source.test)


def shifted(digits: np.ndarray, down: int, across: int) -> np.ndarray:
    """`digits` (n, height, width) moved by some pixels; 0 comes in where they were."""
    height, width = digits.shape[1:]
    padded = np.pad(digits, ((0, 0), (abs(down),) * 2, (abs(across),) * 2))
    top, left = abs(down) - down, abs(across) - across
    return padded[:, top : top + height, left : left + width]
