"""Monotonicity: declared inputs may only raise, or only lower, the log odds of the last class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from benchmark.errors import LetheError, present
from benchmark.problem.convex import Both, Box, ConvexSet, Ordered
from benchmark.problem.domain import Domain, Feature
from benchmark.problem.model import Model, Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.properties import round_off
from benchmark.properties.branch import least_slope
from benchmark.properties.finding import Finding, Pair
from benchmark.properties.property import Property
from benchmark.properties.slopes import Net

#: Slopes of a net down to its negative count as held; a head's are exact.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Sign:
    """One declared direction: a column of numbers, and 1 or -1."""

    feature: Feature
    sign: int

    @property
    def place(self) -> int:
        """Column of the input."""
        return self.feature.places[0]


class Monotone(Property):
    """Some inputs may only raise, others only lower, the log odds of the last of two classes.

    Heads are judged exactly, and for all inputs whatever. Nets of tanh or ReLU are judged on the
    declared domain, by branch and bound over their slopes. Where `whole` names every column of
    numbers the domain is finite, and one of no more points than the budget is enumerated.
    """

    name = "monotone"
    title = "Monotone"
    source: ClassVar[str] = (
        "Liu, Han, Zhang, Liu: Certified Monotonic Neural Networks (NeurIPS 2020)"
    )

    #: Columns of numbers that may only raise the log odds of the last class.
    increasing: tuple[str, ...] = Field((), examples=[("x0",)])
    #: Columns that may only lower them.
    decreasing: tuple[str, ...] = Field((), examples=[("x1",)])
    #: Ranges in place of those of the data, in original units.
    domain: dict[str, tuple[float, float]] = Field({}, examples=[{"x0": (-1.0, 1.0)}])
    #: Columns that hold whole numbers only.
    whole: tuple[str, ...] = ()
    #: Of a net: weight of the penalty for slopes below `least` in training.
    weight: float = Field(0.0, ge=0)
    least: float = Field(0.2, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Monotone:
        named = (*self.increasing, *self.decreasing)
        if not named:
            raise ValueError("no feature has a sign: name some in increasing or decreasing")
        for one in named:
            if named.count(one) > 1:
                raise ValueError(
                    f"'{one}' is named twice: a feature is increasing or decreasing, once"
                )
        return self

    def signs(self, problem: Problem) -> list[Sign]:
        """The declared directions.

        Raises:
            LetheError: for a column that is not there or has categories, or without a domain.
        """
        domain = self.over(problem)
        return [Sign(domain.number(name), 1) for name in self.increasing] + [
            Sign(domain.number(name), -1) for name in self.decreasing
        ]

    def over(self, problem: Problem) -> Domain:
        """The domain that the statement is about.

        Raises:
            LetheError: if the problem declares none.
        """
        if problem.domain is None:
            raise LetheError(
                "property monotone needs a declared domain, because a learnt scale depends on rows "
                "that may be forgotten: take a table whose numbers have ranges, with "
                "problem.features = 'declared-ranges'"
            )
        return problem.domain.narrowed(self.domain)

    def check(self, problem: Problem) -> None:
        """Refuse more classes than two, unknown columns, and data that leave the domain.

        Refused as well is a penalty that training does not know of.
        """
        domain, _ = self.over(problem), self.signs(problem)
        if self.weight and (
            _is_head(problem.model) or not isinstance(problem.training, AdamTraining)
        ):
            raise LetheError(
                "property.weight is of a penalty that training.algorithm = 'adam' adds to the loss "
                "of a net: leave it out"
            )
        for name in self.whole:
            if _count(one := domain.number(name)) < 1:
                raise LetheError(
                    f"property.whole: no whole number is in [{one.low:g}, {one.high:g}], the range "
                    f"of '{name}': declare a wider one"
                )
        if problem.model.classes != 2:
            raise LetheError(
                f"property monotone is about the log odds of two classes, and there are "
                f"{problem.model.classes}"
            )
        for rows in (problem.train, problem.test, problem.negatives):
            domain.check(rows.x)
            for name in self.whole:
                _check_whole(rows.x, domain.number(name))

    def within(self, problem: Problem) -> ConvexSet | None:
        """The set: heads with both weights of a feature in order, nets of products >= 0."""
        model = problem.model
        if _is_head(model):
            return _ordered(model, self.signs(problem))
        if _is_net(model):
            return _of_net(model, self.signs(problem))
        return None

    def certify(self, predictor: Predictor, problem: Problem, budget: int) -> Finding:
        """The finding: members one by one; where one is not monotone, a pair of the ensemble.

        Of weights that are not finite nothing is known.
        """
        finite, domain = bool(predictor.members.isfinite().all()), self.over(problem)
        if finite and _is_head(problem.model):
            return self._of_head(predictor, problem)
        if self._why(predictor, problem) == "constructed":
            return Finding(
                verdict="constructed", margin=0.0, tolerance=TOLERANCE, work=0, domain=domain.words
            )
        if not (finite and _is_net(problem.model)):
            return Finding(
                verdict="unknown", margin=None, tolerance=TOLERANCE, work=0, domain=domain.words
            )
        signs, points = self.signs(problem), self._points(domain)
        if points is not None and points <= budget:
            return _enumerated(predictor, domain, signs, points)
        return _bounded(predictor, problem, domain, signs, self.whole, budget)

    def _of_head(self, predictor: Predictor, problem: Problem) -> Finding:
        """The finding on heads: exact, on all inputs; all members must be monotone."""
        domain, signs = self.over(problem), self.signs(problem)
        margins = torch.stack([self.margins(weights, problem) for weights in predictor.members])
        least = margins.min(dim=0).values
        worst, pair = int(least.argmin()), None
        verdict = self._why(predictor, problem)
        if float(least[worst]) < 0:
            falling = [i for i in least.argsort().tolist() if least[i] < 0]
            x = domain.centre
            pair = _first(_pair(predictor, domain, signs[i], self.whole, x) for i in falling)
            if pair is None and len(predictor.members) > 1:
                pair = self.attack(predictor, problem, torch.Generator().manual_seed(0))
            verdict = "unknown" if pair is None else "violated"
        return Finding(
            verdict=verdict,
            margin=float(least[worst]),
            feature=signs[worst].feature.name,
            witness=pair,
            tolerance=0.0,
            work=len(signs),
            domain="all inputs",
        )

    def _why(self, predictor: Predictor, problem: Problem) -> str:
        """`constructed` where a set is enforced and holds the weights, else `held`."""
        declared = self.constraint(problem)
        inside = declared is not None and declared.has(predictor.members)
        return "constructed" if inside else "held"

    def margins(self, weights: Tensor, problem: Problem) -> Tensor:
        """Slopes of a head along the declared directions, (signs,) float64."""
        matrix = problem.model.named(weights.double())["weight"]
        signs = self.signs(problem)
        places = [one.place for one in signs]
        towards = torch.tensor([one.sign for one in signs], dtype=torch.float64)
        return (matrix[1, places] - matrix[0, places]).cpu() * towards

    def survival(self, weights: Tensor, problem: Problem, sigma: float) -> float | None:
        """The product of Phi(margin / (sqrt 2 sigma)): the differences are independent."""
        if not _is_head(problem.model) or weights.ndim > 1:
            return None
        ratios = self.margins(weights, problem) / (2 * sigma)
        return float((0.5 * torch.erfc(-ratios)).prod())

    def constraints(self, problem: Problem) -> Tensor | None:
        """The differences of both weights, of heads."""
        if not _is_head(problem.model):
            return None
        cone = _ordered(problem.model, self.signs(problem))
        number = torch.arange(len(cone.below))
        found = torch.zeros(len(number), problem.model.dimension, dtype=torch.float64)
        found[number, cone.above], found[number, cone.below] = 1.0, -1.0
        return found

    def _points(self, domain: Domain) -> int | None:
        """The number of inputs where the domain is finite, else None."""
        if {one.name for one in domain.numbers} - set(self.whole):
            return None
        return math.prod(_count(one) for one in domain.features)

    def attack(
        self, predictor: Predictor, problem: Problem, generator: torch.Generator
    ) -> Pair | None:
        """Random rows of the domain, each feature moved along its range in 16 steps."""
        domain, rows = self.over(problem), 512
        x = domain.draw(rows, generator)
        for one in self.signs(problem):
            low, high = one.feature.scaled(one.feature.low), one.feature.scaled(one.feature.high)
            levels = torch.linspace(low, high, 17, dtype=torch.float64)
            moved = x.repeat_interleave(len(levels), dim=0)
            moved[:, one.place] = levels.repeat(rows)
            _snap(moved, domain, self.whole)
            rise = one.sign * outputs(predictor, moved).reshape(rows, -1).diff(dim=1)
            if float(rise.min()) < -2 * float(round_off.of_outputs(predictor, moved).max()):
                row, step = divmod(int(rise.argmin()), rise.shape[1])
                ends = moved.reshape(rows, len(levels), -1)[row, step : step + 2]
                return _as_pair(predictor, domain, one.feature.name, ends[0], ends[1])
        return None

    def penalty(self, problem: Problem, weights: Tensor, x: Tensor) -> Tensor | None:
        """Weight times the mean over the batch of relu(least - slope)^2, summed over directions."""
        if not self.weight or _is_head(problem.model):
            return None
        signs = self.signs(problem)

        def odds(rows: Tensor) -> Tensor:
            logits = problem.model(weights, rows)
            return logits[:, 1] - logits[:, 0]

        rows = x.detach().requires_grad_()
        slopes = torch.autograd.grad(odds(rows).sum(), rows, create_graph=True)[0]
        towards = torch.tensor([one.sign for one in signs], dtype=x.dtype, device=x.device)
        short = (self.least - slopes[:, [one.place for one in signs]] * towards).clamp(min=0)
        return self.weight * short.square().sum(dim=1).mean()


def outputs(predictor: Predictor, x: Tensor) -> Tensor:
    """(n,) float64, the log odds of the last class at `x` (n, inputs), computed in float64."""
    double = Predictor(predictor.model, predictor.weights.double())
    found = double.log_probabilities(x.to(predictor.weights.device, torch.float64))
    return (found[:, 1] - found[:, 0]).cpu()


def contradicts(pair: Pair, predictor: Predictor, sign: int) -> bool:
    """Whether a pair, its outputs computed again, shows that a model is not monotone.

    They must differ the wrong way by more than round-off can make up.

    Args:
        pair: with the lower input first.
        predictor: that it is said to contradict.
        sign: that was declared.
    """
    both = torch.tensor([pair.x, pair.other], dtype=torch.float64)
    low, high = outputs(predictor, both)
    return sign * float(high - low) < -float(round_off.of_outputs(predictor, both).sum())


def _first(pairs: Iterator[Pair | None]) -> Pair | None:
    return next((pair for pair in pairs if pair is not None), None)


def _pair(
    predictor: Predictor, domain: Domain, one: Sign, whole: Collection[str], x: Tensor
) -> Pair | None:
    """The steepest fall along a direction through about `x` (inputs,), beyond round-off."""
    x = x.clone()
    _snap(x[None], domain, whole)
    places = _levels(one.feature, float(x[one.place]), one.feature.name in whole)
    both = x.repeat(2, len(places), 1)
    both[:, :, one.place] = torch.tensor(places, dtype=torch.float64).T
    values = outputs(predictor, both.flatten(0, 1)).reshape(2, -1)
    room = round_off.of_outputs(predictor, both.flatten(0, 1)).reshape(2, -1).sum(dim=0)
    rise = one.sign * (values[1] - values[0])
    worst = int(rise.argmin())
    if not float(rise[worst] + room[worst]) < 0:
        return None
    return _as_pair(predictor, domain, one.feature.name, both[0, worst], both[1, worst])


def _pair_near(
    predictor: Predictor, domain: Domain, one: Sign, whole: Collection[str], x: np.ndarray
) -> Pair | None:
    """`_pair` through about a point that branch and bound has found."""
    return _pair(predictor, domain, one, whole, torch.from_numpy(x))


def _levels(one: Feature, at: float, whole: bool) -> list[tuple[float, float]]:
    """Pairs of inputs of a column, the lower one first: steps from `at` up and down, and its range.

    Steps halve from one to the end of the range, or of whole numbers double from 1.
    """
    low, high = _ends(one, whole)
    if whole:
        here = round(at * one.half + one.middle)
        steps = [2**k for k in range(1 + int(max(1, high - low)).bit_length())]
        ends = [(here - step, here) for step in steps] + [(here, here + step) for step in steps]
        ends = [(a, b) for a, b in [*ends, (low, high)] if low <= a < b <= high]
        return [(one.scaled(a), one.scaled(b)) for a, b in ends] or [(at, at)]
    low, high = one.scaled(low), one.scaled(high)
    shares = [2.0**-k for k in range(24)]
    down, up = ([(end - at) * share for share in shares] for end in (low, high))
    ends = [(at + step, at) for step in down] + [(at, at + step) for step in up]
    return [*ends, (low, high)] if low < at < high else ends


def _ends(one: Feature, whole: bool) -> tuple[float, float]:
    """The least and the largest value of a column in original units."""
    return (math.ceil(one.low), math.floor(one.high)) if whole else (one.low, one.high)


def _snap(x: Tensor, domain: Domain, whole: Collection[str]) -> None:
    """Move rows (n, inputs), in place, to the nearest whole numbers of some columns."""
    for name in whole:
        one = domain.number(name)
        low, high = _ends(one, whole=True)
        values = (x[:, one.places[0]] * one.half + one.middle).round().clamp(low, high)
        x[:, one.places[0]] = (values - one.middle) / one.half


def _check_whole(x: Tensor, one: Feature) -> None:
    """Refuse rows (n, inputs) whose column holds other than whole numbers, up to round-off.

    Raises:
        LetheError: naming the column, and no cell.
    """
    values = x[:, one.places[0]].double() * one.half + one.middle
    room = 64 * torch.finfo(x.dtype).eps * (one.half + abs(one.middle))
    if bool(((values - values.round()).abs() > room).any()):
        raise LetheError(
            f"property.whole: '{one.name}' holds other than whole numbers: leave it out of whole"
        )


def _as_pair(predictor: Predictor, domain: Domain, feature: str, x: Tensor, other: Tensor) -> Pair:
    """The pair, with the outputs that the predictor has for it."""
    value, other_value = outputs(predictor, torch.stack([x, other])).tolist()
    units, others = domain.original(x), domain.original(other)
    return Pair(
        x=tuple(x.tolist()),
        other=tuple(other.tolist()),
        value=value,
        other_value=other_value,
        units={name: (units[name], others[name]) for name in units},
        feature=feature,
    )


def _ordered(model: Model, signs: list[Sign]) -> Ordered:
    """A head's cone: the weights of both classes in order, feature by feature."""
    inputs = model.shapes["weight"][1]
    first = torch.tensor([one.place for one in signs])
    up = torch.tensor([one.sign > 0 for one in signs])
    return Ordered(torch.where(up, first, first + inputs), torch.where(up, first + inputs, first))


