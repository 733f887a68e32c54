"""Settings of features that are fitted on public rows, and the public rows: all a fit receives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from benchmark.data.dataset import Dataset, row_digests

# What features are fitted on public rows: settings that are constants, chosen beforehand.


def _optional() -> Any:
    """A field that is None unless it is set, and is written only then."""
    return Field(None, exclude_if=lambda value: value is None)


class PatchesSpec(BaseModel):
    """Responses of random whitened patches, pooled: see `benchmark.data.fitted.patches`.

    Attributes:
        filters: K, patches drawn from public rows; 2 K features a pooling cell.
        size: pixels along a side of a patch.
        pad: pixels of 0 around an image.
        pool: cells along a side of an image that responses are averaged over.
        whitening: added to the variances of patches along their principal axes.
        contrast: added to a patch's variance; pixels are in 0..255.
        threshold: in standard deviations of a response; what exceeds it on either side is kept.
        mirrored: whether each feature is averaged with that of the mirrored image, which takes
            twice the filters. Not where left and right differ, as in digits.
        seed: of the drawing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: int = Field(ge=1)
    size: int = Field(6, ge=2)
    pad: int = Field(0, ge=0)
    pool: int = Field(2, ge=1)
    whitening: float = Field(0.1, gt=0)
    contrast: float = Field(10.0, gt=0)
    threshold: float = Field(0.5, ge=0)
    mirrored: bool = False
    seed: int = Field(0, ge=0)


_Width = Annotated[int, Field(ge=8, multiple_of=8)]
_Side = Annotated[int, Field(ge=1, le=7)]
_Stride = Annotated[int, Field(ge=1, le=4)]
#: Width, side and stride of each convolution of a net, unless its settings say otherwise.
CONVOLUTIONS = ((32, 3, 1), (32, 3, 2), (64, 3, 2), (64, 3, 1), (64, 1, 1))


def _unless(default: Any, **limits: Any) -> Any:
    """A field that is written only where it is not `default`."""
    return Field(default, exclude_if=lambda value: value == default, **limits)


class NetSpec(BaseModel):
    """Pooled maps and logits of a small net that is trained: see `benchmark.data.fitted.net`.

    Attributes:
        convolutions: width, side in pixels and stride of each; a width is a multiple of 8.
        pool: cells along a side that the maps of the last three are averaged over.
        epochs: over the public rows.
        batch: rows of a step.
        learning_rate: the highest; it rises over the first fifth of the steps and falls after.
        weight_decay: of all weights.
        shift: pixels that an image is shifted by at most, anew in each epoch.
        mirrored: whether an image is mirrored with probability 1/2, likewise. Each map is then
            averaged with that of the mirrored image.
        cutout: pixels along a side of a square that is blotted out of each image, likewise. The
            square may stand across the image's edge.
        seed: of starting weights, batches, shifts, mirrors and squares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    convolutions: tuple[tuple[_Width, _Side, _Stride], ...] = _unless(CONVOLUTIONS, min_length=3)
    pool: int = _unless(4, ge=1)
    epochs: int = Field(50, ge=1)
    batch: int = Field(64, ge=2)
    learning_rate: float = Field(5e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    shift: int = Field(4, ge=0)
    mirrored: bool = False
    cutout: int = _unless(0, ge=0)
    seed: int = Field(0, ge=0)


class PublicFeatures(BaseModel):
    """Features that are fitted on public rows alone, one kind beside the other.

    All are brought to mean 0 and standard deviation 1 over the public rows, clipped at 16, and
    stored as multiples of 2^-11.

    Attributes:
        patches: random whitened patches; None for none.
        net: a small net; None for none.
        longest: no row of features is longer than this times the root of their number: a longer
            one is scaled down. A row has 1 in the mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patches: PatchesSpec | None = _optional()
    net: NetSpec | None = _optional()
    longest: float = Field(2.0, gt=0, le=16)

    @model_validator(mode="after")
    def _some(self) -> PublicFeatures:
        if self.patches is None and self.net is None:
            raise ValueError("features of public rows need patches, a net or both")
        return self

    @property
    def name(self) -> str:
        """What facts call it, e.g. `public-patches+public-net`."""
        parts = {"public-patches": self.patches, "public-net": self.net}
        return "+".join(name for name, part in parts.items() if part is not None)

    @property
    def title(self) -> str:
        """What people call it, e.g. `public patches and net`."""
        parts = {"patches": self.patches, "net": self.net}
        return "public " + " and ".join(name for name, part in parts.items() if part is not None)


#: Pixels of all data sets are brought to 0..255.
_PIXEL = 255


@dataclass(frozen=True)
class PublicPart:
    """The public rows of a data set, and nothing of the others.

    Attributes:
        images: (n, height, width[, channel]) uint8 in 0..levels.
        labels: (n,) int64.
        classes: number of labels.
        levels: the largest pixel value there can be.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    levels: int

    @classmethod
    def of(cls, dataset: Dataset, public: Tensor, levels: int) -> PublicPart:
        """Copies of the rows `public` (n,) of the data set's training part."""
        rows, part = public.numpy(), dataset.train
        return cls(part.images[rows], part.labels[rows], dataset.classes, levels)

    @property
    def content(self) -> str:
        """sha256, in hex, of the rows in their order and of what their pixels mean."""
        digest = hashlib.sha256(f"{self.classes}|{self.levels}|".encode())
        digest.update(row_digests(self.images, self.labels).tobytes())
        return digest.hexdigest()


def planes(images: np.ndarray, levels: int) -> Tensor:
    """(n, channel, height, width) float32 in 0..255, from uint8 in 0..levels."""
    n, height, width = images.shape[:3]
    pixels = torch.from_numpy(images.reshape(n, height, width, -1)).permute(0, 3, 1, 2)
    return pixels.float().mul_(_PIXEL / levels).contiguous()
