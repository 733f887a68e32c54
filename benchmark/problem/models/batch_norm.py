"""BatchNorm whose statistics are weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

#: Added to a variance, as torch's own layer does.
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """BatchNorm on images (Ioffe & Szegedy 2015) that keeps no statistics outside its weights.

    Mean and variance of each channel are parameters like scale and shift: they are released with
    them, and noise on the weights is noise on them. Nothing is differentiated with respect to
    them. Called without them (None, as in `torch.nn.functional.batch_norm`) the layer normalises
    by the statistics of the batch, as training does.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.variance = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is None or self.variance is None:
            # not by torch.nn.functional, which refuses a batch with one value a channel: its
            # variance is 0, and what comes out is the shift
            cudnn = torch.backends.cudnn.enabled
            return torch.batch_norm(
                x, self.weight, self.bias, None, None, True, 0.0, EPSILON, cudnn
            )
        variance = self.variance.detach().clamp(min=0)  # noise may have taken it below 0
        scale = self.weight * (variance + EPSILON).rsqrt()
        centred = x - self.mean.detach().view(-1, 1, 1)
        return centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


def names(module: nn.Module) -> list[str]:
    """Names of the parameters of `module` that are statistics, in their order."""
    return [
        f"{layer}.{statistic}"
        for layer, found in module.named_modules()
        if isinstance(found, BatchNorm)
        for statistic in ("mean", "variance")
    ]


@torch.no_grad()
def population(
    module: nn.Module, run: Callable[[Tensor], object], batches: Sequence[Tensor]
) -> dict[str, Tensor]:
    """What every BatchNorm of `module` sees over all batches: (channels,) by parameter name.

    The mean over rows, and the variance around it, of inputs that are normalised batch by batch
    up to there (PreciseBN; Wu & Johnson 2021, arXiv:2105.07576). Summed up in float64.

    Args:
        module: with the layers.
        run: calls `module` on one batch, without statistics.
        batches: inputs (n, ...) each; all rows together.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def look(layer: str, module: nn.Module, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].double(), dim=(0, 2, 3), correction=0)
        seen.setdefault(layer, []).append((mean, variance))

    with ExitStack() as hooks:
        for layer, found in module.named_modules():
            if isinstance(found, BatchNorm):
                hooks.enter_context(found.register_forward_pre_hook(partial(look, layer)))
        for x in batches:
            run(x)
    sizes = [len(x) for x in batches]
    found = {}
    for layer, moments in seen.items():
        found[f"{layer}.mean"], found[f"{layer}.variance"] = _pooled(moments, sizes)
    return found


def _pooled(moments: list[tuple[Tensor, Tensor]], sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance (channels,) of all rows, from those of parts of these sizes."""
    means, variances = (torch.stack(each) for each in zip(*moments, strict=True))
    shares = means.new_tensor(sizes) / sum(sizes)
    mean = shares @ means
    return mean, shares @ (variances + (means - mean).square())
