"""Responses of random whitened patches, after Coates and Ng (2011)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.fitted.spec import PatchesSpec, PublicPart, planes
from benchmark.errors import LetheError

VERSION = 1
#: Number of patches that statistics are computed from.
_SAMPLE = 100_000
#: Filters whose responses are computed at a time: those at all places of an image fit a cache.
_COLUMNS = 256


@dataclass(frozen=True)
class Patches:
    """Filters with mean and whitening folded in, and how their responses become features.

    The response of filter k to a patch p is u_k.q - o_k, where q = (p - mean p) / sqrt(var p +
    contrast). It has standard deviation 1 over patches of public rows. A response z gives two
    features, max(z - t, 0) and max(-z - t, 0), each a mean over a pooling cell.

    Attributes:
        spec: the settings.
        filters: u, (channel * size * size, K) float32.
        offsets: o, (K,) float32.
    """

    spec: PatchesSpec
    filters: Tensor
    offsets: Tensor

    @classmethod
    def fit(cls, spec: PatchesSpec, public: PublicPart) -> Patches:
        """Filters from patches of public rows.

        Raises:
            LetheError: if a patch or pooling cell does not fit an image, or too few patches have
                any contrast.
        """
        images = planes(public.images, public.levels)
        _check_sizes(spec, images.shape)
        generator = torch.Generator().manual_seed(spec.seed)
        raw = _drawn_patches(_padded(images, spec), spec.size, generator)
        if spec.mirrored:
            raw = torch.cat([raw, _mirrored(raw, spec.size)])
        lively = raw.var(dim=1, correction=0) > spec.contrast
        sample = _contrasted(raw, spec.contrast).double()
        mean = sample.mean(dim=0)
        whitening = _whitening(sample, spec.whitening)
        found = lively.nonzero()[:, 0]
        if len(found) < spec.filters:
            raise LetheError(
                f"features.patches asks for {spec.filters} filters and {len(found)} sampled "
                "patches of public rows have contrast: ask for fewer"
            )
        chosen = found[torch.randperm(len(found), generator=generator)[: spec.filters]]
        unit = F.normalize((sample[chosen] - mean) @ whitening, dim=1)
        filters = whitening @ unit.mT
        offsets = mean @ filters
        deviation = (sample @ filters).std(dim=0, correction=0)
        return cls(spec, (filters / deviation).float(), (offsets / deviation).float())

    def features(self, images: Tensor) -> Tensor:
        """(n, inputs) float32 of `images` (n, channel, height, width) in 0..255.

        Each image is computed alone: its numbers do not depend on what others there are.
        """
        blocks = self._blocks()
        return torch.stack([self._of_one(image, blocks) for image in images])

    def _of_one(self, image: Tensor, blocks: list[tuple[Tensor, Tensor]]) -> Tensor:
        """(inputs,) float32: by sign, then by cell, then by filter."""
        spec = self.spec
        image = _padded(image[None], spec)[0]
        patches = image.unfold(1, spec.size, 1).unfold(2, spec.size, 1).permute(1, 2, 0, 3, 4)
        shape = patches.shape[:2]
        patches = _contrasted(patches.reshape(shape.numel(), -1), spec.contrast)
        pooled = torch.cat([_pooled(patches, *block, spec, shape) for block in blocks], -1)
        if spec.mirrored:
            pooled, others = pooled.chunk(2, dim=-1)
            pooled = (pooled + others.flip(2)) / 2
        return pooled.flatten()

    def _blocks(self) -> list[tuple[Tensor, Tensor]]:
        """All filters, some at a time, and behind them their mirror images."""
        filters, offsets = self.filters, self.offsets
        if self.spec.mirrored:
            filters = torch.cat([filters, _mirrored(filters.mT, self.spec.size).mT], dim=1)
            offsets = torch.cat([offsets, offsets])
        parts = zip(filters.split(_COLUMNS, dim=1), offsets.split(_COLUMNS), strict=True)
        return [(columns.contiguous(), -part) for columns, part in parts]

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, for a file."""
        return {"filters": self.filters.numpy(), "offsets": self.offsets.numpy()}

    @classmethod
    def of_arrays(cls, spec: PatchesSpec, arrays: dict[str, np.ndarray]) -> Patches:
        """The same from a file."""
        return cls(spec, *(torch.from_numpy(arrays[name]) for name in ("filters", "offsets")))


