"""Checksums of what a method may look at and must not change."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.problem import Problem


class InputsChanged(LetheError):
    """A method changed what it was given, which others are given too."""


class Seal:
    """What some tensors held when they were put under it."""

    def __init__(self) -> None:
        self._sealed: dict[str, tuple[Callable[[], Tensor | None], tuple]] = {}

    def put(self, name: str, tensor: Callable[[], Tensor | None]) -> None:
        """Take the checksum of a tensor, called `name` in a sentence; it is asked for anew later.

        What is replaced by another tensor is thereby noticed like what is changed in place.
        """
        self._sealed[name] = tensor, checksum(tensor())

    def put_problem(self, problem: Callable[[], Problem]) -> None:
        """Take the checksums of a problem's rows, also of a part that it does not have."""
        for part in ("train", "negatives", "test", "validation", "public"):
            for field, name in (("x", "inputs"), ("y", "labels")):
                self.put(f"{part} {name}", partial(_of, problem, part, field))

    def check(self, who: str) -> None:
        """Compare every tensor with what it was.

        Raises:
            InputsChanged: if one is different; it names `who` and each of them.
        """
        changed = [name for name, (get, then) in self._sealed.items() if checksum(get()) != then]
        if changed:
            raise InputsChanged(
                f"{who} changed its inputs ({', '.join(changed)}): let it work on a copy"
            )


def checksum(tensor: Tensor | None) -> tuple[str, tuple[int, ...], int]:
    """Type, shape and CRC-32 of a tensor; of something else its kind alone."""
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__, (), 0
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return str(array.dtype), array.shape, zlib.crc32(array.data)


def _of(problem: Callable[[], Problem], part: str, field: str) -> Tensor | None:
    return getattr(getattr(problem(), part), field, None)
