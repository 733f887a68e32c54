"""Certified bounds against the truth, on random problems where the truth can be computed."""

from __future__ import annotations

import time
import typing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmark import registry
from benchmark.contract.certificate import Certificate
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import DidNotConverge, LetheError
from benchmark.studies.random_problem import draw
from benchmark.studies.tally import Check, Tally

#: The definition whose sensitivity bounds a distance to the retrained weights.
DEFINITION = "unlearn-on-retain"

# A method whose mean over the first PROBES problems is above SLOW seconds is asked about every
# STRIDE-th problem from then on.
PROBES, SLOW, STRIDE = 10, 0.05, 10


@dataclass(frozen=True)
class Answer:
    """What one method said about one problem.

    Attributes:
        checks: a bound each; none if it certifies something else than a distance.
        refusal: why it gave no certificate, or None.
        seconds: how long it took.
    """

    method: str
    checks: tuple[Check, ...]
    refusal: str | None
    seconds: float


def methods() -> list[Method]:
    """Every registered method that may certify a distance to A(D_r), with its defaults.

    One with a training of its own has another A, and is not asked; nor is one that draws its
    noise inside, which leaves no weights to be near to A(D_r).
    """
    found = (registered.method for registered in registry.discover().values())
    return [
        cls.build({})
        for cls in found
        if cls.evidence and cls.role == "entry" and not cls.has_own_training() and not cls.control
    ]


def variants(method: Method) -> list[Method]:
    """The method with one parameter off its default: as its fields' examples and choices say."""
    found = []
    for name, info in type(method).model_fields.items():
        values = list(info.examples or ())
        if typing.get_origin(info.annotation) is typing.Literal:
            values += [v for v in typing.get_args(info.annotation) if v != info.default]
        found += [type(method).build({name: value}) for value in values]
    return found


def examine(seed: int, asked: list[Method]) -> list[Answer]:
    """Compare what `asked` certify on random problem `seed` with the distance to A(D_r).

    Each is asked as it is and, under "<name>, varied", with one parameter changed: which one, the
    seed decides. A(D_r) is as trained, with the gradient that it stopped at: the bounds charge
    that.

    Raises:
        DidNotConverge: if the problem cannot be trained to its tolerance.
    """
    problem, forget = draw(seed)
    seeds = Seeds.all(seed)
    rows = torch.arange(len(problem.train))
    original = State(problem.fit(rows, seeds.generator("training")), rows)
    retain = Request.of(problem, original, forget, seeds=seeds).retain
    reference = problem.fit(retain, seeds.generator("training"))
    answers = []
    for name, method in _as_is_and_varied(asked, seed):
        start, checks, refusal = time.perf_counter(), (), None
        try:
            prepared = method.prepare(problem, original, seeds, Clock())
            release = method.answer(Request.of(problem, prepared, forget, seeds=seeds))
        except LetheError as error:
            refusal = str(error)
        else:
            distance = float((release.state.weights - reference).norm())
            bounds = _proved(release.certificate)
            checks = tuple(
                Check(seed, name, theorem, bound, distance) for theorem, bound in bounds.items()
            )
        answers.append(Answer(name, checks, refusal, time.perf_counter() - start))
    return answers


def _as_is_and_varied(asked: list[Method], seed: int) -> Iterator[tuple[str, Method]]:
    for method in asked:
        yield method.name, method
        others = variants(method)
        if others:
            yield f"{method.name}, varied", others[seed % len(others)]


def study(count: int, seed: int, console: Console) -> Tally:
    """Examine problems `seed`, ..., `seed + count - 1`.

    Args:
        count: how many problems.
        seed: the first; `study(1, n)` repeats problem n with every method.
        console: for progress.
    """
    asked, tally = methods(), Tally()
    spent: Counter[str] = Counter()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        for i in progress.track(range(count), description="problems"):
            if i == PROBES:
                slow = {m.name for m in asked if spent[m.name] / PROBES > SLOW}
                tally.slow = {name for name in spent if name.split(",")[0] in slow}
            now = [m for m in asked if i % STRIDE == 0 or m.name not in tally.slow]
            try:
                answers = examine(seed + i, now)
            except DidNotConverge:
                tally.untrained.append(seed + i)
                continue
            for answer in answers:
                spent[answer.method] += answer.seconds
                tally.add(answer.method, answer.checks, answer.refusal)
    return tally


def _proved(certificate: Certificate | None) -> dict[str, float]:
    """The bounds of a certificate that must hold, by name."""
    if certificate is None or certificate.definition != DEFINITION:
        return {}
    bounds = {a.theorem: a.sensitivity for a in certificate.alternatives if a.proved}
    exact = all(constant.provenance == "exact" for constant in certificate.constants)
    if exact and not certificate.caveats:
        name = "budget" if certificate.mode == "budgeted" else certificate.theorem
        bounds |= {name: certificate.sensitivity, "certified": certificate.sensitivity}
    return bounds
