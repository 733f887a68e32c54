"""Rows drawn by their importance, and the estimates of the Hessian that come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.curvature.dense import dense_matrix
from benchmark.curvature.output_loss import loss_curvature, loss_error, loss_sizes
from benchmark.curvature.sampling import effective_number, inclusion, systematic_sample
from benchmark.curvature.svrg import svrg
from benchmark.curvature.system import System
from benchmark.errors import LetheError
from benchmark.problem.model import AllCNNSpec, Model
from benchmark.problem.restricted import restricted
from benchmark.problem.rows import Rows
from tests import problems
from tests.nets import NETS, dense_gauss_newton

WEIGHED = ["softmax", "tanh", "relu"]


def skewed(n: int) -> Tensor:
    """Importances of which a few have most."""
    return torch.linspace(0.01, 1, n).double() ** 6


def test_the_effective_number_is_that_of_equal_rows() -> None:
    assert effective_number(torch.full((50,), 3.0)) == pytest.approx(50)
    assert effective_number(torch.tensor([5.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_number(torch.tensor([1.0, 1.0, 0.0, 0.0])) == pytest.approx(2)


@pytest.mark.parametrize("size", [1, 7, 40, 99, 100])
def test_inclusion_probabilities_sum_to_the_size_and_follow_the_importance(size: int) -> None:
    importance = skewed(100)
    p = inclusion(importance, size)
    assert float(p.sum()) == pytest.approx(size)
    assert float(p.max()) <= 1
    assert float(p.min()) > 0
    uncertain = p < 1
    ratio = p[uncertain] / importance[uncertain]
    assert torch.allclose(ratio, ratio.mean().expand_as(ratio))
    if uncertain.any() and not uncertain.all():
        assert float(importance[~uncertain].min()) > float(importance[uncertain].max())


def test_a_sample_has_its_size_no_row_twice_and_every_row_as_often_as_it_should() -> None:
    p = inclusion(skewed(60), 20)
    generator = torch.Generator().manual_seed(0)
    hits = torch.zeros(60)
    trials = 4000
    for _ in range(trials):
        drawn = systematic_sample(p, generator)
        assert abs(len(drawn) - 20) <= 1
        assert len(drawn.unique()) == len(drawn)
        hits[drawn] += 1
    error = (hits / trials - p).abs() / (p * (1 - p) / trials).sqrt().clamp(min=1e-12)
    assert bool((hits[p == 1] == trials).all())
    assert float(error[p < 1].max()) < 4.5


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
def test_losses_may_have_their_classes_along_either_dimension(loss: str) -> None:
    generator = torch.Generator().manual_seed(1)
    logits, change = torch.randn(2, 9, 4, generator=generator).double()
    y = torch.randint(4, (9,), generator=generator)
    error, p = loss_error(loss, logits, y, dim=1)
    turned, q = loss_error(loss, logits.T, y)
    assert torch.allclose(error, turned.T)
    curved = loss_curvature(loss, p, change, dim=-1)
    assert torch.allclose(curved, loss_curvature(loss, q, change.T).T)


@pytest.mark.parametrize("loss", ["cross_entropy", "one_vs_rest"])
def test_loss_sizes_are_trace_and_norm_of_the_derivatives(loss: str) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(12, 5, generator=generator).double()
    y = torch.randint(5, (12,), generator=generator)
    error, p = loss_error(loss, logits, y, dim=1)
    whole = p.unsqueeze(2) * p.unsqueeze(1)
    left = whole if loss == "cross_entropy" else torch.diag_embed(p.square())
    curvature = torch.diag_embed(p) - left
    expected = curvature.diagonal(dim1=1, dim2=2).sum(dim=1) + error.norm(dim=1)
    assert torch.allclose(loss_sizes(loss, p, y, dim=1), expected)
    assert torch.allclose(loss_sizes(loss, p.T, y), expected)


@pytest.mark.parametrize("name", WEIGHED)
def test_weighted_rows_are_the_sum_that_their_shares_say(name: str) -> None:
    """Against the brute-force Hessians of single rows."""
    net = NETS[name]()
    assert net.problem is not None
    generator = torch.Generator().manual_seed(3)
    shares = torch.rand(len(net.rows), generator=generator).double()
    operator = net.problem.weighted_hessian(net.weights, net.rows, shares)
    ridge = net.objective.ridge * torch.eye(len(net.weights)).double()
    expected, gradient = ridge.clone(), net.objective.ridge * net.weights
    for i, share in enumerate(shares):
        row = replace(net, rows=Rows(net.rows.x[i : i + 1], net.rows.y[i : i + 1]))
        expected += share * (row.dense() - ridge)
        gradient = gradient + share * (row.gradient() - net.objective.ridge * net.weights)
    assert torch.allclose(dense_matrix(operator, net.weights), expected, rtol=0, atol=1e-12)
    assert torch.allclose(operator.gradient, gradient, rtol=0, atol=1e-12)


def test_weighted_images_are_the_sum_that_their_shares_say() -> None:
    """Against the net's products with one row each, which are tested against brute force."""
    generator = torch.Generator().manual_seed(6)
    model = Model(AllCNNSpec(kind="allcnn", width=4), (8, 8, 1), 3)
    rows = Rows(
        torch.randn(9, 64, generator=generator).double(),
        torch.randint(3, (9,), generator=generator),
    )
    problem = replace(problems.mlp(), model=model, train=rows, negatives=rows, test=rows)
    w, ridge = model.initial_weights(generator), problem.objective.ridge
    v = torch.randn(len(w), generator=generator).double()
    shares = torch.rand(len(rows), generator=generator).double()
    operator = problem.weighted_hessian(w, rows, shares)
    product, gradient = ridge * v, ridge * w
    for i, share in enumerate(shares):
        one = problem.hessian(w, Rows(rows.x[i : i + 1], rows.y[i : i + 1]))
        product = product + share * (one @ v - ridge * v)
        gradient = gradient + share * (one.gradient - ridge * w)
    assert float(product.norm()) > 0
    assert torch.allclose(operator @ v, product, rtol=0, atol=1e-10)
    assert torch.allclose(operator.gradient, gradient, rtol=0, atol=1e-11)
    assert operator.importance.shape == (len(rows),)


