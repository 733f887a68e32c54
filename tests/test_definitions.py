"""Both sides of every claim publish the same; a method that breaks its claim turns its row red."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from benchmark import registry
from benchmark.contract.claim import Claim, Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.data.split import Split
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.experiments.experiment import Row as Setting
from benchmark.problem.convex import Ordered
from benchmark.problem.model import Model, Predictor, SoftmaxSpec
from benchmark.problem.problem import Problem
from benchmark.registry import Registered
from benchmark.rows import Declared, Rows
from benchmark.runner import workbench as module
from benchmark.runner.cell import Cell, Inputs
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench, build
from benchmark.studies.random_problem import (
    draw,
    in_ball,
    in_fixed_point,
    linearised,
    one_vs_rest,
    public_distance,
    within_cone,
)
from benchmark.studies.two_sides import World, difference, reference, unlearned, without
from leaderboard.model.table import Row
from methods.chord_newton import ChordNewton
from methods.iterated_newton import IteratedNewton
from tests import problems, tiny_experiment

# Both sides of every claim publish the same, but for the centre of the noise.

CERTIFIED = [name for name, one in registry.discover().items() if one.method.evidence]
ON_NETS = [n for n in CERTIFIED if not registry.find(n).method.needs & {"strong_convexity", "cone"}]
ON_DISTANCE = [name for name in CERTIFIED if registry.find(name).method.evidence == "distance"]
#: Off their defaults, for a test's time, or for training as loose as some problems have it.
PARAMS = problems.QUICK | {
    "blockwise": {"batch": 512},
    "certified-removal": {"output_sigma": 1e3},
    "model-clipping": {"batch": 512},
    "noisy-fine-tune": {"batch": 512},
    "noisy-fine-tune-within": {"batch": 512},
    "output-perturbation": {"batch": 512},
    "sisa": {"shards": 2, "slices": 1},
}
#: What a hypothesis that fails is refused with: no other refusal is expected.
REFUSALS = {
    "certified-removal": "no ball",
    "descent-to-delete": "bounded gradients",
    "rewind": "rewinding needs sample_gradient",
}
#: Verdicts of methods that claim less than a proof.
NEVER_PROVED = {"certified-removal": {"conditional"}, "recollection": {"pair", "vacuous"}}
#: Methods whose noise, or whose steps with noise, follow from how many rows there are, and the
#: parameter that says for how many forgotten ones.
OF_ROWS = {
    "descent-to-delete": "capacity",
    "dp-sgd": "group",
    "langevin": "capacity",
    "rewind": "capacity",
}
HEADS, NETS = range(20), range(3)
#: Of this one the loss is a softmax's.
SEED = 3


@dataclass(frozen=True)
class Sides:
    """What a method publishes in both worlds, and when there is nothing to forget in the first."""

    claimed: Release
    other: Release
    nothing: Release

    @property
    def claim(self) -> Claim:
        return self.claimed.claim


@cache
def head(seed: int) -> tuple[World, Tensor, Target]:
    """A random problem, every fifth in a ball; the rows to forget and a public distance."""
    problem, forget = draw(seed)
    if seed % 5 == 0:
        problem = in_ball(problem, seed)
    return World(problem), forget, Target(distance=public_distance(problem, len(forget), seed))


@cache
def squared_head(seed: int) -> tuple[World, Tensor, Target]:
    """A random problem with squared loss, as a method that needs it finds it."""
    problem, forget = draw(seed)
    problem = in_fixed_point(problem)
    return World(problem), forget, Target(distance=public_distance(problem, len(forget), seed))


@cache
def one_vs_rest_head(seed: int) -> tuple[World, Tensor, Target]:
    """A random problem with a binary logistic loss for each class."""
    problem, forget = draw(seed)
    problem = one_vs_rest(problem)
    return World(problem), forget, Target(distance=public_distance(problem, len(forget), seed))


@cache
def tangent(seed: int) -> tuple[World, Tensor, Target]:
    """A random small net, linearised."""
    problem, forget = draw(seed)
    problem = linearised(problem)
    return World(problem), forget, Target(distance=public_distance(problem, len(forget), seed))


@cache
def cone_head(seed: int) -> tuple[World, Tensor, Target]:
    """A random problem trained within a cone."""
    problem, forget = draw(seed)
    problem = within_cone(problem)
    return World(problem), forget, Target(distance=public_distance(problem, len(forget), seed))


def head_of(name: str) -> object:
    """Random heads that the method can be asked about."""
    needs = registry.find(name).method.needs
    if "one_vs_rest" in needs:
        return one_vs_rest_head
    if "tangent" in needs:
        return tangent
    if needs & {"cone", "constraint"}:
        return cone_head
    return squared_head if "squared_loss" in needs else head


@cache
def net(seed: int) -> tuple[World, Tensor, Target]:
    problem = replace(problems.mlp(seed), declared=Declared(50, None))
    return World(problem), torch.arange(7 * seed, 7 * seed + 5), Target()


@cache
def constrained_net(seed: int) -> tuple[World, Tensor, Target]:
    """A small net trained and released where two weights of each of two pairs are in order."""
    world, forget, target = net(seed)
    within = Ordered(torch.tensor([0, 7]), torch.tensor([3, 1]))
    training = world.problem.training.model_copy(update={"radius": within})
    return World(replace(world.problem, training=training, released_within=within)), forget, target


def net_of(name: str) -> object:
    """Small nets that the method can be asked about."""
    return constrained_net if "constraint" in registry.find(name).method.needs else net


@cache
def left(make: object, seed: int) -> World:
    """The world in which the rows to forget never were."""
    world, forget, _ = make(seed)
    return World(without(world.problem, forget))


def built(name: str, **params: object) -> Method:
    return registry.find(name).method.build(PARAMS.get(name, {}) | params)


def sides(method: Method, make: object, seed: int) -> Sides:
    world, forget, target = make(seed)
    asked = {"target": target, "seeds": Seeds.all(seed)}
    claimed = unlearned(method, world, forget, **asked)
    nothing = unlearned(method, world, forget[:0], **asked)
    return Sides(claimed, reference(method, left(make, seed), claimed, **asked), nothing)


def answers(method: Method, make: object, seeds: range, enough: int) -> list[Sides]:
    """On the first so many problems that meet the method's hypotheses."""
    found: list[Sides] = []
    for seed in seeds:
        if len(found) == enough:
            break
        try:
            found.append(sides(method, make, seed))
        except LetheError as error:
            if REFUSALS.get(method.name, "never refused") not in str(error):
                raise
    return found


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_sides_of_a_proved_claim_differ_in_the_centre_of_the_noise_alone(name: str) -> None:
    exact = registry.find(name).method.evidence == "construction"
    enough = 4 if exact else 12
    found = answers(built(name), head_of(name), HEADS, enough)
    assert len(found) == enough
    for one in found:
        assert difference(one.claimed, one.other) == ""
    verdicts = {verdict(one.claim) for one in found}
    if exact:
        assert verdicts == {"exact"}
    elif name in NEVER_PROVED:
        assert verdicts == NEVER_PROVED[name]
    else:
        assert "proved" in verdicts <= {"proved", "vacuous"}
        assert all(difference(one.claimed, one.nothing) == "" for one in found)


