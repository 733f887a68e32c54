"""The one objective: mean loss plus an explicit squared-L2 term."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from benchmark import plugins
from benchmark.errors import LetheError
from benchmark.problem import loss as losses


class Objective(BaseModel):
    """mean over rows of loss(logits, y) + (ridge / 2) ||w||^2.

    Training, gradient and Hessian all use this and nothing else, so that the ridge is counted
    once and the same everywhere. The norm is squared and spans all weights, biases included.

    Attributes:
        loss: the name of one, see `benchmark.problem.loss`.
        ridge: of the squared norm.
        code: the hash of a loss's code that is a plug-in's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: str = "cross_entropy"
    ridge: float = Field(0.0, ge=0, allow_inf_nan=False)
    code: str | None = Field(None, repr=False, exclude_if=lambda value: value is None)

    @field_validator("loss")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return losses.find(name).name
        except LetheError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _current(self) -> Objective:
        object.__setattr__(self, "code", plugins.current(losses.find(self.loss), self.code))
        return self

    @property
    def closed(self) -> bool:
        """Whether the loss is one whose derivatives are written out and constants known."""
        return self.loss in losses.CLOSED

    def data_term(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows, a scalar, for logits (n, classes) and labels (n,)."""
        return losses.find(self.loss).mean(logits, y)

    def penalty(self, weights: Tensor) -> Tensor:
        """The ridge term, a scalar, for weights (d,)."""
        return 0.5 * self.ridge * weights.dot(weights)
