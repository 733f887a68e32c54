"""Running methods on a problem of one's own, and advice on which one to take."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmark import registry, settings
from benchmark.contract.guarantee import compose
from benchmark.contract.method import PROBLEMS, Method
from benchmark.errors import LetheError, present
from benchmark.experiments import profile
from benchmark.experiments.experiment import Experiment
from benchmark.records import Store
from benchmark.runner.device import prepare
from benchmark.runner.plans import rows_of
from benchmark.studies.experiments import run
from leaderboard.model import table as board
from leaderboard.model.ranking import LOSS
from leaderboard.model.table import measured
from lethe.problem import Forget, Problem
from lethe.table import Row, Table

# Evaluation, by the same cells as `lethe run`.


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
    if isinstance(seeds, Iterable):
        chosen = tuple(seeds)
    else:
        chosen = tuple(range(int(seeds))) if isinstance(seeds, Integral) else ()
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


def _rows(methods: Sequence[Asked] | None) -> tuple[list[profile.Row], list[type[Method]]]:
    if isinstance(methods, str):
        raise LetheError("methods is a list of names, classes or instances")
    known = {found.method for found in registry.discover().values()}
    rows: list[profile.Row] = []
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
        rows.append(profile.Row(method=cls.name, label=label, title=title, params=params))
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


# Advice, from runs on the problem's own data.


_RETRAIN = "retrain"


@dataclass(frozen=True)
class Choice:
    """A method, and why it stands where it does.

    Attributes:
        row: of the evaluation.
        seconds: for all requests and the one-off work; None if it did not run.
        fits: whether it is proved or exact, useful and over its control.
        reasons: in words, the most important first.
    """

    row: Row
    seconds: float | None
    fits: bool
    reasons: tuple[str, ...]

    @property
    def method(self) -> str:
        return self.row.method


@dataclass(frozen=True, eq=False)
class Advice:
    """The methods in the order in which to consider them.

    Attributes:
        requests: how many are to be answered, one after the other.
        choices: those that fit by total time, then the others.
        table: the evaluation that it rests on.
    """

    requests: int
    choices: tuple[Choice, ...]
    table: Table

    @property
    def best(self) -> Choice | None:
        """The first one that fits; None if none does."""
        return next((choice for choice in self.choices if choice.fits), None)

    def __str__(self) -> str:
        """A line a choice, and one a reason."""
        if self.best is None:
            lines = ["No method is proved, useful and over its control on this problem."]
        else:
            lines = [f"Take {self.best.row.title} ({self.best.method})."]
        for place, choice in enumerate(self.choices, 1):
            number = f"{place}." if choice.fits else "–"
            lines.append(f"{number} {choice.row.title} ({choice.method})")
            lines += [f"     {reason}" for reason in choice.reasons]
        return "\n".join(lines)

    __repr__ = __str__


def advise(
    problem: Problem,
    requests: int = 50,
    *,
    rows: int = 1,
    methods: Sequence[Asked] | None = None,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    distance: float = 1e-3,
    seeds: int | Iterable[int] = 3,
    **options: Any,
) -> Advice:
    """Rank the methods that certify on a problem, by what a request costs and keeps.

    A method fits if every seed is proved or exact, it loses at most one point of test accuracy (of
    a real target, of R²) against retraining, and it beats its controls by the interval over seeds.
    Controls are the same noise from zero weights, if it draws noise inside, and what public rows
    give alone, if any are. Those that fit are ranked by the time for all requests and the one-off
    work before them.

    Args:
        problem: see `lethe.Problem`.
        requests: how many are expected.
        rows: how many a request forgets, drawn at random.
        methods: see `lethe.evaluate`; all that certify and can run on the problem if None.
            Retraining is always among them.
        epsilon: see `lethe.evaluate`.
        delta: likewise.
        distance: likewise.
        seeds: likewise.
        **options: of `lethe.evaluate`.

    Raises:
        LetheError: as of `lethe.evaluate`.

    Example:
        >>> import lethe
        >>> problem = lethe.Problem.of("digits-softmax")
        >>> advice = lethe.advise(problem, 50, methods=["newton-chord"], seeds=1)
        >>> sorted(choice.method for choice in advice.choices)
        ['newton-chord', 'retrain']
    """
    if not all(isinstance(one, Integral) and int(one) >= 1 for one in (requests, rows)):
        raise LetheError("requests and rows are 1 or more")
    asked = list(certifying(problem) if methods is None else methods)
    if _RETRAIN not in asked:
        asked.append(_RETRAIN)
    target: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "distance": distance}
    table = evaluate(asked, problem, rows, **target, seeds=seeds, **options)
    retrain = _total(table[_RETRAIN], requests)
    choices = [_choice(row, requests, retrain) for row in table.rows]
    order = sorted(choices, key=lambda c: (not c.fits, c.seconds is None, c.seconds or 0.0))
    return Advice(requests, tuple(order), table)


def certifying(problem: Problem) -> list[str]:
    """Names of the methods that certify and can run on a problem."""
    missing = PROBLEMS - problem.experiment({"count": 1}, (0,)).problem.offers
    return [
        name
        for name, found in registry.discover().items()
        if found.method.evidence is not None
        and found.method.role in ("entry", "reference")
        and not found.method.demands() & missing
    ]


def _choice(row: Row, requests: int, retrain: float | None) -> Choice:
    if row.failure:
        return Choice(row, None, False, (row.failure,))
    proved, useful = row.verdict in ("exact", "proved"), _useful(row)
    fits = proved and useful and row.over_control and not row.violations
    seconds = _total(row, requests)
    reasons = [
        *_against(row, proved, useful),
        _kept(row, requests),
        _lost(row),
        *_spent(row, requests, seconds, retrain),
    ]
    return Choice(row, seconds, fits, tuple(filter(None, reasons)))


def _against(row: Row, proved: bool, useful: bool) -> list[str]:
    """What speaks against it."""
    found = [f"violated: {text}" for text in row.violations]
    if not proved:
        why = f": {'; '.join(row.caveats)}" if row.caveats else ""
        found.append(f"not proved, {row.verdict}{why}")
    key, title = _worth(row)
    if row[f"{key}_gap"] is None:
        found.append(f"{title} has no number on these test rows: hold back more of them")
    elif not useful:
        found.append(f"loses more than {LOSS:g} point of {title}")
    if not row.over_control:
        found.append(
            "not shown to beat its controls (the same noise from zero weights, public rows alone): "
            "the interval reaches 0, or there is one seed and no interval"
        )
    return found


def _kept(row: Row, requests: int) -> str:
    """What is guaranteed of one release, and of all together."""
    claim = row.claim
    if claim is None:
        return "claims nothing"
    if row.epsilon == 0:
        unsure = "" if row.verdict == "exact" else " if nothing above speaks against it"
        return f"exact{unsure}, however many requests there are"
    one = f"({row.epsilon:.3g}, {claim.delta:g}) for each request"
    if not claim.composes:
        return f"{one}; releases do not compose"
    try:
        together = compose([claim.guarantee] * requests).epsilon(claim.delta)
    except (LetheError, ValueError) as error:
        return f"{one}; nothing is known of all {requests} releases together: {error}"
    return (
        f"{one}; ({together:.3g}, {claim.delta:g}) for whoever sees all {requests} releases, of "
        "requests that do not depend on what was released"
    )


def _lost(row: Row) -> str:
    key, title = _worth(row)
    gap, worth = row[f"{key}_gap"], row[key]
    if gap is None or worth is None:
        return ""
    spread = f" ± {gap.spread:.2g}" if gap.spread else ""
    return f"{title} {worth.mean:.1f} %, {gap.mean:+.2g}{spread} points from retraining"


def _worth(row: Row) -> tuple[str, str]:
    """The column that says how useful a row is, and what to call it."""
    return ("r2_test", "test R²") if row.of_number else ("accuracy_test", "test accuracy")


def _spent(row: Row, requests: int, seconds: float | None, retrain: float | None) -> list[str]:
    if seconds is None:
        return []
    once, each = row["precomputation"], row["unlearn"]
    text = f"{seconds:.3g} s for {requests} requests: {present(each).mean:.3g} s each"
    text += f" and {once.mean:.3g} s once" if once and once.mean else ""
    if retrain and row.method != _RETRAIN:
        ratio = retrain / seconds
        text += f"; {ratio:.3g} times as fast as retraining" if ratio > 1 else "; no faster"
    return [text]


def _useful(row: Row) -> bool:
    gap = row[f"{_worth(row)[0]}_gap"]
    return gap is not None and gap.mean >= -LOSS


def _total(row: Row, requests: int) -> float | None:
    once, each = row["precomputation"], row["unlearn"]
    if each is None:
        return None
    return (once.mean if once else 0.0) + requests * each.mean
