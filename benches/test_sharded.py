"""Wall-clock time of one product whose rows are spread over processes, one thread each."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.bench.measure import ROUNDS
from benchmark.bench.session import Session
from benchmark.curvature.sharded import Sharded, shard
from benchmark.problem.model import MLPSpec, Model
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import AdamTraining

ROWS = {"smoke": 5_900, "full": 59_000}
INPUTS, CLASSES, RIDGE = 784, 10, 5e-4


def _process(rank: int, world: int, count: int, meet: Path, pipe: Connection) -> None:
    """One of the processes: a product for each word through the pipe, until one is empty."""
    torch.set_num_threads(1)
    wait = timedelta(seconds=60)
    dist.init_process_group(
        "gloo", init_method=f"file://{meet}", rank=rank, world_size=world, timeout=wait
    )
    draws = torch.Generator().manual_seed(0)
    rows = Rows(
        torch.randn(count, INPUTS, generator=draws),
        torch.randint(CLASSES, (count,), generator=draws),
    )
    training = AdamTraining(algorithm="adam", epochs=1, batch=128, learning_rate=1e-3)
    model = Model(MLPSpec(kind="mlp", hidden=[32, 32], activation="tanh"), INPUTS, CLASSES)
    problem = Problem(model, Objective(ridge=RIDGE), training, rows, rows, rows)
    weights, own = model.initial_weights(draws).float(), shard(rows, rank, world)
    operator = Sharded(problem.hessian(weights, own), len(own))
    vector = torch.randn(len(weights), generator=draws)
    pipe.send("ready")
    while pipe.recv():
        _ = operator @ vector
        pipe.send("done")
    dist.destroy_process_group()


@contextmanager
def _processes(world: int, count: int, meet: Path) -> Iterator[list[Connection]]:
    """So many processes that are ready to multiply; they end with the block."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for rank in range(world):
        here, there = context.Pipe()
        pipes.append(here)
        arguments = (rank, world, count, meet, there)
        processes.append(context.Process(target=_process, args=arguments, daemon=True))
        processes[-1].start()
        there.close()  # so that a process that dies ends its pipe
    try:
        assert [pipe.recv() for pipe in pipes] == ["ready"] * world
        yield pipes
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            if process.is_alive():
                pipe.send("")
            process.join()


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize("world", [1, 2])
def test_one_product_over_processes(
    world: int, session: Session, benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """On random rows of MNIST's size; needs as many idle cores as processes to mean something."""
    if session.device.type != "cpu":
        pytest.skip("of processes on a CPU")
    count = ROWS[session.size]
    benchmark.group = f"MLP, one product over {count:,} rows, by processes"

    with _processes(world, count, tmp_path / "meet") as pipes:

        def whole() -> None:
            for pipe in pipes:
                pipe.send("go")
            for pipe in pipes:
                pipe.recv()

        whole()  # warm
        benchmark.pedantic(whole, rounds=4 * ROUNDS, iterations=1)