def _of_net(model: Model, signs: list[Sign]) -> ConvexSet:
    """First weights of declared inputs with their sign, later ones not negative, outputs in order.

    With an increasing activation the slope is then a sum of products of such factors.
    """
    low = torch.full((model.dimension,), -math.inf, dtype=torch.float64)
    high, start, layers = -low, 0, [name for name in model.shapes if name.endswith("weight")]
    pairs = None
    for name, shape in model.shapes.items():
        part = slice(start, start + shape.numel())
        if name == layers[0]:
            first = torch.arange(shape.numel()).reshape(shape) + start
            for one in signs:
                (low if one.sign > 0 else high)[first[:, one.place]] = 0.0
        elif name == layers[-1]:
            rows = torch.arange(shape.numel()).reshape(shape) + start
            pairs = Ordered(rows[0], rows[1])
        elif name in layers:
            low[part] = 0.0
        start += shape.numel()
    return Both(Box(low, high), present(pairs))


def _is_head(model: Model) -> bool:
    """Whether it is one linear layer."""
    return model.spec.widths == ()


def _is_net(model: Model) -> bool:
    """Whether it is fully connected, of tanh or ReLU: no other net has its passes written out."""
    return bool(model.spec.widths)


def _net(model: Model, weights: Tensor) -> Net:
    """The log odds of a net as one output."""
    layers = round_off.layers(model, weights.double().cpu())
    matrices, biases = ([part.numpy() for part in parts] for parts in zip(*layers, strict=True))
    matrices[-1], biases[-1] = (part[1:] - part[:1] for part in (matrices[-1], biases[-1]))
    return Net(tuple(matrices), tuple(biases), model.spec.activation)


