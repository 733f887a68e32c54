"""Advice on which method to take for a problem, from runs on its own data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from benchmark import registry
from benchmark.contract.guarantee import compose
from benchmark.contract.method import PROBLEMS
from benchmark.errors import LetheError, present
from leaderboard.model.ranking import LOSS
from lethe.evaluation import Asked, evaluate
from lethe.problem import Problem
from lethe.table import Row, Table

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
