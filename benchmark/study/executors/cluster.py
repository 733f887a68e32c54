"""The file that describes a cluster: what each task asks Slurm for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from benchmark.errors import explain
from benchmark.files import read_toml

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
