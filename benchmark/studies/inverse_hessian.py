"""The paper's question: what does an efficient inverse Hessian save over the exact one?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmark import json_file
from benchmark.bench.clock import CLOCK, kind_for
from benchmark.bench.systems import SPECS, Bench, SystemSpec, prepare
from benchmark.curvature.dense import LARGEST_DIMENSION
from benchmark.curvature.hessian import multiply
from benchmark.curvature.solvers import SOLVERS
from benchmark.curvature.system import System
from benchmark.runner.cell import fingerprint
from benchmark.runner.environment import cpu_model, describe
from benchmark.studies.inverse_hessian_record import (
    SCHEMA,
    Answer,
    InverseHessianStudy,
    Panel,
    path_in,
    read,
)

#: The paper's MLP, on digits, where the inverse is taken, and on MNIST, where it takes an hour.
SYSTEMS = (SPECS["smoke"][0], SPECS["full"][0])
#: Solvers and the relative residuals they aim at; LiSSA has a depth instead.
SOLVES = {"lissa": 1e-3, "lissa-averaged": 1e-3, "cg": 1e-3, "svrg": 1e-3}
#: Of the reference solution, near what float32 allows.
REFERENCE = 1e-6
MAX_PRODUCTS = 400
ROUNDS = 3
#: Where the matrix is too large, so many of its columns are computed and a matrix of this order
#: is factorised; time grows with the order and its cube.
COLUMNS, ORDER = 64, 4096


def inverse_hessian_study(
    results: Path, console: Console, systems: tuple[SystemSpec, ...] = SYSTEMS
) -> tuple[InverseHessianStudy, bool]:
    """The study in `results`, computed and written there unless it is current.

    Returns:
        the study, and whether it had to be computed.

    Raises:
        LetheError: if the data cannot be had or the file cannot be written.
    """
    content = {"schema": SCHEMA, "systems": [s.key for s in systems], "solves": SOLVES}
    key = fingerprint(content | {"cpu": cpu_model(), "largest": LARGEST_DIMENSION})
    if (kept := json_file.current(lambda: read(results), key)) is not None:
        return kept, False
    CLOCK.kind = kind_for("cpu", threads=1)
    panels = []
    for spec in systems:
        with console.status(f"{spec.title}: training"):
            bench = prepare(spec, torch.device("cpu"))
        with console.status(f"{spec.title}: solving") as status:
            panels.append(panel(bench, lambda name: status.update(name)))
    study = InverseHessianStudy(
        key=key, panels=tuple(panels), environment=describe(torch.device("cpu"))
    )
    json_file.write(path_in(results), study)
    return study, True


def panel(bench: Bench, listener: Callable[[str], object]) -> Panel:
    """Every solver on one system, at damping 0.1 ||H||."""
    system = bench.system("0.1-norm")
    listener(f"{bench.spec.title}: reference")
    reference = _solve("cg", system, REFERENCE)
    answers = []
    for name, tolerance in SOLVES.items():
        listener(f"{bench.spec.title}: {SOLVERS[name].title}")
        answers.append(_timed(name, system, tolerance, reference))
    listener(f"{bench.spec.title}: exact")
    dense = len(bench.b) <= LARGEST_DIMENSION
    return Panel(
        title=bench.spec.title,
        rows=len(bench.rows),
        dimension=len(bench.b),
        condition=bench.damping("0.1-norm").condition,
        exact=_timed("cholesky", system, REFERENCE, reference) if dense else _projected(system),
        answers=tuple(answers),
        remark="measured" if dense else _REMARK.format(columns=COLUMNS, order=ORDER),
    )


_REMARK = (
    "too large to form here: extrapolated from {columns} columns of the matrix, linearly, and the "
    "factor of a matrix of order {order:,}, by the cube of the order"
)


def _solve(name: str, system: System, tolerance: float) -> Tensor:
    """A solution (d,) by a solver that builds its operator anew."""
    generator = torch.Generator().manual_seed(0)
    budget = max(MAX_PRODUCTS, len(system.b) if name == "cholesky" else 0)
    return SOLVERS[name].solve(replace(system), tolerance, budget, generator).x


def _timed(name: str, system: System, tolerance: float, reference: Tensor) -> Answer:
    rounds = 1 if name == "cholesky" else ROUNDS
    runs = [_clocked(lambda: _solve(name, system, tolerance)) for _ in range(rounds)]
    x = runs[-1][1]
    return Answer(
        title=SOLVERS[name].title,
        seconds=median(seconds for seconds, _ in runs),
        residual=system.residual(x),
        error=float((x - reference).norm() / reference.norm()),
    )


def _projected(system: System) -> Answer:
    """What the dense inverse would take, from a part of its columns and a smaller factor."""
    d = len(system.b)
    columns = torch.zeros(COLUMNS, d, dtype=system.b.dtype)
    columns[:, :COLUMNS].fill_diagonal_(1)
    setup, operator = _clocked(lambda: replace(system).operator)
    part, _ = _clocked(lambda: multiply(operator, columns))
    matrix = torch.eye(ORDER, dtype=torch.float64).mul_(2.0)
    factor, _ = _clocked(lambda: torch.linalg.cholesky(matrix))
    seconds = setup + part * d / COLUMNS + factor * (d / ORDER) ** 3
    return Answer(title=SOLVERS["cholesky"].title, seconds=seconds, measured=False)


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what `work` gives."""
    start = CLOCK()
    found = work()
    return CLOCK() - start, found