def test_automatic_differentiation_weighs_no_rows() -> None:
    whole = problems.mlp()
    w = whole.model.initial_weights(torch.Generator().manual_seed(1)).double()
    problem = restricted(whole, w, torch.arange(len(w)) < 10)
    rows = whole.train.to(w.device, w.dtype)
    assert System(problem, w[:10], rows, 0.1, w[:10]).importance is None
    with pytest.raises(LetheError, match="the same share"):
        problem.weighted_hessian(w[:10], rows, torch.ones(len(rows)).to(w))


@pytest.mark.parametrize("name", WEIGHED)
def test_a_weighted_sample_is_an_unbiased_estimate(name: str) -> None:
    """The mean over many samples comes as near the Hessian as chance allows."""
    net = NETS[name]()
    assert net.problem is not None
    whole = net.problem.hessian(net.weights, net.rows)
    importance = whole.importance
    assert importance is not None
    assert importance.shape == (len(net.rows),)
    p = inclusion(importance, 8)
    v = torch.randn(len(net.weights), generator=torch.Generator().manual_seed(4)).double()
    generator = torch.Generator().manual_seed(5)
    found = []
    for _ in range(600):
        drawn = systematic_sample(p, generator)
        shares = 1 / (len(net.rows) * p[drawn])
        part = net.problem.weighted_hessian(net.weights, net.rows.take(drawn), shares)
        found.append(part @ v)
    estimates = torch.stack(found)
    spread = estimates.std(dim=0) / len(found) ** 0.5
    off = (estimates.mean(dim=0) - whole @ v).abs()
    assert bool((off <= 5 * spread + 1e-12).all())
    assert float(spread.max()) > 0


def test_importance_is_the_same_in_chunks_and_that_of_all_rows_for_a_squared_loss() -> None:
    net = NETS["tanh"]()
    assert net.problem is not None
    whole = net.problem.hessian(net.weights, net.rows).importance
    parts = net.problem.hessian(net.weights, net.rows, chunk=7, kept_rows=7).importance
    assert torch.allclose(whole, parts)
    assert float(whole.std()) > 0
    objective = net.objective.model_copy(update={"loss": "squared"})
    for problem in (replace(net.problem, objective=objective), NETS["quadratic"]().problem):
        w = torch.zeros(problem.model.dimension, dtype=net.weights.dtype)
        same = problem.hessian(w, net.rows).importance
        assert torch.equal(same, torch.ones(len(net.rows)))


def test_rows_that_matter_make_passes_cheaper() -> None:
    """A confident net: few rows have most of the curvature, and a pass over few does as much."""
    problem = problems.mlp()
    rows = problems.rows(4000, 5, 3, 0, torch.float64)
    w = 25 * problem.model.initial_weights(torch.Generator().manual_seed(1)).double()
    labels = problem.model(w, rows.x).argmax(dim=1)
    rows = Rows(rows.x, labels)
    blank = System(problem, w, rows, 0.0, problem.gradient(w, rows))
    spectrum = torch.linalg.eigvalsh(dense_matrix(blank.operator, w))
    system = replace(blank, damping=float(spectrum[-1] - spectrum[0]))
    assert effective_number(system.importance) < 0.5 * len(rows)
    found = svrg(
        system,
        tolerance=1e-3,
        max_products=50,
        generator=torch.Generator().manual_seed(0),
        smallest=16,
    )
    assert found.converged
    first, _ = found.history[0]
    assert first < 1.3, "an outer product and a pass over few rows"


def test_even_shares_give_the_hessian_of_the_mean() -> None:
    net = NETS["tanh"]()
    assert net.problem is not None
    even = torch.full((len(net.rows),), 1 / len(net.rows)).double()
    weighted = net.problem.weighted_hessian(net.weights, net.rows, even)
    plain = net.problem.hessian(net.weights, net.rows)
    matrix = dense_matrix(plain, net.weights)
    assert torch.allclose(dense_matrix(weighted, net.weights), matrix, atol=1e-14)
    assert not torch.allclose(matrix, dense_gauss_newton("tanh"), atol=1e-3)
