"""Ids of rows: whom a request names, kept as hashes and never as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

#: What a hash of an id looks like.
PATTERN = r"^[0-9a-f]{64}$"


def hashed(ids: Iterable[object], content_hash: str) -> tuple[str, ...]:
    """The sha256, in hex, of each id, with the data set's content hash as salt.

    Records hold these. Whoever guesses an id can still check the guess.

    Args:
        ids: texts or numbers; 17, 17.0 and "17" are the same.
        content_hash: of the rows the ids name.
    """
    salt = f"{content_hash}|".encode()
    return tuple(hashlib.sha256(salt + text_of(one).encode()).hexdigest() for one in ids)


def text_of(value: Any) -> str:
    """A cell as text: the same of 17, 17.0 and " 17 ", whatever file it was read from."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    try:
        number = float(value) if not isinstance(value, str) else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        return str(value).strip()
    whole = number.is_integer() and abs(number) < 2**53
    return str(int(value)) if whole else repr(number)
