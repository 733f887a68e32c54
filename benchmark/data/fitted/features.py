"""Features fitted on public rows, computed once and kept on disk by content."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.data.array_file import kept_array, read_array, tracked
from benchmark.data.fitted import net, patches
from benchmark.data.fitted.net import Net
from benchmark.data.fitted.patches import Patches
from benchmark.data.fitted.spec import PublicFeatures, PublicPart, planes
from benchmark.files import cache_folder, locked, replace_file, seal, sweep, unsealed

# Features fitted on public rows: from an image to whole numbers of 2^-11.

VERSION = 1
#: A feature is a whole number of 2^-BITS, and below CLIP on either side: 16 bits hold it.
BITS, CLIP = 11, 16.0
_LARGEST = 2**15 - 1
#: A feature that varies less than this, as a share of its size, is constant but for round-off.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Fitted:
    """What was fitted on public rows, with the mean and standard deviation of its features there.

    Attributes:
        spec: the settings.
        levels: the largest pixel value of the data set.
        patches, net: None where the settings have none.
        mean, scale: (inputs,) float64; scale is 1 / deviation, 0 for a feature that is constant.
    """

    spec: PublicFeatures
    levels: int
    patches: Patches | None
    net: Net | None
    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, spec: PublicFeatures, public: PublicPart) -> Fitted:
        """Fit on public rows; nothing else is passed.

        Raises:
            LetheError: if settings do not fit the images; see `Patches.fit`.
        """
        patches = None if spec.patches is None else Patches.fit(spec.patches, public)
        net = None if spec.net is None else Net.fit(spec.net, public)
        empty = torch.empty(0, dtype=torch.float64)
        first = cls(spec, public.levels, patches, net, empty, empty)
        raw = first._raw(public.images)
        mean = raw.mean(dim=0, dtype=torch.float64)
        deviation = (raw - mean).square().mean(dim=0).sqrt()
        varies = deviation > _CONSTANT * (1 + mean.abs())
        scale = torch.where(varies, 1 / deviation, 0.0)
        return cls(spec, public.levels, patches, net, mean, scale)

    @property
    def largest_norm(self) -> float:
        """A bound on the norm of a row of features, whatever the image."""
        return self.spec.longest * math.sqrt(len(self.mean))

    def integers(self, images: np.ndarray) -> np.ndarray:
        """(n, inputs) int16: the features of uint8 `images`, in units of 2^-11.

        Rounding is towards zero, so that no row becomes longer.
        """
        z = (self._raw(images).double() - self.mean).mul_(self.scale)
        norms = torch.linalg.vector_norm(z, dim=1, keepdim=True)
        z.mul_((self.largest_norm / norms).clamp_max(1)).mul_(2**BITS)
        return z.clamp_(-_LARGEST, _LARGEST).trunc_().to(torch.int16).numpy()

    def net_log_probabilities(self, images: np.ndarray) -> Tensor | None:
        """(n, classes) float32, what the net alone says of uint8 `images`; None without a net."""
        return None if self.net is None else self.net.log_probabilities(planes(images, self.levels))

    def _raw(self, images: np.ndarray) -> Tensor:
        """(n, inputs) float32, as they are before any statistics."""
        pixels = planes(images, self.levels)
        return torch.cat([part.features(pixels) for part in (self.patches, self.net) if part], 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, for a file."""
        parts = {"patches": self.patches, "net": self.net}
        own = {"mean": self.mean.numpy(), "scale": self.scale.numpy()}
        return own | {
            f"{name}.{key}": array
            for name, part in parts.items()
            if part is not None
            for key, array in part.arrays().items()
        }

    @classmethod
    def of_arrays(cls, spec: PublicFeatures, levels: int, arrays: dict[str, np.ndarray]) -> Fitted:
        """The same from a file.

        Raises:
            KeyError: if an array is missing.
        """

        def within(part: str) -> dict[str, np.ndarray]:
            start = f"{part}."
            return {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}

        return cls(
            spec,
            levels,
            None if spec.patches is None else Patches.of_arrays(spec.patches, within("patches")),
            None if spec.net is None else Net.of_arrays(spec.net, within("net")),
            torch.from_numpy(arrays["mean"]),
            torch.from_numpy(arrays["scale"]),
        )


# Fits and the features that follow from them, computed once and kept on disk by content.

BATCH = 100  # rows


@dataclass(frozen=True)
class FittedCache:
    """Features of any images, from a fit on public rows.

    Attributes:
        spec: the settings.
        public: what is fitted on.
    """

    spec: PublicFeatures
    public: PublicPart

    @cached_property
    def fitted(self) -> Fitted:
        """The fit; from disk if there is one of these public rows by these settings.

        Raises:
            LetheError: if the settings do not fit the images, or the cache cannot be written.
        """
        path = self._file(".fit")
        with locked(path.with_suffix(".lock")):  # two workers do not train the same net
            if (found := self._read(path)) is None:
                found = Fitted.fit(self.spec, self.public)
                sweep(path.parent)
                content = io.BytesIO()
                np.savez(content, **dict[str, Any](found.arrays()))
                replace_file(path, seal(content.getvalue()))
        return found

    def rows(self, images: np.ndarray) -> np.ndarray:
        """(n, inputs) float64: the features of uint8 `images`, whole numbers of 2^-11.

        Raises:
            LetheError: if the cache cannot be written.
        """
        return np.multiply(self.integers(images), 2.0**-BITS, dtype=np.float64)

    def integers(self, images: np.ndarray) -> np.ndarray:
        """(n, inputs) int16, mapped from disk and read-only: the same in units of 2^-11."""
        block = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()[:16]
        path, n = self._file(f"-{block}.npy"), len(images)
        if (found := read_array(path, n, np.int16)) is not None:
            return found
        with locked(path.with_suffix(".lock")):
            return kept_array(path, self._batches(images), n, np.int16)

    @cached_property
    def key(self) -> str:
        """sha256, in hex, of all that decides the numbers: rows, settings, versions."""
        content = {
            "settings": self.spec.model_dump(mode="json"),
            "public": self.public.content,
            "versions": [VERSION, patches.VERSION, net.VERSION],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _file(self, rest: str) -> Path:
        return cache_folder() / "features" / f"public-{self.key[:16]}{rest}"

    def _read(self, path: Path) -> Fitted | None:
        """The fit in a file; None if it is missing or damaged."""
        payload = unsealed(path)
        if payload is None:
            return None
        try:
            with np.load(io.BytesIO(payload)) as arrays:
                return Fitted.of_arrays(self.spec, self.public.levels, dict(arrays))
        except (ValueError, KeyError, EOFError):
            return None

    def _batches(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """The features, some rows at a time."""
        fitted = self.fitted
        for start in tracked(range(0, len(images), BATCH), f"computing {self.spec.title}"):
            yield fitted.integers(images[start : start + BATCH])
