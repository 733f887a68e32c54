"""What is to be forgotten: which training rows each request names."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from benchmark import plugins
from benchmark.contract.seeds import Seeds
from benchmark.data import scenarios
from benchmark.data.dataset import PATTERN
from benchmark.data.scenarios import Context, Scenario, named, required
from benchmark.errors import LetheError, unknown
from benchmark.graph.graph import Graph
from benchmark.graph.scenarios import WORDS, Drawn
from benchmark.graph.scenarios import draw as draw_on_graph

#: What a request is called that names its rows itself.
NAMED = "named"
#: The scenario of a graph that decides itself how many nodes a request names.
_OWN_SIZE = "nodes-class"
#: The settings that name rows themselves.
_NAMES = ("numbers", "hashes")


def _known(name: str) -> str:
    """Refuse a scenario that there is not."""
    if name == NAMED or name in WORDS:
        return name
    try:
        of_rows = scenarios.discover()
    except LetheError as error:
        raise ValueError(str(error)) from error
    if name not in of_rows:
        raise ValueError(str(unknown("scenario", name, [*of_rows, *WORDS])))
    return name


class ForgetSpec(BaseModel):
    """A stream of requests, their rows chosen by a scenario and the forget seed, or named.

    Attributes:
        scenario: see `benchmark.data.scenarios`, and of a graph `benchmark.graph.scenarios`;
            `named` where rows or ids are.
        count: rows of each request, or nodes or edges of a graph.
        share: the same as a share of the training rows; one of the two, and none for a class or
            for rows that are named.
        requests: how many, one after the other; they divide rows that are named in their order.
        numbers: the very rows, by their canonical number in the data set's training part; a file
            says `rows`, by their place.
        hashes: the very rows, by the hash of their id (see `benchmark.data.dataset`); a file says
            `ids`.
        code: the hash of a scenario's code that is a plug-in's.
        class_number: the class of a `class` request, a random one if None; a file says `class`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Annotated[str, AfterValidator(_known)] = "random"
    count: int | None = Field(None, ge=1)
    share: float | None = Field(None, gt=0, lt=1)
    requests: int = Field(1, ge=1)
    numbers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    hashes: tuple[Annotated[str, Field(pattern=PATTERN)], ...] | None = Field(None, min_length=1)
    class_number: int | None = Field(None, ge=0)
    code: str | None = Field(None, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _told(cls, values: Any) -> Any:
        """The scenario that follows from what is named."""
        if not isinstance(values, dict) or "scenario" in values:
            return values
        if any(values.get(name) is not None for name in _NAMES):
            return values | {"scenario": NAMED}
        if values.get("class_number") is not None:
            return values | {"scenario": "class"}
        return values

    @model_validator(mode="after")
    def _one_way(self) -> ForgetSpec:
        """Check that rows are named in one way, each once, and without another scenario."""
        given = [getattr(self, name) for name in _NAMES if getattr(self, name) is not None]
        if (self.scenario == NAMED) != (len(given) == 1):
            raise ValueError(
                "name the rows to forget by rows or by ids, not both, and without a scenario"
            )
        for names in given:
            if len(set(names)) != len(names):
                raise ValueError("a row to forget is named twice")
            if len(names) < self.requests:
                raise ValueError(f"{len(names)} rows are named for {self.requests} requests")
        if self.class_number is not None and (self.scenario != "class" or self.requests != 1):
            raise ValueError("a class is forgotten by one request, without another scenario")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> ForgetSpec:
        given = (self.count is not None) + (self.share is not None)
        if not self.sized and given:
            raise ValueError(f"scenario '{self.scenario}' takes neither count nor share")
        if self.sized and given != 1:
            raise ValueError(f"scenario '{self.scenario}' needs either count or share")
        return self

    @model_validator(mode="after")
    def _current(self) -> ForgetSpec:
        """Hold the code of a scenario to what was recorded."""
        kind = self._kind
        object.__setattr__(self, "code", plugins.current(kind, self.code) if kind else None)
        return self

    @model_serializer(mode="wrap")
    def _without_gaps(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not set: keys of earlier records, which had no `share`, still hold."""
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def _kind(self) -> type[Scenario] | None:
        """The scenario, where it is one of rows."""
        of_rows = self.scenario != NAMED and not self.of_graph
        return scenarios.find(self.scenario) if of_rows else None

    @property
    def title(self) -> str | None:
        """What people call the scenario's rows; None where they are named, and on a graph."""
        kind = self._kind
        return kind.title if kind else None

    @property
    def sized(self) -> bool:
        """Whether it is said how many rows a request names."""
        kind = self._kind
        return self.scenario not in (NAMED, _OWN_SIZE) if kind is None else kind.sized

    @property
    def relabels(self) -> bool:
        """Whether the rows of the requests are trained on with other labels than theirs."""
        kind = self._kind
        return kind is not None and kind.relabels

    @property
    def corrects(self) -> bool:
        """Whether the requests put the inputs of rows right, and lose none."""
        kind = self._kind
        return kind is not None and kind.corrects

    @property
    def of_classes(self) -> bool:
        """Whether rows are chosen, or altered, by their classes."""
        kind = self._kind
        return kind is not None and kind.of_classes

    @property
    def named(self) -> int | None:
        """How many rows are named; None where a scenario chooses."""
        names = self.numbers or self.hashes
        return None if names is None else len(names)

    def draw(
        self, trained: Tensor, seeds: Seeds, context: Context | None = None
    ) -> tuple[Tensor, ...]:
        """Disjoint sets of sorted rows out of `trained` (n,), one a request.

        Args:
            trained: the rows the model was trained on.
            seeds: of which the forget seed counts.
            context: what scenarios other than `random` and `mislabelled` choose by.

        Raises:
            LetheError: if that would leave nothing to keep, the scenario lacks its context or has
                but one request, or a row is named that was not trained on.
        """
        if self.named is not None:
            return named(trained, self.numbers, self.hashes, self.requests, context)
        if self.class_number is not None:
            return (_of_class(trained, self.class_number, context),)
        count = self._count(len(trained))
        if count is not None and self.requests * count >= len(trained):
            raise LetheError(
                f"the forget set has {self.requests * count} rows, the training set "
                f"{len(trained)}: forget fewer"
            )
        generator = seeds.generator("forget")
        kind = scenarios.find(self.scenario)
        if kind.single and self.requests != 1:
            raise LetheError(
                f"forget scenario '{self.scenario}' is of one request: set forget.requests = 1"
            )
        sets = kind.draw(trained, count, self.requests, context, generator)
        return tuple(rows.sort().values for rows in sets)

    @property
    def of_graph(self) -> bool:
        """Whether the requests are on a graph."""
        return self.scenario in WORDS

    def draw_on(self, graph: Graph, train: np.ndarray, seeds: Seeds) -> Drawn:
        """Disjoint requests on a graph, and the graph that training starts from.

        Args:
            graph: to draw from.
            train: (n,) sorted numbers of the training nodes.
            seeds: of which the forget seed counts.

        Raises:
            LetheError: if there are too few nodes or edges to name.
        """
        generator = seeds.generator("forget")
        return draw_on_graph(self.scenario, graph, train, self._count, self.requests, generator)

    def training_labels(self, labels: Tensor, classes: int, seeds: Seeds) -> Tensor:
        """(n,) labels to train with: `labels`, but for what a scenario relabels.

        Args:
            labels: (n,) true labels of all training rows.
            classes: number of labels.
            seeds: of which the forget seed counts.

        Raises:
            LetheError: if the requests name too many rows.
        """
        kind = self._kind
        if kind is None or not kind.relabels:
            return labels
        rows = torch.cat(self.draw(torch.arange(len(labels)), seeds))
        return kind.labels(labels, rows, classes, seeds.generator("forget", "labels"))

    def training_inputs(self, inputs: Tensor, seeds: Seeds) -> Tensor:
        """(n, ...) inputs to train with before the requests: `inputs`, but for what they correct.

        Args:
            inputs: (n, ...) right inputs of all training rows.
            seeds: of which the forget seed counts.

        Raises:
            LetheError: if the requests name too many rows.
        """
        kind = self._kind
        if kind is None or not kind.corrects:
            return inputs
        rows = torch.cat(self.draw(torch.arange(len(inputs)), seeds))
        return kind.inputs(inputs, rows, seeds.generator("forget", "inputs"))

    def _count(self, rows: int) -> int | None:
        return self.count if self.share is None else max(1, round(self.share * rows))


def _of_class(trained: Tensor, label: int, context: Context | None) -> Tensor:
    """The rows of one class, sorted."""
    labels = required(context, "class").labels.cpu()[trained]
    found = trained[labels == label]
    if not 0 < len(found) < len(trained):
        state = "has no training row" if len(found) == 0 else "is that of all training rows"
        raise LetheError(f"forget.class = {label} {state}: name another class")
    return found.sort().values
