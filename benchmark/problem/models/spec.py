"""Kinds of models: what each says of itself, where its training starts, how kinds are found."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, get_args

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from benchmark import plugins
from benchmark.errors import LetheError, explain


def uniform(shapes: Mapping[str, torch.Size], generator: torch.Generator) -> Tensor:
    """(d,) float64 on the CPU: uniform in +-1/sqrt(fan-in), as torch initialises a layer."""
    pieces = []
    fan_in = 1
    for shape in shapes.values():
        if len(shape) > 1:
            fan_in = math.prod(shape[1:])
        draw = torch.rand(shape.numel(), generator=generator, dtype=torch.float64)
        pieces.append((2 * draw - 1) / math.sqrt(fan_in))
    return torch.cat(pieces)


def kaiming(shapes: Mapping[str, torch.Size], generator: torch.Generator) -> Tensor:
    """(d,) float64 on the CPU: normal of variance 2 / fan-in (He et al. 2015).

    Of weights with one axis the scales and variances of a normalisation are 1, the others 0.
    """
    pieces = []
    for name, shape in shapes.items():
        if len(shape) > 1:
            draw = torch.randn(shape.numel(), generator=generator, dtype=torch.float64)
            pieces.append(draw * math.sqrt(2 / math.prod(shape[1:])))
        else:
            value = float(name.endswith(("weight", "variance")))
            pieces.append(torch.full(shape, value, dtype=torch.float64))
    return torch.cat(pieces)


# What a kind of model says of itself: the contract of `problem.model` in an experiment.

#: Height, width and channels of an image.
Shape = tuple[int, int, int]
#: Features per row; of a convolutional net, height, width and channels of the image in a row.
Inputs = int | Shape


def columns(inputs: Inputs) -> int:
    """The length of a row."""
    return inputs if isinstance(inputs, int) else math.prod(inputs)


def image(inputs: Inputs) -> Shape:
    """Height, width and channels, of what a model takes that sees images."""
    assert not isinstance(inputs, int)
    return inputs


class Built(Protocol):
    """What `start` reads of a model; see `benchmark.problem.model.Model`."""

    inputs: Inputs
    classes: int

    @property
    def shapes(self) -> dict[str, torch.Size]: ...


class ModelSpec(BaseModel, ABC):
    """An architecture with its settings; a file in `benchmark/problem/models` registers it.

    Packages outside this repository register theirs through the entry-point group `lethe.models`.
    A subclass has a field `kind`, a literal of one text that experiments name it by.

    Attributes:
        name: the same text.
        title: for people.
        source: the paper, if there is one.
        linear: whether the logits are linear in the weights, so that the Hessian has a closed form
            and a ridge makes the objective strongly convex. The project's kinds alone may say so:
            closed forms go by their layouts.
        smooth: whether the loss has a Lipschitz Hessian, as theorems about Newton steps assume.
        chunk: rows that a pass over all data takes at a time; all of them if None.
        hops: how far it sees in a graph, through layers that are trained, so that no certificate
            by bounds or noise holds; None of a model that sees rows.
        sees_images: whether a row is an image, given as height, width and channels.
        widths: units of each hidden layer of a fully connected net whose passes over rows are
            written out; none of a linear head; None of any other model.
        convolves: whether it is built of layers of `benchmark.curvature.layers`, and is convolved
            in bfloat16 on a GPU.
        net: the one that it is linearised from, which public rows train; None of any other kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str] = ""
    chunk: ClassVar[int | None] = None
    hops: ClassVar[int | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Name the class after its kind."""
        if "kind" in cls.model_fields:
            cls.name = get_args(cls.model_fields["kind"].annotation)[0]

    @property
    def linear(self) -> bool:
        return False

    @property
    def smooth(self) -> bool:
        return False

    @property
    def sees_images(self) -> bool:
        return False

    @property
    def widths(self) -> tuple[int, ...] | None:
        return None

    @property
    def convolves(self) -> bool:
        return False

    @property
    def net(self) -> ModelSpec | None:
        return None

    @abstractmethod
    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        """The net, from flat rows (n, features) to logits (n, classes).

        It is built on the meta device, where no weight is drawn.

        Args:
            inputs: features per row; of an image height, width and channels.
            classes: number of labels.
        """

    def start(self, model: Built, generator: torch.Generator) -> Tensor:
        """(d,) float64 on the CPU: where training starts."""
        return uniform(model.shapes, generator)

    def check(self, inputs: Inputs, classes: int, dtype: torch.dtype) -> None:
        """Refuse, before anything is trained, what no certificate covers; by default nothing.

        Raises:
            LetheError: it says what to change.
        """

    def in_words(self) -> dict[str, Any]:
        """The settings that people read, the kind first."""
        return self.model_dump()


# Kinds of models by name: classes in this folder, or of an installed plug-in.


def _lacks(cls: type[ModelSpec]) -> str:
    """Refuse a plug-in that calls itself linear: closed forms go by the project's own layouts."""
    if cls.linear is ModelSpec.linear or cls.__module__.startswith(f"{__package__}."):
        return ""
    return "says whether it is linear, which only the project's kinds may: leave 'linear' out"


KIND = plugins.Kind[ModelSpec](
    word="model",
    wanted="a ModelSpec class",
    accepts=lambda cls: issubclass(cls, ModelSpec) and "kind" in cls.model_fields,
    packages=("benchmark.problem.models",),
    group="lethe.models",
    lacks=_lacks,
)
#: Every kind of model by name: the project's, then those of plug-ins.
discover = KIND.classes
#: The kind of a name; a LetheError if there is none.
find = KIND.find


def read(value: Any) -> Any:
    """The model that a table of settings says; for pydantic, which hears of anything wrong.

    A table with a `factory` is of the kind `factory` and need not say so.

    Raises:
        ValueError: for a table without a kind, or one that there is not.
    """
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", "factory" if "factory" in value else None)
    if not isinstance(kind, str):
        raise ValueError(
            "set kind, e.g. model = { kind = 'softmax' }, or factory = 'my_package.nets:small_cnn' "
            "for a net of your own"
        )
    try:
        cls = find(kind)
    except LetheError as error:
        raise ValueError(str(error)) from error
    return cls.model_validate({**value, "kind": kind})


def spec_of(table: dict[str, Any], cls: type[ModelSpec] | None = None) -> ModelSpec:
    """The model that a table of settings says, for callers that are not pydantic.

    Args:
        table: as in an experiment's file.
        cls: of the model; what the table says if None.

    Raises:
        LetheError: for a kind that there is not, or settings that do not fit it.
    """
    try:
        return read(table) if cls is None else cls.model_validate(table)
    except ValidationError as error:
        raise explain(error, "model") from error
    except ValueError as error:
        raise LetheError(f"model: {error}") from error
