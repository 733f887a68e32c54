"""Products, solver and spectrum against brute force in float64."""

from __future__ import annotations

import pytest
import torch

from benchmark.contract.seeds import Seeds
from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped
from benchmark.curvature.lanczos import extreme_eigenvalues
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from tests import problems


class Matrix:
    """A dense matrix as an operator that counts its products."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix, self.products = matrix, 0

    def __matmul__(self, vector: torch.Tensor) -> torch.Tensor:
        self.products += 1
        return self.matrix @ vector


def spd(n: int, condition: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return q @ torch.diag(torch.logspace(0, -torch.tensor(condition).log10(), n).double()) @ q.T


def float64(problem: Problem) -> tuple[Problem, torch.Tensor]:
    weights = problem.model.initial_weights(Seeds().generator("training"))
    return problem, weights


CASES = {
    "softmax": problems.softmax,
    "quadratic": lambda: problems.softmax(loss="squared"),
    "one-vs-rest": problems.one_vs_rest,
    "tanh": problems.mlp,
    "relu": lambda: problems.mlp(activation="relu"),
}


@pytest.mark.parametrize("case", CASES)
def test_hessian_product_is_the_brute_force_hessian(case: str) -> None:
    problem, weights = float64(CASES[case]())
    rows = Rows(problem.train.x.double(), problem.train.y)
    hessian = problem.hessian(weights, rows)
    dense = torch.autograd.functional.hessian(lambda w: problem.loss(w, rows), weights)
    columns = torch.stack([hessian @ e for e in torch.eye(len(weights)).double()])
    assert torch.allclose(columns, dense, atol=1e-12)
    assert torch.allclose(columns, columns.T, atol=1e-12)
    assert torch.allclose(hessian.gradient, problem.gradient(weights, rows), atol=1e-14)


def test_hessian_product_does_not_depend_on_later_changes_of_the_weights() -> None:
    problem, weights = float64(problems.softmax())
    hessian = problem.hessian(weights, problem.train)
    v = torch.ones_like(weights)
    before = hessian @ v
    weights.zero_()
    assert torch.equal(hessian @ v, before)


def test_the_gradient_is_that_of_finite_differences() -> None:
    problem, w = float64(problems.softmax())
    gradient = problem.gradient(w, problem.train)
    for i in range(len(w)):
        e = torch.zeros_like(w)
        e[i] = 1e-6
        difference = problem.loss(w + e, problem.train) - problem.loss(w - e, problem.train)
        assert float(difference / 2e-6) == pytest.approx(float(gradient[i]), abs=1e-8)


@pytest.mark.parametrize("condition", [10.0, 1e4])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-8])
def test_cg_reaches_its_tolerance(condition: float, tolerance: float) -> None:
    a = spd(40, condition)
    b = torch.randn(40, generator=torch.Generator().manual_seed(1)).double()
    operator = Matrix(a)
    solution = conjugate_gradients(operator, b, tolerance=tolerance, max_products=500)
    assert solution.converged
    assert solution.curvature is None
    assert solution.products == operator.products
    assert solution.residual == pytest.approx(float((b - a @ solution.x).norm()))
    assert solution.residual <= 1.01 * tolerance * float(b.norm())
    exact = torch.linalg.solve(a, b)
    assert float((solution.x - exact).norm()) <= solution.residual * condition * 1.01


def test_cg_says_when_its_budget_ran_out() -> None:
    b = torch.ones(40).double()
    solution = conjugate_gradients(Matrix(spd(40, 1e6)), b, tolerance=1e-10, max_products=3)
    assert not solution.converged
    assert solution.products == 4, "three steps and the residual"
    assert solution.residual > 1e-10 * float(b.norm())


def test_cg_reports_negative_curvature() -> None:
    a = torch.diag(torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64))
    b = torch.ones(3).double()
    solution = conjugate_gradients(Matrix(a), b, tolerance=1e-10, max_products=9)
    assert not solution.converged
    assert solution.curvature is not None
    assert -0.5 <= solution.curvature <= 0


def test_cg_of_zero_needs_no_product() -> None:
    operator = Matrix(spd(5, 10))
    solution = conjugate_gradients(operator, torch.zeros(5).double(), tolerance=0.1, max_products=9)
    assert solution.converged
    assert operator.products == solution.products == 0


def test_damping_adds_a_multiple_of_the_identity() -> None:
    a, v = spd(6, 10), torch.arange(6).double()
    assert torch.allclose(Damped(Matrix(a), 0.3) @ v, a @ v + 0.3 * v)


@pytest.mark.parametrize("steps", [5, 12, 40])
def test_ritz_values_lie_inside_the_spectrum(steps: int) -> None:
    a = spd(40, 1e3) - 0.2 * torch.eye(40).double()
    start = torch.randn(40, generator=torch.Generator().manual_seed(2)).double()
    smallest, largest = extreme_eigenvalues(Matrix(a), start, steps)
    spectrum = torch.linalg.eigvalsh(a)
    assert smallest >= float(spectrum[0]) - 1e-12
    assert largest <= float(spectrum[-1]) + 1e-12
    if steps == 40:
        assert smallest == pytest.approx(float(spectrum[0]), abs=1e-8)
        assert largest == pytest.approx(float(spectrum[-1]), abs=1e-8)


def test_lanczos_stops_when_the_space_is_exhausted() -> None:
    operator = Matrix(torch.eye(10).double() * 3)
    assert extreme_eigenvalues(operator, torch.ones(10).double(), 8) == pytest.approx((3, 3))
    assert operator.products == 1
