"""Looking at a net of one's own before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmark.problem.models import spec
from benchmark.problem.models.factory import FactorySpec, Finding, built, look_at
from benchmark.problem.models.spec import ModelSpec

#: A kind's name, a table of settings, a factory of nets, or a model itself.
Model = str | dict[str, Any] | Callable[..., nn.Module] | ModelSpec


def spec_of(model: Model) -> ModelSpec:
    """The model that a caller means.

    Args:
        model: `softmax`, `my_package.nets:small_cnn`, a table as in an experiment's file, or a
            function of (inputs, classes) that returns a net.

    Raises:
        LetheError: if there is none, or for settings that do not fit it.
    """
    if isinstance(model, str):
        model = {"factory" if ":" in model else "kind": model}
    elif callable(model) and not isinstance(model, ModelSpec):
        return FactorySpec.of(model)
    return model if isinstance(model, ModelSpec) else spec.spec_of(model)


def check_model(
    factory: str | Callable[..., nn.Module],
    inputs: int | tuple[int, int, int],
    classes: int,
    *,
    precision: str = "float64",
    **args: Any,
) -> list[Finding]:
    """Say what is wrong with a net before it is trained: a line each, the worst first.

    Args:
        factory: a function of (inputs, classes, **args) that returns a torch module, or where it
            is, as `my_package.nets:small_cnn`.
        inputs: features of a row; of an image height, width and channels.
        classes: number of labels.
        precision: of rows and weights.
        **args: of the factory.

    Returns:
        What was found; a net with a finding that is `refused` is not trained.

    Raises:
        LetheError: if there is no such function.

    Example:
        >>> from torch import nn
        >>> def net(inputs, classes):
        ...     return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, classes))
        >>> for finding in check_model(net, 20, 3):
        ...     print(finding.refused, finding.text[:40])
        False ReLU (1) has no second derivative everyw
    """
    if isinstance(factory, str):
        found: Any = spec.spec_of({"factory": factory})
        function = found.function
    else:
        function = factory
    images = not isinstance(inputs, int)

    def build() -> nn.Module:
        return built(function, inputs, classes, images=images, args=args)

    return look_at(build, inputs, classes, getattr(torch, precision))
