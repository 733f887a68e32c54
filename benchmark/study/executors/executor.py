"""What every executor does, and those of one machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from benchmark import ends, plugins
from benchmark.errors import LetheError, present, unknown
from benchmark.records import Store
from benchmark.runner.device import prepare, refuse_count
from benchmark.study.study import Event, Study, Unit, run_unit

# Several units at a time, each in a process of its own.

#: Seconds that a process has to end by itself before it is killed.
PATIENCE = 5.0


@dataclass(frozen=True)
class _Work:
    """What every process is told, units apart."""

    study: type[Study]
    store: Store
    threads: int
    fresh: bool


@dataclass
class _Worker:
    """A process, and this end of the pipe to it."""

    process: BaseProcess
    pipe: Connection
    unit: Unit | None = None


def run_side_by_side(
    study: type[Study],
    units: list[Unit],
    store: Store,
    jobs: int,
    threads: int,
    fresh: bool,
    tell: Callable[[Event], None],
) -> None:
    """`run_unit` for every unit, `jobs` of them at a time on the CPU.

    Each process has a pipe of its own and no thread that writes to it, so that nothing waits for a
    process that is gone: the end of its pipe is heard like any other message.

    Args:
        study: that the units are of.
        units: to run.
        store: where records go.
        jobs: processes.
        threads: of each process.
        fresh: run again what is there.
        tell: hears of every piece, in this process.

    Raises:
        LetheError: what a process raises, or that one ended before its work. The others are
            stopped then; what they had finished is kept.
    """
    todo, workers = list(reversed(units)), []
    try:
        with _forked_from_a_server(study) as context:
            for _ in range(jobs):
                workers.append(_start(context, _Work(study, store, threads, fresh)))
        for worker in workers:
            _next_unit(worker, todo)
        busy: dict[Any, _Worker] = {worker.pipe: worker for worker in workers}
        while busy:
            for pipe in wait(list(busy)):
                if not _heard(busy[pipe], todo, tell):
                    del busy[pipe]
            ends.check()
    finally:
        _end(workers)


@contextmanager
def _forked_from_a_server(study: type[Study]) -> Iterator[ForkServerContext]:
    """A server that has imported what is needed forks each process: imports are made once.

    An interrupt of the terminal goes to all processes. This one alone decides what it means:
    the server is born with the signal blocked, and so are its children.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.study.executors.preload", study.__module__])
    os.environ[ends.SOCKETS] = f"{os.getpid()} {util.get_temp_dir()}"
    resource_tracker.ensure_running()  # here, since it unblocks the signal when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    except OSError as error:
        raise LetheError(
            f"processes cannot be started ({error}): set TMPDIR to a folder with a shorter name "
            "that can be written, or leave out --jobs"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        del os.environ[ends.SOCKETS]
    yield context


def _start(context: ForkServerContext, work: _Work) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()  # the pipe ends with the process
    return _Worker(process, ours)


def _heard(worker: _Worker, todo: list[Unit], tell: Callable[[Event], None]) -> bool:
    """Take one message; whether more will come.

    Raises:
        LetheError: what the process raised, or that it ended before its work.
    """
    try:
        message = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(PATIENCE)
        ends.check()  # a signal to all processes may have met it first
        raise LetheError(_ended_early(worker)) from None
    if isinstance(message, LetheError):
        raise message
    if message is None:
        return _next_unit(worker, todo)
    tell(message)
    return True


def _ended_early(worker: _Worker) -> str:
    code = worker.process.exitcode
    killed = code is not None and code < 0
    how = f"it was killed by signal {-(code or 0)}" if killed else f"it ended with {code}"
    where = "at its start" if worker.unit is None else worker.unit.where
    why = ", most likely out of memory" if code == -signal.SIGKILL else ""
    cure = "the same command with fewer jobs goes on from here"
    if not killed and code:  # an error of the code, which would come again
        cure = "what it said above is why"
    return f"a process of the run died{why} ({where}; {how}): {cure}"


def _next_unit(worker: _Worker, todo: list[Unit]) -> bool:
    """Send the process its next unit; whether there was one. Without, it ends."""
    worker.unit = todo.pop() if todo else None
    try:
        worker.pipe.send(worker.unit)
    except OSError:  # it is gone already: its pipe says so when it is read
        return True
    return worker.unit is not None


def _end(workers: list[_Worker]) -> None:
    """End the processes that are left: first they are asked, then killed."""
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        if worker.unit:  # the others were told that there is nothing left
            worker.process.terminate()
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


def _serve(pipe: Connection, work: _Work) -> None:
    """One process: unit after unit, until there is none, or nobody left to tell."""
    multiprocessing.current_process().daemon = False  # a piece may start processes of its own
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    ends.listen(once=True)  # a group of processes is told, and then each of them by the run

    def tell(message: Event | LetheError | None) -> None:
        try:
            pipe.send(message)
        except OSError:  # the run is over, which is no error of the cell that tells of itself
            ends.leave(os.EX_UNAVAILABLE)

    try:
        device = prepare("cpu", work.threads)
        while unit := pipe.recv():
            run_unit(work.study, unit, work.store, device, work.fresh, tell)
            tell(None)
    except LetheError as error:
        tell(error)
    except (ends.Stopped, EOFError):
        ends.leave(os.EX_UNAVAILABLE)
    except Exception:
        if ends.came():  # C code may turn what the signal raised within it into an error of its own
            ends.leave(os.EX_UNAVAILABLE)
        raise


def _end_with_the_run() -> None:
    """End this process when the one that started it is gone, in the middle of a cell too."""
    wait([present(multiprocessing.parent_process()).sentinel])
    ends.leave(os.EX_UNAVAILABLE)


# What every executor does, and those of one machine.

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Asked:
    """What a command says of where units run.

    Attributes:
        file: that `--on` names, for sentences.
        settings: what it says but for `executor`.
        device: `cpu` or `cuda`.
        threads, track: of every unit; see `lethe run`.
        wait: whether to wait for the last unit.
        say: is told a line at a time what was done.
    """

    file: Path
    settings: dict[str, Any]
    device: str
    threads: int
    track: Literal["off", "offline", "online"]
    wait: bool
    say: Callable[[str], None]


class Executor(ABC):
    """Runs units. A record on disk is kept, whoever wrote it, unless `fresh`.

    A class in this package, or in the entry-point group `lethe.executors`: a file with
    `executor = "NAME"`, named by `lethe run --on FILE`, takes it in place of this machine.

    Attributes:
        name: as the file says it.
        title: for people.
        source: whose it is.
        waits: whether `run` ends no earlier than the units.
        unfinished: how many units were not done when it ended.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str] = "the suite's own"
    waits = True
    unfinished = 0

    @classmethod
    @abstractmethod
    def of(cls, asked: Asked) -> Executor:
        """What a file and a command describe.

        Raises:
            LetheError: if the settings are not valid; it says which and what to change.
        """

    @abstractmethod
    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """Run what `store` does not hold already.

        Args:
            study: that the units are of.
            units: to run.
            store: where records go, one after each piece.
            fresh: run again what is there.
            tell: hears of every piece.

        Raises:
            LetheError: for anything wrong with the data, the disk or the machine.
        """


KIND = plugins.Kind[Executor](
    word="executor",
    wanted="an Executor class",
    accepts=lambda cls: issubclass(cls, Executor),
    packages=("benchmark.study.executors",),
    group="lethe.executors",
)


@dataclass(frozen=True)
class Serial(Executor):
    """One unit after the other, in this process."""

    name = "serial"
    title = "one unit after the other"

    device: torch.device

    @classmethod
    def of(cls, asked: Asked) -> Serial:
        """See `Executor`; it has no settings."""
        _refuse_others(asked, ())
        return cls(prepare(asked.device, asked.threads))

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        for unit in units:
            run_unit(type(study), unit, store, self.device, fresh, tell)


@dataclass(frozen=True)
class Processes(Executor):
    """Units side by side on the CPU, `jobs` at a time, in processes with this one's threads."""

    name = "processes"
    title = "units side by side on this machine"

    jobs: int

    @classmethod
    def of(cls, asked: Asked) -> Processes:
        """See `Executor`; the one setting is `jobs`."""
        _refuse_others(asked, ("jobs",))
        jobs = asked.settings.get("jobs", 2)
        if not isinstance(jobs, int):
            raise LetheError(f"{asked.file}: jobs is a whole number, not {jobs!r}")
        refuse_count("jobs", jobs)
        if asked.device != "cpu":
            raise LetheError(f"{asked.file}: processes run on the CPU: take --device cpu")
        prepare(asked.device, asked.threads)
        return cls(jobs)

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        jobs, threads = min(self.jobs, len(units)), torch.get_num_threads()
        run_side_by_side(type(study), units, store, jobs, threads, fresh, tell)


def _refuse_others(asked: Asked, known: tuple[str, ...]) -> None:
    """Refuse settings that an executor does not have."""
    for name in asked.settings:
        if name not in known:
            raise unknown(f"setting in {asked.file}", name, known)


def on_this_machine(device: torch.device, jobs: int) -> Executor:
    """The executor of `jobs` units at a time.

    Raises:
        LetheError: for no jobs, or several on one GPU.
    """
    refuse_count("jobs", jobs)
    if jobs > 1 and device.type != "cpu":
        raise LetheError("one GPU runs one job at a time: leave out --jobs")
    return Serial(device) if jobs == 1 else Processes(jobs)
