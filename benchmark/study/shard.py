"""Shares of the work, for machines that know nothing of each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmark.errors import LetheError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count`, from 1; all shares together are everything, once."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `text` names, e.g. `2/3`.

        Raises:
            LetheError: if it names none.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise LetheError(f"--shard is i/n with i from 1 to n, such as 2/3, not '{text}'")
        return cls(number, count)

    def of(self, work: Sequence[T]) -> list[T]:
        """Every `count`-th piece; it depends on their order alone, not on what is done already."""
        return list(work[self.number - 1 :: self.count])


#: All of the work.
WHOLE = Shard()
