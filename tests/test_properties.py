"""Properties: certified by bounds, by enumeration and by HiGHS, and contradicted by pairs."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds as MilpBounds
from scipy.optimize import LinearConstraint, milp

from benchmark.checks.parts import checked
from benchmark.contract.claim import Target
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.dataset import Column
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import load
from benchmark.experiments.facts import facts_of
from benchmark.experiments.properties import domain_of, with_property
from benchmark.features.tables import DeclaredRanges
from benchmark.problem.domain import Domain
from benchmark.problem.influence import fewest_rows
from benchmark.problem.model import MLPSpec, Model, Predictor, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.properties import property as properties
from benchmark.properties import round_off
from benchmark.properties.branch import least_slope
from benchmark.properties.finding import Finding, Kept, Pair
from benchmark.properties.monotone import Monotone, Sign, contradicts, outputs
from benchmark.properties.property import Property
from benchmark.properties.radius import Radius
from benchmark.properties.slopes import Boxes, Net, _relu_lines, _tanh_lines, slope_bounds
from benchmark.records import Record, read_record
from benchmark.registry import find
from benchmark.rows import Rows
from benchmark.runner.cell import Cell, Inputs
from benchmark.runner.plans import rows_of
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from leaderboard.answers import properties as answer
from leaderboard.model import properties as on_the_board
from leaderboard.model.table import Evidence
from tests.conftest import Run
from tests.test_answers import lines, made, said, tables
from tests.test_cli import refused
from tests.test_leaderboard import facts
from tests.test_own_docs import blocks, python, written

COLUMNS = (
    Column("a", None, 0.0, 10.0),
    Column("c", 3),
    Column("b", None, -1.0, 1.0),
    Column("d", 2),
)


def table(spec=None, classes: int = 2, seed: int = 0, n: int = 60, **training) -> Problem:
    """A problem on random rows of a small declared domain."""
    draws = torch.Generator().manual_seed(seed)
    domain = domain_of(COLUMNS)
    x = domain.draw(n, draws)
    y = (torch.rand(n, generator=draws) < torch.sigmoid(6 * x[:, 0] + 3 * x[:, 4])).long()
    rows = Rows(x, y if classes == 2 else y * (classes - 1))
    spec = spec or SoftmaxSpec()
    head = isinstance(spec, SoftmaxSpec)
    given = training or ({} if head else {"algorithm": "adam", "epochs": 2})
    return Problem(
        model=Model(spec, x.shape[1], classes),
        objective=Objective(loss="cross_entropy", ridge=1e-2),
        training=NewtonTraining(**given) if head else AdamTraining(**given),
        train=rows,
        negatives=rows.take(torch.arange(5)),
        test=rows.take(torch.arange(20)),
        domain=domain,
    )


def random_net(seed: int, hidden: tuple[int, ...], activation: str, scale: float = 2.0):
    """A net's problem and its weights; some nets are monotone in `a`, some are not."""
    problem = table(MLPSpec(kind="mlp", hidden=hidden, activation=activation), seed=seed)
    draws = torch.Generator().manual_seed(seed)
    weights = scale * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
    if seed % 2:
        within = Monotone(increasing=("a",)).within(problem)
        weights = within.project(weights) + 0.003 * weights
    return problem, weights


def grid(domain: Domain, steps: int = 7) -> torch.Tensor:
    """All rows of the domain with numbers on a grid."""
    axes = [
        torch.linspace(f.scaled(f.low), f.scaled(f.high), steps, dtype=torch.float64)
        for f in domain.numbers
    ]
    found = []
    for a in axes[0]:
        for b in axes[1]:
            for c in range(3):
                for d in range(2):
                    x = torch.zeros(domain.inputs, dtype=torch.float64)
                    x[domain.numbers[0].places[0]], x[domain.numbers[1].places[0]] = a, b
                    x[domain.categories[0].places[c]] = domain.categories[0].scaled(1.0)
                    x[domain.categories[1].places[d]] = domain.categories[1].scaled(1.0)
                    found.append(x)
    return torch.stack(found)


def as_net(problem: Problem, weights: torch.Tensor) -> Net:
    from benchmark.properties.monotone import _net

    return _net(problem.model, weights)


# --- the domain --------------------------------------------------------------------------------


def test_the_domain_has_the_scale_of_declared_ranges() -> None:
    domain = domain_of(COLUMNS)
    raw = np.array([[2.5, 0, 1, 0, 0.25, 1, 0]])
    scaled = DeclaredRanges.scale(COLUMNS, raw)(raw)[0]
    x = torch.from_numpy(scaled)
    domain.check(x[None])
    units = domain.original(x)
    assert units == {"a": pytest.approx(2.5), "c": 1, "b": pytest.approx(0.25), "d": 0}
    with pytest.raises(LetheError, match="the data leave the declared domain"):
        domain.narrowed({"a": (3.0, 10.0)}).check(x[None])


# --- nets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(6,), (4, 3)])
def test_no_bound_is_above_a_slope_in_its_box(activation: str, hidden: tuple[int, ...]) -> None:
    """Wherever steps start: at the lines of the box before, or at any others."""
    draws = np.random.default_rng(0)
    for seed in range(8):
        problem, weights = random_net(seed, hidden, activation)
        net, domain = as_net(problem, weights), problem.domain
        boxes, lines = Boxes.whole(domain), None
        for _ in range(4):
            found = slope_bounds(net, boxes, 0, 1, lines)
            x = grid(domain).numpy()
            slopes = net.slopes(x, 0)
            other = slope_bounds(net, boxes, 0, 1, draws.uniform(size=found.lines.shape))
            found = replace(found, values=np.maximum(found.values, other.values))
            for number, bound in enumerate(found.values):
                inside = (x >= boxes.low[number] - 1e-9) & (x <= boxes.high[number] + 1e-9)
                for one in domain.categories:
                    places = list(one.places)
                    inside[:, places] = (x[:, places] == 0) | boxes.open[number, places]
                if inside.all(axis=1).any():
                    assert bound <= slopes[inside.all(axis=1)].min() + 1e-12
            boxes, of = boxes.halves(found.score)
            lines = found.lines[of]


def test_no_step_along_lines_of_relu_bounds_too_much() -> None:
    """Nets of many units, whose lines are bettered again and again; slopes at random inputs."""
    seen = Counter()
    for seed in range(40):
        problem, weights = random_net(seed, (12,), "relu", scale=1.0)
        net, domain = as_net(problem, weights), problem.domain
        x = domain.draw(2000, torch.Generator().manual_seed(seed)).numpy()
        slopes, numbers = net.slopes(x, 0), [one.places[0] for one in domain.numbers]
        boxes, lines = Boxes.whole(domain), None
        for _ in range(4):
            found = slope_bounds(net, boxes, 0, 1, lines)
            seen += Counter((found.values >= 0).tolist())
            admitted = boxes.open[:, None] | (x == 0)
            within = (x >= boxes.low[:, None]) & (x <= boxes.high[:, None])
            admitted[:, :, numbers] = within[:, :, numbers]
            least = np.where(admitted.all(axis=2), slopes, np.inf).min(axis=1)
            assert (found.values <= least + 1e-12).all()
            boxes, of = boxes.halves(found.score)
            lines = found.lines[of]
    assert min(seen.values()) > 100


