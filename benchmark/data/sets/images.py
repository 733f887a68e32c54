"""Sets of images: digits, MNIST and MNIST shifted about, CIFAR-10, house numbers."""

from __future__ import annotations

import numpy as np

from benchmark.data.dataset import Dataset, Part
from benchmark.data.images import Source
from benchmark.data.named import ImageSet, NamedSet

DIGITS_HASH = "803c750a95a08ee5266adaddaf25a2f5cda68619e07a62b4739201e650c10ab4"


class Digits(NamedSet):
    """1797 images of 8 x 8, uint8 in 0..16; there is no official test split."""

    name = "digits"
    title = "Digits"
    source = "Alpaydin, Kaynak 1998: Optical recognition of handwritten digits (UCI)"
    levels = 16

    @classmethod
    def load(cls) -> Dataset:
        """The set, embedded in scikit-learn."""
        from sklearn.datasets import load_digits  # slow to import

        bunch = load_digits()
        part = Part.verified(
            bunch.images.astype(np.uint8),
            bunch.target.astype(np.int64),
            DIGITS_HASH,
            "scikit-learn's digits",
            "install the scikit-learn version in constraints.txt",
        )
        return Dataset(cls.name, 10, part, None)


class Mnist(ImageSet):
    """70,000 handwritten digits of 28 x 28."""

    images = Source(
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


#: Pixels down and across. No two of them give a digit the same image.
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 2))
#: Of the 600,000 training rows.
SHIFTED_HASH = "dc6a71e645ccc2ee55066d0be1a43415d951d353452657d3faa7bec7154e4f74"


class MnistShifted(NamedSet):
    """The training digits of MNIST, ten rows of each, and the test digits as they are.

    The rows of one digit are a group: none is trained on while another is held back.
    """

    name = "mnist-shifted"
    title = "MNIST, shifted"
    source = Mnist.source
    official_test = True
    made_of = Mnist.name

    @classmethod
    def load(cls) -> Dataset:
        """The set, made of MNIST."""
        source = Mnist.load()
        digits, n = source.train, len(source.train.labels)
        train = Part.verified(
            np.concatenate([shifted(digits.images, *by) for by in SHIFTS]),
            np.tile(digits.labels, len(SHIFTS)),
            SHIFTED_HASH,
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


class Cifar10(ImageSet):
    """60,000 photographs of 32 x 32 in colour."""

    images = Source(
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


class SvhnPart(ImageSet):
    """The first 45,000 of the 73,257 training crops, and no test split: never official SVHN.

    Digits of one house number overlap, so rows of one photograph belong together.
    """

    images = Source(
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
