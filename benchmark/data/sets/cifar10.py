"""CIFAR-10: colour photographs of ten kinds, 32 x 32."""

from __future__ import annotations

from benchmark.data.images import Source
from benchmark.data.named import ImageSet

CIFAR10 = Source(
    name="cifar10",
    title="CIFAR-10",
    family="CIFAR-10",
    folder="cifar10",
    hub="uoft-cs/cifar10",
    image_column="img",
    classes=10,
    hashes={
        "train": "6a3b2c04d0a79ce272dcdacaf0bc440275db5a8cbe3717521a28fada2ea0d2ed",
        "test": "65a6ffe079453e514083f99356b35e02cbfd581b4951e3937fae188974b79f39",
    },
    citation="Krizhevsky 2009: Learning multiple layers of features from tiny images",
)


class Cifar10(ImageSet):
    """See `CIFAR10`."""

    images = CIFAR10
