"""Units on a Slurm cluster, one task of an array each; records on disk say what is done."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from benchmark import ends, tracking
from benchmark.errors import LetheError, explain, present
from benchmark.files import locked, read_toml
from benchmark.records import Store
from benchmark.runner.device import prepare
from benchmark.study.executors import submission
from benchmark.study.executors.executor import Asked, Executor, Listener
from benchmark.study.executors.submission import Submission
from benchmark.study.study import Event, Piece, Study, Unit, is_done, run_unit

# The file that describes a cluster: what each task asks Slurm for.


#: What Lethe asks for itself, by options of its own or because it looks there again.
OURS = {
    *("array", "job-name", "error", "output", "open-mode", "signal"),
    *("partition", "time", "mem", "cpus-per-task", "gpus-per-node", "nodes", "ntasks-per-node"),
}

_Line = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
_Option = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]*$")]
_Count = Annotated[int, Field(strict=True, ge=1)]


class Cluster(BaseModel):
    """What a task, which runs one seed of one experiment, asks for.

    Attributes:
        partition: of the cluster; its default if None.
        minutes: after which Slurm ends a task; its signal may come a minute earlier.
        memory_gb: of a task.
        cpus, gpus: of a task.
        python: the command that starts Python on a node, e.g. within a container; by default the
            Python of the process that submits, which the nodes must see under the same path.
        setup: lines of shell that a task begins with, e.g. `module load cuda`.
        at_once: tasks that may run at a time.
        sbatch: other options of sbatch by their long names; true stands for one without a value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: _Line | None = None
    minutes: Annotated[int, Field(strict=True, ge=2)] = 60
    memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 4.0
    cpus: _Count = 1
    gpus: Annotated[int, Field(strict=True, ge=0)] = 0
    python: _Line | None = None
    setup: tuple[_Line, ...] = ()
    at_once: _Count = 256
    sbatch: dict[_Option, bool | int | float | _Line] = {}

    @field_validator("sbatch")
    @classmethod
    def _not_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OURS & options.keys()):
            raise ValueError(f"Lethe sets {', '.join(taken)} itself")
        if off := sorted(name for name, value in options.items() if value is False):
            raise ValueError(f"leave out {', '.join(off)} instead of setting it to false")
        return options

    def parameters(self, name: str) -> dict[str, Any]:
        """What submitit calls all of this; the job is called `name`."""
        given = {
            "partition": self.partition,
            "gpus_per_node": self.gpus or None,
            "setup": list(self.setup) or None,
            "additional_parameters": dict(self.sbatch) or None,
        }
        return {key: value for key, value in given.items() if value is not None} | {
            "job_name": name,
            "time": self.minutes,
            "mem": f"{max(1, round(1024 * self.memory_gb))}MB",
            "cpus_per_task": self.cpus,
            "array_parallelism": self.at_once,
            "signal_delay_s": 20,  # before the end of its time; a task needs about one to stop
            "srun_args": [f"--cpus-per-task={self.cpus}"],  # a step does not inherit them
        }


def read(path: Path) -> dict[str, Any]:
    """What the file that `--on` names says.

    Raises:
        LetheError: if there is no such file, or it is no TOML.
    """
    return read_toml(path, "cluster file")


def of_table(settings: dict[str, Any], path: Path) -> Cluster:
    """The cluster that the settings of a file describe.

    Raises:
        LetheError: if they are not valid.
    """
    try:
        return Cluster.model_validate(settings)
    except ValidationError as error:
        raise explain(error, f"cluster file {path}", Cluster) from error


# The executor.


#: Tasks of one array: no more than what Slurm takes by default.
ARRAY = 1000
#: Times in a row that Slurm may not answer before waiting ends.
DEAF = 30


