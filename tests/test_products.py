"""Every product by its name, against the brute-force Hessian in float64, on small nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.gauss_newton import gauss_newton
from benchmark.problem.model import AllCNNSpec, Model
from benchmark.problem.perturbed import PerturbedProblem
from benchmark.problem.problem import Problem
from benchmark.problem.products import PRODUCTS, default, serving
from benchmark.problem.restricted import AnyNet
from tests import problems
from tests.nets import FORMS, NETS, ROWS, Net, dense_gauss_newton


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
    assert torch.allclose(found, vectors @ net.dense(), rtol=0, atol=1e-13)
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
