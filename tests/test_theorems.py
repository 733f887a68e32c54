"""Distance bounds against true distances on problems small enough to solve exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.claims.ball_step import ball_step
from benchmark.curvature.hessian import Damped, Hessian
from benchmark.curvature.krylov import conjugate_gradients, extreme_eigenvalues
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.convex import ball_residual, project
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Rows
from benchmark.theory.constants import HeadConstants, a_priori_distance, softmax_head
from benchmark.theory.damped_newton import (
    early_stop_bound,
    exact_step_bound,
    forget_gradient_error,
    published_step_bound,
    step_residual_bound,
)
from benchmark.theory.spectrum import relative_error, spectrum_bounds
from benchmark.theory.strongly_convex import gradient_residual_bound, self_concordant_bound
from tests.oracles import (
    ProbableError,
    binary_head,
    kantorovich_radius,
    lissa_error,
    lissa_error_paper,
    lissa_step_bound,
    smallest_eigenvalue_bound,
)

G = 1e-10


@dataclass(frozen=True)
class Case:
    """A softmax problem with trained and retrained weights."""

    problem: Problem
    forgotten: int
    constants: HeadConstants
    original: Tensor
    retrained: Tensor

    @property
    def retain(self) -> Rows:
        return Rows(
            self.problem.train.x[self.forgotten :],
            self.problem.train.y[self.forgotten :],
        )

    def hessian(self, weights: Tensor) -> Hessian:
        return self.problem.hessian(weights, self.retain)

    def gradient(self, weights: Tensor) -> Tensor:
        return self.problem.gradient(weights, self.retain)


def make_case(
    seed: int, rows: int, inputs: int, classes: int, ridge: float, forgotten: int, scale: float
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (rows,), generator=generator)
    train = Rows(x, y)
    problem = Problem(
        model=Model(SoftmaxSpec(), inputs, classes),
        objective=Objective(ridge=ridge),
        training=NewtonTraining(tolerance=G),
        train=train,
        negatives=train,
        test=train,
    )
    start = torch.zeros(problem.model.dimension, dtype=torch.float64)
    everything, kept = torch.arange(rows), torch.arange(forgotten, rows)
    return Case(
        problem,
        forgotten,
        softmax_head(problem.row_norm, ridge),
        problem.fit(everything, generator, start=start),
        problem.fit(kept, generator, start=start),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rows = draw(st.integers(8, 120))
    return make_case(
        seed=draw(st.integers(0, 2**31)),
        rows=rows,
        inputs=draw(st.integers(1, 7)),
        classes=draw(st.integers(2, 5)),
        ridge=10 ** draw(st.floats(-3, 0.5)),
        forgotten=draw(st.integers(1, rows - 2)),
        scale=10 ** draw(st.floats(-1, 0.7)),
    )


def dense(operator: Hessian | Damped, dimension: int) -> Tensor:
    matrix = torch.stack([operator @ e for e in torch.eye(dimension, dtype=torch.float64)])
    return (matrix + matrix.T) / 2


def sc_bound(case: Case, weights: Tensor, x: Tensor) -> float:
    hessian = case.hessian(weights)
    g = hessian.gradient
    return self_concordant_bound(
        gradient_norm=float(g.norm()),
        step_norm=float(x.norm()),
        step_dot_gradient=float(g @ x),
        residual=float((g - hessian @ x).norm()),
        retrain_gradient=G,
        strong_convexity=case.constants.strong_convexity,
        self_concordance=case.constants.self_concordance,
    )


few = settings(max_examples=25, deadline=None)
CASE = {"rows": 60, "inputs": 4, "classes": 3, "ridge": 0.1, "forgotten": 5, "scale": 1.0}


@few
@given(case=cases(), damping=st.sampled_from([0.0, 0.01, 1.0]))
def test_T2_exact_and_early_stop_bound_the_true_distance(case: Case, damping: float) -> None:
    hessian = case.hessian(case.original)
    g, d = hessian.gradient, len(case.original)
    matrix = dense(Damped(hessian, damping), d)
    smallest = float(torch.linalg.eigvalsh(matrix)[0]) - damping
    true = float((case.original - case.retrained).norm())
    shared = {
        "damping": damping,
        "hessian_lipschitz": case.constants.hessian_lipschitz,
        "smallest_eigenvalue": smallest,
    }
    landed = float((case.original - torch.linalg.solve(matrix, g) - case.retrained).norm())
    exact = exact_step_bound(distance=true, **shared)
    stopped = early_stop_bound(distance=true, retrain_gradient=G, **shared)
    assert landed <= stopped
    assert stopped == pytest.approx(exact + G / (damping + smallest))
    radius = float(max(case.original.norm(), case.retrained.norm()))
    assert exact <= published_step_bound(radius=radius, **shared)

    # The cheap gradient, from the forgotten rows alone, charged with what training left.
    rows, n_u = len(case.problem.train), case.forgotten
    forget = Rows(case.problem.train.x[:n_u], case.problem.train.y[:n_u])
    cheap = -n_u / (rows - n_u) * case.problem.gradient(case.original, forget)
    left = float(case.problem.gradient(case.original, case.problem.train).norm())
    error = forget_gradient_error(training_gradient=left, trained=rows, forgotten=n_u)
    landed = float((case.original - torch.linalg.solve(matrix, cheap) - case.retrained).norm())
    bound = early_stop_bound(distance=true, retrain_gradient=G, gradient_error=error, **shared)
    assert landed <= bound


def test_T2_the_cheap_gradient_errs_by_exactly_what_is_charged() -> None:
    case = make_case(seed=5, **CASE)
    w = case.original + 0.3  # far from trained, so that the charge is large
    rows, n_u = len(case.problem.train), case.forgotten
    forget = Rows(case.problem.train.x[:n_u], case.problem.train.y[:n_u])
    cheap = -n_u / (rows - n_u) * case.problem.gradient(w, forget)
    left = float(case.problem.gradient(w, case.problem.train).norm())
    charged = forget_gradient_error(training_gradient=left, trained=rows, forgotten=n_u)
    assert float((cheap - case.gradient(w)).norm()) == pytest.approx(charged, rel=1e-10)


@few
@given(case=cases(), products=st.integers(0, 8), damping=st.sampled_from([0.0, 0.05, 2.0]))
def test_T3_step_residual_bounds_the_true_distance_for_any_step(
    case: Case, products: int, damping: float
) -> None:
    operator = Damped(case.hessian(case.original), damping)
    g = operator.operator.gradient
    smallest = case.constants.strong_convexity
    scale = case.constants.gradient_lipschitz + damping
    lissa = g.clone()
    for _ in range(products):
        lissa = g + lissa - operator @ lissa / scale
    cg = conjugate_gradients(operator, g, tolerance=1e-12, max_products=products).x
    for x in (cg, lissa / scale, torch.zeros_like(g)):
        bound = step_residual_bound(
            distance=float((case.original - case.retrained).norm()),
            damping=damping,
            hessian_lipschitz=case.constants.hessian_lipschitz,
            smallest_eigenvalue=smallest,
            residual=float((g - operator @ x).norm()),
            retrain_gradient=G,
        )
        assert float((case.original - x - case.retrained).norm()) <= bound


@few
@given(case=cases(), noise=st.sampled_from([0.0, 1e-3, 0.1, 3.0]))
def test_T2_gradient_residual_bounds_the_true_distance_anywhere(case: Case, noise: float) -> None:
    generator = torch.Generator().manual_seed(1)
    shift = torch.randn(len(case.original), generator=generator, dtype=torch.float64)
    w = case.original + noise * shift
    bound = gradient_residual_bound(
        gradient_norm=float(case.gradient(w).norm()),
        retrain_gradient=G,
        strong_convexity=case.constants.strong_convexity,
    )
    assert float((w - case.retrained).norm()) <= bound


@few
@given(
    case=cases(),
    noise=st.sampled_from([0.0, 1e-3, 0.1, 3.0]),
    products=st.integers(0, 60),
)
def test_T2_self_concordant_bound_holds_and_never_loses_to_the_gradient_residual(
    case: Case, noise: float, products: int
) -> None:
    generator = torch.Generator().manual_seed(2)
    shift = torch.randn(len(case.original), generator=generator, dtype=torch.float64)
    w = case.original + noise * shift
    g = case.gradient(w)
    x = conjugate_gradients(case.hessian(w), g, tolerance=1e-13, max_products=products).x
    bound = sc_bound(case, w, x)
    assert float((w - case.retrained).norm()) <= bound
    plain = gradient_residual_bound(
        gradient_norm=float(g.norm()),
        retrain_gradient=G,
        strong_convexity=case.constants.strong_convexity,
    )
    assert bound <= plain * (1 + 1e-12)  # the gradient was computed along two paths


def test_T2_self_concordant_bound_is_tight_after_a_newton_step() -> None:
    for seed in range(5):
        case = make_case(
            seed=seed, rows=200, inputs=8, classes=4, ridge=0.01, forgotten=5, scale=1.0
        )
        hessian = case.hessian(case.original)
        step = conjugate_gradients(hessian, hessian.gradient, tolerance=1e-12, max_products=300)
        w = case.original - step.x
        g = case.gradient(w)
        x = conjugate_gradients(case.hessian(w), g, tolerance=1e-4, max_products=300).x
        true = float((w - case.retrained).norm())
        plain = gradient_residual_bound(
            gradient_norm=float(g.norm()), retrain_gradient=G, strong_convexity=0.01
        )
        assert true <= sc_bound(case, w, x) <= 1.1 * true
        assert plain > 10 * true


def test_T2_self_concordant_bound_fails_without_its_constant() -> None:
    """So the test above would notice a constant that is too small."""
    broken = 0
    for seed in range(20):
        case = make_case(seed=seed, rows=20, inputs=2, classes=2, ridge=0.01, forgotten=6, scale=2)
        w = case.original
        hessian = case.hessian(w)
        g = hessian.gradient
        x = torch.linalg.solve(dense(hessian, len(w)), g)
        optimist = self_concordant_bound(
            gradient_norm=float(g.norm()),
            step_norm=float(x.norm()),
            step_dot_gradient=float(g @ x),
            residual=0.0,
            retrain_gradient=G,
            strong_convexity=0.01,
            self_concordance=0.0,
        )
        broken += optimist < float((w - case.retrained).norm())
    assert broken >= 3


@pytest.mark.parametrize("stopped", [0.0, 0.02])
@pytest.mark.parametrize("distance", [0.02, 0.1, 0.4])
def test_T2_self_concordant_bound_is_nearly_attained(distance: float, stopped: float) -> None:
    """A curvature that falls as fast as it may, f'' = exp(-rho s), from 1 at w."""
    rho = 0.5
    slope = -math.expm1(-rho * distance) / rho  # f'(w) - f'(w_r)
    gradient = slope * (1 - stopped)
    bound = self_concordant_bound(
        gradient_norm=gradient,
        step_norm=gradient,
        step_dot_gradient=gradient**2,
        residual=0.0,
        retrain_gradient=slope * stopped,
        strong_convexity=math.exp(-rho * distance),
        self_concordance=rho,
    )
    assert distance <= bound <= (1 + 0.1 * rho * distance) * distance


def test_self_concordant_bound_of_a_quadratic_is_its_solve() -> None:
    bound = self_concordant_bound(
        gradient_norm=2.0,
        step_norm=0.5,
        step_dot_gradient=1.0,
        residual=0.0,
        retrain_gradient=0.0,
        strong_convexity=0.1,
        self_concordance=0.0,
    )
    assert bound == pytest.approx(0.5)


@few
@given(case=cases())
def test_T2_a_priori_distance_bounds_the_true_distance(case: Case) -> None:
    bound = a_priori_distance(
        trained=len(case.problem.train),
        forgotten=case.forgotten,
        sample_gradient=case.constants.sample_gradient,
        strong_convexity=case.constants.strong_convexity,
        training_gradient=G,
    )
    assert float((case.original - case.retrained).norm()) <= bound


def cumulants(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random (p, a, b): class probabilities and two directions in logit space, unit length."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    p = rng.dirichlet(np.full(classes, 10 ** rng.uniform(-1.5, 0.5)), count)
    a, b = rng.standard_normal((2, count, classes))
    if seed % 2:  # the extremes lie on directions that separate two classes
        a[:, 2:] *= 0.1
        b[:, 2:] *= 0.1
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b)]
    return p, unit[0], unit[1]


def centred(p: np.ndarray, a: np.ndarray) -> np.ndarray:
    return a - (p * a).sum(axis=1, keepdims=True)


def test_T4_random_search_never_exceeds_the_hessian_lipschitz_constant() -> None:
    sharp = softmax_head(1.0, 0.0).hessian_lipschitz
    assert sharp == pytest.approx(math.sqrt(6) / 9)
    largest = 0.0
    for seed in range(40):
        p, a, b = cumulants(seed, 10_000)
        third = np.abs((p * centred(p, a) * centred(p, b) ** 2).sum(axis=1))
        largest = max(largest, float(third.max()))
    assert 0.95 * sharp < largest <= sharp

    # Attained: two classes, along the direction between them.
    p = np.array([[(3 + math.sqrt(3)) / 6, (3 - math.sqrt(3)) / 6]])
    a = np.array([[1.0, -1.0]]) / math.sqrt(2)
    assert abs((p * centred(p, a) ** 3).sum()) == pytest.approx(sharp, rel=1e-12)


def test_T4_random_search_never_exceeds_the_self_concordance_constant() -> None:
    sharp = softmax_head(1.0, 0.0).self_concordance
    largest = 0.0
    for seed in range(40):
        p, a, b = cumulants(seed, 10_000)
        variance = (p * centred(p, b) ** 2).sum(axis=1)
        third = np.abs((p * centred(p, a) * centred(p, b) ** 2).sum(axis=1))
        safe = variance > 1e-9  # below, the quotient is round-off
        largest = max(largest, float((third[safe] / variance[safe]).max()))
    assert 0.95 * sharp < largest <= sharp * (1 + 1e-6)


def test_T4_binary_constants_are_the_extremes_of_the_logistic_function() -> None:
    z = np.linspace(-20, 20, 400_001)
    s = 1 / (1 + np.exp(-z))
    second, third = s * (1 - s), np.abs(s * (1 - s) * (1 - 2 * s))
    constants = binary_head(1.0, 0.0)
    assert second.max() == pytest.approx(constants.gradient_lipschitz, rel=1e-8)
    assert third.max() == pytest.approx(constants.hessian_lipschitz, rel=1e-8)
    assert (third / second).max() == pytest.approx(constants.self_concordance, rel=1e-6)
    assert s.max() == pytest.approx(constants.sample_gradient, rel=1e-6)


@few
@given(case=cases(), length=st.floats(0.01, 5), seed=st.integers(0, 1000))
def test_T4_head_constants_hold_between_random_weights(
    case: Case, length: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    d = len(case.original)
    u, v = torch.randn(2, d, generator=generator, dtype=torch.float64)
    v = u + length * v / v.norm()
    at_u, at_v = dense(case.hessian(u), d), dense(case.hessian(v), d)
    k = case.constants
    assert float(torch.linalg.matrix_norm(at_u - at_v, 2)) <= k.hessian_lipschitz * length
    eigenvalues = torch.linalg.eigvalsh(at_u)
    assert k.strong_convexity * (1 - 1e-9) <= float(eigenvalues[0])
    assert float(eigenvalues[-1]) <= k.gradient_lipschitz

    # e^-t H(u) <= H(v) <= e^t H(u), by the eigenvalues of H(u)^-1/2 H(v) H(u)^-1/2.
    root = torch.linalg.inv(torch.linalg.cholesky(at_u))
    ratio = torch.linalg.eigvalsh(root @ at_v @ root.T)
    t = k.self_concordance * length
    assert float(ratio[-1].log()) <= t
    assert float(ratio[0].log()) >= -t
    single = Rows(case.retain.x[:1], case.retain.y[:1])
    data = case.problem.gradient(u, single) - k.strong_convexity * u
    assert float(data.norm()) <= k.sample_gradient


def test_largest_row_norm_counts_the_bias_column() -> None:
    rows = Rows(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert rows.largest_norm(bias=False) == pytest.approx(5.0)
    assert rows.largest_norm(bias=True) == pytest.approx(math.sqrt(26))
    with pytest.raises(LetheError, match="no rows"):
        rows.take(torch.tensor([], dtype=torch.int64)).largest_norm(bias=True)


def test_T2_lissa_error_is_exact_in_its_bias_and_holds_for_random_chains() -> None:
    mu, scale, steps, chains, d = 0.5, 2.0, 6, 8, 5
    rng = np.random.default_rng(0)
    v = rng.standard_normal(d)
    error = lissa_error(
        gradient_norm=float(np.linalg.norm(v)),
        curvature=mu,
        scale=scale,
        steps=steps,
        chains=10**12,
        failure_probability=0.01,
    )
    # Every minibatch Hessian mu I: no randomness, and the slowest recursion there is.
    u = v.copy()
    for _ in range(steps):
        u = v + u - mu * u / scale
    assert np.linalg.norm(u / scale - v / mu) == pytest.approx(error.value, rel=1e-4)

    few_chains = lissa_error(
        gradient_norm=float(np.linalg.norm(v)),
        curvature=mu,
        scale=scale,
        steps=steps,
        chains=400,
        failure_probability=0.01,
    )
    pool = []
    for _ in range(chains):
        basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
        pool.append(basis * rng.uniform(mu, scale, d) @ basis.T)
    mean = np.linalg.solve(np.mean(pool, axis=0), v)
    ends = []
    for _ in range(400):
        u = v.copy()
        for pick in rng.integers(chains, size=steps):
            u = v + u - pool[pick] @ u / scale
        ends.append(u / scale)
    assert np.linalg.norm(np.mean(ends, axis=0) - mean) <= few_chains.value
    assert few_chains.value < 2 * np.linalg.norm(v) / mu


def test_T12_lissa_step_carries_the_solvers_failure_probability() -> None:
    published = lissa_error_paper(
        dimension=100,
        curvature=0.5,
        gradient_lipschitz=2.0,
        radius=3.0,
        retrain_gradient=0.1,
        failure_probability=0.05,
    )
    by_hand = (16 * math.sqrt(math.log(100 / 0.05)) / 0.5 + 1 / 16) * (2 * 2 * 3 + 0.1)
    assert published == ProbableError(pytest.approx(by_hand), 0.05)
    shared = {
        "distance": 0.2,
        "damping": 0.1,
        "hessian_lipschitz": 1.0,
        "smallest_eigenvalue": 0.3,
        "retrain_gradient": 0.01,
    }
    whole = lissa_step_bound(solve_error=ProbableError(0.7, 0.05), **shared)
    assert whole.value == pytest.approx(early_stop_bound(**shared) + 0.7)
    assert whole.failure_probability == 0.05


def test_ball_step_finds_the_constrained_minimiser() -> None:
    generator = torch.Generator().manual_seed(0)
    for radius in (0.3, 1.0, 50.0):  # the constraint binds in the first two
        basis = torch.randn(8, 8, generator=generator, dtype=torch.float64)
        matrix = basis @ basis.T / 8 + 0.1 * torch.eye(8, dtype=torch.float64)
        g, w = torch.randn(2, 8, generator=generator, dtype=torch.float64)
        eigenvalues = torch.linalg.eigvalsh(matrix)
        step = ball_step(
            matrix,
            g,
            w,
            radius,
            curvature=float(eigenvalues[0]),
            smoothness=float(eigenvalues[-1]),
            tolerance=1e-11,
            max_products=2000,
        )
        assert step.converged
        # The oracle: (A + nu I) w = A w* - g with the least nu >= 0 that fits the ball.
        identity = torch.eye(8, dtype=torch.float64)
        low, high = 0.0, 1e4
        for _ in range(200):
            nu = (low + high) / 2
            inside = torch.linalg.solve(matrix + nu * identity, matrix @ w - g).norm() <= radius
            low, high = (low, nu) if inside else (nu, high)
        oracle = torch.linalg.solve(matrix + high * identity, matrix @ w - g)
        assert float((step.weights - oracle).norm()) <= 1e-9


@given(seed=st.integers(0, 10_000), inside=st.booleans())
@settings(max_examples=40, deadline=None)
def test_ball_residual_is_the_least_that_its_inequality_allows(seed: int, inside: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    w, q = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    w = w / w.norm() * (0.5 if inside else 1.0)
    residual = ball_residual(w, q, 1.0)
    points = torch.randn(4000, 4, generator=generator, dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)
    near = w + 1e-3 * points
    points = torch.cat([points, near[near.norm(dim=1) <= 1]])
    moves = points - w
    rates = -(moves @ q) / moves.norm(dim=1)
    assert float(rates.max()) <= residual + 1e-9
    assert float(rates.max()) >= residual - 0.15 * float(q.norm())


@cache
def on_a_ball(seed: int) -> tuple[Case, float, Tensor, Tensor]:
    """A case, the radius of an active ball, and the minimisers in it on both sets of rows."""
    case = make_case(seed=seed, **CASE)
    radius = 0.5 * float(min(case.original.norm(), case.retrained.norm()))

    def train(rows: Rows) -> Tensor:
        w = torch.zeros_like(case.original)
        for _ in range(1000):
            step = case.problem.gradient(w, rows) / case.constants.gradient_lipschitz
            w = project(w - step, radius)
        return w

    return case, radius, train(case.problem.train), train(case.retain)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("products", [2, 5, 400])
def test_step_residual_bounds_the_true_distance_on_an_active_ball(seed: int, products: int) -> None:
    case, radius, original, retrained = on_a_ball(seed)
    smoothness = case.constants.gradient_lipschitz
    assert float(retrained.norm()) == pytest.approx(radius)  # the constraint is active
    damping = 0.05
    hessian = case.hessian(original)
    step = ball_step(
        Damped(hessian, damping),
        hessian.gradient,
        original,
        radius,
        curvature=damping + 0.1,
        smoothness=damping + smoothness,
        tolerance=1e-12,
        max_products=products,
    )
    bound = step_residual_bound(
        distance=float((original - retrained).norm()),
        damping=damping,
        hessian_lipschitz=case.constants.hessian_lipschitz,
        smallest_eigenvalue=0.1,
        residual=step.residual,
        retrain_gradient=ball_residual(retrained, case.gradient(retrained), radius),
    )
    assert float((step.weights - retrained).norm()) <= bound
    # Without the constraint the retrained gradient would have to be charged in full.
    assert float(case.gradient(retrained).norm()) > 1e3 * ball_residual(
        retrained, case.gradient(retrained), radius
    )


@few
@given(case=cases(), noise=st.floats(-4, 0))
def test_kantorovich_radius_holds_the_minimiser(case: Case, noise: float) -> None:
    generator = torch.Generator().manual_seed(3)
    shift = torch.randn(len(case.original), generator=generator, dtype=torch.float64)
    w = case.retrained + 10**noise * shift
    smallest = float(torch.linalg.eigvalsh(dense(case.hessian(w), len(w)))[0])
    try:
        radius = kantorovich_radius(
            gradient_norm=float(case.gradient(w).norm()),
            smallest_eigenvalue=smallest,
            hessian_lipschitz=case.constants.hessian_lipschitz,
        )
    except AssumptionBroken:
        return
    slack = G / case.constants.strong_convexity
    assert float((w - case.retrained).norm()) <= radius + slack


def test_kantorovich_radius_is_attained_by_a_cubic() -> None:
    # f'(x) = b - mu x + M x^2 / 2 has its smaller root exactly at the radius.
    for b, mu, m in ((0.3, 1.0, 1.0), (0.5, 1.0, 1.0), (1e-6, 2.0, 7.0)):
        radius = kantorovich_radius(gradient_norm=b, smallest_eigenvalue=mu, hessian_lipschitz=m)
        assert b - mu * radius + m * radius**2 / 2 == pytest.approx(0, abs=1e-15)
        assert radius <= mu / m
    assert kantorovich_radius(
        gradient_norm=1.0, smallest_eigenvalue=4.0, hessian_lipschitz=0.0
    ) == pytest.approx(0.25)


@pytest.mark.parametrize("failure", [0.1, 0.3])
def test_T12_spectral_bound_fails_at_its_rate_where_that_is_sharp(failure: float) -> None:
    """One step against a single low eigenvalue: the rate is reached as d grows."""
    d, trials = 400, 1500
    generator = torch.Generator().manual_seed(0)
    diagonal = torch.ones(d, dtype=torch.float64)
    diagonal[0] = -2.0
    matrix = torch.diag(diagonal)
    misses = 0
    for _ in range(trials):
        start = torch.randn(d, generator=generator, dtype=torch.float64)
        ritz, _ = extreme_eigenvalues(matrix, start, 1)
        bound = smallest_eigenvalue_bound(
            smallest_ritz=ritz,
            largest_eigenvalue=1.0,
            steps=1,
            dimension=d,
            failure_probability=failure,
        )
        misses += bound > -2.0
    spread = 4 * math.sqrt(failure * (1 - failure) / trials)
    assert 0.8 * failure <= misses / trials <= failure + spread


def test_T12_spectral_bounds_hold_on_random_matrices() -> None:
    generator = torch.Generator().manual_seed(1)
    failure, misses, trials, loose = 0.05, 0, 150, 0.0
    for trial in range(trials):
        d, steps = 60 + trial % 40, 10 + trial % 12
        matrix = torch.randn(d, d, generator=generator, dtype=torch.float64)
        matrix = matrix + matrix.T + (trial % 5) * torch.diag(torch.linspace(-5, 9, d).double())
        eigenvalues = torch.linalg.eigvalsh(matrix)
        start = torch.randn(d, generator=generator, dtype=torch.float64)
        ritz = extreme_eigenvalues(matrix, start, steps)
        low, high = spectrum_bounds(
            smallest_ritz=ritz[0],
            largest_ritz=ritz[1],
            steps=steps,
            dimension=d,
            failure_probability=failure,
        )
        misses += low > float(eigenvalues[0]) or high < float(eigenvalues[-1])
        spread = float(eigenvalues[-1] - eigenvalues[0])
        loose = max(loose, (float(eigenvalues[0]) - low) / spread)
    assert misses <= failure * trials
    assert loose < 1.0  # and the bound says something


@pytest.mark.parametrize("steps", [2, 10, 50])
@pytest.mark.parametrize("dimension", [3, 100, 10**7])
def test_T12_relative_error_is_never_above_the_published_one(steps: int, dimension: int) -> None:
    for failure in (1e-9, 1e-3, 0.1):
        ours = relative_error(steps=steps, dimension=dimension, failure_probability=failure)
        root = math.log(1.648 * math.sqrt(dimension) / failure) / (2 * steps - 1)
        assert ours <= root**2
        assert ours >= 0.3 * min(1.0, root**2)


SHARED = {
    "distance": 1.0,
    "damping": 0.5,
    "hessian_lipschitz": 1.0,
    "smallest_eigenvalue": -0.4,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smallest_eigenvalue": -0.5}, r"damping \+ lambda_min > 0; it is 0"),
        ({"smallest_eigenvalue": -1.0}, r"it is -0.5"),
        ({"smallest_eigenvalue": math.nan}, "smallest_eigenvalue must be a finite"),
        ({"distance": -1.0}, "distance must be at least 0; it is -1"),
        ({"hessian_lipschitz": math.inf}, "hessian_lipschitz must be a finite"),
        ({"damping": -0.1}, "damping must be at least 0"),
    ],
)
def test_newton_bounds_refuse_broken_conditions(change: dict[str, float], message: str) -> None:
    assert exact_step_bound(**SHARED) == pytest.approx(10.0)
    with pytest.raises(AssumptionBroken, match=message):
        exact_step_bound(**{**SHARED, **change})


def test_other_conditions_are_refused_with_a_reason() -> None:
    with pytest.raises(AssumptionBroken, match="residual must be at least 0"):
        step_residual_bound(residual=-1.0, retrain_gradient=0.0, **SHARED)
    with pytest.raises(AssumptionBroken, match="strong_convexity must be above 0; it is 0"):
        gradient_residual_bound(gradient_norm=1.0, retrain_gradient=0.0, strong_convexity=0.0)
    with pytest.raises(AssumptionBroken, match=r"h <= 1/2; it is 0\.6"):
        kantorovich_radius(gradient_norm=0.6, smallest_eigenvalue=1.0, hessian_lipschitz=1.0)
    with pytest.raises(AssumptionBroken, match="smallest_eigenvalue must be above 0"):
        kantorovich_radius(gradient_norm=0.6, smallest_eigenvalue=-1.0, hessian_lipschitz=1.0)
    with pytest.raises(AssumptionBroken, match="outside the ball"):
        ball_residual(torch.ones(4), torch.ones(4), 1.0)
    with pytest.raises(AssumptionBroken, match="scale >= curvature"):
        lissa_error(
            gradient_norm=1.0,
            curvature=2.0,
            scale=1.0,
            steps=3,
            chains=1,
            failure_probability=0.1,
        )
    with pytest.raises(AssumptionBroken, match="steps bound nothing"):
        spectrum_bounds(
            smallest_ritz=0.0,
            largest_ritz=1.0,
            steps=1,
            dimension=1000,
            failure_probability=0.01,
        )
    with pytest.raises(AssumptionBroken, match="x does not belong to g"):
        self_concordant_bound(
            gradient_norm=1.0,
            step_norm=1.0,
            step_dot_gradient=-1.0,
            residual=0.1,
            retrain_gradient=0.0,
            strong_convexity=1.0,
            self_concordance=1.0,
        )
    with pytest.raises(LetheError, match="at least one must be kept"):
        forget_gradient_error(training_gradient=1.0, trained=5, forgotten=5)
