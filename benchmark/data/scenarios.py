"""Forget scenarios: one function each, from what was trained on to the rows of each request.

They stand in the order of difficulty. A method must hold on the easy ones before it claims the
hard ones: a random row is like the rows that stay, a memorised or mislabelled one is like no
other, and the influential ones are those that the model would miss most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
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


def random_rows(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request `count` rows, all rows alike."""
    order = torch.randperm(len(trained), generator=generator)
    return trained[order[: requests * count]].split(count)


def whole_class(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request every row of one class, the classes drawn at random."""
    labels = required(context, "class").labels.cpu()[trained]
    classes = labels.unique()
    if requests >= len(classes):
        raise LetheError(
            f"{requests} requests would forget all {len(classes)} classes: keep at least one"
        )
    chosen = classes[torch.randperm(len(classes), generator=generator)[:requests]]
    return tuple(trained[labels == label] for label in chosen)


def subpopulation(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request a random row and its nearest neighbours in Euclidean distance of features.

    Rows of earlier requests are gone; the next row is drawn from the others.
    """
    features = required(context, "subpopulation").features
    order = torch.randperm(len(trained), generator=generator)
    left = torch.ones(len(trained), dtype=torch.bool)
    sets = []
    for _ in range(requests):
        centre = order[left[order]][0]
        x = features[trained[left].to(features.device)].flatten(1)
        middle = features[trained[centre].to(features.device)].flatten()
        distances = torch.linalg.vector_norm(x - middle, dim=1).cpu()
        distances[trained[left] == trained[centre]] = -1  # itself, also among equal rows
        nearest = torch.sort(distances, stable=True).indices[:count]
        chosen = torch.arange(len(trained))[left][nearest]
        left[chosen] = False
        sets.append(trained[chosen])
    return tuple(sets)


def largest(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows whose images have the largest norm; a stream takes them from the top down.

    Of the image, not of its features, which are often scaled to the same norm. Nothing is drawn.
    """
    sizes = required(context, "largest").sizes
    if sizes is None:
        raise LetheError("forget scenario 'largest' needs the images to rank the rows by")
    return _highest(trained, sizes()[trained], count, requests)


def memorised(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows with the highest leave-out effect; a stream takes them from the top down.

    Nothing is drawn. Rows that are chosen by some shadow models must be attacked with others.
    """
    effect = required(context, "memorised").leave_out_effect
    if effect is None:
        raise LetheError("forget scenario 'memorised' needs a shadow bank to rank the rows by")
    return _highest(trained, effect().cpu()[trained], count, requests)


def _highest(trained: Tensor, scores: Tensor, count: int, requests: int) -> tuple[Tensor, ...]:
    """The rows with the highest scores (n,), from the top down."""
    order = torch.sort(scores, descending=True, stable=True).indices
    return trained[order[: requests * count]].split(count)


def mislabelled(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """Each request `count` random rows, which `corrupted` gives other labels before training."""
    return random_rows(trained, count, requests, context, generator)


def corrupted(labels: Tensor, rows: Tensor, classes: int, generator: Generator) -> Tensor:
    """(n,) labels, those of `rows` each replaced by a random other one.

    Args:
        labels: (n,).
        rows: (m,) indices.
        classes: number of labels, at least 2.
        generator: for the new labels.
    """
    shift = torch.randint(1, classes, (len(rows),), generator=generator).to(labels.device)
    wrong = labels.clone()
    rows = rows.to(labels.device)
    wrong[rows] = (labels[rows] + shift) % classes
    return wrong


def influential(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The rows whose removal moves the model most; a stream takes them from the top down.

    The rows of all requests are found as one set. Nothing is drawn.
    """
    find = required(context, "influential").most_influential
    if find is None:
        raise LetheError(
            "forget scenario 'influential' needs a strongly convex problem: choose a linear model "
            "and a ridge above 0"
        )
    return find(trained, requests * count).split(count)


def against_property(
    trained: Tensor,
    count: int | None,
    requests: int,
    context: Context | None,
    generator: Generator,
) -> tuple[Tensor, ...]:
    """The fewest rows found whose removal makes the retrained head break the declared property."""
    find = required(context, "against-property").against_property
    if find is None or requests != 1:
        raise LetheError(
            "forget scenario 'against-property' is one request against the [property] of a "
            "strongly convex head whose training is not constrained"
        )
    return (find(trained),)


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


SCENARIOS: dict[str, Draw] = {
    "random": random_rows,
    "class": whole_class,
    "subpopulation": subpopulation,
    "largest": largest,
    "memorised": memorised,
    "mislabelled": mislabelled,
    "influential": influential,
    "against-property": against_property,
}
