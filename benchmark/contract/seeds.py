"""Seeds on separate axes: one source of randomness can vary while the others stand still."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import torch

Axis = Literal["split", "training", "forget", "noise", "evaluation"]


class Seeds(BaseModel):
    """One seed an axis: data split, training, forget set, unlearning noise, evaluation.

    >>> import torch
    >>> seeds = Seeds.all(0)
    >>> first = torch.rand(2, generator=seeds.generator("noise", "step", 1))
    >>> again = torch.rand(2, generator=seeds.generator("noise", "step", 1))
    >>> other = torch.rand(2, generator=seeds.generator("noise", "step", 2))
    >>> torch.equal(first, again), torch.equal(first, other)
    (True, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: int = Field(0, ge=0)
    training: int = Field(0, ge=0)
    forget: int = Field(0, ge=0)
    noise: int = Field(0, ge=0)
    evaluation: int = Field(0, ge=0)

    @classmethod
    def all(cls, seed: int) -> Seeds:
        """The same number on every axis; the axes still draw unrelated streams."""
        return cls(**dict.fromkeys(cls.model_fields, seed))

    def generator(self, axis: Axis, *scope: object) -> torch.Generator:
        """A fresh CPU generator for one axis, and within it for one `scope` (shard, request, ...).

        Streams of different axes, seeds or scopes are unrelated; the same ones are equal.
        Drawing on the CPU keeps the numbers the same whatever device computes.
        """
        import torch  # here, as a board reads seeds and draws nothing

        text = ":".join([axis, str(getattr(self, axis)), *map(str, scope)])
        digest = hashlib.sha256(text.encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
