"""x W^T + b by the fastest kernel that torch has for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: oneDNN's kernel, which torch's compiler calls as well. Of tall and narrow matrices it takes half
#: of MKL's time on an AMD processor with AVX-512, whose vector units MKL does not use in full.
ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
#: Multiplications below which its call costs more than it saves.
_FEW = 1 << 19


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The map x W^T + b, (m, n), of x (m, k), W (n, k), b (n,): `torch.nn.functional.linear`.

    Large products in single precision on a CPU are oneDNN's, where this build of torch has it;
    equal to round-off. Either matrix may be a transposed view, so that `linear(a.T, b.T)` is the
    sum over rows of their outer products.
    """
    few = x.numel() * len(weight) < _FEW
    if few or ONEDNN is None or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    return ONEDNN(x, weight, bias, "none", [], "")
