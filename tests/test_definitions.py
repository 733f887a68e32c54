"""Both sides of every claim publish the same, but for the centre of the noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

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
from benchmark.errors import LetheError
from benchmark.problem.convex import Ordered
from benchmark.problem.declared import Declared
from benchmark.problem.predictor import Predictor
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
from tests import problems

CERTIFIED = [name for name, one in registry.discover().items() if one.method.evidence]
ON_NETS = [n for n in CERTIFIED if not registry.find(n).method.needs & {"strong_convexity", "cone"}]
ON_DISTANCE = [name for name in CERTIFIED if registry.find(name).method.evidence == "distance"]
#: Off their defaults, for a test's time, or for training as loose as some problems have it.
PARAMS = {
    "blockwise": {"batch": 512},
    "certified-removal": {"output_sigma": 1e3},
    "descent-to-delete": {"steps": 40},
    "dp-sgd": {"steps": 10},
    "langevin": {"learning_steps": 40, "sigma": 2.0},
    "model-clipping": {"batch": 512},
    "newton-lissa": {"chains": 2, "depth": 20},
    "noisy-fine-tune": {"batch": 512},
    "noisy-fine-tune-within": {"batch": 512},
    "output-perturbation": {"batch": 512},
    "recollection": {"steps": 40},
    "rewind": {"steps": 40, "rewound": 30},
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


def answers(method: Method, make: object, seeds: range) -> list[Sides]:
    """On every problem that meets the method's hypotheses."""
    found = []
    for seed in seeds:
        try:
            found.append(sides(method, make, seed))
        except LetheError as error:
            if REFUSALS.get(method.name, "never refused") not in str(error):
                raise
    return found


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_sides_of_a_proved_claim_differ_in_the_centre_of_the_noise_alone(name: str) -> None:
    exact = registry.find(name).method.evidence == "construction"
    found = answers(built(name), head_of(name), HEADS[:4] if exact else HEADS)
    assert exact or len(found) >= 12
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
