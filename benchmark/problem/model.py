"""Models as functions of one flat weight vector."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.errors import AssumptionBroken

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class SoftmaxSpec(BaseModel):
    """Softmax regression: one linear layer with a bias."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["softmax"] = "softmax"

    @property
    def linear(self) -> bool:
        return True

    @property
    def smooth(self) -> bool:
        return True

    def module(self, inputs: int, classes: int) -> nn.Module:
        return nn.Linear(inputs, classes)


class MLPSpec(BaseModel):
    """Fully connected net; the paper's MNIST model is 784-32-32-10.

    tanh is the default because a ReLU net has no Lipschitz Hessian (Zhang et al. assume one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp"]
    hidden: tuple[int, ...] = Field((32, 32), min_length=1)
    activation: Literal["tanh", "relu"] = "tanh"

    @property
    def linear(self) -> bool:
        return False

    @property
    def smooth(self) -> bool:
        return self.activation != "relu"

    def module(self, inputs: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers += [nn.Linear(inputs, width), ACTIVATIONS[self.activation]()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))


ModelSpec = SoftmaxSpec | MLPSpec


class Model:
    """A net without weights: `model(weights, x)` gives the logits.

    Args:
        spec: the architecture.
        inputs: features per row.
        classes: number of labels.

    Raises:
        AssumptionBroken: if the net has buffers. Running statistics are functions of the rows that
            were trained on, the forgotten ones too, and no certificate about weights covers them.
    """

    def __init__(self, spec: ModelSpec, inputs: int, classes: int) -> None:
        self.spec = spec
        self.classes = classes
        # On the meta device no weight is drawn, so the global generator stays untouched.
        with torch.device("meta"):
            self._module = spec.module(inputs, classes)
        buffers = [name for name, _ in self._module.named_buffers()]
        if buffers:
            raise AssumptionBroken(
                f"the net has buffers ({', '.join(buffers)}): running statistics lie outside the "
                "weights that are certified; use a normalisation without them"
            )
        self._shapes = {name: p.shape for name, p in self._module.named_parameters()}
        self._sizes = [shape.numel() for shape in self._shapes.values()]
        self.dimension = sum(self._sizes)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `weights` (d,) and `x` (n, inputs)."""
        pieces = torch.split(weights, self._sizes)
        named = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        return functional_call(self._module, named, (x,))

    def initial_weights(self, generator: torch.Generator) -> Tensor:
        """(d,) float64 on the CPU: uniform in +-1/sqrt(fan-in), as torch initialises a layer."""
        pieces = []
        fan_in = 1
        for shape in self._shapes.values():
            if len(shape) > 1:
                fan_in = math.prod(shape[1:])
            uniform = torch.rand(shape.numel(), generator=generator, dtype=torch.float64)
            pieces.append((2 * uniform - 1) / math.sqrt(fan_in))
        return torch.cat(pieces)