def _pooled(
    patches: Tensor, filters: Tensor, offsets: Tensor, spec: PatchesSpec, shape: torch.Size
) -> Tensor:
    """(2, pool, pool, k): both sides of the responses beyond the threshold, in the mean of a cell.

    Args:
        patches: (height * width, m) with their contrast normalised.
        filters: (m, k).
        offsets: (k,), to add.
        spec: with threshold and pooling.
        shape: height and width of the map of responses.
    """
    responses = torch.addmm(offsets, patches, filters).view(*shape, -1)
    above = _cells(responses.clamp_min(spec.threshold), spec.pool)
    below = _cells(responses.clamp_max_(-spec.threshold), spec.pool)
    return torch.stack([above - spec.threshold, -below - spec.threshold])


def _cells(maps: Tensor, pool: int) -> Tensor:
    """(pool, pool, k): means of `maps` (height, width, k) over cells, which overlap by a place."""
    height, width = maps.shape[:2]
    rows = torch.stack([maps[start:end].mean(dim=0) for start, end in _ends(height, pool)])
    return torch.stack([rows[:, start:end].mean(dim=1) for start, end in _ends(width, pool)], 1)


def _ends(length: int, pool: int) -> list[tuple[int, int]]:
    """Where cells begin and end: the same seen from either side."""
    return [(i * length // pool, math.ceil((i + 1) * length / pool)) for i in range(pool)]


def _padded(images: Tensor, spec: PatchesSpec) -> Tensor:
    return F.pad(images, (spec.pad,) * 4) if spec.pad else images


def _contrasted(patches: Tensor, contrast: float) -> Tensor:
    """Patches (n, m) less their mean, over the root of their variance and `contrast`."""
    centred = patches - patches.mean(dim=1, keepdim=True)
    return centred.mul_((centred.square().mean(dim=1, keepdim=True) + contrast).rsqrt())


def _mirrored(patches: Tensor, size: int) -> Tensor:
    """Patches (n, channel * size * size), left and right exchanged."""
    return patches.view(len(patches), -1, size, size).flip(3).reshape(len(patches), -1)


def _drawn_patches(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """(sample, channel * size * size) float32 out of `images` (n, channel, height, width)."""
    n, channels, height, width = images.shape

    def draw(count: int) -> Tensor:
        return torch.randint(count, (_SAMPLE, 1, 1, 1), generator=generator)

    image, row, column = draw(n), draw(height - size + 1), draw(width - size + 1)
    channel, across = torch.arange(channels).view(1, -1, 1, 1), torch.arange(size)
    down = across.view(1, 1, -1, 1)
    return images[image, channel, row + down, column + across].flatten(1)


def _whitening(sample: Tensor, floor: float) -> Tensor:
    """(m, m) symmetric: the root of the inverse of the covariance of `sample` plus `floor`."""
    values, vectors = torch.linalg.eigh(torch.cov(sample.mT, correction=0))
    return (vectors * (values.clamp_min(0) + floor).rsqrt()) @ vectors.mT


def _check_sizes(spec: PatchesSpec, shape: torch.Size) -> None:
    """Refuse patches and cells that do not fit `shape` (n, channel, height, width)."""
    height, width = (side + 2 * spec.pad for side in shape[2:])
    if spec.size > min(height, width):
        raise LetheError(
            f"features.patches has patches of {spec.size} x {spec.size}, and an image with its "
            f"padding is {height} x {width}: take smaller patches or more padding"
        )
    if spec.pool > min(height, width) - spec.size + 1:
        raise LetheError(
            f"features.patches pools over {spec.pool} x {spec.pool} cells, and there are "
            f"{height - spec.size + 1} x {width - spec.size + 1} places: take fewer cells"
        )
