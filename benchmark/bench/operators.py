"""Times of one pass over the rows, also spread over processes, and the limits of speed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmark.bench.contender import Recursion, double_backward, finish
from benchmark.bench.record import CLOCK
from benchmark.bench.systems import Bench, SystemSpec, prepare
from benchmark.curvature.hessian import Hessian, Sharded, shard
from benchmark.curvature.mlp import ONEDNN, linear
from benchmark.errors import LetheError
from benchmark.rows import Rows

# One product whose rows are spread over processes, one thread each.

#: Products one after the other in a round, as in a solve, so that waking the processes counts less.
IN_A_ROW = 5


@contextmanager
def products(
    world: int, spec: SystemSpec, vector: Tensor
) -> Iterator[tuple[Callable[[], Tensor], float]]:
    """`IN_A_ROW` products of the Hessian with a vector (d,) by `world` processes, on a CPU.

    Yields:
        what makes them, and gives the last one of the first process, (d,), which all have; and
        the seconds of set-up.

    Raises:
        LetheError: if a process ends before its work.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder,
        _processes(world, spec, Path(folder) / "meet", vector) as pipes,
    ):
        setup = max(_told(pipes))

        def whole() -> Tensor:
            for pipe in pipes:
                pipe.send("go")
            return _told(pipes)[0]

        yield whole, setup


def _told(pipes: list[Connection]) -> list[Any]:
    try:
        return [pipe.recv() for pipe in pipes]
    except EOFError:
        raise LetheError(
            "a process that shares the rows of a product ended early: run it again"
        ) from None


@contextmanager
def _processes(
    world: int, spec: SystemSpec, meet: Path, vector: Tensor
) -> Iterator[list[Connection]]:
    """So many processes, which tell the seconds of their set-up; they end with the block."""
    if sys.platform == "win32":
        context = multiprocessing.get_context("spawn")
    else:  # a server's imports are made once, not once a process
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    pipes, processes = [], []
    for rank in range(world):
        here, there = context.Pipe()
        pipes.append(here)
        arguments = (rank, world, spec, meet, vector, there)
        processes.append(context.Process(target=_process, args=arguments, daemon=True))
        processes[-1].start()
        there.close()  # so that a process that dies ends its pipe
    try:
        yield pipes
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            with suppress(OSError):  # it has ended already
                pipe.send("")
            process.join()


def _process(
    rank: int, world: int, spec: SystemSpec, meet: Path, vector: Tensor, pipe: Connection
) -> None:
    """One of the processes: products for each word through the pipe, until one is empty."""
    torch.set_num_threads(1)
    _stay_on_core(rank)
    wait = timedelta(seconds=60)
    dist.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=world, timeout=wait
    )
    bench = prepare(spec, torch.device("cpu"))
    own = shard(bench.rows, rank, world)
    start = time.perf_counter()
    operator = Sharded(bench.problem.hessian(bench.weights, own), len(own))
    pipe.send(time.perf_counter() - start)
    with suppress(EOFError, OSError):  # the one that asks has ended
        while pipe.recv():
            for _ in range(IN_A_ROW):
                product = operator @ vector
            pipe.send(product if rank == 0 else None)
    dist.destroy_process_group()


def _stay_on_core(rank: int) -> None:
    """On one of its own, where the system has a say: two that wake up together may share one."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


# What one pass over the rows costs, and the limits that achieved speeds are held against.

#: One pass, from a vector (d,) to a vector (d,).
Pass = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OperatorSpec:
    """An operator that is timed.

    Attributes:
        build: the set-up; gives the pass.
        rows: in one pass, of so many in the system.
    """

    name: str
    title: str
    role: Literal["gradient", "product", "minibatch"]
    build: Callable[[Bench], Pass]
    rows: Callable[[int], int] = lambda n: n


def _gradient(bench: Bench) -> Pass:
    return lambda _: bench.problem.gradient(bench.weights, bench.rows)


def _own(bench: Bench) -> Pass:
    return bench.problem.hessian(bench.weights, bench.rows).__matmul__


def _kept_graph(bench: Bench) -> Pass:
    return Hessian(lambda w: bench.problem.loss(w, bench.rows), bench.weights).__matmul__


def _rebuilt(bench: Bench) -> Pass:
    system = bench.system("0.1-norm")
    return lambda vector: double_backward(system, bench.rows, vector)


def _minibatch(bench: Bench) -> Pass:
    system = bench.system("0.1-norm")
    index = torch.arange(_minibatch_rows(len(bench.rows)))
    return lambda vector: double_backward(system, bench.rows.take(index), vector)


def _minibatch_rows(n: int) -> int:
    return min(n, Recursion.batch)


OPERATORS = (
    OperatorSpec("gradient", "Gradient", "gradient", _gradient),
    OperatorSpec("own", "Product, Problem.hessian", "product", _own),
    OperatorSpec("kept-graph", "Product, graph kept", "product", _kept_graph),
    OperatorSpec("rebuilt", "Product, graph built each time", "product", _rebuilt),
    OperatorSpec("official", "Official product, 10 rows", "minibatch", _minibatch, _minibatch_rows),
)


def flops(one: Pass, vector: Tensor) -> int:
    """Floating-point operations of a pass in its matrix products and convolutions."""
    left_out = {torch.ops.aten.addmm_: _addmm, ONEDNN: _linear}  # by torch's counter
    with FlopCounterMode(display=False, custom_mapping=left_out) as counter:
        one(vector)
    return counter.get_total_flops()


def _addmm(_: torch.Size, a: torch.Size, b: torch.Size, **__: object) -> int:
    """Operations of total += a @ b."""
    return 2 * a[0] * a[1] * b[1]


def _linear(x: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    """Operations of x @ weight.T."""
    return 2 * x[0] * x[1] * weight[0]


def least_bytes(bench: Bench, rows: int) -> int:
    """Bytes that a pass over so many rows cannot but read: the rows themselves, once."""
    return bench.rows.x.nbytes * rows // len(bench.rows)


def reference(bench: Bench, vector: Tensor) -> Tensor:
    """Hess L(w) vector in float64, by reverse-over-reverse in bounded memory, (d,)."""
    precise = Rows(bench.rows.x.double(), bench.rows.y)
    hessian = bench.problem.hessian(bench.weights.double(), precise, product="fresh-graph")
    return hessian @ vector.double()


# --- what the machine can do at best ------------------------------------------------------------

#: Side of the square matrices that are multiplied: large enough that the product is at its best.
SIDE = {"cpu": 1024, "cuda": 8192}
#: Numbers that are copied, well beyond any cache.
LENGTH = {"cpu": 1 << 24, "cuda": 1 << 28}
#: The best of so many.
REPEATS = 5


@cache
def limits(dtype: torch.dtype, device: torch.device) -> tuple[float, float]:
    """Floating-point operations a second of a matrix product, and bytes a second of a copy.

    The product is by whichever of torch's kernels is the faster one, the products' own included.
    """
    side, length = SIDE[device.type], LENGTH[device.type]
    a = torch.ones(side, side, dtype=dtype, device=device)
    out = torch.empty_like(a)
    source = torch.ones(length, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    product = min(
        _best(lambda: torch.mm(a, a, out=out), device), _best(lambda: linear(a, a), device)
    )
    copy = _best(lambda: target.copy_(source), device)
    return 2 * side**3 / product, 2 * source.nbytes / copy


def _best(work: Callable[[], object], device: torch.device) -> float:
    found = []
    for _ in range(REPEATS + 1):  # the first warms up
        start = CLOCK()
        work()
        finish(device)
        found.append(CLOCK() - start)
    return min(found[1:])
