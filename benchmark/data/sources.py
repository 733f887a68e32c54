"""Image sets that are read from `$LETHE_DATA` or from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and what it must contain.

    Attributes:
        name: as in experiments.
        title: for people.
        family: the same where a list of experiments is sorted by data set.
        folder: its folder under `$LETHE_DATA`.
        hub: repository on the hub, or None if the set is not there.
        image_column: its column of images there; `$LETHE_DATA` files call theirs `image`.
        classes: number of labels.
        hashes: the content hash of each split.
        groups: the hash of the groups of each split whose rows are grouped by source image: the
            number before `_` in the path of a row's image. Without one, rows are independent.
        citation: whom to thank.
    """

    name: str
    title: str
    family: str
    folder: str
    hub: str | None
    image_column: str
    classes: int
    hashes: dict[str, str]
    citation: str
    groups: dict[str, str] = field(default_factory=dict)


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

# The first 45,000 of the 73,257 training crops, and no test split: never official SVHN. Digits of
# one house number overlap, so rows of one photograph belong together.
SVHN_PART = Source(
    name="svhn-part",
    title="SVHN, first 45,000 training crops",
    family="SVHN (part, not the official split)",
    folder="svhn",
    hub=None,
    image_column="image",
    classes=10,
    hashes={"train": "e281d6ae6f6722c9a64057f4d07949e81c56af81c8edbcaf68eb9113b2a003b6"},
    citation="Netzer et al. 2011: Reading digits in natural images (non-commercial use only)",
    groups={"train": "80579516a32f58570a27374258ed5b98e919a76cd1d3e09d92bb96bab45e8182"},
)

SOURCES = {source.name: source for source in (MNIST, CIFAR10, SVHN_PART)}
