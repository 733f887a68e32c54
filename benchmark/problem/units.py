"""The units of a net: neurons of linear layers, filters of convolutional ones."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.problem.model import Model
from benchmark.problem.tangent import refuse


class Units:
    """What every unit puts out, and which weights it owns: a row of its layer's, and the bias.

    Units are numbered layer by layer, first to last; normalisation layers have none.
    """

    def __init__(self, model: Model) -> None:
        refuse(model, "this method")
        self._chunk = model.chunk
        with torch.device("meta"):
            self._module = model.spec.module(model.inputs, model.classes)
        self._shapes = {name: p.shape for name, p in self._module.named_parameters()}
        self._layers = {
            name: layer
            for name, layer in self._module.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        }

    def owners(self) -> Tensor:
        """(d,): the unit that each weight belongs to, -1 for none."""
        first, count = {}, 0
        for name, layer in self._layers.items():
            first[name] = count
            count += len(layer.weight)
        pieces = []
        for name, shape in self._shapes.items():
            layer = name.rpartition(".")[0]
            if layer in first:
                own = first[layer] + torch.arange(shape[0])
                pieces.append(own.repeat_interleave(shape[1:].numel()))
            else:
                pieces.append(torch.full((shape.numel(),), -1))
        return torch.cat(pieces)

    @torch.no_grad()
    def outputs(self, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, units) before the activation, mean over an image's places; (n, classes) logits."""
        pieces = torch.split(weights, [shape.numel() for shape in self._shapes.values()])
        named = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        parts = [self._outputs(named, part) for part in x.split(self._chunk or max(1, len(x)))]
        outputs, logits = zip(*parts, strict=True)
        return torch.cat(outputs), torch.cat(logits)

    def _outputs(self, named: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        found: dict[str, Tensor] = {}

        def keep(name: str, layer: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output.flatten(2).mean(dim=2) if output.dim() > 2 else output

        hooks = [
            layer.register_forward_hook(partial(keep, name)) for name, layer in self._layers.items()
        ]
        logits = functional_call(self._module, named, (x,))
        for hook in hooks:
            hook.remove()
        return torch.cat([found[name] for name in self._layers], dim=1), logits
