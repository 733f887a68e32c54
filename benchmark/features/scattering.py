"""The wavelet scattering transform."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from benchmark.data.features import ImageFeature, unit_rows

SCALES = 2  # J: wavelets of two octaves, averages over 4 x 4 pixels
FLOOR = 0.01  # deviation, for pixels in 0..1, below which a channel is flat


class Scattering(ImageFeature):
    """Rows of norm 1 at most, exactly; see `scattering`."""

    name = "scattering"
    title = "scattering"
    source = "Bruna & Mallat 2013"
    largest_norm = 1.0
    version = 1

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        return unit_rows(scattering(images / levels))


def scattering(images: np.ndarray) -> np.ndarray:
    """(n, 81 [* channel] * ceil(height / 4) * ceil(width / 4)) float32.

    Two layers of Morlet wavelets in 8 directions (Bruna & Mallat 2013), computed by kymatio
    (Andreux et al. 2020). Each channel of a row is then brought to mean 0 and deviation 1 over its
    own places, as Tramer & Boneh 2021 do by groups: plain coefficients are dominated by
    brightness, and a ridge punishes what is small.

    Args:
        images: (n, height, width[, channel]) in 0..1.
    """
    n, height, width = images.shape[:3]
    pixels = torch.from_numpy(images.reshape(n, height, width, -1)).float()
    planes = pixels.permute(0, 3, 1, 2).contiguous()
    maps = _transform(height, width)(planes).flatten(1, 2)
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    variance = centred.square().mean(dim=(2, 3), keepdim=True)
    return (centred / (variance + FLOOR**2).sqrt()).flatten(1).numpy()


@cache
def _transform(height: int, width: int) -> torch.nn.Module:
    # Slow to import, and only needed here; kymatio's own front door fails beside SciPy >= 1.17.
    from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D

    return ScatteringTorch2D(J=SCALES, shape=(height, width))