@dataclass
class Slurm(Executor):
    """Submits what is neither done nor in the queue, and waits for it if asked to.

    Attributes:
        cluster: what a task asks for.
        device: `cpu` or `cuda` of a node; this machine need not have it.
        threads, track: of every task; see `lethe run`.
        wait: until the last task of the units is over.
        say: is told a line at a time what was submitted.
        unfinished: how many units were not done when `run` ended.

    Raises:
        LetheError: for another device, CUDA where no GPU is asked for, or more threads than cores.
    """

    name = "slurm"
    title = "tasks of a Slurm cluster"

    cluster: Cluster
    device: str
    threads: int
    track: tracking.Mode
    wait: bool
    say: Callable[[str], None]
    unfinished: int = 0

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise LetheError(f"unknown device '{self.device}': it is 'cpu' or 'cuda'")
        if self.device == "cuda" and self.cluster.gpus == 0:
            raise LetheError("CUDA wants gpus = 1 in the cluster file, or --device cpu")
        if self.threads > self.cluster.cpus:
            raise LetheError(
                f"--threads {self.threads} wants cpus = {self.threads} or more in the cluster file"
            )

    @property
    def waits(self) -> bool:  # type: ignore[override]  # elsewhere a constant of the kind
        """See `Executor`."""
        return self.wait

    @classmethod
    def of(cls, asked: Asked) -> Slurm:
        """See `Executor`; the settings are those of `Cluster`."""
        cluster = of_table(asked.settings, asked.file)
        return cls(cluster, asked.device, asked.threads, asked.track, asked.wait, asked.say)

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`. Nothing runs in this process.

        Raises:
            LetheError: if Slurm does not take the tasks or cannot be asked, or for `fresh`: the
                records decide what is submitted.
        """
        if fresh:
            raise LetheError("--fresh is for runs here: delete the records to run again on Slurm")
        untold = _Untold(study, units, store, tell)
        untold.tell("kept")
        self._submit(study, units, store)
        if self.wait:
            status = f"lethe status --results {shlex.quote(str(store.folder))}"
            with ends.saying(f"waits no more: the jobs go on, and {status} says how"):
                self._follow(untold, store)
        self.unfinished = sum(not is_done(type(study), unit, store) for unit in units)

    def _submit(self, study: Study, units: list[Unit], store: Store) -> None:
        """Hand over what is missing; a second command meanwhile sees what the first one did."""
        with locked(submission.folder_of(store) / "lock"):
            known = submission.submitted(store)
            missing = [unit for unit in units if not is_done(type(study), unit, store)]
            queued = submission.in_queue([p for unit in missing for p in known.get(unit.place, ())])
            coming = {key for place in queued for key in place.keys}
            idle = [unit for unit in missing if not _keys(study, unit, store) <= coming]
            # a task may have ended since its records were looked for
            todo = [unit for unit in idle if not is_done(type(study), unit, store)]
            for start in range(0, len(todo), ARRAY):
                self._hand_over(study, todo[start : start + ARRAY], store)
        waiting = len(missing) - len(idle)
        done = len(units) - len(todo) - waiting
        if done or waiting:
            self.say(f"not submitted: {done} done, {waiting} running or waiting")

    def _hand_over(self, study: Study, units: list[Unit], store: Store) -> None:
        made = Submission(
            name=f"lethe-{uuid.uuid4().hex[:12]}",
            submitted=datetime.now(UTC).isoformat(),
            device=self.device,
            threads=self.threads,
            track=self.track,
            study=study.name,
            settings=study.model_dump(mode="json"),
            tasks=tuple(unit.place for unit in units),
        )
        submission.write(store, made)  # before Slurm hears of it: it is found by its name
        try:
            job = _sbatch(made, submission.path_of(store, made.name).parent, self.cluster)
        except LetheError:
            submission.drop(store, made)
            raise
        submission.write(store, made.model_copy(update={"job": job}))
        self.say(f"job {job}: {_counted(units)}")

    def _follow(self, untold: _Untold, store: Store) -> None:
        """Tell of records as they come, until no task is left that could write one."""
        start, silent, deaf = time.monotonic(), 0, 0
        while untold.units and silent < 2:
            time.sleep(min(30.0, 1 + (time.monotonic() - start) / 20))
            known = submission.submitted(store)
            places = [place for unit in untold.units for place in known.get(unit.place, ())]
            try:
                silent = 0 if submission.in_queue(places) else silent + 1
                deaf = 0
            except LetheError:
                deaf += 1
                if deaf == DEAF:
                    raise
            untold.tell("ran")


class _Untold:
    """The units with pieces whose records nobody has told of yet."""

    def __init__(self, study: Study, units: list[Unit], store: Store, tell: Listener) -> None:
        self.units = units
        self._kind, self._store, self._tell = study.record, store, tell

    def tell(self, kind: Literal["kept", "ran"]) -> None:
        """Tell of those that have a record by now."""
        left = [replace(unit, pieces=self._silent(unit, kind)) for unit in self.units]
        self.units = [unit for unit in left if unit.pieces]

    def _silent(self, unit: Unit, kind: Literal["kept", "ran"]) -> list[Piece]:
        """The pieces that have none."""
        left = []
        for piece in unit.pieces:
            record = self._store.kept(piece.path, self._kind, piece.key)
            if record is None:
                left.append(piece)
            else:
                self._tell(Event(kind, piece.where, record=record))
        return left


def _keys(study: Study, unit: Unit, store: Store) -> set[str]:
    """Keys of the pieces that have no record."""
    found = {piece.key: store.kept(piece.path, study.record, piece.key) for piece in unit.pieces}
    return {key for key, record in found.items() if record is None}


def work(folder: str, index: int) -> None:
    """One task, on a node: the pieces of its unit that have no record yet.

    Slurm's signals end it as they end any run and not, as submitit would, by an error that the
    record of a method might take for its own.

    Raises:
        SystemExit: with 2 for what the user can mend, said in one line; 128 + a signal's number.
    """
    with ends.program():
        try:
            _work(Path(folder), index)
        except LetheError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None


def _work(folder: Path, index: int) -> None:
    made, results = submission.read(folder / "submission.json"), folder.parents[1]
    device = prepare(made.device, made.threads)
    study, units = made.planned
    sink = tracking.tracker(made.track, results / "wandb")

    def tell(event: Event) -> None:
        ends.check()
        if event.kind == "ran":
            record = present(event.record)
            print(f"{event.where}: {record.status}, {record.seconds:.2f} s")
            if sink is not None:
                sink.log(record)

    run_unit(type(study), units[made.tasks[index]], Store(results), device, False, tell)


def _sbatch(made: Submission, folder: Path, cluster: Cluster) -> str:
    """Slurm's number for the job.

    Raises:
        LetheError: if there is no submitit or no Slurm, or it refuses.
    """
    try:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError:
        raise LetheError("--on needs submitit: pip install 'lethe[slurm]'") from None
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise LetheError("there is no sbatch here: run this where jobs are submitted from")
    executor = SlurmExecutor(folder.resolve(), python=cluster.python)
    executor.update_parameters(**cluster.parameters(made.name))
    count = len(made.tasks)
    try:
        jobs = executor.map_array(work, [str(folder.resolve())] * count, range(count))
    except (FailedJobError, FailedSubmissionError) as error:
        raise LetheError(f"Slurm refuses the job: {' '.join(str(error).split())}") from error
    return jobs[0].job_id.partition("_")[0]


def _counted(units: list[Unit]) -> str:
    """How many units of which groups."""
    counts = Counter(unit.group for unit in units)
    return ", ".join(f"{name} ({n} task{'s' * (n > 1)})" for name, n in counts.items())
