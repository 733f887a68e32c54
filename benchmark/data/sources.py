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
