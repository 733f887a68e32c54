"""How often to repeat a measurement, and peak memory in a process of its own."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmark.bench.contender import Contender, Task
from benchmark.runner.device import prepare
from benchmark.runner.memory import PeakMemory
from benchmark.solvers.solver import System

#: Rounds of one measurement, unless it takes too long.
ROUNDS = 5


def rounds(seconds: float, budget: float) -> int:
    """How many rounds of `seconds` fit into `budget` seconds: at least 1, at most `ROUNDS`."""
    return max(1, min(ROUNDS, int(budget / max(seconds, 1e-9))))


def finish(device: torch.device) -> None:
    """Wait for what the device has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(find: Callable[[], Contender], task: Task) -> int | None:
    """Bytes that a solve needs above the system itself; None where it cannot be measured.

    On a CPU the solve runs in a fresh process, so that neither what this one has kept nor its
    allocator's free lists hide anything. A GPU's allocator tells what is in use by itself.

    Args:
        find: gives the contender in that process; it must be picklable.
        task: what to solve.
    """
    if task.system.b.device.type == "cuda":
        return _of_a_solve(find(), _bare(task))
    # A server that has only imported what is needed forks each process: no import is waited for.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder:
        path = Path(folder) / "task.pt"
        torch.save(_bare(task), path)
        receive, send = context.Pipe(duplex=False)
        arguments = (path, find, torch.get_num_threads(), send)
        process = context.Process(target=_measure, args=arguments)
        process.start()
        send.close()  # so that the pipe ends when the process does
        try:
            return receive.recv()
        except EOFError:  # it died, most likely out of memory
            return None
        finally:
            process.join()


def _bare(task: Task) -> Task:
    """The task without the operators its system may have built."""
    s = task.system
    system = System(s.problem, s.weights, s.rows, s.damping, s.b)
    return Task(system, task.norm, task.tolerance, task.max_products, task.seed)


def _measure(path: Path, find: Callable[[], Contender], threads: int, send: Connection) -> None:
    task = torch.load(path, weights_only=False)
    prepare(task.system.b.device.type, threads)
    send.send(_of_a_solve(find(), task))


def _of_a_solve(contender: Contender, task: Task) -> int | None:
    with contender.ready(task) as run:
        if contender.aims:
            run.solve()  # what is loaded on first use is not the solver's
        with PeakMemory(task.system.b.device) as memory:
            run.solve()
        return run.peak() if run.peak is not None else memory.bytes
