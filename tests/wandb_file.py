"""Reading a W&B transaction log: LevelDB's log format behind a header of seven bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

BLOCK = 32768
HEADER = 7
FULL, LAST = 1, 4


def payloads(path: Path) -> Iterator[bytes]:
    """The serialised messages of a `.wandb` file, in order, as far as it is written."""
    content = path.read_bytes()
    assert b":W&B".startswith(content[:4])
    position, pieces = HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # the rest of a block too short for a header
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        if position + HEADER + length > len(content):
            return
        pieces += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (FULL, LAST):
            yield pieces
            pieces = b""
