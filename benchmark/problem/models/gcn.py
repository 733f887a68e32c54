"""Two layers of graph convolution (Kipf, Welling 2017)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from benchmark.problem.models.spec import Inputs, ModelSpec, columns


class GCNSpec(ModelSpec):
    """P relu(P N(X) W1 + b1) W2 + b2 of a graph, see `benchmark.graph.net`.

    What passes between neighbours goes through trained layers, so that no certificate holds.
    """

    title: ClassVar[str] = "GCN"
    source: ClassVar[str] = (
        "Kipf, Welling: Semi-Supervised Classification with Graph Convolutional Networks (ICLR "
        "2017)"
    )
    hops: ClassVar[int | None] = 2

    kind: Literal["gcn"]
    hidden: int = Field(16, ge=1)

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(columns(inputs), self.hidden), nn.ReLU(), nn.Linear(self.hidden, classes)
        )
