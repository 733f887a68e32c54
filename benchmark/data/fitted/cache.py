"""Fits and the features that follow from them, computed once and kept on disk by content."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.array_file import kept_array, read_array, tracked
from benchmark.data.fitted import features, net, patches
from benchmark.data.fitted.features import BITS, Fitted
from benchmark.data.fitted.public_part import PublicPart
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.files import cache_folder, locked, replace_file, seal, sweep, unsealed

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
            "versions": [features.VERSION, patches.VERSION, net.VERSION],
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
