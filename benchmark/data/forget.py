"""Forget scenarios: which training rows a request names."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError


class ForgetSpec(BaseModel):
    """A stream of requests, each of `count` rows drawn at random by the forget seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Literal["random"] = "random"
    count: int = Field(ge=1)
    requests: int = Field(1, ge=1)

    def draw(self, trained: Tensor, seeds: Seeds) -> tuple[Tensor, ...]:
        """Disjoint sets of (count,) sorted rows out of `trained` (n,), one a request.

        Args:
            trained: the rows the model was trained on.
            seeds: of which the forget seed counts.

        Raises:
            LetheError: if that would leave nothing to keep.
        """
        total = self.requests * self.count
        if total >= len(trained):
            raise LetheError(
                f"the forget set has {total} rows, the training set {len(trained)}: forget fewer"
            )
        order = torch.randperm(len(trained), generator=seeds.generator("forget"))
        return tuple(trained[part].sort().values for part in order[:total].split(self.count))
