"""Rows that a request names one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.data.scenarios.context import Context, required
from benchmark.errors import LetheError


def named(
    trained: Tensor,
    numbers: tuple[int, ...] | None,
    hashes: tuple[str, ...] | None,
    requests: int,
    context: Context | None,
) -> tuple[Tensor, ...]:
    """The named rows, in as many sets as there are requests, each sorted.

    Args:
        trained: (n,) the rows the model was trained on.
        numbers: canonical numbers, or None.
        hashes: of ids, or None; one of the two.
        requests: which divide the rows in their order into parts of about the same size.
        context: which says what numbers and ids the training rows have.

    Raises:
        LetheError: if one of them was not trained on, or nothing is left to keep.
    """
    known = required(context, "named")
    if hashes is not None and known.ids is None:
        raise LetheError("forget.ids names rows by ids, and the data have none: set data.id")
    names = known.ids if hashes is not None else known.numbers
    if names is None:
        raise LetheError("forget scenario 'named' needs the numbers of the training rows")
    place = {name: index for index, name in enumerate(names)}
    wanted = [place.get(name) for name in (hashes or numbers)]
    if None in wanted:
        which = f"row {numbers[wanted.index(None)]}" if numbers else "a row, by its id,"
        raise LetheError(
            f"the request names {which} that is no training row: it is not in the data, or held "
            "back by the split; take it out of the request"
        )
    if not all(bool(one) for one in torch.isin(torch.tensor(wanted), trained)):
        raise LetheError("the request names a row that the model was not trained on")
    if len(wanted) >= len(trained):
        raise LetheError("the requests name every training row: nothing is left to keep")
    parts = torch.tensor(wanted, dtype=torch.int64).tensor_split(requests)
    return tuple(part.sort().values for part in parts)
