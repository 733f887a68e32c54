"""What a layer has to say for itself."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

#: The weights of each module, or a direction or gradient in them: views of one flat vector.
Weights = dict[nn.Module, list[Tensor]]


#: A Tensor; None at the data, of which there is no derivative.
Signal = Any


class Layer(Protocol):
    """One layer on some rows: `forward` and `backward` once, then any number of products.

    What does not depend on the product's vector v is computed in the two passes and kept. A
    product is a `push` through the layers in order and a `pull` back through them. R is d/dt at
    the weights w + t v, delta the derivative of the loss summed over the rows.
    """

    def forward(self, x: Tensor, /) -> Tensor:
        """The output for the input x."""
        ...

    def backward(self, delta: Signal, /) -> Signal:
        """Delta of the input, for delta of the output; None if the input is data."""
        ...

    def add_gradient(self, total: Weights, /) -> None:
        """Add the derivative in the layer's own weights to `total`."""
        ...

    def push(self, rx: Signal, v: Weights, /) -> tuple[Signal, Any]:
        """R of the output, for R of the input (None: data), and what `pull` has to know of it.

        The memory of `rx` may be taken over; who hands it on to two layers copies it.
        """
        ...

    def pull(self, r_delta: Signal, pushed: Any, v: Weights, total: Weights, /) -> Signal:
        """R of the input's delta, for R of the output's; R of the own gradient goes to `total`.

        The memory of `r_delta` and of what was pushed may be taken over, likewise.
        """
        ...


def split(module: nn.Module, flat: Tensor) -> Weights:
    """Views of `flat` (d,): the parameters of each module, in the order of `named_parameters`.

    Raises:
        ValueError: if the numbers of weights differ, as they do where modules share some.
    """
    weights: Weights = {}
    start = 0
    for part in module.modules():
        weights[part] = []
        for parameter in part.parameters(recurse=False):
            end = start + parameter.numel()
            weights[part].append(flat[start:end].view(parameter.shape))
            start = end
    if start != len(flat):
        raise ValueError(f"the module has {start} weights, not {len(flat)}")
    return weights


def nbytes(layers: object) -> int:
    """Bytes of all tensors that layers hold, weights too; what several of them hold counts once."""
    found, rest = {}, [layers]
    while rest:
        one = rest.pop()
        if isinstance(one, Tensor):
            found[one.data_ptr()] = one.nbytes
        elif isinstance(one, list):
            rest += one
        elif not isinstance(one, nn.Module):
            rest += getattr(one, "__dict__", {}).values()
    return sum(found.values())
