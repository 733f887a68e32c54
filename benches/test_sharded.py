"""Wall-clock time of one product whose rows are spread over processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.bench.machine import limits
from benchmark.bench.measure import ROUNDS
from benchmark.bench.operators import flops, least_bytes
from benchmark.bench.session import Session
from benchmark.bench.systems import SystemSpec, prepare
from benchmark.curvature.sharded import Sharded, shard

#: A round of this one takes a fraction of a second, and neighbours disturb two processes more.
MANY_ROUNDS = 4 * ROUNDS
#: Products one after the other in a round, as in a solve, so that waking the processes counts less.
IN_A_ROW = 5


def _process(rank: int, world: int, spec: SystemSpec, meet: Path, pipe: Connection) -> None:
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
    while pipe.recv():
        for _ in range(IN_A_ROW):
            product = operator @ bench.b
        pipe.send("done")
    pipe.send(product)
    dist.destroy_process_group()


def _stay_on_core(rank: int) -> None:
    """On one of its own, where the system has a say: two that wake up together may share one."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


@contextmanager
def _processes(world: int, spec: SystemSpec, meet: Path) -> Iterator[list[Connection]]:
    """So many processes, which tell the seconds of their set-up; they end with the block."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for rank in range(world):
        here, there = context.Pipe()
        pipes.append(here)
        arguments = (rank, world, spec, meet, there)
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


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("world", [1, 2])
def test_one_product_over_processes(
    world: int, session: Session, benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """On the fully connected net; needs as many idle cores as processes to mean something."""
    spec, name = session.specs[0], f"processes-{world}"
    benchmark.group = f"{spec.title}, {IN_A_ROW} products by processes"
    if session.device.type != "cpu":
        pytest.skip("of processes on a CPU")
    if session.kept_operator(spec, name) is not None:
        pytest.skip("kept")
    bench = session.bench(spec)
    operator = bench.problem.hessian(bench.weights, bench.rows)
    expected = operator @ bench.b

    with _processes(world, spec, tmp_path / "meet") as pipes:
        setup = max(pipe.recv() for pipe in pipes)

        def whole() -> None:
            for pipe in pipes:
                pipe.send("go")
            for pipe in pipes:
                pipe.recv()

        whole()  # warm
        benchmark.pedantic(whole, rounds=MANY_ROUNDS, iterations=1)
        for pipe in pipes:
            pipe.send("")
        products = [pipe.recv() for pipe in pipes]
    for product in products:
        assert float((product - expected).norm()) <= 1e-5 * float(expected.norm())
    peak, bandwidth = limits(bench.weights.dtype, session.device)
    session.keep_operator(
        spec,
        name,
        title=f"Product, {world} process{'es' if world > 1 else ''}, wall clock",
        role="product",
        rows=len(bench.rows),
        processes=world,
        clock="wall",
        setup=setup,
        seconds=tuple(seconds / IN_A_ROW for seconds in benchmark.stats.stats.data),
        flops=flops(operator.__matmul__, bench.b),
        bytes=least_bytes(bench, len(bench.rows)),
        peak_flops=peak,
        bandwidth=bandwidth,
    )
