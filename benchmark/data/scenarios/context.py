"""What a scenario may look at beside row numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Generator, Tensor

from benchmark.errors import LetheError


@dataclass(frozen=True)
class Context:
    """The data that rows are chosen by. All of it is of training rows, none of later results.

    Attributes:
        labels: (n,) of every training row.
        features: (n, ...) as the model sees them.
        leave_out_effect: gives (n,), how much a model's answer on a row owes to having been
            trained on it; called only where it is needed, since it takes a shadow bank.
        sizes: gives (n,), the norm of every training row's image, before features.
        most_influential: gives, of some rows, as many as asked for whose removal moves the
            trained model most, first the one with the largest part in it; called only where it is
            needed, since it takes a training. None if the problem is not strongly convex.
        numbers: (n,) the canonical number that each training row has in the data set.
        ids: (n,) the hash of each one's id; None where rows have none.
    """

    labels: Tensor
    features: Tensor
    leave_out_effect: Callable[[], Tensor] | None = None
    sizes: Callable[[], Tensor] | None = None
    most_influential: Callable[[Tensor, int], Tensor] | None = None
    numbers: tuple[int, ...] | None = None
    ids: tuple[str, ...] | None = None


class Draw(Protocol):
    """A scenario."""

    def __call__(
        self,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        """Disjoint sets of rows, one a request, in any order.

        Args:
            trained: (n,) the rows the model was trained on.
            count: rows of a request, already known to fit; None where the scenario decides.
            requests: how many.
            context: what is needed beside row numbers, or None.
            generator: of the forget seed.

        Raises:
            LetheError: if the context lacks something, or there are too few such rows.
        """


def required(context: Context | None, scenario: str) -> Context:
    """The context.

    Raises:
        LetheError: if there is none.
    """
    if context is None:
        raise LetheError(f"forget scenario '{scenario}' needs the training data to choose from")
    return context
