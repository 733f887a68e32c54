"""The product over two processes against the product in one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped
from benchmark.curvature.sharded import Sharded, shard
from benchmark.errors import LetheError
from tests.nets import NETS, ROWS

WORLD = 2
NAMES = ("softmax", "tanh")


def _vector(dimension: int) -> torch.Tensor:
    return torch.randn(dimension, generator=torch.Generator().manual_seed(1)).double()


def _process(rank: int, folder: str) -> None:
    """One of two: products and a solve over its shard, written to a file."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=60),
    )
    results = {}
    for name in NAMES:
        net = NETS[name]()
        own = shard(net.rows, rank, WORLD)
        operator = Sharded(net.problem.hessian(net.weights, own), len(own))
        solution = conjugate_gradients(
            Damped(operator, 2.0), operator.gradient, tolerance=1e-10, max_products=100
        )
        product = operator @ _vector(len(net.weights))
        results[name] = (operator.gradient, product, solution.x, solution.converged)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=WORLD)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD))
    for name in NAMES:
        net = NETS[name]()
        whole = net.problem.hessian(net.weights, net.rows)
        gradient, product, x, converged = first[name]
        assert converged
        assert torch.allclose(gradient, whole.gradient, rtol=0, atol=1e-14)
        assert torch.allclose(product, whole @ _vector(len(product)), rtol=0, atol=1e-13)
        residual = Damped(whole, 2.0) @ x - whole.gradient
        assert float(residual.norm()) <= 1.1e-10 * float(whole.gradient.norm())
        for mine, theirs in zip(first[name][:3], second[name][:3], strict=True):
            assert torch.equal(mine, theirs), "the same bytes in both"


@pytest.mark.parametrize("world", [1, 2, 5, 23])
def test_shards_hold_every_row_once_in_order(world: int) -> None:
    rows = NETS["softmax"]().rows
    parts = [shard(rows, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([part.x for part in parts]), rows.x)
    assert torch.equal(torch.cat([part.y for part in parts]), rows.y)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(LetheError, match="cannot be spread over 24 processes"):
        shard(NETS["softmax"]().rows, 0, ROWS + 1)
