"""Models as functions of one flat weight vector."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor
from torch.func import functional_call

from benchmark.errors import AssumptionBroken
from benchmark.problem.models.allcnn import AllCNNSpec
from benchmark.problem.models.convolutional import ConvolutionalSpec, Shape
from benchmark.problem.models.fully_connected import MLPSpec, SoftmaxSpec
from benchmark.problem.models.resnet18 import ResNet18Spec
from benchmark.problem.models.start import kaiming, uniform

#: Features per row; of a convolutional net, height, width and channels of the image in a row.
Inputs = int | Shape

ModelSpec = SoftmaxSpec | MLPSpec | AllCNNSpec | ResNet18Spec

__all__ = ["AllCNNSpec", "MLPSpec", "Model", "ModelSpec", "ResNet18Spec", "SoftmaxSpec"]


class Model:
    """A net without weights: `model(weights, x)` gives the logits.

    Args:
        spec: the architecture.
        inputs: features per row, or the shape of an image; rows are flat in any case.
        classes: number of labels.

    Attributes:
        chunk: rows that a pass over all data takes at a time; all of them if None.

    Raises:
        AssumptionBroken: if the net has buffers. Running statistics are functions of the rows that
            were trained on, the forgotten ones too, and no certificate about weights covers them.
    """

    def __init__(self, spec: ModelSpec, inputs: Inputs, classes: int) -> None:
        self.spec = spec
        self.inputs = inputs
        self.classes = classes
        self.chunk = spec.chunk if isinstance(spec, ConvolutionalSpec) else None
        # On the meta device no weight is drawn, so the global generator stays untouched.
        with torch.device("meta"):
            self._module = spec.module(inputs, classes)
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

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `weights` (d,) and `x` (n, inputs)."""
        pieces = torch.split(weights, self._sizes)
        named = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        return functional_call(self._module, named, (x,))

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
        draw = kaiming if isinstance(self.spec, ConvolutionalSpec) else uniform
        return draw(self._shapes, generator)
