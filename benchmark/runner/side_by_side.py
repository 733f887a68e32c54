"""Several seeds at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from multiprocessing.queues import Queue

from benchmark.errors import LetheError
from benchmark.records import Store
from benchmark.runner.cell import Cell
from benchmark.runner.device import prepare
from benchmark.runner.event import Event
from benchmark.runner.one_seed import run_seed

#: Seconds between looks whether the processes are still there.
PATIENCE = 1.0


def run_side_by_side(
    groups: list[list[Cell]],
    store: Store,
    jobs: int,
    threads: int,
    fresh: bool,
    tell: Callable[[Event], None],
) -> None:
    """`run_seed` for every group, `jobs` of them at a time on the CPU.

    Args:
        groups: the cells of one experiment and seed each.
        store: where records go.
        jobs: processes.
        threads: of each process.
        fresh: run again what is there.
        tell: hears of every cell, in this process.

    Raises:
        LetheError: what a process raises, or that one died. The others are stopped then; what
            they had finished is kept.
    """
    # A server that has imported what is needed forks each process: imports are made once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    todo, events = context.Queue(), context.Queue()
    for group in groups:
        todo.put(group)
    for _ in range(jobs):
        todo.put(None)
    workers = [
        context.Process(target=_work, args=(todo, events, store, threads, fresh), daemon=True)
        for _ in range(jobs)
    ]
    try:
        for worker in workers:
            worker.start()
        working = len(workers)
        while working:
            try:
                event = events.get(timeout=PATIENCE)
            except queue.Empty:
                if any(worker.exitcode for worker in workers):
                    raise LetheError(
                        "a process of the run died, most likely out of memory: the same command "
                        "with fewer jobs goes on from here"
                    ) from None
                continue
            if isinstance(event, LetheError):
                raise event
            if event is None:
                working -= 1
            else:
                tell(event)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _work(todo: Queue, events: Queue, store: Store, threads: int, fresh: bool) -> None:
    """One process: group after group, until there is none, or nobody left to tell."""
    parent = multiprocessing.parent_process()

    def tell(event: Event) -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit(1)  # the run was killed; the next one starts processes of its own
        events.put(event)

    try:
        device = prepare("cpu", threads)
        while (group := todo.get()) is not None:
            run_seed(group, store, device, fresh, tell)
    except LetheError as error:
        events.put(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # not 0: a worker interrupted alone has not finished
    else:
        events.put(None)