def test_halves_are_all_of_a_box_and_no_more() -> None:
    """Each input is in one box, or at the border of two; what cannot be cut any more is left."""
    domain, draws = domain_of(COLUMNS), np.random.default_rng(0)
    x = domain.draw(500, torch.Generator().manual_seed(0)).numpy()
    boxes, numbers = Boxes.whole(domain), [one.places[0] for one in domain.numbers]
    for _ in range(7):
        halves, of = boxes.halves(draws.uniform(size=boxes.low.shape))
        assert len(halves) == 2 * len(boxes)
        assert (halves.low >= boxes.low[of]).all()
        assert (halves.high <= boxes.high[of]).all()
        assert (halves.open <= boxes.open[of]).all()
        cut = [getattr(halves, k) != getattr(boxes, k)[of] for k in ("low", "high", "open")]
        assert np.any(cut, axis=(0, 2)).all()
        boxes = halves
        within = (x[:, None] >= boxes.low) & (x[:, None] <= boxes.high)
        admitted = boxes.open | (x[:, None] == 0)
        admitted[:, :, numbers] = within[:, :, numbers]
        assert (admitted.all(axis=2).sum(axis=1) == 1).all()
    point = Boxes(domain, x[:1], x[:1], x[:1] > 0)
    point.open[:, numbers] = True
    assert len(point.halves(np.ones_like(point.low))[0]) == 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(6,), (4, 3)])
def test_verdicts_agree_with_a_fine_grid(activation: str, hidden: tuple[int, ...]) -> None:
    seen = set()
    for seed in range(10):
        problem, weights = random_net(seed, hidden, activation)
        predictor, declared = Predictor(problem.model, weights), Monotone(increasing=("a",))
        found = declared.certify(predictor, problem, 20_000)
        seen.add(found.verdict)
        values = outputs(predictor, grid(problem.domain, 15)).reshape(15, -1)
        falls = float(values.diff(dim=0).min())
        if found.verdict == "held":
            assert falls >= -1e-9
        if found.verdict == "violated":
            assert contradicts(found.witness, predictor, 1)
        if falls < -1e-6:
            assert found.verdict in ("violated", "unknown")
    assert {"held", "violated"} <= seen


def slope_by_highs(net: Net, domain: Domain, place: int) -> bool:
    """Whether HiGHS proves that no pattern of a one-layer ReLU net has a slope below -1e-5.

    Variables are the inputs and a binary for each unit that is not stable. It decides whether a
    slope of -1e-5, beyond its tolerance, is feasible; an incumbent would be no bound.
    """
    w, b = net.weights[0], net.biases[0]
    coefficient = net.weights[1][0] * w[:, place]
    lower, upper = (side[0] for side in Boxes.whole(domain).ranges(w, b))
    h, d = len(b), domain.inputs
    low, high = (side.numpy() for side in domain.box)
    low, high = low.copy(), high.copy()
    rows, limits = [], []
    for one in domain.categories:
        row = np.zeros(d + h)
        row[list(one.places)] = 1 / one.scaled(1.0)
        rows.append(row)
        limits.append((1.0, 1.0))
    for unit in range(h):  # z = 1 where p >= 0, z = 0 where p <= 0
        for bound, sign in ((upper[unit], 1), (lower[unit], -1)):
            row = np.zeros(d + h)
            row[:d] = w[unit]
            row[d + unit] = -max(bound, 0) if sign > 0 else min(bound, 0)
            limit = -b[unit] if sign > 0 else -b[unit] + min(bound, 0)
            rows.append(row)
            limits.append((-np.inf, limit) if sign > 0 else (limit, np.inf))
    row = np.zeros(d + h)
    row[d:] = coefficient
    rows.append(row)
    limits.append((-np.inf, -1e-5))
    kinds = np.ones(d + h)
    for one in domain.numbers:
        kinds[one.places[0]] = 0
    binary = np.zeros(d + h, dtype=bool)
    binary[d:] = True
    integrality = np.where(binary, 1, 0)
    for one in domain.categories:  # a category is 0 or its value: scale is no integer, so free
        integrality[list(one.places)] = 0
    extra = [place for one in domain.categories for place in one.places]
    total = np.zeros((len(extra), d + h + len(extra)))
    matrix = np.zeros((len(rows), d + h + len(extra)))
    matrix[:, : d + h] = rows
    for number, index in enumerate(extra):
        total[number, index], total[number, d + h + number] = 1, -high[index]
    result = milp(
        np.zeros(d + h + len(extra)),
        constraints=[
            LinearConstraint(matrix, *zip(*limits, strict=True)),
            LinearConstraint(total, 0, 0),
        ],
        integrality=np.concatenate([integrality, np.ones(len(extra))]),
        bounds=MilpBounds(
            np.concatenate([low, np.zeros(h + len(extra))]),
            np.concatenate([high, np.ones(h + len(extra))]),
        ),
    )
    assert result.status in (0, 2)
    return result.status == 2


def test_verdicts_agree_with_highs() -> None:
    """On 12 nets of ReLU and three directions each, that a MILP decides exactly."""
    agreed, held = 0, 0
    for seed in range(12):
        problem, weights = random_net(seed, (8,), "relu", scale=1.0)
        net = as_net(problem, weights)
        if seed % 3 == 0:
            net = Net((np.abs(net.weights[0]), np.abs(net.weights[1])), net.biases, "relu")
        for feature, sign in (("a", 1), ("a", -1), ("b", 1)):
            one = problem.domain.number(feature)
            signed = Net((net.weights[0], sign * net.weights[1]), net.biases, "relu")
            outcome = least_slope(
                signed,
                problem.domain,
                one.places[0],
                1,
                budget=50_000,
                tolerance=1e-8,
                show=lambda x: None,
            )
            proved = slope_by_highs(signed, problem.domain, one.places[0])
            agreed += proved == outcome.done
            held += proved
    assert agreed == 36
    assert 5 < held < 31


def test_an_incumbent_of_a_milp_is_no_violation() -> None:
    """Two units that change places at a kink: both are off in a pattern that no input around has.

    In real arithmetic the output is a straight line that rises. HiGHS finds the pattern at the
    kink and its slope of -0.5; ours proves nothing, and shows no pair.
    """
    problem = table(MLPSpec(kind="mlp", hidden=(3,), activation="relu"))
    domain, place = problem.domain, problem.domain.number("a").places[0]
    w = np.zeros((3, domain.inputs))
    w[:, place] = 1.0, -1.0, 1.0
    net = Net((w, np.array([[1.0, -1.0, -0.5]])), (np.array([-0.1, 0.1, 9.0]), np.zeros(1)), "relu")
    named = {k: torch.zeros(s, dtype=torch.float64) for k, s in problem.model.shapes.items()}
    first, bias, last, _ = named
    named[first], named[bias] = torch.from_numpy(w), torch.from_numpy(net.biases[0])
    named[last][1] = torch.from_numpy(net.weights[1][0])
    weights = torch.cat([part.flatten() for part in named.values()])
    assert not slope_by_highs(net, domain, place)  # its incumbent has a slope below -1e-5
    assert net.slopes(grid(domain).numpy(), place).min() == 0.5
    found = Monotone(increasing=("a",)).certify(Predictor(problem.model, weights), problem, 300)
    assert (found.verdict, found.witness) == ("unknown", None)
    assert found.margin == pytest.approx(-0.5)


def test_a_net_that_passes_sampled_points_can_be_violated() -> None:
    """One unit that falls in a corner of the domain, which 4,096 rows miss."""
    problem = table(MLPSpec(kind="mlp", hidden=(2,), activation="tanh"))
    domain = problem.domain
    named = {name: torch.zeros(shape) for name, shape in problem.model.shapes.items()}
    names = list(named)
    named[names[0]][0, 0], named[names[0]][1] = 2.0, 400.0 * torch.ones(domain.inputs)
    named[names[0]][1, list(domain.categories[0].places)] = 0.0
    named[names[0]][1, list(domain.categories[1].places)] = 0.0
    top = 400.0 * sum(one.scaled(one.high) for one in domain.numbers)
    named[names[1]][1] = -(top - 2.0)
    named[names[2]][1] = torch.tensor([1.0, -1.0])
    weights = torch.cat([part.flatten() for part in named.values()]).double()
    net, predictor = as_net(problem, weights), Predictor(problem.model, weights)
    points = domain.draw(4096, torch.Generator().manual_seed(3)).numpy()
    assert net.slopes(points, 0).min() > 0
    found = Monotone(increasing=("a",)).certify(predictor, problem, 10_000)
    assert found.verdict == "violated"
    assert contradicts(found.witness, predictor, 1)


