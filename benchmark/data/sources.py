"""Image sets that are read from `$LETHE_DATA` or from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and what it must contain.

    Attributes:
        name: as in experiments, and the folder under `$LETHE_DATA`.
        title: for people.
        hub: repository on the hub.
        image_column: its column of images; `$LETHE_DATA` files call theirs `image`.
        classes: number of labels.
        hashes: the content hash of each split.
        citation: whom to thank.
    """

    name: str
    title: str
    hub: str
    image_column: str
    classes: int
    hashes: dict[str, str]
    citation: str


MNIST = Source(
    name="mnist",
    title="MNIST",
    hub="ylecun/mnist",
    image_column="image",
    classes=10,
    hashes={
        "train": "54e1ab866c9484947dd4821c52bb7a43938f555d6b046be6af55247f8e6ffc64",
        "test": "97b756d55950f1841ebd48df7379b9b2fc87a10d63e08d6213dad41d564e8508",
    },
    citation="LeCun, Cortes, Burges: The MNIST database of handwritten digits",
)

SOURCES = {source.name: source for source in (MNIST,)}
