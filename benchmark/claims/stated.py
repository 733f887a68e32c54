"""What every claim has to say of its target."""

from __future__ import annotations

from benchmark.contract.request import Request


def caveats(request: Request) -> tuple[str, ...]:
    """A caveat where delta allows to publish a row now and then: delta above 1 / n.

    n is the declared number of rows, or without one those that are trained on.
    """
    n = request.problem.declared.rows_at_least or len(request.original.rows)
    if request.target.delta <= 1 / n:
        return ()
    return (
        f"delta = {request.target.delta:.3g} is above 1 / n for n = {n} rows: a method that "
        "publishes one row at random would meet it",
    )