@pytest.mark.parametrize("name", ON_NETS)
def test_so_do_those_of_a_claim_on_a_net(name: str) -> None:
    for one in (sides(built(name), net_of(name), seed) for seed in NETS):
        assert verdict(one.claim) in ("proved", "vacuous", "exact")
        assert difference(one.claimed, one.other) == difference(one.claimed, one.nothing) == ""


@pytest.mark.parametrize("name", OF_ROWS)
def test_what_follows_from_undeclared_rows_is_not_proved_and_differs(name: str) -> None:
    world, forget, target = head(SEED)
    undeclared = World(replace(world.problem, declared=Declared()))
    never = World(without(undeclared.problem, forget))
    asked = {"target": target, "seeds": Seeds.all(SEED)}
    claimed = unlearned(built(name), undeclared, forget, **asked)
    assert verdict(claimed.claim) == "conditional"
    assert difference(claimed, reference(built(name), never, claimed, **asked))


@pytest.mark.parametrize(("name", "capacity"), [*OF_ROWS.items()])
def test_the_sides_are_the_same_beyond_the_capacity(name: str, capacity: str) -> None:
    forgotten = len(head(SEED)[1])
    assert forgotten > 2
    for most in (2, forgotten):
        one = sides(built(name, **{capacity: most}), head, SEED)
        assert verdict(one.claim) == "proved"
        assert difference(one.claimed, one.other) == difference(one.claimed, one.nothing) == ""


