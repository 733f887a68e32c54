"""torch's optimisers without what they tell its compiler, which takes two seconds to import."""

from __future__ import annotations

from inspect import unwrap
from typing import TypeVar

import torch
from torch.optim import Optimizer

T = TypeVar("T", bound=Optimizer)


def uncompiled(kind: type[T]) -> type[T]:
    """The same optimiser, which does the same to the last bit; nothing of it may be compiled.

    torch has its compiler look away from some methods. To tell it so imports the compiler, also
    where nothing is ever compiled.
    """
    plain = {name: unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")}
    return type(kind.__name__, (kind,), plain | {"step": torch.no_grad()(unwrap(kind.step))})


Adam = uncompiled(torch.optim.Adam)
AdamW = uncompiled(torch.optim.AdamW)
SGD = uncompiled(torch.optim.SGD)