def test_a_small_budget_says_unknown_whatever_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a day passes between any two looks at a clock the findings are the same."""
    problem, weights = random_net(1, (4, 3), "tanh")
    predictor, verdicts = Predictor(problem.model, weights), []
    asked = [Monotone(increasing=("a",), budget=budget) for budget in (1, 20_000)]
    idle = [one.timed(predictor, problem) for one in asked]
    days = itertools.count(0.0, 86_400.0)
    for clock in ("time", "process_time", "perf_counter", "monotonic"):
        monkeypatch.setattr(time, clock, lambda: next(days))
    for one, before in zip(asked, idle, strict=True):
        found = one.timed(predictor, problem)
        assert found.seconds >= 86_400
        assert found.model_copy(update={"seconds": before.seconds}) == before
        verdicts.append(found.verdict)
    assert verdicts == ["unknown", "violated"]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_held_to_nothing(wrong: float) -> None:
    for spec in (None, MLPSpec(kind="mlp", hidden=(3,), activation="tanh")):
        problem = table(spec)
        weights = torch.ones(problem.model.dimension, dtype=torch.float64)
        weights[0] = wrong
        for declared in (
            Monotone(increasing=("b",)),
            Monotone(increasing=("b",), whole=("a", "b")),
            *([Radius(radius=0.1)] if spec is None else []),
        ):
            found = declared.certify(Predictor(problem.model, weights), problem, 1_000)
            assert (found.verdict, found.margin) == ("unknown", None)


def test_a_member_that_falls_ends_the_search_where_the_ensemble_rises() -> None:
    """Nothing can be held any more, and no pair of the ensemble is there to be found."""
    problem = table(MLPSpec(kind="mlp", hidden=(2,), activation="tanh"))
    members = []
    for size in (5.0, -0.01):
        named = {k: torch.zeros(s, dtype=torch.float64) for k, s in problem.model.shapes.items()}
        first, _, last, _ = named
        named[first][0, 0], named[last][1, 0] = 1.0, size
        members.append(torch.cat([part.flatten() for part in named.values()]))
    declared = Monotone(increasing=("a",))
    both = declared.certify(Predictor(problem.model, torch.stack(members)), problem, 100_000)
    assert both.verdict == "unknown"
    assert both.work < 50_000
    assert -1 < both.margin <= -0.01 * 0.5
    falling = declared.certify(Predictor(problem.model, members[1]), problem, 100_000)
    assert falling.verdict == "violated"


def test_a_verdict_does_not_depend_on_the_order_of_units() -> None:
    for seed in range(4):
        problem, weights = random_net(seed, (6,), "tanh")
        order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
        named = {k: v.clone() for k, v in problem.model.named(weights).items()}
        first, bias, last, _ = named
        named[first], named[bias] = named[first][order], named[bias][order]
        named[last] = named[last][:, order]
        other = torch.cat([part.flatten() for part in named.values()])
        declared = Monotone(increasing=("a",), decreasing=("b",))
        verdicts = [
            declared.certify(Predictor(problem.model, w), problem, 20_000).verdict
            for w in (weights, other)
        ]
        assert verdicts[0] == verdicts[1]


def test_a_finite_domain_is_enumerated_within_the_budget() -> None:
    seen, points = set(), 11 * 3 * 3 * 2
    for seed in range(6):
        problem, weights = random_net(seed, (5,), "tanh")
        predictor = Predictor(problem.model, weights)
        whole = Monotone(increasing=("a",), whole=("a", "b"))
        found = whole.certify(predictor, problem, points)
        assert found.work == points
        seen.add(found.verdict)
        if Monotone(increasing=("a",)).certify(predictor, problem, 20_000).verdict == "held":
            assert found.verdict == "held"
        if found.verdict == "violated":
            low, high = found.witness.units["a"]
            assert high - low == pytest.approx(1.0)
            assert contradicts(found.witness, predictor, 1)
        fewer = whole.certify(predictor, problem, points - 1)  # not enumerated, and bounded
        assert fewer.work < points
        assert {fewer.verdict, found.verdict} != {"held", "violated"}
        if fewer.verdict == "violated":
            assert contradicts(fewer.witness, predictor, 1)
            values = [v for name in ("a", "b") for v in fewer.witness.units[name]]
            assert values == pytest.approx([round(v) for v in values], abs=1e-9)
    assert seen == {"held", "violated"}


def test_round_off_of_a_finite_domain_is_that_of_its_largest_inputs() -> None:
    """The domain has the upper end of one range and the lower end of another."""
    problem, weights = random_net(1, (5,), "tanh")
    predictor, kept = Predictor(problem.model, weights), {"a": (8.0, 10.0), "b": (-1.0, 0.0)}
    declared = Monotone(increasing=("a",), whole=("a", "b"), domain=kept)
    found = declared.certify(predictor, problem, 1_000)
    assert found.domain.startswith("all")
    x = problem.domain.narrowed(kept).draw(500, torch.Generator().manual_seed(0))
    corner = x.abs().max(dim=0).values
    assert found.tolerance >= 2 * float(round_off.of_outputs(predictor, corner[None]))


def test_a_huge_finite_domain_is_not_counted_one_by_one() -> None:
    """A column of 10^15 whole numbers: neither a list of them is made nor the budget passed."""
    problem, weights = random_net(1, (4, 3), "tanh")
    wide = (Column("a", None, 0.0, 1e15), *COLUMNS[1:])
    problem = replace(problem, domain=domain_of(wide))
    declared = Monotone(increasing=("a",), whole=("a", "b"))
    found = declared.certify(Predictor(problem.model, weights), problem, 1)
    assert found.verdict in ("unknown", "violated")
    assert found.work <= 2


def cancelling(seed: int, activation: str) -> Net:
    """A net whose first layer is sums of large terms that nearly cancel."""
    draws = np.random.default_rng(seed)
    inputs, units = domain_of(COLUMNS).inputs, 4
    w = draws.normal(size=(units, inputs)) * 10.0 ** draws.integers(0, 9, size=(units, 1))
    w[:, 0] = draws.normal(size=units)  # weights of the input whose slope is bounded do not cancel
    return Net((w, draws.normal(size=(1, units))), (np.zeros(units), np.zeros(1)), activation)


def exact_slope(net: Net, x: np.ndarray, place: int, number: type) -> Fraction | Decimal:
    """The slope at `x` (inputs,) by exact sums and products; tanh to 100 digits."""
    x, (first, last), bias = [number(v) for v in x], net.weights, net.biases[0]
    total = number(0)
    for row, b, v in zip(first, bias, last[0], strict=True):
        p = sum((number(w) * one for w, one in zip(row, x, strict=True)), number(b))
        steep = number(int(p > 0)) if net.activation == "relu" else 4 / (p.exp() + (-p).exp()) ** 2
        total += number(v) * number(row[place]) * steep
    return total


@pytest.mark.parametrize(("activation", "number"), [("relu", Fraction), ("tanh", Decimal)])
def test_bounds_are_rounded_outwards(activation: str, number: type) -> None:
    """Where a unit nearly cancels, float64 has it on the wrong side of its kink.

    A bound of a box that is a point is the slope there, up to the round-off that is taken off.
    """
    domain = domain_of(COLUMNS)
    wrong, tight = 0, 0
    with localcontext(prec=100):
        for seed in range(40):
            net = cancelling(seed, activation)
            x = domain.draw(1, torch.Generator().manual_seed(seed)).numpy()
            # by the kink, or where tanh' changes fast; rounded, so no unit is there in truth
            net.biases[0][:] = (activation == "tanh") - net.weights[0] @ x[0]
            chosen = x > 0
            chosen[:, [one.places[0] for one in domain.numbers]] = True
            point = Boxes(domain, x, x, chosen)
            for sign in (1, -1):
                bound = float(slope_bounds(net, point, 0, sign).values[0])
                exact = sign * exact_slope(net, x[0], 0, number)
                assert number(bound) <= exact
                wrong += number(sign * float(net.slopes(x, 0)[0])) > exact
                tight += float(exact) - bound <= 1e-6 * (1 + abs(float(exact)))
    assert wrong > 10  # computed plainly it is above
    assert tight > 10 or activation == "relu"  # of a kink nothing is known but both sides


def ends_of_ranges() -> np.ndarray:
    """Ranges (200, 2) of all sizes, around 0 and off it."""
    draws = np.random.default_rng(0)
    return np.sort(draws.normal(size=(200, 2)) * 10.0 ** draws.integers(-8, 2, size=(200, 1)))


def points_between(low: float, high: float) -> list[Decimal]:
    """Some points of a range."""
    points = [Decimal(low + share * (high - low)) for share in np.linspace(0, 1, 9)]
    return [p for p in points if Decimal(low) <= p <= Decimal(high)]


def test_lines_of_tanh_stay_on_their_side() -> None:
    ends = ends_of_ranges()
    alpha, below, above = _tanh_lines(ends[:, :1], ends[:, 1:])
    with localcontext(prec=60):
        for number, (low, high) in enumerate(ends):
            for p in points_between(low, high):
                slope = 4 / (p.exp() + (-p).exp()) ** 2
                line = Decimal(alpha[number, 0]) * p
                assert line + Decimal(below[number, 0]) <= slope
                assert slope <= line + Decimal(above[number, 0])


def test_lines_of_relu_stay_on_their_side_up_to_the_longest() -> None:
    ends, room = ends_of_ranges(), Decimal("1e-15")  # of the rounding of 1 / u: `_Sum.room` has it
    up, down = (_relu_lines(np.full((200, 1), c), ends[:, :1], ends[:, 1:]) for c in (1.0, -1.0))
    assert min((up > 0).sum(), (down > 0).sum()) > 50
    with localcontext(prec=60):
        for number, (low, high) in enumerate(ends):
            off, on = Decimal(int(low > 0)), Decimal(int(high >= 0))
            for p in points_between(low, high):
                slope = Decimal(int(p > 0))
                for share in (Decimal(0), Decimal("0.3"), Decimal(1)):
                    assert share * Decimal(up[number, 0]) * p + off <= slope + room
                    assert slope <= share * Decimal(down[number, 0]) * p + on + room


def test_relu_units_that_take_turns_are_held_in_one_box() -> None:
    """One of two units is on everywhere, and outweighs a third: a sum of their lines shows it.

    The first is off on the longer side of its range, where an alpha of 0 is the best by itself.
    """
    domain = domain_of(COLUMNS)
    place = domain.number("a").places[0]
    w = np.zeros((3, domain.inputs))
    w[:, place] = 1.0, -1.0, 1.0
    net = Net(
        (w, np.array([[1.0, -1.0, -0.01]])), (np.array([-0.1, 0.3, 0.0]), np.zeros(1)), "relu"
    )
    (lower,), (upper,) = Boxes.whole(domain).ranges(w[:1], net.biases[0][:1])
    assert upper < -lower
    found = slope_bounds(net, Boxes.whole(domain), place, 1).values[0]
    assert 0 <= found <= net.slopes(grid(domain).numpy(), place).min() + 1e-12


@pytest.mark.parametrize("hidden", [(6,), (5, 4)])
def test_outputs_are_as_near_to_real_arithmetic_as_is_said(hidden: tuple[int, ...]) -> None:
    """Exact fractions give the true outputs of nets of ReLU, whose terms cancel."""
    for seed in range(6):
        problem, weights = random_net(seed, hidden, "relu", scale=10.0**seed)
        predictor = Predictor(problem.model, weights)
        x = problem.domain.draw(3, torch.Generator().manual_seed(seed))
        said = round_off.of_outputs(predictor, x)
        values, layers = outputs(predictor, x), round_off.layers(problem.model, weights)
        for row, value, room in zip(x.tolist(), values.tolist(), said.tolist(), strict=True):
            h = [Fraction(v) for v in row]
            for number, (matrix, bias) in enumerate(layers):
                h = [
                    sum((Fraction(w) * v for w, v in zip(line, h, strict=True)), Fraction(b))
                    for line, b in zip(matrix.tolist(), bias.tolist(), strict=True)
                ]
                h = h if number == len(layers) - 1 else [max(v, Fraction(0)) for v in h]
            assert abs(Fraction(value) - (h[1] - h[0])) <= Fraction(room)
            assert (
                room <= 1e-12 * 10.0 ** (seed * len(layers)) * 1e3
            )  # it is not so wide as to say nothing


def test_round_off_is_no_violation() -> None:
    """Units that cancel in real arithmetic, and leave 1e-10 of either sign in float64."""
    problem = table(MLPSpec(kind="mlp", hidden=(14,), activation="tanh"))
    draws = torch.Generator().manual_seed(0)
    named = {k: torch.zeros(s, dtype=torch.float64) for k, s in problem.model.shapes.items()}
    first, _, last, _ = named
    half = torch.randn(7, problem.domain.inputs, generator=draws, dtype=torch.float64)
    named[first], big = torch.cat([half, half]), 1e6 * torch.rand(7, generator=draws).double()
    named[last][1] = torch.cat([big, -big])
    weights = torch.cat([part.flatten() for part in named.values()])
    predictor = Predictor(problem.model, weights)
    values = outputs(predictor, grid(problem.domain, 11))
    assert 1e-11 < float(values.abs().max()) < 1e-8
    declared = Monotone(increasing=("a",), whole=("a", "b"))
    found = declared.certify(predictor, problem, 1000)
    assert found.verdict == "held"
    assert 1e-10 < found.tolerance < 1e-6


def test_nets_of_the_set_are_monotone_everywhere() -> None:
    for hidden, activation in (((5,), "tanh"), ((4, 3), "relu")):
        problem = table(MLPSpec(kind="mlp", hidden=hidden, activation=activation))
        declared = Monotone(increasing=("a",), decreasing=("b",), enforce="release")
        draws = torch.Generator().manual_seed(0)
        within = declared.within(problem)
        for _ in range(5):
            weights = torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
            predictor = Predictor(problem.model, within.project(3 * weights))
            assert declared.certify(predictor, problem, 1).verdict == "constructed"
            free = declared.model_copy(update={"enforce": "never"})
            assert free.certify(predictor, problem, 20_000).verdict == "held"
            assert declared.attack(predictor, problem, draws) is None


# --- every input of COMPAS -----------------------------------------------------------------------

#: Profiles of compas-monotone-mlp all of whose nets are held against every input of the declared
#: domain, e.g. `LETHE_NETS=plain,penalty`: a processor minute each, which the nets take to train.
NETS = os.environ.get("LETHE_NETS", "")
PROFILES = {"plain": None} | {name: name for name in ("penalty", "release", "construction")}
COUNTS = ("juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")


class Cover:
    """A search for a fall among all inputs of a domain of categories and whole numbers.

    Code of its own, for nets of one layer of tanh. A block has a range of each number and one
    category of each column. What a step does is computed at an input in its middle. At the others
    it differs by no more than a gradient and |tanh'''| <= min(2, 4 tanh') allow. Nor is it less
    than the sum of what each unit does at least. Where both leave room for a fall the block is
    cut, down to single inputs.

    Attributes:
        looked_at: inputs that were computed one by one.
    """

    def __init__(self, domain: Domain) -> None:
        self.numbers, self.looked_at = domain.numbers, 0
        self.categories = torch.zeros(1, domain.inputs, dtype=torch.float64)
        for one in domain.categories:
            rows = self.categories.repeat_interleave(len(one.places), dim=0)
            chosen = torch.tensor(one.places).repeat(len(self.categories))
            rows[torch.arange(len(rows)), chosen] = one.scaled(1.0)
            self.categories = rows

    def least_step(self, net: Net, one: Sign, enough: float = -1e-9) -> float:
        """The least computed change of the output by a step of 1; below `enough` if any is."""
        w, v = torch.from_numpy(net.weights[0]), one.sign * torch.from_numpy(net.weights[1][0])
        half = torch.tensor([f.half for f in self.numbers], dtype=torch.float64)
        weights = w[:, [f.places[0] for f in self.numbers]] / half  # of whole numbers
        middle = torch.tensor([f.middle for f in self.numbers], dtype=torch.float64)
        start = self.categories @ w.T + torch.from_numpy(net.biases[0]) - weights @ middle
        axis = self.numbers.index(one.feature)
        ends = torch.tensor([(f.low, f.high - (f == one.feature)) for f in self.numbers]).long()
        low, high = (side.repeat(len(start), 1) for side in ends.T)
        stack, least = [(torch.arange(len(start)), low, high)], math.inf
        while stack and least >= enough:
            number, low, high = stack.pop()
            at, self.looked_at = (low + high) // 2, self.looked_at + len(number)
            reach, p = (high - at).double(), start[number] + at.double() @ weights.T
            rise, room = self._step(p, weights, v, axis, reach)
            least = min(least, float(rise.min()))
            alone = self._least_of_units(p, weights, v, axis, reach)
            bad = torch.maximum(rise - room.sum(dim=1), alone) < enough
            cut = room[bad].argmax(dim=1, keepdim=True)
            number, low, high, at = (part[bad] for part in (number, low, high, at))
            ends = torch.cat([low, low.scatter(1, cut, at.gather(1, cut) + 1)])
            tops = torch.cat([high.scatter(1, cut, at.gather(1, cut)), high])
            parts = (part.split(4096) for part in (number.repeat(2), ends, tops))
            stack += [part for part in zip(*parts, strict=True) if len(part[0])]
        return least

    def _step(
        self,
        p: torch.Tensor,
        weights: torch.Tensor,
        v: torch.Tensor,
        axis: int,
        reach: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a step does at inputs, (m,), and how much less it may within reach, by number."""
        q = weights[:, axis]
        here, there, spread = torch.tanh(p), torch.tanh(p + q), reach @ weights.abs().T
        gradient = ((here.square() - there.square()) * v) @ weights
        near = ((p + q / 2).abs() - q.abs() / 2 - spread).clamp(min=0)  # least |p| within reach
        third = (4 - 4 * torch.tanh(near).square()).clamp(max=2)
        curved = (third * (v * q).abs() * spread) @ weights.abs() / 2
        return (there - here) @ v, (gradient.abs() + curved) * reach

    def _least_of_units(
        self,
        p: torch.Tensor,
        weights: torch.Tensor,
        v: torch.Tensor,
        axis: int,
        reach: torch.Tensor,
    ) -> torch.Tensor:
        """The sum of what each unit does at least in a step within reach of inputs, (m,).

        tanh(p + q) - tanh(p) is extreme at the ends of the unit's range and at p = -q / 2 only.
        """
        q, spread = weights[:, axis], reach @ weights.abs().T
        low, high = p - spread, p + spread
        peak = torch.maximum(torch.minimum(-q / 2, high), low)
        changes = [v * (torch.tanh(end + q) - torch.tanh(end)) for end in (low, high, peak)]
        return torch.stack(changes).amin(dim=0).sum(dim=1)


class Looked(Monotone):
    """Property `monotone` that keeps every net it was asked about, with its finding."""

    seen: ClassVar[dict[bytes, tuple[Predictor, Finding, Problem]]] = {}

    def certify(self, predictor: Predictor, problem: Problem, budget: int) -> Finding:
        found = super().certify(predictor, problem, budget)
        self.seen[predictor.weights.numpy().tobytes()] = (predictor, found, problem)
        return found


def compas_nets(profile: str | None) -> Iterator[tuple[Predictor, Finding, Problem]]:
    """Every net that a profile's records judge: originals, retrained ones and releases."""
    experiment = load("compas-monotone-mlp", profile)
    declared = experiment.problem.kept_property.model_dump()
    declared = Looked(**{key: value for key, value in declared.items() if key != "name"})
    problem = experiment.problem.model_copy(update={"kept_property": declared})
    experiment = experiment.model_copy(update={"problem": problem})
    for seed in experiment.seeds:
        bench = None
        for row in rows_of(experiment):
            cell = Cell.of(experiment, row, find(row.method), seed, "cpu")
            bench = bench or Workbench(cell.inputs, torch.device("cpu"), None)
            assert run_cell(cell, bench, lambda _: None).status == "ok"
            yield from Looked.seen.values()
            Looked.seen.clear()


def two_compas_nets() -> Iterator[tuple[Predictor, Finding, Problem]]:
    """A plain net and one with a penalty, as the experiment trains them."""
    for profile in (None, "penalty"):
        spec = load("compas-monotone-mlp", profile).problem
        problem, _ = build(spec, Seeds.all(0), "cpu")
        weights = problem.fit(torch.arange(len(problem.train)), torch.Generator().manual_seed(0))
        predictor = Predictor(problem.model, weights)
        yield predictor, spec.kept_property.certify(predictor, problem, 200_000), problem


def test_a_cover_finds_a_fall_where_there_is_one() -> None:
    """Against what the log odds are at every input, one by one."""
    seen = Counter()
    for seed in range(24):
        problem, weights = random_net(seed, (5,), "tanh")
        predictor, cover = Predictor(problem.model, weights), Cover(problem.domain)
        for sign in (1, -1):
            one = Sign(problem.domain.number("a"), sign)
            values = outputs(predictor, whole_grid(problem.domain))
            least = float((sign * values.reshape(11, -1).diff(dim=0)).min())
            found = cover.least_step(as_net(problem, weights), one)
            assert found >= least - 1e-12
            assert (found < -1e-9) == (least < -1e-9)
            seen[found < -1e-9] += 1
        assert cover.looked_at <= 2 * 10 * 3 * 3 * 2
    assert min(seen.values()) > 5


def test_a_cover_of_saturated_units_does_not_look_at_every_input() -> None:
    """Weights of thousands, as much noise leaves them, that are projected: each unit rises.

    A step does next to nothing at most inputs, and Taylor's remainder says nothing of any.
    """
    wide = (Column("a", None, 0.0, 200.0), COLUMNS[1], Column("b", None, 0.0, 200.0), COLUMNS[3])
    problem = replace(
        table(MLPSpec(kind="mlp", hidden=(32,), activation="tanh")), domain=domain_of(wide)
    )
    draws = torch.Generator().manual_seed(0)
    weights = 500 * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
    weights = Monotone(increasing=("a",)).within(problem).project(weights)
    cover = Cover(problem.domain)
    assert cover.least_step(as_net(problem, weights), Sign(problem.domain.number("a"), 1)) >= 0
    assert cover.looked_at == 3 * 2


def whole_grid(domain: Domain) -> torch.Tensor:
    """All rows of whole numbers, those of the first column outermost."""
    levels = [range(11), range(-1, 2), range(3), range(2)]
    a, b, c, d = torch.cartesian_prod(*(torch.tensor(list(one)) for one in levels)).T
    x, rows = torch.zeros(len(a), domain.inputs, dtype=torch.float64), torch.arange(len(a))
    for values, one in zip((a, b), domain.numbers, strict=True):
        x[:, one.places[0]] = (values.double() - one.middle) / one.half
    for chosen, one in zip((c, d), domain.categories, strict=True):
        x[rows, torch.tensor(one.places)[chosen]] = one.scaled(1.0)
    return x


@pytest.mark.skipif(bool(catalogue.find("compas").absent()), reason="COMPAS is not here")
def test_verdicts_agree_with_the_inputs_of_compas() -> None:
    """No net that is said to be monotone falls, at any of 1.1 thousand million inputs.

    One that is said to be violated falls there, or between them, where its pair is. A plain run
    looks at two nets, `LETHE_NETS` at all of the records'.
    """
    nets = {name: compas_nets(PROFILES[name]) for name in NETS.split(",") if name}
    told, known, looked_at = Counter(), set(), 0
    for source, found_there in (nets or {"two nets": two_compas_nets()}).items():
        for predictor, found, problem in found_there:
            if (name := predictor.weights.numpy().tobytes()) in known:
                continue
            known.add(name)
            cover, signs = Cover(problem.domain), Monotone(increasing=COUNTS).signs(problem)
            members = [as_net(problem, weights) for weights in predictor.members]
            step = min(cover.least_step(net, one) for net in members for one in signs)
            looked_at += cover.looked_at
            told[f"{found.verdict}, {'rises' if step >= -1e-9 else 'falls'}"] += 1
            if found.verdict == "violated":
                assert contradicts(found.witness, predictor, 1)
            else:
                smallest = min(1 / one.feature.half for one in signs)
                assert step >= found.margin * smallest - 1e-9
        print(f"up to {source}: {dict(told)}, {looked_at:,} inputs computed", flush=True)
    assert {"held, rises"} < set(told) or NETS
    assert not set(told) & {"held, falls", "constructed, falls"}


# --- heads -------------------------------------------------------------------------------------


def test_a_witness_fails_again_when_it_is_read_from_a_record() -> None:
    problem = table()
    draws, seen = torch.Generator().manual_seed(1), set()
    for _ in range(20):
        weights = torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
        predictor = Predictor(problem.model, weights)
        found = Monotone(increasing=("a", "b")).certify(predictor, problem, 1)
        again = Finding.model_validate_json(found.model_dump_json())
        assert again == found
        seen.add(found.verdict)
        if found.verdict == "violated":
            pair = again.witness
            assert contradicts(pair, predictor, 1)
            x = torch.tensor([pair.x, pair.other], dtype=torch.float64)
            assert outputs(predictor, x).tolist() == [pair.value, pair.other_value]
            problem.domain.check(x)
    assert seen == {"held", "violated"}


def test_survival_is_what_draws_of_the_noise_give() -> None:
    problem, sigma = table(), 0.3
    declared = Monotone(increasing=("a", "b"))
    weights = torch.zeros(problem.model.dimension, dtype=torch.float64)
    weights[:2] = torch.tensor([-0.2, 0.0])
    weights = declared.within(problem).project(weights)
    predicted = declared.survival(weights, problem, sigma)
    noise = torch.randn(
        20_000, len(weights), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    within = declared.within(problem)
    held = (within.margins(weights + sigma * noise) >= 0).all(dim=1).double().mean()
    assert abs(float(held) - predicted) <= 3 * math.sqrt(predicted * (1 - predicted) / 20_000)
    zero = torch.zeros_like(weights)
    assert declared.survival(zero, problem, sigma) == pytest.approx(2.0**-2)


@pytest.mark.parametrize("enforce", ["release", "training"])
def test_what_is_projected_has_it_at_any_noise(enforce: str) -> None:
    declared = Monotone(increasing=("a",), decreasing=("b",), enforce=enforce)
    problem = with_property(table(), declared)
    draws = torch.Generator().manual_seed(0)
    for sigma in (1e-8, 1.0, 1e4):
        noised = sigma * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
        released = problem.released_within.project(noised)
        found = declared.certify(Predictor(problem.model, released), problem, 1)
        assert found.verdict == "constructed"
        assert found.margin >= 0
    assert problem.constrained == (enforce == "training")


def test_an_ensemble_is_judged_as_one() -> None:
    problem, declared = table(), Monotone(increasing=("a",))
    place, width = problem.domain.number("a").places[0], problem.domain.inputs
    up, down = torch.zeros(2, problem.model.dimension, dtype=torch.float64)
    up[width + place], down[width + place] = 5.0, -1.0
    both = Predictor(problem.model, torch.stack([up, up]))
    assert declared.certify(both, problem, 1).verdict == "held"
    mixed = declared.certify(Predictor(problem.model, torch.stack([up, down])), problem, 1)
    assert mixed.verdict in ("unknown", "violated")
    falling = declared.certify(Predictor(problem.model, torch.stack([down, down])), problem, 1)
    assert falling.verdict == "violated"


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"increasing": ("missing",)}, "feature of a property"),
        ({"increasing": ("c",)}, "categories, which have no order"),
        ({"increasing": ("a",), "domain": {"a": (5.0, 10.0)}}, "leave the declared domain"),
        ({"increasing": ("a",), "domain": {"a": (5.0, 5.0)}}, "is empty"),
        ({"increasing": ("a",), "domain": {"a": (-5.0, 5.0)}}, "leaves the declared range"),
        ({"increasing": ("a",), "whole": ("a",)}, "holds other than whole numbers"),
        ({"increasing": ("a",), "whole": ("c",)}, "categories, which have no order"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(declared: dict, complaint: str) -> None:
    with pytest.raises(LetheError, match=complaint) as error:
        with_property(table(), Monotone(**declared))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({}, "no feature has a sign"),
        ({"increasing": ("a",), "decreasing": ("a",)}, "named twice"),
        ({"increasing": ("a",), "enforce": "always"}, "enforce"),
        ({"increasng": ("a",)}, "did you mean 'increasing'"),
    ],
)
def test_what_contradicts_itself_is_refused(declared: dict, complaint: str) -> None:
    with pytest.raises(LetheError, match=complaint) as error:
        properties.build("monotone", declared)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"increasing": '["bmy"]'}, "unknown feature of a property: 'bmy': did you mean 'bmi'?"),
        ({"increasing": '["sex"]'}, "'sex' holds categories, which have no order"),
        ({"increasing": '"bmi"'}, "increasing: a list is wanted"),
        ({"increasing": "[]"}, "no feature has a sign"),
        ({"decreasing": '["bmi"]'}, "'bmi' is named twice"),
        ({"domain": "{ bmi = [20, 25] }"}, "the data leave the declared domain [20, 25] of 'bmi'"),
        ({"domain": "{ bmi = [25, 20] }"}, "bmi = [25, 20] is empty: the lower end comes first"),
        ({"domain": "{ bmi = [0, 99] }"}, "leaves the declared range [10, 50]: keep within it"),
        ({"domain": "{ bmi = [20, 25, 30] }"}, "domain.bmi: 2 or fewer values are wanted, not 3"),
        ({"domain": "{ sex = [0, 1] }"}, "name a column of numbers"),
        ({"name": '"monotonic"'}, "unknown property 'monotonic': did you mean 'monotone'?"),
        ({"name": "3"}, "set its name in a table, e.g. [property] name = 'monotone'"),
        ({"weight": "10.0"}, "property.weight is of a penalty"),
        ({"enforce": '"always"'}, "'never', 'release' or 'training'"),
        ({"enforce": '"training"'}, "none of its methods goes with its problem (newton)"),
        ({"problem": "3"}, "problem: a table is wanted"),
        ({"problem": '{ data = "diabetes", features = "standardised" }'}, "a learnt scale depends"),
        ({"problem": '{ data = "digits" }'}, "take a table whose numbers have ranges"),
        (
            {"problem": '{ training = { algorithm = "newton-cg", radius = 1 } }'},
            "problem.training.newton-cg.radius: there is no such setting (and",
        ),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_in_one_line(
    changes: dict[str, str], complaint: str, lethe: Run
) -> None:
    said = {"name": '"monotone"', "increasing": '["bmi"]', "problem": '{ data = "diabetes" }'}
    said |= changes
    problem = said.pop("problem")
    declared = "".join(f"{key} = {value}\n" for key, value in said.items())
    Path("study.toml").write_text(
        f'seeds = [0]\nmethods = ["newton"]\nproblem = {problem}\n'
        f"[property]\n{declared}[forget]\ncount = 5\n[target]\ndistance = 1e-2\n",
        encoding="utf-8",
    )
    refused(lethe("run", "study.toml", "--no-board"), complaint)


def test_a_range_without_a_whole_number_is_refused() -> None:
    problem = replace(table(), domain=domain_of((Column("a", None, 0.2, 0.8), *COLUMNS[1:])))
    with pytest.raises(LetheError, match=r"no whole number is in \[0\.2, 0\.8\]"):
        with_property(problem, Monotone(increasing=("a",), whole=("a",)))


def test_training_within_a_cone_without_a_ridge_is_refused() -> None:
    problem = replace(table(), objective=Objective(loss="cross_entropy", ridge=0.0))
    with pytest.raises(LetheError, match=r"set problem\.objective\.ridge above 0"):
        with_property(problem, Monotone(increasing=("a",), enforce="training"))


def test_a_scale_that_is_learnt_from_rows_is_refused() -> None:
    with pytest.raises(LetheError, match="a learnt scale depends on rows that may be forgotten"):
        with_property(replace(table(), domain=None), Monotone(increasing=("a",)))


def test_more_classes_and_other_nets_are_refused() -> None:
    with pytest.raises(LetheError, match="two classes"):
        with_property(table(classes=3), Monotone(increasing=("a",)))
    gelu = table(MLPSpec(kind="mlp", hidden=(3,), activation="gelu"))
    with pytest.raises(LetheError, match="no convex set of weights"):
        with_property(gelu, Monotone(increasing=("a",), enforce="release"))
    assert (
        Monotone(increasing=("a",))
        .certify(Predictor(gelu.model, torch.ones(gelu.model.dimension).double()), gelu, 10)
        .verdict
        == "unknown"
    )


# --- the contract, over all that is found --------------------------------------------------------


def example(cls: type[Property]) -> Property:
    """A property that says something of `table()`."""
    return Radius(radius=0.05) if cls is Radius else cls(increasing=("a",))


@pytest.mark.parametrize("cls", properties.discover().values(), ids=properties.discover())
def test_every_property_keeps_the_contract(cls: type[Property]) -> None:
    problem, declared = table(), example(cls)
    declared.check(problem)
    draws = torch.Generator().manual_seed(0)
    within, verdicts, pairs = declared.within(problem), set(), []
    for scale in (0.0, 1.0, 30.0):
        for _ in range(6):
            w = scale * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
            predictor = Predictor(problem.model, w)
            found = declared.certify(predictor, problem, 1000)
            assert found == declared.certify(predictor, problem, 1000)  # no clock decides
            assert Finding.model_validate_json(found.model_dump_json()) == found
            verdicts.add(found.verdict)
            if found.verdict in ("held", "constructed"):
                assert declared.attack(predictor, problem, draws) is None
            else:
                pairs.append(declared.attack(predictor, problem, draws))
            if within is not None:
                projected = Predictor(problem.model, within.project(w))
                good = declared.certify(projected, problem, 1000)
                assert good.verdict in ("held", "constructed")
    assert "violated" in verdicts
    assert any(pairs), "an attack that never finds a pair says nothing where it finds none"
    assert (
        properties.build(
            declared.name, {k: v for k, v in declared.model_dump().items() if k != "name"}
        )
        == declared
    )


def test_a_property_that_no_verdict_was_looked_at_of_says_so() -> None:
    class OfNets(Radius):
        def check(self, problem: Problem) -> None:
            raise LetheError("it is of nets")

    assert [rule for rule, _ in checked(OfNets)][1:] == [
        "it refuses a head of two classes, so no verdict was looked at (it is of nets)"
    ]
    assert {wrong for _, wrong in checked(Radius)} == {""}
    assert len(list(checked(Radius))) > 2


def test_the_radius_is_where_the_class_changes() -> None:
    problem = table()
    weights = problem.fit(torch.arange(60), torch.Generator().manual_seed(0))
    predictor = Predictor(problem.model, weights)
    right = predictor.log_probabilities(problem.test.x).argmax(dim=1) == problem.test.y
    problem = replace(problem, test=problem.test.take(right.nonzero()[:, 0]))
    radii, _ = Radius(radius=1.0)._radii(predictor, problem)
    least = float(radii.min())
    assert Radius(radius=0.999 * least).certify(predictor, problem, 1).verdict == "held"
    wide = Radius(radius=1.001 * least).certify(predictor, problem, 1)
    assert wide.verdict == "violated"
    assert wide.witness.value > 0 > wide.witness.other_value


def test_a_tie_with_the_radius_is_not_left_to_round_off() -> None:
    """A row whose distance is the radius, in units in which neither is a binary fraction."""
    problem = table()
    width = problem.domain.inputs
    x, verdicts = torch.zeros(1, width, dtype=torch.float64), set()
    for number in range(1, 60):
        distance = number / 10 / 3
        x[0, 0] = distance
        test = Rows(x.clone(), torch.tensor([1]))
        weights = torch.zeros(problem.model.dimension, dtype=torch.float64)
        weights[0], weights[width] = -0.7, 0.7  # the class changes at 0, `distance` away
        tied = replace(problem, test=test)
        predictor = Predictor(problem.model, weights)
        found = Radius(radius=0.1 * number / 3).certify(predictor, tied, 1)
        verdicts.add(found.verdict)
        assert abs(found.margin) <= 1e-12
        assert found.tolerance == 1e-9
        assert found.share == 1
        assert (
            Radius(radius=0.1 * number / 3).attack(
                predictor, tied, torch.Generator().manual_seed(0)
            )
            is None
        )
        longer = Radius(radius=0.1 * number / 3 + 1e-8).certify(predictor, tied, 1)
        assert longer.verdict == "violated"
    assert verdicts == {"held"}


def test_a_projected_release_says_what_it_was_projected_from() -> None:
    from benchmark.runner.properties import _check_projection

    problem = with_property(table(), Monotone(increasing=("a",), enforce="release"))
    noised = -torch.ones(problem.model.dimension, dtype=torch.float64)
    noised[0] = 3.0
    state = State(noised, torch.arange(60))
    good = Predictor(problem.model, problem.released_within.project(noised))
    _check_projection(problem, Release(good, state, None, unprojected=noised))
    bad = Predictor(problem.model, noised)
    with pytest.raises(LetheError, match="not the projection"):
        _check_projection(problem, Release(bad, state, None, unprojected=noised))
    with pytest.raises(LetheError, match=r"publish it by request\.release"):
        _check_projection(problem, Release(good, state, None))


# --- whole runs ----------------------------------------------------------------------------------


def test_the_pages_study_runs_and_its_witness_fails_again(tmp_path: Path) -> None:
    """`[property]` in a file, the verdicts in its records, and a pair that is replayed from one."""
    written("properties", tmp_path)
    study = (tmp_path / "monotone.toml").read_text(encoding="utf-8")
    assert 'enforce = "release"' in study
    free = study.replace('"release"', '"never"').replace('["bmi", "bp", "s5"]', '["s2"]')
    (tmp_path / "free.toml").write_text(free, encoding="utf-8")
    command = ["-m", "lethe", "run", "monotone.toml", "free.toml", "--no-board"]
    (out,) = python(tmp_path, command)
    assert "6 cells run, 0 kept, 0 failed" in out
    for method in ("nothing", "retrain", "newton"):
        record = read_record(tmp_path / "runs" / "monotone" / method / "seed-0.json")
        assert record.kept.after.verdict == "constructed"
        assert record.claim is None or record.claim.projected
    record = read_record(tmp_path / "runs" / "free" / "retrain" / "seed-0.json")
    inputs = Inputs.read(record.inputs, "the record")
    assert inputs.key == record.key
    problem, _ = build(inputs.problem, inputs.seeds, "cpu")
    (forget,) = inputs.forget.draw(torch.arange(len(problem.train)), inputs.seeds)
    retain = torch.arange(len(problem.train))
    retain = retain[~torch.isin(retain, forget)]
    weights = problem.fit(retain, inputs.seeds.generator("training"))
    pair = record.kept.after.witness
    assert contradicts(pair, Predictor(problem.model, weights), 1)
    assert pair.units["s2"] == (pytest.approx(20.0), pytest.approx(300.0))


def test_the_pages_own_property_works_as_the_contract_asks() -> None:
    (body,) = blocks("properties", "python")
    names: dict = {"__name__": "bounded"}
    exec(body, names)
    declared, problem = names["Bounded"](bound=0.5, enforce="release"), table()
    problem = with_property(problem, declared)
    weights = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert declared.certify(Predictor(problem.model, weights), problem, 1).verdict == "violated"
    released = Predictor(problem.model, problem.released_within.project(weights))
    assert declared.certify(released, problem, 1).verdict == "held"


def test_without_a_property_an_experiment_says_what_it_said() -> None:
    """No key of a record knows of properties where none is declared."""
    plain = load("digits-softmax")
    assert "kept_property" not in plain.problem.model_dump(mode="json")
    assert "kept_property" not in facts_of(plain).model_dump(mode="json")
    declared = load("diabetes-monotone", "release")
    again = type(declared.problem).model_validate(declared.problem.model_dump(mode="json"))
    assert again == declared.problem
    assert declared.problem.kept_property.enforce == "release"
    assert facts_of(declared).enforce == "release"


def test_where_training_is_constrained_bounds_by_the_gradient_are_refused() -> None:
    problem = with_property(table(), Monotone(increasing=("a",), enforce="training"))
    rows = torch.arange(len(problem.train))
    state = State(problem.fit(rows, torch.Generator().manual_seed(0)), rows)
    request = Request.of(problem, state, torch.tensor([1, 2]), target=Target(distance=0.1))
    with pytest.raises(AssumptionBroken, match="takes the gradient to vanish"):
        find("newton-iterated").method().answer(request)
    release = find("cone-newton").method().answer(request)
    retrained = problem.fit(request.retain, torch.Generator().manual_seed(0))
    assert (release.state.weights - retrained).norm() <= release.claim.evidence.reached
    assert problem.released_within.has(release.predictor.weights)
    constrained = {row.method for row in rows_of(load("compas-monotone", "training"))}
    assert "cone-newton" in constrained
    assert not constrained & {"newton", "newton-iterated", "newton-chord"}


def test_the_fewest_rows_break_the_retrained_head_and_one_less_does_not() -> None:
    problem = table(n=80)
    declared = Monotone(increasing=("b",))
    constraints, index = declared.constraints(problem), torch.arange(80)
    weights = problem.fit(index, torch.Generator().manual_seed(0))
    sign = 1 if float(constraints[0].dot(weights)) > 0 else -1
    found = fewest_rows(problem, weights, index, sign * constraints)

    def margin(removed: torch.Tensor) -> float:
        kept = index[~torch.isin(index, removed)]
        return sign * float(constraints[0].dot(problem.fit(kept, torch.Generator().manual_seed(0))))

    assert margin(found) < 0 <= margin(found[:-1])


def test_the_board_says_what_was_lost_and_shows_the_pair() -> None:
    problem = table()
    weights = torch.zeros(16, dtype=torch.float64)
    declared = Monotone(increasing=("a",))
    held = declared.certify(Predictor(problem.model, weights), problem, 1)
    weights[0] = 1.0
    lost = declared.certify(Predictor(problem.model, weights), problem, 1)
    assert (held.verdict, lost.verdict) == ("held", "violated")
    assert on_the_board.verdicts([held, lost, lost]) == "violated 2, held 1"
    became = Kept(
        name="monotone", declared={}, enforce="release", before=held, after=lost, retrained=held
    )
    assert Kept.model_validate_json(became.model_dump_json()) == became
    assert became.numbers()["property.after.verdict"] == "violated"
    rows = Radius(radius=0.05).certify(Predictor(problem.model, weights), problem, 1)
    assert on_the_board.verdicts([rows]).endswith("% of rows")


def test_the_answer_counts_lost_and_unknown_and_what_was_never_there(tmp_path: Path) -> None:
    common = {"tolerance": 0.0, "work": 1, "domain": "all inputs"}
    pair = Pair(x=(0.0,), other=(1.0,), value=1.0, other_value=0.0)
    held = Finding(verdict="held", margin=1.0, **common)
    unknown = Finding(verdict="unknown", margin=-1.0, **common)
    violated = Finding(verdict="violated", margin=-1.0, witness=pair, **common)

    def cell(label: str, seed: int, before: Finding, after: Finding) -> Record:
        became = Kept(
            name="monotone",
            declared={},
            enforce="never",
            before=before,
            after=after,
            retrained=held,
        )
        return made(label, seed, experiment="one").model_copy(update={"kept": became})

    found = tables(
        tmp_path,
        cell("newton", 0, held, violated),
        cell("newton", 1, violated, violated),
        cell("fine-tune", 0, held, unknown),
        cell("fine-tune", 1, violated, violated),
        facts={"one": facts(group=("properties",), kept_property="monotone", enforce="never")},
    )
    answered = answer.answer(Evidence(found))
    assert "1 of 2 rows lost it, 1 unknown" in answered.short
    assert "2 of 4 originals violate it before any request" in said(answered)
    (cells,) = lines(answered).values()
    assert cells["rows that lost it"] == "Newton"
    assert cells["rows of which it is unknown"] == "Fine-Tune"
    (section,) = on_the_board.sections(found[0])
    befores = {line.title: line.cells[0].aside for line in section.parts[0].lines}
    assert befores == dict.fromkeys(
        ("Newton", "Fine-Tune"), "violated before any request on seed 1"
    )


def test_signs_have_the_places_of_their_columns() -> None:
    problem = table()
    signs = Monotone(increasing=("b",), decreasing=("a",)).signs(problem)
    assert signs == [
        Sign(problem.domain.number("b"), 1),
        Sign(problem.domain.number("a"), -1),
    ]
    assert [one.place for one in signs] == [4, 0]


@pytest.mark.skipif(bool(catalogue.find("compas").absent()), reason="COMPAS is not here")
def test_seven_rows_break_the_retrained_head_of_compas() -> None:
    """Seven rows of 4,937, with logarithms of counts by public caps and ages in three groups."""
    cells = catalogue.find("compas").read("train").columns
    caps = dict(zip(COUNTS, (20, 20, 20, 40), strict=True))
    counts = [np.log1p(np.minimum(cells[k].astype(float), cap)) for k, cap in caps.items()]
    columns = [c / np.log1p(cap) for c, cap in zip(counts, caps.values(), strict=True)]
    columns += [cells["age_cat"] == age for age in sorted(set(cells["age_cat"]))]
    races = ["African-American", "Caucasian", "Hispanic"]
    columns += [*(cells["race"] == race for race in races), ~np.isin(cells["race"], races)]
    columns += [cells["sex"] == "Male", cells["c_charge_degree"] == "F"]
    train = np.random.default_rng(0).permutation(len(columns[0]))[:4937]
    x = torch.from_numpy(np.stack(columns, axis=1).astype(float)[train])
    rows = Rows(x, torch.from_numpy(cells["two_year_recid"].astype(int)[train]))
    problem = replace(
        table(),
        model=Model(SoftmaxSpec(), x.shape[1], 2),
        objective=Objective(loss="cross_entropy", ridge=1e-3),
        training=NewtonTraining(tolerance=1e-10),
        train=rows,
        domain=None,
    )
    index, signs = torch.arange(len(rows)), torch.arange(len(COUNTS))
    constraints = torch.zeros(len(signs), problem.model.dimension, dtype=torch.float64)
    constraints[signs, signs], constraints[signs, x.shape[1] + signs] = -1.0, 1.0
    weights = problem.fit(index, torch.Generator().manual_seed(0))
    assert float((constraints @ weights).min()) > 0
    assert len(fewest_rows(problem, weights, index, constraints)) == 7