@pytest.mark.parametrize("name", ON_DISTANCE)
def test_a_release_carries_the_noise_of_its_request_and_no_other_does(name: str) -> None:
    """In a stream, and with other seeds."""
    world, forget, target = head_of(name)(SEED)
    method, residuals = built(name), []
    for noise in (0, 1):
        seeds = Seeds(training=SEED, noise=noise)
        state = world.original(method, SEED)
        for number, rows in enumerate(forget.tensor_split(3)):
            request = Request.of(
                world.problem, state, rows, target=target, seeds=seeds, number=number
            )
            release = method.answer(request)
            expected = request.release_noise(release.state.weights, release.claim)
            projected = release.unprojected is not None
            published = release.unprojected if projected else release.predictor.weights
            assert published.equal(release.state.weights + expected)
            assert projected == (world.problem.released_within is not None)
            residuals.append(expected / release.claim.release_sigma)
            state = release.state
    for one, other in combinations(residuals, 2):
        assert abs(float(one.dot(other))) < 5 * float(one.norm())


class OwnRelease(Method):
    """A plug-in that makes its release itself, and leaves out what it should say."""

    name = "own-release"
    title = "Own release"
    source = Source(paper="None", url="https://example.org")
    evidence = "construction"

    def unlearn(self, request: Request) -> Release:
        weights = request.problem.fit(request.retain, request.generator("training"))
        claim = Claim.by_construction("it retrains")
        return Release(
            Predictor(request.problem.model, weights), State(weights, request.retain), claim
        )


def test_a_plug_in_that_makes_its_own_release_cannot_drop_the_caveats_of_the_data() -> None:
    problem = problems.softmax()
    original = OwnRelease().train(problem, torch.arange(60), Seeds.all(0), Clock())
    for caveats, expected in ((), "exact"), (("scaled by forgotten rows",), "conditional"):
        given = replace(problem, declared=replace(problem.declared, caveats=caveats))
        claim = OwnRelease().answer(Request.of(given, original, torch.tensor([3]))).claim
        assert claim.caveats == caveats
        assert verdict(claim) == expected


# A method that does not do what it claims turns its row red: faults planted in Chord Newton.
#
# Each runs through the whole pipeline, from the request over the record to the board.

#: Features of the wide problem: with 10 classes some 2,000 weights, enough to test noise on.
WIDTH = 200
Change = tuple[str, str]


