"""Rewind-to-Delete: its bound, and the method on problems with a known answer."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Claim, Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem
from benchmark.theory.gaussian import m_for
from benchmark.theory.rewind import contracting_rewind_bound, rewind_bound
from methods.rewind import Rewind
from tests import problems
from tests.problems import numbers

FORGET = torch.tensor([3, 17, 41, 58])
SETTINGS = {
    "trained": 50,
    "forgotten": 3,
    "sample_gradient": 1.5,
    "gradient_lipschitz": 2.0,
    "step_size": 0.3,
}


def trained(method: Rewind, problem: Problem) -> State:
    return method.train(problem, problems.every_row(problem), Seeds(), Clock())


def asked(problem: Problem, state: State, forget: torch.Tensor = FORGET) -> Request:
    return Request.of(problem, state, forget, target=Target(epsilon=1.0, delta=1e-5))


def contracting(**more: object) -> float:
    return contracting_rewind_bound(**SETTINGS | {"strong_convexity": 0.1} | more)


# the bound


def test_T10_rewind_h_of_T_is_zero_and_error_within_bound() -> None:
    for bound in (lambda **k: rewind_bound(**SETTINGS, **k), contracting):
        assert bound(steps=30, rewound=30) == 0
        values = [bound(steps=30, rewound=k) for k in range(31)]
        assert all(a > b for a, b in pairwise(values)), "h decreases in K"
    for seed in range(8):
        problem = problems.softmax(seed, ridge=10.0 ** -(seed % 3 + 1))
        head = head_constants(problem)
        longest = 2 / (head.gradient_lipschitz + head.strong_convexity)
        method = Rewind(steps=12, rewound=3 + seed, step_size=longest / (1 + seed % 2), capacity=4)
        state = trained(method, problem)
        request = asked(problem, state)
        release = method.answer(request)
        retrained = method.train(problem, request.retain, Seeds(), Clock()).weights
        distance = float((release.state.weights - retrained).norm())
        least, general = release.claim.bound, release.claim.evidence.alternatives[0]
        assert 0 < distance <= least <= general.value
        assert general.proved


@pytest.mark.parametrize(("steps", "rewound"), [(1, 0), (9, 0), (9, 4), (9, 8)])
def test_the_bound_is_attained_by_two_points(steps: int, rewound: int) -> None:
    """l_1 = -w, l_2 = w and a shared curvature that bends away from, or towards, the origin.

    With both, gradients cancel; without the second, they push with G = 1 all the way.
    """
    eta, curvature = 0.2, 0.7

    def apart(shared: float) -> float:
        descent, retrained = 0.0, 0.0
        for t in range(steps):
            kept_only = t >= steps - rewound
            descent -= eta * (shared * descent - kept_only)
            retrained -= eta * (shared * retrained - 1.0)
        return retrained - descent

    known = {
        "trained": 2,
        "forgotten": 1,
        "sample_gradient": 1.0,
        "gradient_lipschitz": curvature,
        "step_size": eta,
        "steps": steps,
        "rewound": rewound,
    }
    assert rewind_bound(**known) == pytest.approx(apart(-curvature), rel=1e-12)
    contracted = contracting_rewind_bound(strong_convexity=curvature, **known)
    assert contracted == pytest.approx(apart(curvature), rel=1e-12)


@given(
    steps=st.integers(1, 60),
    share=st.floats(0, 1),
    step_size=st.floats(1e-4, 1.0),
    lipschitz=st.floats(1e-3, 5.0),
)
def test_the_bound_is_the_published_formula(
    steps: int, share: float, step_size: float, lipschitz: float
) -> None:
    rewound = round(share * steps)
    settings = SETTINGS | {"step_size": step_size, "gradient_lipschitz": lipschitz}
    distance = 0.0
    for t in range(steps):  # 2 n_u G h(K) / (L n), step by step
        pushed = step_size * 2 * 3 * 1.5 / 50 if t < steps - rewound else 0.0
        distance = (1 + step_size * lipschitz) * distance + pushed
    ours = rewind_bound(steps=steps, rewound=rewound, **settings)
    assert ours == pytest.approx(distance, rel=1e-9)


def test_a_bound_beyond_floats_is_infinite_and_bad_input_is_refused() -> None:
    assert rewind_bound(steps=10_000, rewound=9_000, **SETTINGS) == math.inf
    with pytest.raises(AssumptionBroken, match=r"contracts for step_size <= 2 / \(L \+ mu\)"):
        contracting(steps=5, rewound=2, step_size=1.0)
    with pytest.raises(LetheError, match="0 to 5 can be rewound, not 6"):
        rewind_bound(steps=5, rewound=6, **SETTINGS)
    with pytest.raises(LetheError, match="at least one must be kept"):
        rewind_bound(steps=5, rewound=2, **SETTINGS | {"forgotten": 50})
    with pytest.raises(AssumptionBroken, match="step_size must be above 0"):
        rewind_bound(steps=5, rewound=2, **SETTINGS | {"step_size": 0.0})


# the method


def test_on_a_quadratic_it_is_the_closed_form() -> None:
    """Descent on a quadratic: w_t = w* + (I - eta H)^t (w_0 - w*), on D and then on D_r."""
    problem = problems.softmax(loss="squared", ridge=0.1)
    eta, steps, rewound = 0.05, 40, 15
    method = Rewind(steps=steps, rewound=rewound, step_size=eta, sample_gradient=50.0)
    state = trained(method, problem)
    request = asked(problem, state)
    eye = torch.eye(problem.model.dimension, dtype=torch.float64)

    def after(w: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
        rows = problem.train.take(index)
        origin = torch.zeros_like(w)
        hessian = torch.stack([problem.hessian(origin, rows) @ e for e in eye])
        best = -torch.linalg.solve(hessian, problem.gradient(origin, rows))
        return best + torch.linalg.matrix_power(eye - eta * hessian, count) @ (w - best)

    start = problem.model.initial_weights(Seeds().generator("training"))
    checkpoint = after(start, state.rows, steps - rewound)
    assert torch.allclose(state.weights, after(checkpoint, state.rows, rewound), atol=1e-10)
    release = method.answer(request)
    assert torch.allclose(
        release.state.weights, after(checkpoint, request.retain, rewound), atol=1e-10
    )
    assert verdict(release.claim) == "conditional", "G of a squared loss is an assumption"


def test_rewinding_to_the_start_is_retraining() -> None:
    problem = problems.softmax()
    method = Rewind(steps=30, rewound=30)
    request = asked(problem, trained(method, problem))
    release = method.answer(request)
    retrained = method.train(problem, request.retain, Seeds(), Clock()).weights
    assert torch.equal(release.predictor.weights, retrained)
    assert verdict(release.claim) == "exact"


def test_the_claim_says_what_holds() -> None:
    problem = problems.declared(problems.softmax(), 40)
    method = Rewind()
    release = method.answer(asked(problem, trained(method, problem)))
    claim = release.claim
    assert (claim.definition, verdict(claim)) == ("retrain", "proved")
    assert claim.bound < claim.evidence.trivial
    assert claim.evidence.sigma == claim.bound / m_for(1.0, 1e-5)
    idle = contracting_rewind_bound(
        trained=60,
        forgotten=20,
        sample_gradient=head_constants(problem).sample_gradient,
        strong_convexity=0.05,
        gradient_lipschitz=head_constants(problem).gradient_lipschitz,
        step_size=numbers(release)["step_size"],
        steps=400,
        rewound=0,
    )
    assert claim.evidence.trivial == pytest.approx(idle)


def test_T15_the_noise_is_fixed_before_any_request() -> None:
    problem = problems.declared(problems.softmax(), 35)
    method, nothing = Rewind(steps=40, rewound=30), torch.tensor([], dtype=torch.int64)
    state = trained(method, problem)
    kept = method.train(problem, torch.arange(25, 60), Seeds(), Clock())
    claims = [
        method.answer(asked(problem, start, forget)).claim
        for start, forget in (
            (state, FORGET),
            (state, torch.arange(11)),
            (state, torch.arange(25)),  # beyond the capacity
            (state, nothing),
            (kept, nothing),  # the other side of the definition
        )
    ]
    assert all(claim.public() == claims[0].public() for claim in claims)


def test_without_declared_rows_the_noise_is_a_function_of_the_data() -> None:
    problem, method = problems.softmax(), Rewind()
    nothing = torch.tensor([], dtype=torch.int64)
    claims = []
    for rows in (torch.arange(60), torch.arange(25, 60)):
        state = method.train(problem, rows, Seeds(), Clock())
        claims.append(method.answer(asked(problem, state, nothing)).claim)
    assert claims[0].evidence.sigma != claims[1].evidence.sigma
    assert verdict(claims[0]) == "conditional"
    measured = {c.name for c in claims[0].open_constants}
    assert measured == {"rows", "gradient_lipschitz", "sample_gradient"}


def test_beyond_its_capacity_a_request_goes_back_to_the_start() -> None:
    problem = problems.softmax()
    method = Rewind(steps=40, rewound=30, capacity=5)
    first = method.answer(asked(problem, trained(method, problem)))
    assert first.claim.evidence.reached == first.claim.bound
    request = asked(problem, first.state, torch.tensor([0, 1]))  # six in all
    second = method.answer(request)
    retrained = method.train(problem, request.retain, Seeds(), Clock()).weights
    assert torch.equal(second.state.weights, retrained)
    assert second.claim.evidence.reached == 0.0
    assert second.claim.public() == first.claim.public()


def test_a_stream_rewinds_to_the_same_checkpoint() -> None:
    problem = problems.softmax()
    method = Rewind(steps=40, rewound=30)
    state = trained(method, problem)
    first = method.answer(asked(problem, state))
    later = torch.tensor([0, 1])
    second = method.answer(asked(problem, first.state, later))
    at_once = method.answer(asked(problem, state, torch.cat([FORGET, later])))
    assert torch.equal(second.state.weights, at_once.state.weights)
    assert second.claim == at_once.claim


def test_on_a_net_it_is_vacuous_unless_constants_are_assumed() -> None:
    problem = problems.mlp()

    def claim(**settings: float) -> Claim:
        method = Rewind(steps=12, rewound=6, step_size=0.05, **settings)
        return method.answer(asked(problem, trained(method, problem))).claim

    plain = claim()
    assert verdict(plain) == "vacuous"
    assert plain.bound == 2 * problem.training.radius
    assert "gradient_lipschitz and sample_gradient" in plain.caveats[0]
    assumed = claim(gradient_lipschitz=1.0, sample_gradient=2.0)
    assert verdict(assumed) == "conditional"
    assert assumed.bound < plain.bound
    steep = claim(gradient_lipschitz=1e3, sample_gradient=2.0)
    assert verdict(steep) == "vacuous"


def test_without_constants_or_a_ball_it_is_refused() -> None:
    problem = problems.mlp(radius=None)
    with pytest.raises(AssumptionBroken, match="needs gradient_lipschitz and sample_gradient"):
        trained(Rewind(steps=4, rewound=2), problem)
    steep = Rewind(
        steps=40, rewound=30, step_size=1e-3, gradient_lipschitz=1e30, sample_gradient=1.0
    )
    with pytest.raises(AssumptionBroken, match="no bound on rewinding is a finite number"):
        trained(steep, problem)
    relu = problems.mlp(radius=None, activation="relu")
    assumed = Rewind(steps=4, rewound=2, gradient_lipschitz=1.0, sample_gradient=1.0)
    with pytest.raises(AssumptionBroken, match="no bound on rewinding"):
        trained(assumed, relu)


def test_settings_that_void_the_theorem_are_refused() -> None:
    problem = problems.softmax()
    with pytest.raises(LetheError, match="at most as many can be rewound"):
        trained(Rewind(steps=4, rewound=5), problem)
    with pytest.raises(AssumptionBroken, match="a gradient step contracts for"):
        trained(Rewind(step_size=50.0, steps=3, rewound=2), problem)
    squared = replace(problem, objective=problem.objective.model_copy(update={"loss": "squared"}))
    with pytest.raises(AssumptionBroken, match="needs sample_gradient"):
        trained(Rewind(steps=4, rewound=2), squared)
