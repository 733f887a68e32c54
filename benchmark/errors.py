"""Errors a user can mend: the command line shows each as one line and exits with code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

_T = TypeVar("_T")


class LetheError(Exception):
    """Something the user can put right; its text says what to do.

    >>> print(unknown("method", "retrian", ["newton", "retrain"]))
    unknown method 'retrian': did you mean 'retrain'?
    """


class DidNotConverge(LetheError):
    """An iteration that a certificate relies on never reached its tolerance."""


class AssumptionBroken(LetheError):
    """A condition of a theorem does not hold, so no certificate can be given.

    The cell is recorded as refused, with this text as the reason.

    >>> def bound(residual: float, mu: float) -> float:
    ...     if mu <= 0:
    ...         raise AssumptionBroken("the objective is not strongly convex: add a ridge")
    ...     return residual / mu
    >>> bound(1e-4, 0.1)
    0.001
    >>> bound(1e-4, 0.0)
    Traceback (most recent call last):
    benchmark.errors.AssumptionBroken: the objective is not strongly convex: add a ridge
    """


def present(value: _T | None) -> _T:
    """The value, which is never None where this is called.

    Raises:
        AssertionError: for None, a defect of the caller.
    """
    assert value is not None
    return value


def unknown(kind: str, name: str, known: Iterable[str]) -> LetheError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"there is: {', '.join(names) or 'none'}"
    return LetheError(f"unknown {kind} '{name}': {hint}")


def explain(error: ValidationError, where: str) -> LetheError:
    """The first complaint of a pydantic validation, as one line.

    `where` names what was being read, e.g. a file or a method.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    return LetheError(f"{where}: {place + ': ' if place else ''}{first['msg']}{tail}")
