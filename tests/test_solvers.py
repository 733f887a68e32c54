"""Every solver against a dense solve, and what each says of systems it cannot solve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import scipy.sparse.linalg
import torch
from torch import Tensor

from benchmark.curvature.factor import dense_matrix, nystroem
from benchmark.curvature.krylov import Solution, chebyshev, conjugate_gradients, lanczos, minres
from benchmark.curvature.lissa import differentiated, largest_minibatch_curvature, lissa
from benchmark.errors import LetheError
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model
from benchmark.problem.objective import Objective
from benchmark.rows import Rows
from benchmark.solvers.solver import SOLVERS, System
from benchmark.solvers.svrg import svrg
from tests import problems

LISSA = [name for name in SOLVERS if name.startswith("lissa")]
EXACT = [name for name in SOLVERS if name not in LISSA]
ITERATIVE = [name for name in EXACT if name != "cholesky"]
BUDGET = 500


@cache
def undamped(dtype: torch.dtype, n: int) -> tuple[System, Tensor]:
    """A tanh net's system without damping, and its Hessian as a matrix."""
    problem = problems.mlp()
    rows = problems.rows(n, 5, 3, 0, dtype)
    generator = torch.Generator().manual_seed(1)
    weights = 2 * problem.model.initial_weights(generator).to(dtype)
    system = System(problem, weights, rows, 0.0, problem.gradient(weights, rows))
    return system, dense_matrix(system.operator, weights)


def damped(share: float, dtype: torch.dtype = torch.float64, n: int = 700) -> System:
    """With damping |lambda_min| + share * ||H||; indefinite for a negative share."""
    system, matrix = undamped(dtype, n)
    spectrum = torch.linalg.eigvalsh(matrix)
    assert float(spectrum[0]) < 0
    return replace(system, damping=float(-spectrum[0] + share * spectrum[-1]))


def solve(
    name: str, system: System, tolerance: float = 1e-9, budget: int = BUDGET, seed: int = 0
) -> Solution:
    return SOLVERS[name].solve(system, tolerance, budget, torch.Generator().manual_seed(seed))


def exact(system: System) -> Tensor:
    _, matrix = undamped(system.b.dtype, len(system.rows))
    return torch.linalg.solve(
        matrix + system.damping * torch.eye(len(matrix)).double(), system.b.double()
    )


def test_every_solver_is_registered_under_its_name() -> None:
    assert next(iter(SOLVERS)) == "cg"
    assert all(name == solver.name for name, solver in SOLVERS.items())
    assert len({solver.title for solver in SOLVERS.values()}) == len(SOLVERS)


@pytest.mark.parametrize("share", [1.0, 0.02])
@pytest.mark.parametrize("name", EXACT)
def test_a_solver_finds_the_solution(name: str, share: float) -> None:
    system = damped(share)
    solution = solve(name, system)
    assert solution.converged
    assert solution.curvature is None
    assert solution.residual <= 1.01e-9 * float(system.b.norm())
    x = exact(system)
    assert float((solution.x - x).norm()) <= 1e-6 * float(x.norm())
    # A smaller tolerance is never met at greater expense.
    assert solve(name, system, 1e-1).products <= solution.products


@pytest.mark.parametrize("share", [1.0, 0.02, -0.01])
@pytest.mark.parametrize("name", SOLVERS)
def test_the_reported_residual_is_the_recomputed_one(name: str, share: float) -> None:
    system = damped(share)
    solution = solve(name, system, 1e-3, 20 if name in LISSA else BUDGET)
    recomputed = float((system.b - system.operator @ solution.x).norm())
    assert solution.residual == pytest.approx(recomputed, rel=1e-6)
    assert system.residual(solution.x) == pytest.approx(recomputed / float(system.b.norm()))


@pytest.mark.parametrize("name", EXACT)
def test_an_indefinite_system_is_reported(name: str) -> None:
    system = damped(-0.03)
    lowest = float(torch.linalg.eigvalsh(undamped(torch.float64, 700)[1])[0]) + system.damping
    assert lowest < 0
    solution = solve(name, system)
    assert not solution.converged
    assert solution.curvature is not None
    assert lowest - 1e-9 <= solution.curvature <= 0


@pytest.mark.parametrize("name", LISSA)
def test_a_diverging_recursion_is_reported(name: str) -> None:
    system = damped(-0.5)
    solution = solve(name, system, 0.5, 30)
    assert not solution.converged
    assert solution.residual > float(system.b.norm())


