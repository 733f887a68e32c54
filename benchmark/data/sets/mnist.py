"""MNIST: handwritten digits, 28 x 28."""

from __future__ import annotations

from benchmark.data.images import Source
from benchmark.data.named import ImageSet

MNIST = Source(
    name="mnist",
    title="MNIST",
    family="MNIST",
    folder="mnist",
    hub="ylecun/mnist",
    image_column="image",
    classes=10,
    hashes={
        "train": "54e1ab866c9484947dd4821c52bb7a43938f555d6b046be6af55247f8e6ffc64",
        "test": "97b756d55950f1841ebd48df7379b9b2fc87a10d63e08d6213dad41d564e8508",
    },
    citation="LeCun, Cortes, Burges: The MNIST database of handwritten digits",
)


class Mnist(ImageSet):
    """See `MNIST`."""

    images = MNIST