def _bounded(
    predictor: Predictor,
    problem: Problem,
    domain: Domain,
    signs: list[Sign],
    whole: Collection[str],
    budget: int,
) -> Finding:
    """The finding on nets, by branch and bound: each feature of each member.

    Slopes are bounded between whole numbers too, but a pair has whole numbers where they are asked.
    """
    nets = [_net(problem.model, weights) for weights in predictor.members]
    found: list[tuple[float, str]] = []
    work, verdict, pair = 0, "held", None
    for one, net in itertools.product(signs, nets):
        outcome = least_slope(
            net,
            domain,
            one.place,
            one.sign,
            budget=budget,
            tolerance=TOLERANCE,
            show=partial(_pair_near, predictor, domain, one, whole),
        )
        work, pair = work + outcome.boxes, outcome.pair
        found.append((outcome.margin, one.feature.name))
        if pair is not None:
            verdict, found = "violated", found[-1:]
            break
        verdict = verdict if outcome.done else "unknown"
    margin, feature = min(found)
    return Finding(
        verdict=verdict,
        margin=_finite(margin),
        feature=feature,
        witness=pair,
        tolerance=TOLERANCE,
        work=work,
        domain=domain.words,
    )


def _finite(margin: float) -> float | None:
    return margin if math.isfinite(margin) else None