@pytest.mark.parametrize("name", EXACT)
def test_a_tolerance_below_the_precision_is_reported(name: str) -> None:
    system = damped(0.1, torch.float32)
    solution = solve(name, system, 1e-12, 200)
    assert not solution.converged
    assert solution.curvature is None
    assert 0 < solution.residual <= 1e-4 * float(system.b.norm())


@pytest.mark.parametrize("budget", [0, 1, 4])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_budget_is_kept_and_its_end_reported(name: str, budget: int) -> None:
    system = damped(0.02)
    solution = solve(name, system, 1e-9, budget)
    assert not solution.converged
    assert solution.products <= budget + 1, "one more for the residual"
    assert solution.residual == pytest.approx(
        float((system.b - system.operator @ solution.x).norm())
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["b", "weights"])
@pytest.mark.parametrize("name", SOLVERS)
def test_numbers_that_are_not_finite_are_reported(name: str, part: str, value: float) -> None:
    system = damped(0.5)
    broken = getattr(system, part).clone()
    broken[3] = value
    solution = solve(name, replace(system, **{part: broken}), 0.1)
    assert not solution.converged
    assert solution.residual == float("inf")
    assert not solution.x.any()


@pytest.mark.parametrize("solver", [conjugate_gradients, minres, chebyshev])
def test_a_right_hand_side_without_a_norm_is_not_called_solved(solver: Callable) -> None:
    b = torch.ones(5).double()
    b[0] = float("inf")
    solution = solver(torch.eye(5).double(), b, tolerance=0.1, max_products=9)
    assert not solution.converged
    assert solution.residual == float("inf")


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_to_solve_takes_no_product(name: str) -> None:
    system = damped(0.5)
    solution = solve(name, replace(system, b=torch.zeros_like(system.b)), 0.1)
    assert solution.converged
    assert not solution.x.any()
    assert solution.residual == 0
    if name != "cholesky":
        assert solution.products == 0


@pytest.mark.parametrize("name", ITERATIVE)
def test_the_history_ends_where_the_solution_does(name: str) -> None:
    system = damped(0.05)
    solution = solve(name, system, 1e-6)
    counts = [products for products, _ in solution.history]
    assert counts == sorted(counts)
    assert counts[-1] <= solution.products
    relative = solution.residual / float(system.b.norm())
    assert solution.history[-1][1] == pytest.approx(relative, rel=1e-3)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_same_generator_gives_the_same_bytes(name: str) -> None:
    system = damped(0.1)
    once, again = (solve(name, system, 1e-3, 20) for _ in range(2))
    assert torch.equal(once.x, again.x)
    assert once.products == again.products


def test_stochastic_passes_do_most_of_the_work_where_they_contract() -> None:
    """SVRG within its reach needs no conjugate gradients: each step is a product and a pass."""
    system = damped(1.0, n=3000)
    solution = solve("svrg", system, 1e-4)
    assert solution.converged
    gaps = [b - a for (a, _), (b, _) in pairwise(solution.history)]
    assert all(1.1 < gap <= 2.0 for gap in gaps)
    assert solution.products < solve("cg", system, 1e-4).products


def test_svrg_cuts_rows_into_chunks_no_smaller_than_the_model_asks() -> None:
    """250 rows are 15 chunks of 16, enough for stochastic passes, or 3 of 64, which are not."""
    dense, images = (MLPSpec(kind="mlp", hidden=(2,)), 5), (AllCNNSpec(kind="allcnn"), (8, 8, 1))
    smallest = [Model(spec, inputs, 3).smallest_chunk for spec, inputs in (dense, images)]
    assert smallest == [64, 16]
    system = damped(1.0, n=250)
    generator = torch.Generator().manual_seed(0)
    by_cg, by_passes = (
        svrg(system, tolerance=0.1, max_products=99, generator=generator, smallest=rows)
        for rows in smallest
    )
    assert by_cg.converged
    assert by_cg.products == round(by_cg.products)
    assert by_passes.converged
    assert by_passes.products != round(by_passes.products)


def test_the_residual_of_svrg_never_grows_and_is_that_of_its_answer() -> None:
    system = damped(0.02, n=3000)
    solution = solve("svrg", system, 1e-6)
    sizes = [size for _, size in solution.history]
    assert all(after <= before for before, after in pairwise(sizes))
    assert solution.residual == pytest.approx(
        float((system.b - system.operator @ solution.x).norm()), rel=1e-3
    )