def wide(problem: Problem) -> Problem:
    """The problem on random cosine features, whose rows have norm 1 at most."""
    generator = torch.Generator().manual_seed(0)
    directions = 3 * torch.randn(64, WIDTH, generator=generator, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(WIDTH, generator=generator, dtype=torch.float64)

    def lifted(rows: Rows) -> Rows:
        return Rows((rows.x @ directions + phases).cos() / math.sqrt(WIDTH), rows.y)

    parts = {name: lifted(getattr(problem, name)) for name in ("train", "negatives", "test")}
    return replace(problem, model=Model(SoftmaxSpec(), WIDTH, problem.model.classes), **parts)


@cache
def workbench(inputs: str) -> Workbench:
    """The wide problem with its models, shared by all runs of one experiment."""

    def built(*arguments: object) -> tuple[Problem, Split]:
        problem, split = build(*arguments)
        return wide(problem), split

    with patch.object(module, "build", built):
        return Workbench(Inputs.model_validate_json(inputs), torch.device("cpu"), folder=None)


def run(method: type[Method], folder: Path, *changes: Change) -> Row:
    """The method's row on the board, after a run on the wide problem."""
    experiment = experiments.load(str(tiny_experiment.write(folder, *changes)))
    setting = Setting(method=method.name, label=method.name)
    cell = Cell.of(experiment, setting, Registered(method, "methods"), 0, "cpu")
    same = cell.inputs.model_copy(update={"method_source": "", "method": "any", "params": {}})
    record = run_cell(cell, workbench(same.model_dump_json()), lambda phase: None)
    assert record.failure is None
    return Row(cell.info.label, cell.info.title, cell.info.role, {0: record})


def said(row: Row) -> str:
    """What the board says against it; "" of a row that is not red."""
    return "; ".join(row.violations.get(0, []))


def publishing(publish: Callable[[Request, Release], Tensor]) -> type[ChordNewton]:
    """Chord Newton, but for the weights that it publishes."""

    class Faulty(ChordNewton):
        def unlearn(self, request: Request) -> Release:
            honest = super().unlearn(request)
            published = Predictor(request.problem.model, publish(request, honest))
            return replace(honest, predictor=published)

    return Faulty


def noise(request: Request, release: Release) -> Tensor:
    return request.release_noise(release.state.weights, release.claim)


def uniform(request: Request, release: Release) -> Tensor:
    generator = request.generator("noise", "uniform")
    draw = torch.rand(len(release.state.weights), generator=generator, dtype=torch.float64)
    return math.sqrt(12) * release.claim.release_sigma * (draw - 0.5)


def on_half(request: Request, release: Release) -> Tensor:
    drawn = noise(request, release)
    generator = request.generator("noise", "half")
    silent = torch.randperm(len(drawn), generator=generator)[: len(drawn) // 2]
    return (math.sqrt(2) * drawn).index_fill(0, silent, 0)


def used_again(request: Request, release: Release) -> Tensor:
    return noise(replace(request, number=0), release)


NOISES: dict[str, Callable[[Request, Release], Tensor]] = {
    "no noise": lambda request, release: 0 * noise(request, release),
    "half the noise": lambda request, release: noise(request, release) / 2,
    "sigma / sqrt 2": lambda request, release: noise(request, release) / math.sqrt(2),
    "one scalar for all": lambda request, release: noise(request, release)[0].expand(
        len(release.state.weights)
    ),
    "uniform noise": uniform,
    "noise on half the coordinates": on_half,
}
STREAM: Change = ("count = 5", "count = 3\nrequests = 3")


@pytest.mark.parametrize("changes", [(), (STREAM,)], ids=["one request", "a stream"])
def test_the_method_as_it_is_is_not_red(tmp_path: Path, changes: tuple[Change, ...]) -> None:
    row = run(ChordNewton, tmp_path, *changes)
    assert row.found[0].verdict == "proved"
    assert said(row) == ""


@pytest.mark.parametrize("fault", NOISES)
def test_noise_that_is_not_what_is_claimed_is_red(tmp_path: Path, fault: str) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return release.state.weights + NOISES[fault](request, release)

    assert "published noise" in said(run(publishing(publish), tmp_path))


def test_noise_that_is_used_again_in_a_stream_is_red(tmp_path: Path) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return release.state.weights + used_again(request, release)

    assert "noises of releases" in said(run(publishing(publish), tmp_path, STREAM))


def test_the_original_published_with_noise_is_red(tmp_path: Path) -> None:
    def publish(request: Request, release: Release) -> Tensor:
        return request.original.weights + noise(request, release)

    text = said(run(publishing(publish), tmp_path))
    assert "beyond the bound" in text
    assert "published noise" in text


def test_so_it_is_where_the_secret_state_is_the_original_as_well(tmp_path: Path) -> None:
    class Faulty(ChordNewton):
        def unlearn(self, request: Request) -> Release:
            claim = super().unlearn(request).claim
            return request.release(request.original.weights, claim, request.original.memory)

    text = said(run(Faulty, tmp_path))
    assert "beyond the bound" in text
    assert "published noise" not in text


class TooSmall(IteratedNewton):
    """A bound that is too small by the root of 2, with its noise in proportion."""

    def unlearn(self, request: Request) -> Release:
        honest = super().unlearn(request)
        evidence = honest.claim.evidence
        parts = ("bound", "sigma", "reached")
        smaller = {name: getattr(evidence, name) / math.sqrt(2) for name in parts}
        claim = honest.claim.model_copy(update={"evidence": evidence.model_copy(update=smaller)})
        return request.release(honest.state.weights, claim)


def test_a_bound_that_is_too_small_is_red_where_it_was_tight(tmp_path: Path) -> None:
    """Delta_0 is just above the distance of the original, which is published as it is."""
    one = (("count = 5", "count = 1"), ("ridge = 1e-2", "ridge = 1e-1"))

    def at(distance: float) -> tuple[Change, ...]:
        return (*one, ("delta = 1e-5", f"delta = 1e-5\ndistance = {distance}"))

    apart = run(IteratedNewton, tmp_path, *at(10.0)).found[0].metrics["distance"].value
    honest = run(IteratedNewton, tmp_path, *at(1.2 * apart))
    assert honest.found[0].metrics["steps_taken"].value == 0
    assert said(honest) == ""
    text = said(run(TooSmall, tmp_path, *at(1.2 * apart)))
    assert "the slack is" in text
    assert "beyond the bound" in text
