"""The contracts of attacks, data sets, features, scenarios, losses, metrics and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmark import settings
from benchmark.checks.problems import every_row, softmax
from benchmark.contract.definition import Definition
from benchmark.data.dataset import Column
from benchmark.data.features import ImageFeature, TableFeature
from benchmark.data.named import NamedSet
from benchmark.data.scenarios import Context, Scenario
from benchmark.errors import LetheError
from benchmark.metrics.attacks import Attack, ModelAttack, ModelCase, RowCase
from benchmark.metrics.metric import Metric, NumberMetric, Numbers, Predictions
from benchmark.problem.domain import Domain, Feature
from benchmark.problem.model import Predictor
from benchmark.problem.objective import Loss
from benchmark.properties.property import Property
from benchmark.solvers.solver import Solver, System

# The contracts of data sets, features, scenarios, losses, metrics, solvers and the rest.

#: A rule in words, and what is wrong; "" where it is kept.
Rule = tuple[str, str]


def checked(cls: type[Any]) -> Iterator[Rule]:
    """Every rule of the kind that a class is of, and what is wrong with it; "" where nothing.

    What runs whole studies, as an executor does, is held to what it declares alone.
    """
    rules = next((rules for kind, rules in _RULES.items() if issubclass(cls, kind)), None)
    yield "it declares what its kind asks for", ""
    if rules is None:
        return
    try:
        with settings.kept(cls.name):
            yield from rules(cls)
    except Exception as error:  # a plug-in may raise anything
        yield "it runs", f"{type(error).__name__}: {error}"


def _data(cls: type[NamedSet]) -> Iterator[Rule]:
    if missing := cls.absent():
        yield "it is here", f"not looked at: {missing}"
        return
    first, again = cls.load(), cls.load()
    yield "it has its own name", "" if first.name == cls.name else f"it is called {first.name}"
    same = first.train.content_hash == again.train.content_hash
    yield "the same twice", "" if same else "two loads differ: verify the content by a hash"
    labels = first.train.labels
    if first.target is not None:
        within = np.abs(labels).max() <= 1
        yield "real targets are from -1 to 1", "" if within else "scale them by RealTarget.scaled"
        said = cls.real_target
        yield "it says that its target is real", "" if said else "declare real_target = True"
        return
    whole = labels.min() >= 0 and labels.max() < first.classes
    yield "labels are 0 to classes - 1", "" if whole else f"a label is {labels.max()}"


def _image_feature(cls: type[ImageFeature]) -> Iterator[Rule]:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    x = cls.compute(images, 255)
    flat = x.ndim == 2 and len(x) == len(images)
    yield "a row for each image", "" if flat else f"features have shape {x.shape}"
    same = np.array_equal(x, cls.compute(images, 255))
    yield "the same twice", "" if same else "two runs differ"
    alone = np.array_equal(x[2:4], cls.compute(images[2:4], 255))
    yield "a function of one row alone", "" if alone else "a row depends on the others"
    longest = float(np.linalg.norm(x.astype(np.float64), axis=1).max())
    kept = cls.largest_norm is None or longest <= cls.largest_norm * (1 + 1e-12)
    yield "no row is longer than declared", "" if kept else f"a row has norm {longest:.6g}"


def _table_feature(cls: type[TableFeature]) -> Iterator[Rule]:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    columns = tuple(Column(name, low=-5.0, high=5.0) for name in "abc")
    scale, other = cls.scale(columns, rows), cls.scale(columns, 3 * rows + 1)
    x = scale(rows)
    yield "a row for each row", "" if x.shape == rows.shape else f"features have shape {x.shape}"
    alone = np.allclose(x[2:4], scale(rows[2:4]), rtol=1e-12, atol=0)
    yield "a function of one row alone", "" if alone else "a row depends on the others"
    longest = float(np.linalg.norm(scale(1e3 * rows), axis=1).max())
    kept = cls.largest_norm is None or longest <= cls.largest_norm * (1 + 1e-12)
    yield "no row is longer than declared", "" if kept else f"a row has norm {longest:.6g}"
    told = cls.fitted or np.array_equal(x, other(rows))
    yield "fitted, if it looks at rows", "" if told else "it looks at rows: declare fitted = True"


def _scenario(cls: type[Scenario]) -> Iterator[Rule]:
    trained, generator = torch.arange(0, 60, 2), torch.Generator().manual_seed(0)
    scores = torch.randn(60, generator=generator)
    context = Context(
        labels=torch.arange(60) % 3 if cls.sized else torch.arange(60) // 2 % 3,
        features=torch.randn(60, 4, generator=generator),
        leave_out_effect=lambda: scores,
        sizes=lambda: scores.abs(),
        most_influential=lambda rows, count: rows[scores[rows].argsort()[:count]],
        against_property=lambda rows: rows[scores[rows].argsort()[:3]],
        numbers=tuple(range(60)),
    )
    count, requests = 4 if cls.sized else None, 1 if cls.single else 2

    def draw() -> tuple[torch.Tensor, ...]:
        return cls.draw(trained, count, requests, context, torch.Generator().manual_seed(1))

    sets = draw()
    together = torch.cat(sets)
    told = "" if len(sets) == requests else f"{len(sets)} sets for {requests} requests"
    yield "a set for each request", told
    inside = bool(torch.isin(together, trained).all())
    yield "rows that were trained on", "" if inside else "a row was not trained on"
    once = len(together.unique()) == len(together)
    yield "no row twice", "" if once else "two requests name one row"
    sized = count is None or {len(rows) for rows in sets} == {count}
    yield "as many rows as asked for", "" if sized else "a request has another number of rows"
    same = all(torch.equal(a, b) for a, b in zip(sets, draw(), strict=True))
    yield "the same twice", "" if same else "two draws differ: draw from the generator alone"


def _loss(cls: type[Loss]) -> Iterator[Rule]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.arange(6) % 3
    value = cls.mean(logits, y)
    scalar = value.shape == () and bool(value.isfinite())
    yield "a finite scalar", "" if scalar else f"it gives {value}"
    (slope,) = torch.autograd.grad(value, logits, create_graph=True)
    (twice,) = torch.autograd.grad(slope.square().sum(), logits)
    smooth = bool(twice.isfinite().all())
    yield "it can be differentiated twice", "" if smooth else "a second derivative is not finite"
    halves = (cls.mean(logits[:3], y[:3]) + cls.mean(logits[3:], y[3:])) / 2
    mean = torch.allclose(value, halves, rtol=1e-9, atol=1e-12)
    yield "a mean over rows", "" if mean else "it is no mean of what rows have alone"
    batched = torch.func.vmap(lambda one, label: cls.mean(one[None], label[None]))(logits, y)
    yield "it can be batched", "" if len(batched) == 6 else f"it gives shape {batched.shape}"


def _metric(cls: type[Metric]) -> Iterator[Rule]:
    def given() -> Predictions | Numbers:
        draw = np.random.default_rng(0)
        if issubclass(cls, NumberMetric):
            return Numbers(draw.normal(size=30), draw.normal(size=30))
        p = draw.dirichlet(np.ones(3), size=30)
        return Predictions(np.log(p).astype(np.float32), draw.integers(3, size=30))

    first, looked_at = cls.measure(given()), given()
    numbers: dict[str, Any] = first if isinstance(first, dict) else {"": first}
    finite = all(np.isfinite(float(one)) for one in numbers.values())
    yield "finite numbers", "" if finite else f"it gives {numbers}"
    again = cls.measure(looked_at)
    yield "the same twice", "" if again == first else "two runs differ"
    pairs = zip(vars(looked_at).values(), vars(given()).values(), strict=True)
    kept = all(np.array_equal(one, other) for one, other in pairs)
    yield "nothing is mutated", "" if kept else "it changed the predictions in place: copy first"


def _solver(cls: type[Solver]) -> Iterator[Rule]:
    problem = softmax()
    weights = problem.fit(every_row(problem), torch.Generator().manual_seed(0))
    b = torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)).to(weights)

    def solve() -> Any:
        system = System(problem, weights, problem.train, 0.1, b)
        return system, cls.solve(system, 1e-6, 400, torch.Generator().manual_seed(2))

    system, found = solve()
    shaped = found.x.shape == b.shape and bool(found.x.isfinite().all())
    yield "a finite solution", "" if shaped else f"x has shape {tuple(found.x.shape)}"
    honest = not found.converged or system.residual(found.x) <= 1e-5
    left = system.residual(found.x)
    yield "converged only where it has", "" if honest else f"its residual is {left:.2g}"
    same = torch.equal(found.x, solve()[1].x)
    yield "the same twice", "" if same else "two runs differ: draw from the generator alone"


def _definition(cls: type[Definition]) -> Iterator[Rule]:
    ends = cls.words.endswith(".")
    yield "its words are sentences", "" if ends else "words must end with a full stop"


def _property(cls: type[Property]) -> Iterator[Rule]:
    """Rules on a head of two columns, `x0` and `x1`, with the examples of the fields."""
    columns = tuple(Feature(f"x{i}", (i,), -10.0, 10.0, middle=0.0, half=1.0) for i in range(2))
    problem = replace(softmax(inputs=2, classes=2), domain=Domain(columns))
    fields = cls.model_fields.items()
    declared = cls(**{name: info.examples[0] for name, info in fields if info.examples})
    try:
        declared.check(problem)
    except LetheError as error:  # it is of other models
        yield f"it refuses a head of two classes, so no verdict was looked at ({error})", ""
        return
    draws = torch.Generator().manual_seed(0)
    directions = torch.randn(3, problem.model.dimension, generator=draws, dtype=torch.float64)
    weights = [scale * w for scale, w in zip((0.1, 1.0, 10.0), directions, strict=True)]

    def found(w: torch.Tensor) -> Any:
        return declared.certify(Predictor(problem.model, w), problem, 1000)

    def holds(w: torch.Tensor) -> bool:
        return found(w).verdict in ("held", "constructed")

    same = [found(w) for w in weights] == [found(w) for w in weights]
    yield "the same twice", "" if same else "two runs differ: go by the budget and by no clock"
    held = [Predictor(problem.model, w) for w in weights if holds(w)]
    pairs = [declared.attack(predictor, problem, draws) for predictor in held]
    sound = all(pair is None for pair in pairs)
    yield "no pair contradicts what holds", "" if sound else "its own attack finds a pair"
    if (within := declared.within(problem)) is not None:
        kept = all(holds(within.project(w)) for w in weights)
        yield "it holds within its convex set", "" if kept else "weights of `within` lack it"


_RULES: dict[type, Callable[[Any], Iterator[Rule]]] = {
    NamedSet: _data,
    ImageFeature: _image_feature,
    TableFeature: _table_feature,
    Scenario: _scenario,
    Loss: _loss,
    Metric: _metric,
    Solver: _solver,
    Definition: _definition,
    Property: _property,
}


# The contract of attacks as checks, on numbers drawn at random.

#: Examples and classes, models on either side, and models to score.
_ROWS, _CLASSES, _MODELS, _SCORED = 24, 3, 8, 6


def attack_checked(cls: type[Attack]) -> Iterator[tuple[str, str]]:
    """Every rule in words, and what is wrong with the attack; "" where it keeps the rule.

    Args:
        cls: with its defaults.
    """
    case = _models if issubclass(cls, ModelAttack) else _rows
    wanted = (_SCORED, _ROWS) if issubclass(cls, ModelAttack) else (_ROWS,)
    given = case(cls)
    attack: Any = cls  # its two kinds are given different cases
    try:
        with settings.kept(cls.name):
            first, again = attack().score(given), attack().score(case(cls))
    except Exception as error:  # an attack may raise anything
        yield "it scores a case", f"{type(error).__name__}: {error}"
        return
    shape, finite = np.shape(first), bool(np.isfinite(first).all())
    right = shape == wanted
    yield "a score a piece", "" if right else f"scores have shape {shape}, not {wanted}"
    yield "scores are finite", "" if finite else "a score is not finite"
    same = np.array_equal(first, again)
    yield "the same twice", "" if same else "two runs differ: draw from a seed of your own"
    untouched = _equal(given, case(cls))
    yield "nothing is mutated", "" if untouched else "it changed the case in place: copy first"


def _rows(cls: type[Attack]) -> RowCase:
    """Some models' outputs on examples; every reference knows half of them."""
    draw = np.random.default_rng(0)
    references = max(2, getattr(cls, "references", 0))
    return RowCase(
        outputs=_outputs(draw, _ROWS),
        labels=draw.integers(_CLASSES, size=_ROWS),
        references=_outputs(draw, references, _ROWS),
        outside=np.indices((references, _ROWS)).sum(axis=0) % 2 == 0,
        population_outputs=_outputs(draw, _ROWS),
        population_labels=draw.integers(_CLASSES, size=_ROWS),
        population_references=_outputs(draw, references, _ROWS),
    )


def _models(cls: type[Attack]) -> ModelCase:
    draw = np.random.default_rng(0)
    return ModelCase(
        labels=draw.integers(_CLASSES, size=_ROWS),
        unlearned=_outputs(draw, _MODELS, _ROWS),
        retrained=_outputs(draw, _MODELS, _ROWS),
        scored=_outputs(draw, _SCORED, _ROWS),
    )


def _outputs(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """(..., classes) log-probabilities."""
    logits = draw.normal(size=(*shape, _CLASSES))
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def _equal(a: RowCase | ModelCase, b: RowCase | ModelCase) -> bool:
    return all(np.array_equal(value, getattr(b, name)) for name, value in vars(a).items())