def test_svrg_hands_over_where_passes_do_not_contract() -> None:
    system = damped(0.0005, n=1500)
    solution = solve("svrg", system, 1e-8, 400)
    assert solution.converged
    last, before = solution.history[-1][0], solution.history[-2][0]
    assert last - before == pytest.approx(1.0), "a step of conjugate gradients"


def test_minres_agrees_with_scipy_and_never_grows_its_residual() -> None:
    generator = torch.Generator().manual_seed(3)
    q, _ = torch.linalg.qr(torch.randn(30, 30, generator=generator).double())
    a = q @ torch.diag(torch.linspace(-1, 4, 30).double()) @ q.T
    b = torch.randn(30, generator=generator).double()
    solution = minres(a, b, tolerance=1e-10, max_products=100)
    theirs, _ = scipy.sparse.linalg.minres(a.numpy(), b.numpy(), rtol=1e-13)
    assert torch.allclose(solution.x, torch.from_numpy(theirs), rtol=0, atol=1e-7)
    assert solution.residual <= 1e-9 * float(b.norm())
    assert solution.curvature is not None
    assert not solution.converged, "solved, and indefinite"
    sizes = [size for _, size in solution.history]
    assert all(after <= before for before, after in pairwise(sizes))


def test_minres_minimises_the_residual_over_the_krylov_space() -> None:
    system = damped(0.02)
    a = undamped(torch.float64, 700)[1] + system.damping * torch.eye(len(system.b)).double()
    for k in (1, 3, 6):
        solution = minres(a, system.b, tolerance=0.0, max_products=k)
        space = torch.linalg.qr(
            torch.stack([torch.linalg.matrix_power(a, i) @ system.b for i in range(k)], dim=1)
        )[0]
        least = torch.linalg.lstsq(a @ space, system.b.unsqueeze(1)).solution
        best = float((system.b.unsqueeze(1) - a @ space @ least).norm())
        assert solution.residual == pytest.approx(best, rel=1e-6)


def test_bounds_found_too_narrow_are_found_again() -> None:
    """b hides the largest eigenvalue but for round-off, so the first bounds miss it."""
    spectrum = torch.cat([torch.linspace(1, 2, 30), torch.tensor([50.0])]).double()
    b = torch.ones(31).double()
    b[-1] = 1e-9
    solution = chebyshev(torch.diag(spectrum), b, tolerance=1e-12, max_products=200)
    assert solution.converged
    assert torch.allclose(solution.x, b / spectrum, rtol=0, atol=1e-10)


def test_a_nystroem_approximation_of_low_rank_is_exact() -> None:
    generator = torch.Generator().manual_seed(4)
    q, _ = torch.linalg.qr(torch.randn(40, 5, generator=generator).double())
    h = q @ torch.diag(torch.tensor([9.0, 5, 3, 2, 1]).double()) @ q.T
    low_rank = nystroem(h, torch.zeros(40).double(), 8, generator)
    assert low_rank.products == 8
    again = low_rank.vectors @ torch.diag(low_rank.values) @ low_rank.vectors.T
    assert torch.allclose(again, h, rtol=0, atol=1e-9)
    a, b = h + 0.01 * torch.eye(40).double(), torch.randn(40, generator=generator).double()
    plain = conjugate_gradients(a, b, tolerance=1e-6, max_products=50)
    pre = conjugate_gradients(
        a, b, tolerance=1e-6, max_products=50, preconditioner=low_rank.preconditioner(0.01)
    )
    assert pre.converged
    assert pre.products <= 3 < plain.products


def test_a_preconditioner_changes_the_path_but_not_the_solution() -> None:
    system = damped(0.02)
    x = exact(system)
    scale = torch.linspace(0.5, 2, len(x)).double()
    solution = conjugate_gradients(
        system.operator,
        system.b,
        tolerance=1e-10,
        max_products=BUDGET,
        preconditioner=lambda r: scale * r,
    )
    assert solution.converged
    assert torch.allclose(solution.x, x, rtol=0, atol=1e-7 * float(x.norm()))


