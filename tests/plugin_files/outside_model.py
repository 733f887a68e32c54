"""A kind of model."""

from __future__ import annotations

from typing import Literal

from torch import nn

from lethe import ModelSpec


class OutsideModel(ModelSpec):
    """A net with one hidden layer."""

    title = "Outside model"

    kind: Literal["outside-model"] = "outside-model"
    width: int = 4

    def module(self, inputs: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(inputs, self.width), nn.GELU(), nn.Linear(self.width, classes)
        )
