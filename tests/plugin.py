"""A method and a model as an outside package would bring them."""

from typing import Literal

from torch import nn

from lethe import Method, ModelSpec, Release, Request, Source

NOT_A_METHOD = 3


class Outside(Method):
    """Halve the weights."""

    name = "outside"
    title = "Outside"
    source = Source(paper="None", url="https://example.org")
    needs = frozenset()

    def unlearn(self, request: Request) -> Release:
        return request.release(request.original.weights / 2)


class OutsideNet(ModelSpec):
    """A net with one hidden layer."""

    title = "Outside net"

    kind: Literal["outside-net"] = "outside-net"
    width: int = 4

    def module(self, inputs: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(inputs, self.width), nn.GELU(), nn.Linear(self.width, classes)
        )


class LinearNet(OutsideNet):
    """A net that is not linear and says that it is."""

    kind: Literal["linear-net"] = "linear-net"

    @property
    def linear(self) -> bool:
        return True
