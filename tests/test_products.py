"""Products, solver and spectrum against brute force in float64, and every product by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

from benchmark.bench.operators import flops
from benchmark.contract.seeds import Seeds
from benchmark.curvature import mlp
from benchmark.curvature.hessian import Damped, Sharded, shard
from benchmark.curvature.krylov import conjugate_gradients, extreme_eigenvalues
from benchmark.curvature.mlp import linear
from benchmark.errors import LetheError
from benchmark.problem.model import AllCNNSpec, Model
from benchmark.problem.problem import Problem
from benchmark.problem.products import PRODUCTS, default, serving
from benchmark.problem.variants import AnyNet, PerturbedProblem, gauss_newton
from benchmark.rows import Rows
from tests import problems
from tests.problems import FORMS, NETS, ROWS, Net, dense_gauss_newton, dense_hessian

# --- Every product by its name, against the brute-force Hessian in float64, on small nets --------


@dataclass(frozen=True)
class AnyModel:
    """A net of which nothing is known but its logits."""

    logits: Callable[[Tensor, Tensor], Tensor]

    spec = AnyNet()
    chunk = None
    statistics = None
    tangent = None

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        return self.logits(weights, x)

    def without_statistics(self, weights: Tensor) -> Tensor:
        return weights


def problem_of(net: Net) -> Problem:
    if net.problem is not None:
        return net.problem
    return replace(problems.mlp(), model=AnyModel(net.logits), objective=net.objective)


CASES = [(net, product) for net in NETS for product in serving(problem_of(NETS[net]()))]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "product"), CASES)
def test_a_product_by_name_is_the_brute_force_hessians(name: str, product: str, form: str) -> None:
    net = NETS[name]()
    hessian = problem_of(net).hessian(net.weights, net.rows, product=product, **FORMS[form])
    vectors = torch.randn(3, len(net.weights), generator=torch.Generator().manual_seed(9)).double()
    found = torch.stack([hessian @ v for v in vectors])
    assert torch.allclose(found, vectors @ dense_hessian(name), rtol=0, atol=1e-13)
    assert torch.allclose(hessian.gradient, net.gradient(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETS)
def test_a_problems_gauss_newton_matrix_is_the_brute_force_one(name: str, form: str) -> None:
    net = NETS[name]()
    matrix = gauss_newton(problem_of(net), net.weights, net.rows, **FORMS[form])
    v = torch.randn(len(net.weights), generator=torch.Generator().manual_seed(9)).double()
    assert torch.allclose(matrix @ v, dense_gauss_newton(name) @ v, rtol=0, atol=1e-13)
    assert torch.allclose(matrix.gradient, net.gradient(), rtol=0, atol=1e-14)


def test_batch_norm_has_no_gauss_newton_matrix() -> None:
    problem = replace(
        problems.mlp(radius=None),
        model=Model(AllCNNSpec(kind="allcnn", width=2, norm="batch"), (4, 4, 1), 3),
        train=problems.rows(ROWS, 16, 3, 0, torch.float64),
    )
    with pytest.raises(LetheError, match="BatchNorm"):
        gauss_newton(problem, torch.zeros(problem.model.dimension).double(), problem.train)


@pytest.mark.parametrize("product", ["kept-graph", "fresh-graph", "forward-over-reverse"])
def test_weights_changed_in_place_do_not_change_a_product(product: str) -> None:
    net = NETS["tanh"]()
    hessian = problem_of(net).hessian(net.weights, net.rows, product=product, chunk=8)
    v = torch.ones(len(net.weights)).double()
    before = hessian @ v
    net.weights.data.mul_(3)
    assert torch.equal(hessian @ v, before)


def test_the_default_comes_first_and_is_what_no_name_gives() -> None:
    assert {case for case in CASES if case[1] == default(problem_of(NETS[case[0]]()))} >= {
        ("softmax", "closed-form"),
        ("tanh", "r-operator"),
        ("residual", "kept-graph"),
    }
    for name in NETS:
        net = NETS[name]()
        problem = problem_of(net)
        assert serving(problem)[0] == default(problem)
        unnamed = problem.hessian(net.weights, net.rows, chunk=7)
        named = problem.hessian(net.weights, net.rows, chunk=7, product=default(problem))
        assert type(unnamed) is type(named)
        assert torch.equal(unnamed @ net.weights, named @ net.weights)


@pytest.mark.parametrize(
    ("product", "kept", "passes"),
    [
        ("kept-graph", None, 0),
        ("kept-graph", 10, 3),
        ("fresh-graph", None, 5),
        ("forward-over-reverse", None, 5),
    ],
)
def test_what_is_not_kept_is_computed_anew_a_chunk_at_a_time(
    product: str, kept: int | None, passes: int
) -> None:
    """The first 10 of 23 rows are two chunks of 5."""
    net, sizes = NETS["convolution"](), []

    def logits(weights: Tensor, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return net.logits(weights, x)

    problem = replace(problem_of(net), model=AnyModel(logits))
    hessian = problem.hessian(net.weights, net.rows, chunk=5, kept_rows=kept, product=product)
    assert sum(sizes) == ROWS
    sizes.clear()
    _ = hessian @ net.weights
    assert len(sizes) == passes
    assert all(size <= 5 for size in sizes)


def test_a_name_that_does_not_serve_is_one_line_with_those_that_do() -> None:
    net = NETS["softmax"]()
    for name in ("r-operator", "r-operatr"):
        with pytest.raises(LetheError, match=f"no product '{name}'.*closed-form, kept-graph") as no:
            problem_of(net).hessian(net.weights, net.rows, product=name)
        assert "\n" not in str(no.value)


@pytest.mark.parametrize("product", [name for name in PRODUCTS if name != "r-operator"])
def test_a_linear_term_is_in_the_gradient_once(product: str) -> None:
    plain = problems.softmax()
    b = torch.linspace(-1, 1, plain.model.dimension).double()
    problem, w = PerturbedProblem.of(plain, b), b.flip(0)
    hessian = problem.hessian(w, problem.train, product=product)
    assert torch.allclose(hessian.gradient, problem.gradient(w, problem.train), atol=1e-14)
    assert torch.allclose(hessian @ b, plain.hessian(w, plain.train) @ b, atol=1e-14)


def test_a_convolutional_net_has_products_of_every_row_and_in_chunks() -> None:
    problem = replace(
        problems.mlp(radius=None),
        model=Model(AllCNNSpec(kind="allcnn", width=2), (4, 4, 1), 3),
        train=problems.rows(ROWS, 16, 3, 0, torch.float64),
    )
    generator = torch.Generator().manual_seed(2)
    w = problem.model.initial_weights(generator)
    v = torch.randn(len(w), generator=generator).double()
    rows = problem.train
    (gradient,) = torch.autograd.grad(problem.loss(w.requires_grad_(), rows), w, create_graph=True)
    expected = torch.autograd.grad(gradient, w, v)[0]
    for product in serving(problem):
        for form in FORMS.values():
            found = problem.hessian(w, rows, product=product, **form) @ v
            assert torch.allclose(found, expected, rtol=0, atol=1e-12), (product, form)


# --- x W^T + b is that of float64, whichever kernel computes it ----------------------------------

LARGE, SMALL = (1200, 90, 12), (7, 5, 3)


def operands(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    m, k, n = shape
    drawn = (torch.randn(*size, generator=generator) for size in ((m, k), (n, k), (n,)))
    return tuple(drawn)


@pytest.fixture(params=["as it comes", "without oneDNN"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without oneDNN":
        monkeypatch.setattr(mlp, "ONEDNN", None)


@pytest.mark.parametrize("shape", [LARGE, SMALL])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_linear_map(
    kernel: None, shape: tuple[int, int, int], biased: bool, dtype: torch.dtype
) -> None:
    x, weight, bias = operands(shape)
    found = linear(x.to(dtype), weight.to(dtype), bias.to(dtype) if biased else None)
    truth = x.double() @ weight.double().T + (bias.double() if biased else 0)
    assert found.dtype == dtype
    assert float((found - truth).norm()) <= 4 * torch.finfo(dtype).eps * float(truth.norm())


def test_transposed_views_give_the_sum_of_outer_products(kernel: None) -> None:
    x, _, _ = operands(LARGE)
    errors = torch.randn(len(x), 32, generator=torch.Generator().manual_seed(1))
    truth = torch.einsum("ni,nj->ij", errors.double(), x.double())
    found = linear(errors.T, x.T)
    assert found.shape == (32, x.shape[1])
    assert float((found - truth).norm()) <= 1e-6 * float(truth.norm())


@pytest.mark.parametrize("rows", [1, 2])
def test_rows_of_a_larger_matrix_are_views_too(kernel: None, rows: int) -> None:
    x, weight, bias = operands((rows * 9000, 90, 2))
    part = slice(rows, 9000)
    torch.testing.assert_close(linear(x[part], weight, bias), x[part] @ weight.T + bias)


def test_large_products_in_single_precision_are_onednns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def onednn(*operands: object) -> Tensor:
        calls.append(operands)
        return torch.zeros(())

    monkeypatch.setattr(mlp, "ONEDNN", onednn)
    for shape, dtype in ((LARGE, torch.float64), (SMALL, torch.float32), (LARGE, torch.float32)):
        x, weight, _ = operands(shape)
        linear(x.to(dtype), weight.to(dtype))
    assert len(calls) == 1


def test_its_operations_are_counted(kernel: None) -> None:
    x, weight, _ = operands(LARGE)
    one: Callable[[Tensor], Tensor] = lambda w: linear(x, w)  # noqa: E731
    assert flops(one, weight) == 2 * 1200 * 90 * 12


# --- The product over two processes against the product in one -----------------------------------

WORLD = 2
NAMES = ("softmax", "tanh")


def _vector(dimension: int) -> torch.Tensor:
    return torch.randn(dimension, generator=torch.Generator().manual_seed(1)).double()


def _process(rank: int, folder: str) -> None:
    """One of two: products and a solve over its shard, written to a file."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=60),
    )
    results = {}
    for name in NAMES:
        net = NETS[name]()
        own = shard(net.rows, rank, WORLD)
        operator = Sharded(net.problem.hessian(net.weights, own), len(own))
        solution = conjugate_gradients(
            Damped(operator, 2.0), operator.gradient, tolerance=1e-10, max_products=100
        )
        product = operator @ _vector(len(net.weights))
        results[name] = (operator.gradient, product, solution.x, solution.converged)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=WORLD)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD))
    for name in NAMES:
        net = NETS[name]()
        whole = net.problem.hessian(net.weights, net.rows)
        gradient, product, x, converged = first[name]
        assert converged
        assert torch.allclose(gradient, whole.gradient, rtol=0, atol=1e-14)
        assert torch.allclose(product, whole @ _vector(len(product)), rtol=0, atol=1e-13)
        residual = Damped(whole, 2.0) @ x - whole.gradient
        assert float(residual.norm()) <= 1.1e-10 * float(whole.gradient.norm())
        for mine, theirs in zip(first[name][:3], second[name][:3], strict=True):
            assert torch.equal(mine, theirs), "the same bytes in both"


@pytest.mark.parametrize("world", [1, 2, 5, 23])
def test_shards_hold_every_row_once_in_order(world: int) -> None:
    rows = NETS["softmax"]().rows
    parts = [shard(rows, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([part.x for part in parts]), rows.x)
    assert torch.equal(torch.cat([part.y for part in parts]), rows.y)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(LetheError, match="cannot be spread over 24 processes"):
        shard(NETS["softmax"]().rows, 0, ROWS + 1)


# Products, solver and spectrum against brute force in float64.


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


CURVATURE_CASES = {
    "softmax": problems.softmax,
    "quadratic": lambda: problems.softmax(loss="squared"),
    "one-vs-rest": problems.one_vs_rest,
    "tanh": problems.mlp,
    "relu": lambda: problems.mlp(activation="relu"),
}


@pytest.mark.parametrize("case", CURVATURE_CASES)
def test_hessian_product_is_the_brute_force_hessian(case: str) -> None:
    problem, weights = float64(CURVATURE_CASES[case]())
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
