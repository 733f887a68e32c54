"""Running methods on a problem of one's own, by the same cells as `lethe run`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import torch
from rich.console import Console

from benchmark import registry, settings
from benchmark.contract.method import Method
from benchmark.errors import LetheError
from benchmark.experiments.experiment import Experiment
from benchmark.experiments.profile import Row
from benchmark.records import Store
from benchmark.runner.device import prepare
from benchmark.runner.plans import rows_of
from benchmark.studies.experiments import run
from leaderboard.model import table as board
from leaderboard.model.table import measured
from lethe.problem import Forget, Problem
from lethe.table import Table

#: A method by its name, by its class, or with parameters of its own.
Asked = str | type[Method] | Method


def evaluate(
    methods: Sequence[Asked] | None,
    problem: Problem,
    forget: Forget = None,
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    distance: float = 1e-3,
    seeds: int | Iterable[int] = 3,
    device: str = "cpu",
    threads: int = 1,
    records: str | Path | None = None,
) -> Table:
    """Let methods forget some rows of a problem, and measure each beside retraining.

    Each seed divides the rows anew into training, test and held-back ones; rows that are to be
    forgotten are trained on by every seed. Nothing outlives the call but the table, unless
    `records` names a folder: what is there already is kept then, and a call that was stopped goes
    on where it was.

    Args:
        methods: names as `lethe list` has them, classes, or instances; all that can run on the
            problem if None.
        problem: see `lethe.Problem`.
        forget: ids of rows where the problem has ids, else row numbers; or how many rows, drawn at
            random; one in a hundred by default.
        epsilon: of the guarantee that is asked for.
        delta: likewise.
        distance: Delta_0, the public distance to the retrained weights that noise is made for.
        seeds: how many, or which.
        device: see `lethe run`.
        threads: of the processor; times are comparable at the same number only.
        records: a folder for the records, which `lethe leaderboard --results` reads too.

    Raises:
        LetheError: for anything that the caller can mend. A method that fails is a row that says
            so.

    Example:
        >>> import lethe
        >>> problem = lethe.Problem.of("digits-softmax")
        >>> table = lethe.evaluate(["retrain", "newton-chord"], problem, 20, seeds=1)
        >>> table["newton-chord"].verdict
        'proved'
    """
    if not isinstance(problem, Problem):
        raise LetheError("the problem is a lethe.Problem: make it by lethe.Problem.from_arrays")
    chosen = _seeds(seeds)
    rows, classes = _rows(methods)
    target = {"epsilon": epsilon, "delta": delta, "distance": distance}
    named = None if methods is None else tuple(dict.fromkeys(row.method for row in rows))
    with registry.guests(classes), _folder(records) as folder, settings.restored():
        experiment = problem.experiment(
            forget, chosen, target=target, methods=named, rows=tuple(rows)
        )
        found = _run(experiment, folder, prepare(device, threads))
        order = [row.label for row in rows or rows_of(experiment)]
    return Table.of(found, order, None if records is None else folder)


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    one = isinstance(seeds, Integral)
    chosen = (
        tuple(range(int(seeds)) if one else seeds) if one or isinstance(seeds, Iterable) else ()
    )
    if not chosen:
        raise LetheError("seeds is how many there are, 1 or more, or which")
    return tuple(int(one) if isinstance(one, Integral) else one for one in chosen)


def _run(experiment: Experiment, folder: Path, device: torch.device) -> board.Table:
    """Run what is missing, and read what the folder then holds of the experiment."""
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    run([experiment], Store(folder), device, console=console)
    tables = [
        table
        for table in measured(folder, board.load(folder))
        if table.experiment == experiment.name
    ]
    return next(table for table in tables if table.device.partition(" ")[0] == device.type)


def _rows(methods: Sequence[Asked] | None) -> tuple[list[Row], list[type[Method]]]:
    if isinstance(methods, str):
        raise LetheError("methods is a list of names, classes or instances")
    known = {found.method for found in registry.discover().values()}
    rows: list[Row] = []
    classes: dict[type[Method], None] = {}
    for one in methods or ():
        method = _instance(one)
        cls = type(method)
        if cls not in known:
            classes[cls] = None
        params = {
            name: getattr(method, name)
            for name, field in cls.model_fields.items()
            if getattr(method, name) != field.get_default(call_default_factory=True)
        }
        labels = [row.label for row in rows if row.method == cls.name]
        label = cls.name if not labels else f"{cls.name}-{len(labels) + 1}"
        title = None if not params else f"{cls.title} ({_words(params)})"
        rows.append(Row(method=cls.name, label=label, title=title, params=params))
    return rows, list(classes)


def _instance(asked: Asked) -> Method:
    if isinstance(asked, Method):
        return asked
    if isinstance(asked, str):
        return registry.find(asked).method()
    if isinstance(asked, type) and issubclass(asked, Method):
        return asked()
    raise LetheError(f"{asked!r} is no method: give a name, a class or an instance of one")


def _words(params: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in params.items())


@contextmanager
def _folder(records: str | Path | None) -> Iterator[Path]:
    """The folder of the records, one that is gone after the block if none is named."""
    if records is not None:
        yield Path(records)
        return
    with tempfile.TemporaryDirectory(prefix="lethe-") as folder:
        yield Path(folder)
