"""A method and models as an outside package would bring them, and files dropped into a package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
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


@contextmanager
def dropped_in(package: ModuleType, folder: Path) -> Iterator[None]:
    """Let the package have the files of `folder` as well.

    Modules of these files are forgotten at the end, so that each test imports its own.
    """
    path = list(package.__path__)
    package.__path__.append(str(folder))
    try:
        yield
    finally:
        package.__path__[:] = path
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name.startswith(f"{package.__name__}.") and file and folder in Path(file).parents:
                del sys.modules[name]
