"""A small convolutional net that is trained on public rows, and the features from its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.array_file import tracked
from benchmark.data.fitted.spec import NetSpec, PublicPart, planes
from benchmark.optimisers import AdamW

VERSION = 2
#: Channels that are normalised together.
_GROUP = 8
#: Convolutions whose maps are features: the last ones.
_LAST = 3
#: Images of one pass. All passes have as many: an image's numbers must not depend on others.
_BATCH = 100
_SMOOTHING = 0.1


@dataclass(frozen=True)
class Net:
    """Convolutions, each with GroupNorm and SiLU, and a linear layer on the mean of the last maps.

    With three channels, ten classes and `CONVOLUTIONS` it has 70,890 weights.

    Attributes:
        spec: the settings.
        weights: by name: `conv0`, `scale0`, `shift0`, ..., `bias0`, `head`, `head_bias`.
        centre, spread: (1, channel, 1, 1), what pixels are centred and scaled by.
    """

    spec: NetSpec
    weights: dict[str, Tensor]
    centre: Tensor
    spread: Tensor

    @classmethod
    def fit(cls, spec: NetSpec, public: PublicPart) -> Net:
        """Train on public rows, by AdamW with one cycle of the learning rate."""
        images, labels = planes(public.images, public.levels), torch.from_numpy(public.labels)
        generator = torch.Generator().manual_seed(spec.seed)
        centre = images.mean(dim=(0, 2, 3), keepdim=True)
        spread = images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1)
        net = cls(spec, _start(spec, images.shape[1], public.classes, generator), centre, spread)
        for tensor in net.weights.values():
            tensor.requires_grad_()
        net._train(images, labels, generator)
        return cls(spec, {name: w.detach() for name, w in net.weights.items()}, centre, spread)

    def _train(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        spec = self.spec
        size, rate = min(spec.batch, len(images)), spec.learning_rate
        steps = spec.epochs * (len(images) // size)
        optimiser = AdamW(self.weights.values(), lr=rate, weight_decay=spec.weight_decay)
        cycle = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cycle(step, steps))
        for _ in tracked(range(spec.epochs), "training the net of public rows"):
            order = torch.randperm(len(images), generator=generator)
            for rows in order[: len(order) // size * size].split(size):
                seen = _augmented(images[rows], spec, self.centre, generator)
                logits, _ = self._passed(seen)
                loss = F.cross_entropy(logits, labels[rows], label_smoothing=_SMOOTHING)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                cycle.step()

    def features(self, images: Tensor) -> Tensor:
        """(n, inputs) float32: pooled maps of the last layers, and the logits.

        Args:
            images: (n, channel, height, width) float32 in 0..255.
        """
        return self._by_batch(images)[1]

    def log_probabilities(self, images: Tensor) -> Tensor:
        """(n, classes) float32: the logits of `images`, given as for `features`."""
        return self._by_batch(images)[0].log_softmax(dim=1)

    @torch.no_grad()
    def _by_batch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and features (n, inputs)."""
        logits, seen = [], []
        for part in images.split(_BATCH):
            whole = F.pad(part, (0, 0) * 3 + (0, _BATCH - len(part)))
            outputs, maps = self._passed(whole)
            if self.spec.mirrored:
                _, others = self._passed(whole.flip(3))
                maps = [(one + other.flip(3)) / 2 for one, other in zip(maps, others, strict=True)]
            pooled = [self._pooled(one) for one in maps]
            logits.append(outputs[: len(part)])
            seen.append(torch.cat([*pooled, outputs], dim=1)[: len(part)])
        return torch.cat(logits), torch.cat(seen)

    def _pooled(self, maps: Tensor) -> Tensor:
        """(n, width * cells): means of `maps` (n, width, height, width) over cells."""
        return F.adaptive_avg_pool2d(maps, min(self.spec.pool, maps.shape[-1])).flatten(1)

    def _passed(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (n, classes), and the maps of the last layers."""
        w, maps = self.weights, []
        x = (images - self.centre) / self.spread
        x = x.contiguous(memory_format=torch.channels_last)  # a quarter less time on a CPU
        for i, (width, side, stride) in enumerate(self.spec.convolutions):
            x = F.conv2d(x, w[f"conv{i}"], w[f"bias{i}"], stride=stride, padding=side // 2)
            x = F.silu(F.group_norm(x, width // _GROUP, w[f"scale{i}"], w[f"shift{i}"]))
            maps.append(x)
        return F.linear(x.mean(dim=(2, 3)), w["head"], w["head_bias"]), maps[-_LAST:]

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, for a file."""
        own = {"centre": self.centre, "spread": self.spread}
        return {name: tensor.numpy() for name, tensor in (self.weights | own).items()}

    @classmethod
    def of_arrays(cls, spec: NetSpec, arrays: dict[str, np.ndarray]) -> Net:
        """The same from a file."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        centre, spread = tensors.pop("centre"), tensors.pop("spread")
        return cls(spec, tensors, centre, spread)


def _start(
    spec: NetSpec, channels: int, classes: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Starting weights: He's, and a head of zeros."""
    weights = {}
    for i, (width, side, _) in enumerate(spec.convolutions):
        deviation = math.sqrt(2 / (channels * side**2))
        shape = (width, channels, side, side)
        weights[f"conv{i}"] = deviation * torch.randn(shape, generator=generator)
        weights |= {f"bias{i}": torch.zeros(width), f"shift{i}": torch.zeros(width)}
        weights[f"scale{i}"] = torch.ones(width)
        channels = width
    return weights | {"head": torch.zeros(classes, channels), "head_bias": torch.zeros(classes)}


def _cycle(step: int, steps: int) -> float:
    """The learning rate's share: up over the first fifth of the steps, then down along a cosine."""
    rise = max(1, steps // 5)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _augmented(images: Tensor, spec: NetSpec, centre: Tensor, generator: torch.Generator) -> Tensor:
    """Images that are shifted, mirrored and blotted out at random, each on its own.

    Args:
        images: (n, channel, height, width) float32.
        spec: says by how much.
        centre: (1, channel, 1, 1), the colour of a blot.
        generator: of shifts, mirrors and places.
    """
    n, channels, height, width = images.shape
    if spec.shift:
        padded = F.pad(images, (spec.shift,) * 4, mode="replicate")
        down, right = torch.randint(2 * spec.shift + 1, (2, n, 1, 1, 1), generator=generator)
        rows, columns = torch.arange(height).view(1, 1, -1, 1), torch.arange(width)
        image, channel = torch.arange(n).view(-1, 1, 1, 1), torch.arange(channels).view(1, -1, 1, 1)
        images = padded[image, channel, rows + down, columns + right]
    if spec.mirrored:
        chosen = torch.rand(n, generator=generator) < 0.5
        images = torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)
    if spec.cutout:
        down, across = torch.rand(2, n, 1, generator=generator)
        rows = _covered(down, height, spec.cutout)
        columns = _covered(across, width, spec.cutout)
        images = torch.where((rows[:, :, None] & columns[:, None])[:, None], centre, images)
    return images


def _covered(place: Tensor, length: int, side: int) -> Tensor:
    """(n, length) bool: the pixels of a row or column that a square covers.

    Args:
        place: (n, 1) in 0..1, where the square's middle is.
        length: of the row or column, in pixels.
        side: of the square, in pixels.
    """
    within = torch.arange(length) - (length * place).floor() + side // 2
    return (within >= 0) & (within < side)
