"""The product over rows that are spread over processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from benchmark.curvature.hessian import Differentiated
from benchmark.errors import LetheError
from benchmark.problem.rows import Rows


def shard(rows: Rows, rank: int, world: int) -> Rows:
    """The rows of process `rank` out of `world`: a view, near equal shares, in order.

    Raises:
        LetheError: if there are fewer rows than processes.
    """
    n = len(rows)
    if n < world:
        raise LetheError(f"{n} rows cannot be spread over {world} processes")
    part = slice(n * rank // world, n * (rank + 1) // world)
    return Rows(rows.x[part], rows.y[part])


class Sharded:
    """The mean over the rows of all processes of a group, each holding the operator of its own.

    Every process makes one, and all call the same products in the same order, which solvers do:
    the sum is the same bytes everywhere, so that they take the same branches. Under `torchrun`,
    after `torch.distributed.init_process_group` (gloo on CPUs, nccl on GPUs):
    `Sharded(problem.hessian(w, shard(rows, rank, world)), count)` with `count` rows in the shard.
    Equal to one process's product to round-off.

    Args:
        local: the operator of this process's rows, a mean over them.
        rows: how many they are.
        group: the processes; all of them by default.
    """

    def __init__(
        self, local: Differentiated, rows: int, group: dist.ProcessGroup | None = None
    ) -> None:
        self._local, self._group = local, group
        total = torch.tensor(rows, dtype=torch.int64, device=local.gradient.device)
        dist.all_reduce(total, group=group)
        self._share = rows / int(total)
        self._gradient = self._sum(local.gradient)

    @property
    def gradient(self) -> Tensor:
        """The gradient over all rows, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The product over all rows; every process passes the same vector (d,)."""
        return self._sum(self._local @ vector)

    def _sum(self, mean: Tensor) -> Tensor:
        total = mean * self._share
        dist.all_reduce(total, group=self._group)
        return total
