"""Data sets by name."""

from __future__ import annotations

from functools import cache

from benchmark.data import digits, images, shifted
from benchmark.data.dataset import Dataset
from benchmark.data.sources import SOURCES
from benchmark.errors import unknown

#: Sets that are made here, by name.
MADE = {made.NAME: made for made in (digits, shifted)}
NAMES = (digits.NAME, *SOURCES, shifted.NAME)


@cache
def load(name: str) -> Dataset:
    """The data set `name`, verified; read once a process.

    Raises:
        LetheError: for an unknown name, or see `benchmark.data.images.load`.
    """
    if name in MADE:
        return MADE[name].load()
    if name not in SOURCES:
        raise unknown("data set", name, NAMES)
    return images.load(SOURCES[name])


def title(name: str) -> str:
    """What people call the data set `name`.

    Raises:
        LetheError: for an unknown name.
    """
    if name in MADE:
        return MADE[name].TITLE
    if name not in SOURCES:
        raise unknown("data set", name, NAMES)
    return SOURCES[name].family


def levels(name: str) -> int:
    """The largest pixel value of the data set."""
    return MADE[name].LEVELS if name in MADE else 255
