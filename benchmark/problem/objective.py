"""The one objective: mean loss plus an explicit squared-L2 term; and what a loss is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from benchmark import plugins
from benchmark.curvature import output_loss
from benchmark.errors import LetheError

# What a loss is: the contract of `objective.loss` in an experiment.
#
# A loss is a class in `benchmark/losses/`, or in the entry-point group `lethe.losses`.

#: Losses whose derivatives in the logits are written out, and whose constants theorems know.
CLOSED = output_loss.CLOSED


class Loss(ABC):
    """A loss of logits and labels, averaged over rows.

    Its Hessian is computed by automatic differentiation. The constants of the theorems are those of
    the project's own losses: what is certified by bounds or noise is refused with any other, and
    what is exact by construction is not.

    Attributes:
        name: as in experiments.
        title: for people.
        source: the paper, or whose it is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]

    @classmethod
    @abstractmethod
    def mean(cls, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows, a scalar that can be differentiated twice.

        Batched programs (vmap) call it, so that it must not branch on values.

        Args:
            logits: (n, classes).
            y: (n,) labels.
        """


KIND = plugins.Kind[Loss](
    word="loss",
    wanted="a Loss class",
    accepts=lambda cls: issubclass(cls, Loss),
    packages=("benchmark.losses",),
    group="lethe.losses",
)
#: The loss of a name; a LetheError if there is none.
find = KIND.find


class Objective(BaseModel):
    """mean over rows of loss(logits, y) + (ridge / 2) ||w||^2.

    Training, gradient and Hessian all use this and nothing else, so that the ridge is counted
    once and the same everywhere. The norm is squared and spans all weights, biases included.

    Attributes:
        loss: the name of one, see `benchmark.problem.objective`.
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
            return find(name).name
        except LetheError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _current(self) -> Objective:
        object.__setattr__(self, "code", plugins.current(find(self.loss), self.code))
        return self

    @property
    def closed(self) -> bool:
        """Whether the loss is one whose derivatives are written out and constants known."""
        return self.loss in CLOSED

    def data_term(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows, a scalar, for logits (n, classes) and labels (n,)."""
        return find(self.loss).mean(logits, y)

    def penalty(self, weights: Tensor) -> Tensor:
        """The ridge term, a scalar, for weights (d,)."""
        return 0.5 * self.ridge * weights.dot(weights)