def test_a_dense_solve_above_its_dimension_is_refused_in_one_line() -> None:
    system = damped(0.1)
    with pytest.raises(LetheError, match="10,000 weights at most"):
        SOLVERS["cholesky"].solve(
            replace(system, b=torch.zeros(10_001)), 0.1, 20_000, torch.Generator()
        )


def test_a_lanczos_basis_is_orthonormal_and_projects_the_matrix() -> None:
    matrix = undamped(torch.float64, 700)[1]
    start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(5)).double()
    space = lanczos(matrix, start, 30)
    eye = torch.eye(30).double()
    assert torch.allclose(space.basis @ space.basis.T, eye, rtol=0, atol=1e-12)
    projected = space.basis @ matrix @ space.basis.T
    assert torch.allclose(projected, space.projected, rtol=0, atol=1e-12)
    outside = matrix @ space.basis[-1]
    outside = outside - space.basis.T @ (space.basis @ outside)
    assert space.remainder == pytest.approx(float(outside.norm()))


@pytest.mark.parametrize("averaged", [1, 4])
def test_lissa_is_the_papers_recursion_chain_by_chain(averaged: int) -> None:
    system = damped(0.5, n=60)
    problem, w, rows, b = system.problem, system.weights, system.rows, system.b
    settings = {"damping": 0.3, "scale": 7.0, "chains": 2, "depth": 5, "batch": 4}
    generator = torch.Generator().manual_seed(6)
    estimate = lissa(
        differentiated(problem.loss, w), rows, b, generator, averaged=averaged, **settings
    )
    generator = torch.Generator().manual_seed(6)
    u, tail = [b.clone() for _ in range(2)], []
    for _ in range(5):
        index = torch.randint(60, (8,), generator=generator).view(2, 4)
        for chain in range(2):
            part = Rows(rows.x[index[chain]], rows.y[index[chain]])
            h = torch.autograd.functional.hessian(lambda v, part=part: problem.loss(v, part), w)
            u[chain] = b + u[chain] - (h @ u[chain] + 0.3 * u[chain]) / 7.0
        tail.append(torch.stack(u).mean(dim=0) / 7.0)
    expected = torch.stack(tail[-averaged:]).mean(dim=0)
    assert torch.allclose(estimate, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(4,), (6, 5, 4)])
def test_a_nets_minibatch_products_are_those_of_autograd(
    loss: str, activation: str, hidden: tuple[int, ...]
) -> None:
    problem = replace(
        problems.mlp(activation=activation),
        model=Model(MLPSpec(kind="mlp", hidden=hidden, activation=activation), 5, 3),
        objective=Objective(loss=loss, ridge=1e-3),
    )
    generator = torch.Generator().manual_seed(9)
    w = problem.model.initial_weights(generator)
    x, y = torch.randn(4, 7, 5, generator=generator).double(), problem.train.y[:28].view(4, 7)
    u = torch.randn(4, len(w), generator=generator).double()
    ours = problem.minibatch_hessians(w)(x, y, u)
    theirs = differentiated(problem.data_loss, w)(x, y, u)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_averaging_the_tail_brings_lissa_nearer() -> None:
    system = damped(0.3)
    x, damping = exact(system), system.damping
    settings = {"damping": damping, "scale": 20.0, "chains": 4, "depth": 200, "batch": 10}

    def error(averaged: int) -> float:
        generator = torch.Generator().manual_seed(8)
        products = system.problem.minibatch_hessians(system.weights)
        estimate = lissa(products, system.rows, system.b, generator, averaged=averaged, **settings)
        return float((estimate - x).norm() / x.norm())

    assert error(100) < error(1) < 1


def test_the_largest_minibatch_curvature_is_that_of_a_dense_hessian() -> None:
    system = damped(0.5, n=60)
    problem, w, rows = system.problem, system.weights, system.rows
    generator = torch.Generator().manual_seed(7)
    found = largest_minibatch_curvature(
        differentiated(problem.loss, w), rows, len(w), generator, batch=4, trials=6, steps=200
    )
    index = torch.randint(60, (24,), generator=torch.Generator().manual_seed(7)).view(6, 4)
    parts = [rows.take(i) for i in index]
    dense = [
        torch.autograd.functional.hessian(lambda v, part=part: problem.loss(v, part), w)
        for part in parts
    ]
    expected = max(float(torch.linalg.eigvalsh(h).abs().max()) for h in dense)
    assert found == pytest.approx(expected, rel=1e-3)
