"""Models as functions of one flat weight vector, and their public face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmark.curvature.tangent import TangentMap
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.models import convolutional
from benchmark.problem.models.convolutional import AllCNNSpec, ResNet18Spec
from benchmark.problem.models.fully_connected import MLPSpec, SoftmaxSpec, TangentSpec
from benchmark.problem.models.spec import Inputs, ModelSpec, Shape

__all__ = [
    "AllCNNSpec",
    "Inputs",
    "MLPSpec",
    "Model",
    "ModelSpec",
    "ResNet18Spec",
    "Shape",
    "SoftmaxSpec",
    "TangentSpec",
]


def _without_weights(spec: ModelSpec, inputs: Inputs, classes: int) -> nn.Module:
    """The net on the meta device: no weight is drawn, the global generator stays untouched."""
    try:
        with torch.device("meta"):
            return spec.module(inputs, classes)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise LetheError(
            f"problem.model is too large for any machine ({str(error).splitlines()[0]}): make it "
            "smaller"
        ) from error


class Model:
    """A net without weights: `model(weights, x)` gives the logits.

    BatchNorm's statistics are some of the weights. `model(weights, x)` normalises by them, always;
    `model.in_training(weights, x)` by those of the batch `x`, and training alone calls it.

    Args:
        spec: the architecture.
        inputs: features per row, or the shape of an image; rows are flat in any case.
        classes: number of labels; 1 where a real number is predicted.

    Attributes:
        chunk: rows that a pass over all data takes at a time; all of them if None.
        tangent: the map from weights to logits, where the model is a net linearised at public
            weights; None of any other.
        statistics: (d,) bool on the CPU, which weights are BatchNorm's statistics; None without
            BatchNorm.

    Raises:
        AssumptionBroken: if the net has buffers. Running statistics are functions of the rows that
            were trained on, the forgotten ones too, and no certificate about weights covers them.
    """

    tangent: TangentMap | None = None

    def __init__(self, spec: ModelSpec, inputs: Inputs, classes: int) -> None:
        self.spec: Any = spec  # a kind may have settings that others have not
        self.inputs = inputs
        self.classes = classes
        self.chunk = spec.chunk
        self._module = _without_weights(spec, inputs, classes)
        buffers = [name for name, _ in self._module.named_buffers()]
        if buffers:
            others = f" and {len(buffers) - 1} more" if len(buffers) > 1 else ""
            raise AssumptionBroken(
                f"the net has buffers ({buffers[0]}{others}): running statistics lie outside the "
                "weights that are certified; use a normalisation without them"
            )
        self._shapes = {name: p.shape for name, p in self._module.named_parameters()}
        self._sizes = [shape.numel() for shape in self._shapes.values()]
        self.dimension = sum(self._sizes)
        self._statistics = convolutional.names(self._module)
        self.statistics = self._where(self._statistics) if self._statistics else None

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `weights` (d,) and `x` (n, inputs)."""
        named = self.named(weights)
        if type(self._module) is nn.Linear:  # a call of the module takes longer than a small head
            return F.linear(x, named["weight"], named.get("bias"))
        return functional_call(self._module, named, (x,))

    def in_training(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits as training has them: a row's depend on the others in `x` if there is BatchNorm.

        The statistics in `weights` (d,) are not looked at.
        """
        named: dict[str, Any] = self.named(weights) | dict.fromkeys(self._statistics)
        return functional_call(self._module, named, (x,))

    def with_statistics(self, weights: Tensor, x: Tensor, batch: int) -> Tensor:
        """`weights` (d,) with BatchNorm's statistics set by one pass over `x` (n, inputs).

        It goes in batches of `batch` rows, in order, each normalised as in training.
        """
        if self.statistics is None:
            return weights
        found = convolutional.population(
            self._module, lambda part: self.in_training(weights, part), x.split(batch)
        )
        named = self.named(weights) | found
        return torch.cat([piece.flatten().to(weights) for piece in named.values()])

    def without_statistics(self, weights: Tensor) -> Tensor:
        """`weights` (d,) with zeros for BatchNorm's statistics, which no ridge acts on."""
        if self.statistics is None:
            return weights
        return weights.masked_fill(self.statistics.to(weights.device), 0)

    def row_norm(self, ridge: float) -> float:
        """R, of a tangent alone: no row's Jacobian has a larger norm.

        Raises:
            AssumptionBroken: of any other model.
        """
        raise AssumptionBroken("the Jacobian of this model has no declared norm: take a tangent")

    @property
    def shown(self) -> tuple[str, ...]:
        """Hashes of what it looks at beside the rows that it is given: by default nothing."""
        return ()

    @property
    def smallest_chunk(self) -> int:
        """Rows with which matrix products run at speed; an image is many rows of each."""
        return 16 if self.spec.sees_images else 64

    @property
    def module(self) -> nn.Module:
        """The net on the meta device: its layers, whose own weights have no values."""
        return self._module

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Shapes of the parameters by name, in the order of the flat weights."""
        return dict(self._shapes)

    @property
    def layers(self) -> list[slice]:
        """Where each layer lies in the flat weights, first to last: its weight and its bias."""
        sizes: dict[str, int] = {}
        for name, size in zip(self._shapes, self._sizes, strict=True):
            layer = name.rpartition(".")[0]
            sizes[layer] = sizes.get(layer, 0) + size
        ends = list(accumulate(sizes.values()))
        return [slice(stop - size, stop) for stop, size in zip(ends, sizes.values(), strict=True)]

    def initial_weights(self, generator: torch.Generator) -> Tensor:
        """(d,) float64 on the CPU, drawn as the architecture asks for."""
        return self.spec.start(self, generator)

    def named(self, weights: Tensor) -> dict[str, Tensor]:
        """Views of `weights` (d,) by the names of the module's parameters."""
        pieces = torch.split(weights, self._sizes)
        return {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }

    def _where(self, names: list[str]) -> Tensor:
        """(d,) bool: the weights of these parameters."""
        pieces = [
            torch.full((size,), name in names)
            for name, size in zip(self._shapes, self._sizes, strict=True)
        ]
        return torch.cat(pieces)


@dataclass(frozen=True)
class Predictor:
    """One model, or an ensemble whose class probabilities, or real predictions, are averaged.

    Attributes:
        model: the architecture.
        weights: (d,) for one model, (members, d) for an ensemble.
    """

    model: Model
    weights: Tensor

    @property
    def members(self) -> Tensor:
        """(members, d), one row for a single model."""
        return torch.atleast_2d(self.weights)

    @torch.no_grad()
    def log_probabilities(self, x: Tensor) -> Tensor:
        """(n, classes) float64 log-probabilities for `x` (n, inputs).

        Raises:
            LetheError: if the model predicts a real number.
        """
        if self.model.classes == 1:
            raise LetheError(
                "the target is a real number, and this asks for probabilities of classes"
            )
        each = self._each(x, lambda logits: logits.log_softmax(dim=1))
        return torch.stack(each).logsumexp(dim=0) - torch.tensor(float(len(each))).double().log()

    @torch.no_grad()
    def numbers(self, x: Tensor) -> Tensor:
        """(n,) float64 predictions of a real target, on its scale, for `x` (n, inputs).

        Raises:
            LetheError: if the model predicts classes.
        """
        if self.model.classes != 1:
            raise LetheError("the target is of classes, and this asks for a real number")
        return torch.stack(self._each(x, lambda output: output)).mean(dim=0)[:, 0]

    def _each(self, x: Tensor, of: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """(n, classes) float64 of each member, what `of` makes of its outputs."""
        parts = x.split(self.model.chunk or max(1, len(x)))
        return [
            torch.cat([of(self.model(w, part).double()) for part in parts]) for w in self.members
        ]
