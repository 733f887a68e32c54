"""Forget scenarios: which training rows a request names."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError


class ForgetSpec(BaseModel):
    """`count` rows drawn at random by the forget seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Literal["random"] = "random"
    count: int = Field(ge=1)

    def draw(self, trained: Tensor, seeds: Seeds) -> Tensor:
        """(count,) sorted rows out of `trained` (n,), the rows the model was trained on.

        Raises:
            LetheError: if that would leave nothing to keep.
        """
        if self.count >= len(trained):
            raise LetheError(
                f"the forget set has {self.count} rows, the training set {len(trained)}: "
                "forget fewer"
            )
        order = torch.randperm(len(trained), generator=seeds.generator("forget"))
        return trained[order[: self.count]].sort().values
