"""One product whose rows are spread over processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmark.bench.systems import SystemSpec, prepare
from benchmark.curvature.hessian import Sharded, shard
from benchmark.errors import LetheError

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
    context = multiprocessing.get_context("spawn")
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
