"""Altered rows in theorems that count rows: Lemma 3 of docs/graphs.md.

With f rows lost and c altered out of n, the gradient of the mean moves by 2 (f + c) g / n at most,
where g bounds one row's gradient, of its old version and of its new one.
"""

from __future__ import annotations

from benchmark.contract.request import Request
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem


def counts_altered(problem: Problem) -> bool:
    """Whether a declared norm holds for rows before and after an edit."""
    return problem.declared.feature_norm is not None


def check_counted(request: Request) -> None:
    """Refuse altered rows where the norm of a row is measured on the rows at hand.

    Raises:
        AssumptionBroken: the constants of training could then be below those of the new rows.
    """
    if len(request.altered) and not counts_altered(request.problem):
        raise AssumptionBroken(
            "a theorem that counts rows needs one norm for their old and new versions: take "
            "features whose norm is declared, such as rows of norm 1"
        )


def beyond_capacity(
    counted: int, *, capacity: int, trained: int, rows: int, altered: bool = True
) -> bool:
    """Whether a request moves a mean further than noise for `capacity` lost rows allows for.

    Without altered rows that is more rows than the capacity. With them n stays, so that
    counted / n must be within capacity / (rows + capacity), too.

    Args:
        counted: f + c of all requests so far.
        capacity: n_u that the noise is made for.
        trained: n.
        rows: that are left at least, which the noise was made with.
        altered: whether any row was altered.
    """
    return counted > capacity or (altered and counted * (rows + capacity) > capacity * trained)
