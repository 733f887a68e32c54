"""What is settled before the first cell of an experiment: whose names are whose, data, plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from benchmark import json_file, names
from benchmark.errors import LetheError
from benchmark.experiments.build import fetch
from benchmark.experiments.experiment import Experiment
from benchmark.files import as_bytes, read_text, replace_file
from benchmark.records import SCHEMA, Plan, Store


def begin(experiments: Sequence[Experiment], plans: Sequence[Plan], store: Store) -> None:
    """Get the data of all experiments and write their plans.

    Args:
        experiments: that will run.
        plans: of each of them.
        store: where records will go.

    Raises:
        LetheError: if two studies would share a folder, the data cannot be had, a plan cannot be
            written or is of a newer version. A plan is written once the rest is in order.
    """
    _refuse_namesakes(experiments)
    named = [*store.experiments(), *(one.name for one in experiments)]
    names.refuse_twins(named, "the experiments")
    for one in experiments:
        json_file.refuse_newer(store.plan_path(one.name), SCHEMA)
        _refuse_another(one, _origin(one, store))
    for one in experiments:
        fetch(one.problem)
    for one, plan in zip(experiments, plans, strict=True):
        store.keep_plan(plan)
        if one.path is not None:
            replace_file(_origin(one, store), as_bytes(_said(one)))


def _refuse_namesakes(experiments: Sequence[Experiment]) -> None:
    for one, other in combinations(experiments, 2):
        if one.name == other.name and one.model_dump() != other.model_dump():
            raise LetheError(
                f"two experiments are called '{one.name}' ({one.path} and {other.path}): set "
                "another name in one of them"
            )


def _origin(experiment: Experiment, store: Store) -> Path:
    """A file that says where the experiment is from; like all in its folder it may be deleted."""
    return store.folder / ".artifacts" / f"{experiment.name}.study"


def _said(experiment: Experiment) -> str:
    """The experiment's file and, after a NUL, the changes to what that says, if there are any."""
    changes = experiment.changes
    if not changes:
        return str(experiment.path)
    return f"{experiment.path}\0{json.dumps(changes, sort_keys=True, default=str)}"


def _refuse_another(experiment: Experiment, origin: Path) -> None:
    """Refuse to replace records of a study of the same name that is another.

    That is one whose file lies elsewhere and says something else, or the same file with other
    changes. What a file says may change.
    """
    if experiment.path is None or not origin.is_file():
        return
    file, _, before = read_text(origin, "file").partition("\0")
    other, changes = Path(file), _said(experiment).partition("\0")[2]
    if before != changes:
        raise LetheError(
            f"{origin.parents[1]} holds records of '{experiment.name}' with "
            f"{f'the changes {before}' if before else 'no changes'}: set another name among the "
            "changes, or take another folder of results"
        )
    try:
        same = other == experiment.path or other.read_bytes() == experiment.path.read_bytes()
    except OSError:  # the other is gone: it was moved, or deleted
        return
    if not same:
        raise LetheError(
            f"{origin.parents[1]} holds records of another experiment '{experiment.name}' "
            f"({other}): set another name in {experiment.path}, or name another --results"
        )
