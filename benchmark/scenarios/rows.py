"""Scenarios of rows, in the order of difficulty."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Generator, Tensor

from benchmark.data.scenarios import Context, Scenario, required
from benchmark.errors import LetheError, present


class Random(Scenario):
    """Each request `count` rows, all rows alike."""

    name = "random"
    title = "random rows"
    source = "the suite's own"

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        order = torch.randperm(len(trained), generator=generator)
        size = present(count)
        return trained[order[: requests * size]].split(size)


class WholeClass(Scenario):
    """Each request every row of one class, the classes drawn at random."""

    name = "class"
    title = "a whole class"
    source = "the suite's own"
    sized = False
    of_classes = True

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        labels = required(context, "class").labels.cpu()[trained]
        classes = labels.unique()
        if requests >= len(classes):
            raise LetheError(
                f"{requests} requests would forget all {len(classes)} classes: keep at least one"
            )
        chosen = classes[torch.randperm(len(classes), generator=generator)[:requests]]
        return tuple(trained[labels == label] for label in chosen)


class Subpopulation(Scenario):
    """Each request a random row and its nearest neighbours in Euclidean distance of features.

    Rows of earlier requests are gone; the next row is drawn from the others.
    """

    name = "subpopulation"
    title = "rows of a sub-population"
    source = "the suite's own"

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
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


class Ranked(Scenario):
    """The rows with the highest scores; a stream takes them from the top down.

    Nothing is drawn.
    """

    @classmethod
    @abstractmethod
    def scores(cls, context: Context) -> Tensor:
        """(n,) of every training row.

        Raises:
            LetheError: if the context lacks what they are computed from.
        """

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        scores = cls.scores(required(context, cls.name))[trained]
        order = torch.sort(scores, descending=True, stable=True).indices
        size = present(count)
        return trained[order[: requests * size]].split(size)


class Largest(Ranked):
    """The rows whose images have the largest norm.

    Of the image, not of its features, which are often scaled to the same norm.
    """

    name = "largest"
    title = "rows with the largest images"
    source = "the suite's own"

    @classmethod
    def scores(cls, context: Context) -> Tensor:
        if context.sizes is None:
            raise LetheError("forget scenario 'largest' needs the images to rank the rows by")
        return context.sizes()


class Memorised(Ranked):
    """The rows with the highest leave-out effect.

    Rows that are chosen by some shadow models must be attacked with others.
    """

    name = "memorised"
    title = "memorised rows"
    source = "Feldman & Zhang 2020"
    of_classes = True

    @classmethod
    def scores(cls, context: Context) -> Tensor:
        if context.leave_out_effect is None:
            raise LetheError("forget scenario 'memorised' needs a shadow bank to rank the rows by")
        return context.leave_out_effect().cpu()


class Mislabelled(Random):
    """Each request `count` random rows, which are given other labels before training."""

    name = "mislabelled"
    title = "mislabelled rows"
    source = "the suite's own"
    relabels = True
    of_classes = True

    @classmethod
    def labels(cls, labels: Tensor, rows: Tensor, classes: int, generator: Generator) -> Tensor:
        """Labels of `rows`, each replaced by a random other one."""
        shift = torch.randint(1, classes, (len(rows),), generator=generator).to(labels.device)
        wrong = labels.clone()
        rows = rows.to(labels.device)
        wrong[rows] = (labels[rows] + shift) % classes
        return wrong


class Rectify(Random):
    """Each request `count` random rows, put right: until then they have another row's inputs.

    The other row is random, so whatever bounds the norm of the rows bounds that of the wrong ones.
    """

    name = "rectify"
    title = "rows whose inputs were wrong"
    source = "the suite's own"
    corrects = True

    @classmethod
    def inputs(cls, inputs: Tensor, rows: Tensor, generator: Generator) -> Tensor:
        """Inputs of `rows`, each replaced by those of a random other row."""
        n = len(inputs)
        others = (rows + torch.randint(1, n, (len(rows),), generator=generator)) % n
        wrong = inputs.clone()
        wrong[rows.to(inputs.device)] = inputs[others.to(inputs.device)]
        return wrong


class Influential(Scenario):
    """The rows whose removal moves the model most; a stream takes them from the top down.

    The rows of all requests are found as one set. Nothing is drawn.
    """

    name = "influential"
    title = "the most influential rows"
    source = "the suite's own"

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        find = required(context, "influential").most_influential
        if find is None:
            raise LetheError(
                "forget scenario 'influential' needs a strongly convex problem: choose a linear "
                "model and a ridge above 0"
            )
        size = present(count)
        return find(trained, requests * size).split(size)


class AgainstProperty(Scenario):
    """The fewest rows found whose removal makes the retrained head break a declared property.

    There is one request, and nothing is drawn.
    """

    name = "against-property"
    title = "the fewest rows found that break the property of the retrained model"
    source = "the suite's own"
    sized = False
    single = True

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: Context | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        find = required(context, cls.name).against_property
        if find is None:
            raise LetheError(
                "forget scenario 'against-property' goes against the [property] of a "
                "strongly convex head whose training is not constrained"
            )
        return (find(trained),)
