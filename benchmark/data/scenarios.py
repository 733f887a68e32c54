"""Forget scenarios: who is chosen to be forgotten, and by what.

A scenario is a class in `benchmark/scenarios/`, or in the entry-point group `lethe.scenarios`. A
method must hold on the easy ones before it claims the hard ones: a random row is like the rows
that stay, a memorised or mislabelled one is like no other, and the influential ones are those
that the model would miss most.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from benchmark import plugins
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
        against_property: gives, of some rows, the fewest found whose removal makes the retrained
            model break a property; it takes some trainings. None where nothing is declared.
        numbers: (n,) the canonical number that each training row has in the data set.
        ids: (n,) the hash of each one's id; None where rows have none.
    """

    labels: Tensor
    features: Tensor
    leave_out_effect: Callable[[], Tensor] | None = None
    sizes: Callable[[], Tensor] | None = None
    most_influential: Callable[[Tensor, int], Tensor] | None = None
    against_property: Callable[[Tensor], Tensor] | None = None
    numbers: tuple[int, ...] | None = None
    ids: tuple[str, ...] | None = None


class Scenario(ABC):
    """Who asks to be forgotten: from what was trained on to the rows of each request.

    Attributes:
        name: as experiments say it.
        title: for people, such as `random rows`.
        source: the paper, or whose it is.
        sized: whether an experiment says how many rows a request names.
        relabels: whether the rows of the requests are trained on with other labels than theirs.
            They must then be drawn without a context.
        corrects: whether they are trained on with other inputs than theirs, which the requests put
            right: no row is lost. They must then be drawn without a context, too.
        single: whether it is of one request, which a stream cannot go on from.
        of_classes: whether rows are chosen, or altered, by their classes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    sized: ClassVar[bool] = True
    relabels: ClassVar[bool] = False
    corrects: ClassVar[bool] = False
    single: ClassVar[bool] = False
    of_classes: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def draw(
        cls,
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

    @classmethod
    def labels(cls, labels: Tensor, rows: Tensor, classes: int, generator: Generator) -> Tensor:
        """(n,) labels to train with, where the scenario relabels.

        Args:
            labels: (n,) true ones.
            rows: (m,) of all requests.
            classes: number of labels, at least 2.
            generator: of the forget seed, for the labels alone.
        """
        return labels

    @classmethod
    def inputs(cls, inputs: Tensor, rows: Tensor, generator: Generator) -> Tensor:
        """(n, ...) inputs to train with before the requests, where the scenario corrects.

        Args:
            inputs: (n, ...) right ones, as the model sees them.
            rows: (m,) of all requests.
            generator: of the forget seed, for the inputs alone.
        """
        return inputs


KIND = plugins.Kind[Scenario](
    word="scenario",
    wanted="a Scenario class",
    accepts=lambda cls: issubclass(cls, Scenario),
    packages=("benchmark.scenarios",),
    group="lethe.scenarios",
)


#: All scenarios of rows by name, in the order of files, then plug-ins.
discover = KIND.classes
#: The scenario of a name; a LetheError if there is none.
find = KIND.find


def required(context: Context | None, scenario: str) -> Context:
    """The context.

    Raises:
        LetheError: if there is none.
    """
    if context is None:
        raise LetheError(f"forget scenario '{scenario}' needs the training data to choose from")
    return context


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
    wanted = [place.get(name) for name in (hashes or numbers or ())]
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