def _count(one: Feature) -> int:
    """Number of categories, or of whole numbers, that a column can have."""
    low, high = _ends(one, whole=True)
    return len(one.places) if one.categorical else int(high - low) + 1


def _values(one: Feature) -> list[float]:
    """The inputs that a column of categories or of whole numbers can have."""
    if one.categorical:
        return list(range(len(one.places)))
    low, _ = _ends(one, whole=True)
    return [one.scaled(low + v) for v in range(_count(one))]


def _enumerated(predictor: Predictor, domain: Domain, signs: list[Sign], points: int) -> Finding:
    """Every input of a finite domain, and every step of one along a declared feature.

    A fall that round-off may have made counts as held.
    """
    # no input is larger, though the ends of a one-sided range are met by different rows
    largest = torch.stack(domain.box).abs().amax(dim=0, keepdim=True)
    room = 2 * float(round_off.of_outputs(predictor, largest))
    common = {
        "tolerance": room,
        "work": points,
        "domain": f"all {points:,} inputs of the domain",
    }
    least, feature = math.inf, ""
    for one in signs:
        for x in _lines_along(domain, one):
            lines, steps = x.shape[:2]
            rise = one.sign * outputs(predictor, x.flatten(0, 1)).reshape(lines, steps).diff(dim=1)
            if rise.numel() == 0:
                continue
            worst = float(rise.min())
            if worst < least:
                least, feature = worst, one.feature.name
            if worst < -room:
                line, step = divmod(int(rise.argmin()), steps - 1)
                pair = _as_pair(predictor, domain, feature, x[line, step], x[line, step + 1])
                return Finding(
                    verdict="violated", margin=worst, feature=feature, witness=pair, **common
                )
    return Finding(verdict="held", margin=_finite(least), feature=feature, **common)


def _lines_along(domain: Domain, one: Sign) -> Iterator[Tensor]:
    """All lines of a finite domain along a feature, (lines, steps, inputs), some at a time."""
    others = [f for f in domain.features if f.name != one.feature.name]
    sizes = [len(_values(f)) for f in others]
    levels = torch.tensor(_values(one.feature), dtype=torch.float64)
    total, chunk = math.prod(sizes), max(1, 200_000 // max(1, len(levels)))
    for start in range(0, total, chunk):
        number = np.arange(start, min(start + chunk, total))
        x = torch.zeros(len(number), len(levels), domain.inputs, dtype=torch.float64)
        for digit, other in zip(np.unravel_index(number, sizes), others, strict=True):
            if other.categorical:
                places = torch.tensor(other.places)[torch.from_numpy(digit)]
                x[torch.arange(len(number)), :, places] = other.scaled(1.0)
            else:
                values = torch.tensor(_values(other), dtype=torch.float64)
                x[:, :, other.places[0]] = values[torch.from_numpy(digit)][:, None]
        x[:, :, one.place] = levels
        yield x
