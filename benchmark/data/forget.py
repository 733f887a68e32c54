"""What is to be forgotten: which training rows each request names."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data.scenarios import SCENARIOS, Context
from benchmark.data.scenarios.mislabelled import corrupted
from benchmark.errors import LetheError
from benchmark.graph.graph import Graph
from benchmark.graph.scenarios import WORDS, Drawn, GraphScenario
from benchmark.graph.scenarios import draw as draw_on_graph

#: Scenarios that decide themselves how many rows a request names.
_OWN_SIZE = ("class", "nodes-class")


class ForgetSpec(BaseModel):
    """A stream of requests, their rows chosen by a scenario and the forget seed.

    Attributes:
        scenario: see `benchmark.data.scenarios`, and of a graph `benchmark.graph.scenarios`.
        count: rows of each request, or nodes or edges of a graph.
        share: the same as a share of the training rows; one of the two, and none for a class.
        requests: how many, one after the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: (
        Literal[
            "random",
            "class",
            "subpopulation",
            "largest",
            "memorised",
            "mislabelled",
            "influential",
        ]
        | GraphScenario
    ) = "random"
    count: int | None = Field(None, ge=1)
    share: float | None = Field(None, gt=0, lt=1)
    requests: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _one_size(self) -> ForgetSpec:
        given = (self.count is not None) + (self.share is not None)
        if self.scenario in _OWN_SIZE and given:
            raise ValueError(f"scenario '{self.scenario}' takes neither count nor share")
        if self.scenario not in _OWN_SIZE and given != 1:
            raise ValueError(f"scenario '{self.scenario}' needs either count or share")
        return self

    @model_serializer(mode="wrap")
    def _without_gaps(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not set: keys of earlier records, which had no `share`, still hold."""
        return {key: value for key, value in handler(self).items() if value is not None}

    def draw(
        self, trained: Tensor, seeds: Seeds, context: Context | None = None
    ) -> tuple[Tensor, ...]:
        """Disjoint sets of sorted rows out of `trained` (n,), one a request.

        Args:
            trained: the rows the model was trained on.
            seeds: of which the forget seed counts.
            context: what scenarios other than `random` and `mislabelled` choose by.

        Raises:
            LetheError: if that would leave nothing to keep, or the scenario lacks its context.
        """
        count = self._count(len(trained))
        if count is not None and self.requests * count >= len(trained):
            raise LetheError(
                f"the forget set has {self.requests * count} rows, the training set "
                f"{len(trained)}: forget fewer"
            )
        generator = seeds.generator("forget")
        sets = SCENARIOS[self.scenario](trained, count, self.requests, context, generator)
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
        """(n,) labels to train with: `labels`, but for the rows of a `mislabelled` request.

        Args:
            labels: (n,) true labels of all training rows.
            classes: number of labels.
            seeds: of which the forget seed counts.

        Raises:
            LetheError: if the requests name too many rows.
        """
        if self.scenario != "mislabelled":
            return labels
        rows = torch.cat(self.draw(torch.arange(len(labels)), seeds))
        return corrupted(labels, rows, classes, seeds.generator("forget", "labels"))

    def _count(self, rows: int) -> int | None:
        return self.count if self.share is None else max(1, round(self.share * rows))
