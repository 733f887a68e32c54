"""What a loss is: the contract of `objective.loss` in an experiment.

A loss is a class in `benchmark/losses/`, or in the entry-point group `lethe.losses`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from benchmark import plugins
from benchmark.curvature import output_loss

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
