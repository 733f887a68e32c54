"""Every product against the brute-force Hessian, and estimates of it from drawn rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import Tensor

from benchmark.bench.operators import flops, limits
from benchmark.curvature.factor import dense_matrix
from benchmark.curvature.hessian import (
    Damped,
    Differentiated,
    Hessian,
    RowMean,
    WithinMemory,
    as_scipy,
    multiply,
    slices,
)
from benchmark.curvature.mlp import LinearHessian, MLPHessian
from benchmark.curvature.output_loss import GaussNewton, loss_curvature, loss_error, loss_sizes
from benchmark.errors import LetheError
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model
from benchmark.problem.objective import Objective
from benchmark.problem.variants import restricted
from benchmark.rows import Rows
from benchmark.solvers.solver import System
from benchmark.solvers.svrg import effective_number, inclusion, svrg, systematic_sample
from tests import problems
from tests.problems import FORMS, NETS, ROWS, Net, dense_gauss_newton, dense_hessian

# Every product against the brute-force Hessian in float64, on small nets.


def by_autograd(net: Net, rows: Rows, **form: int) -> Differentiated:
    def build(part: Rows) -> Hessian:
        return Hessian(lambda w: net.loss(w, part), net.weights)

    return RowMean(build, rows, **form) if form else build(rows)


def by_problem(net: Net, rows: Rows, **form: int) -> Differentiated:
    assert net.problem is not None
    return net.problem.hessian(net.weights, rows, **form)


def gauss_newton(net: Net, rows: Rows, **form: int) -> Differentiated:
    objective = net.objective

    def build(part: Rows) -> GaussNewton:
        return GaussNewton(
            lambda w: net.logits(w, part.x),
            part.y,
            net.weights,
            loss=objective.loss,
            ridge=objective.ridge,
        )

    return RowMean(build, rows, **form) if form else build(rows)


def mlp(net: Net, rows: Rows, **options: object) -> MLPHessian:
    assert net.problem is not None
    spec, objective = net.problem.model.spec, net.objective
    return MLPHessian(
        rows.x,
        rows.y,
        net.weights,
        widths=spec.hidden,
        activation=spec.activation,
        loss=objective.loss,
        ridge=objective.ridge,
        **options,
    )


def columns(operator: Differentiated, net: Net) -> Tensor:
    """(d, d), one product a row; not symmetrised."""
    return products(operator, directions(net, "whole"))


def directions(net: Net, form: str) -> Tensor:
    """Every axis for the rows as a whole; some random vectors where they are cut."""
    d = len(net.weights)
    if form == "whole":
        return torch.eye(d).double()
    return torch.randn(4, d, generator=torch.Generator().manual_seed(9)).double()


def products(operator: Differentiated, vectors: Tensor) -> Tensor:
    """(k, d), not symmetrised."""
    return torch.stack([operator @ v for v in vectors])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETS)
def test_the_product_is_the_brute_force_hessian(name: str, form: str) -> None:
    net = NETS[name]()
    build = by_autograd if net.problem is None else by_problem
    hessian = build(net, net.rows, **FORMS[form])
    v = directions(net, form)
    found = products(hessian, v)
    assert torch.allclose(found, v @ dense_hessian(name), rtol=0, atol=1e-13)
    assert torch.allclose(found @ v.T, v @ found.T, rtol=0, atol=1e-13), "symmetric"
    assert torch.allclose(hessian.gradient, net.gradient(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETS)
def test_the_gauss_newton_product_is_the_brute_force_one(name: str, form: str) -> None:
    net = NETS[name]()
    v = directions(net, form)
    expected = v @ dense_gauss_newton(name)
    operator = gauss_newton(net, net.rows, **FORMS[form])
    assert torch.allclose(products(operator, v), expected, rtol=0, atol=1e-13)
    assert torch.allclose(operator.gradient, net.gradient(), rtol=0, atol=1e-14)
    if name in ("tanh", "relu"):
        closed = mlp(net, net.rows, gauss_newton=True, **FORMS[form])
        assert torch.allclose(products(closed, v), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("hidden", [(4,), (5, 4, 3)])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_r_operator_for_other_depths_and_losses(
    hidden: tuple[int, ...], loss: str, activation: str
) -> None:
    model = Model(MLPSpec(kind="mlp", hidden=hidden, activation=activation), 5, 3)
    rows = NETS["tanh"]().rows
    weights = model.initial_weights(torch.Generator().manual_seed(3))
    net = Net(model, Objective(loss=loss, ridge=0.01), rows, weights)
    hessian = MLPHessian(
        rows.x, rows.y, weights, widths=hidden, activation=activation, loss=loss, ridge=0.01
    )
    assert torch.allclose(columns(hessian, net), net.dense(), rtol=0, atol=1e-13)
    assert torch.allclose(hessian.gradient, net.gradient(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "tanh", "relu"])
def test_the_order_of_the_rows_is_irrelevant(name: str) -> None:
    net = NETS[name]()
    shuffled = net.rows.take(torch.randperm(ROWS, generator=torch.Generator().manual_seed(4)))
    v = torch.randn(len(net.weights), generator=torch.Generator().manual_seed(5)).double()
    once, again = (by_problem(net, rows, chunk=6) @ v for rows in (net.rows, shuffled))
    assert not torch.equal(net.rows.x, shuffled.x)
    assert torch.allclose(once, again, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NETS)
def test_products_repeat_to_the_byte_whatever_came_between(name: str) -> None:
    net = NETS[name]()
    build = by_autograd if net.problem is None else by_problem
    hessian = build(net, net.rows)
    u, v = torch.randn(2, len(net.weights), generator=torch.Generator().manual_seed(6)).double()
    before = hessian @ v
    assert not torch.equal(hessian @ u, before)
    assert torch.equal(hessian @ v, before)


@pytest.mark.parametrize("kept", [None, 0])
@pytest.mark.parametrize("name", ["softmax", "tanh", "convolution"])
def test_weights_changed_in_place_do_not_change_the_product(name: str, kept: int | None) -> None:
    net = NETS[name]()
    if net.problem is not None:
        hessian = by_problem(net, net.rows, chunk=8, kept_rows=kept)
    elif kept is None:
        hessian = by_autograd(net, net.rows)
    else:
        hessian = RowMean(
            lambda part: Hessian(lambda w: net.loss(w, part), net.weights), net.rows, chunk=8
        )
    v = torch.ones(len(net.weights)).double()
    before, gradient = hessian @ v, hessian.gradient.clone()
    net.weights.data.mul_(3)
    assert torch.equal(hessian @ v, before)
    assert torch.equal(hessian.gradient, gradient)


@pytest.mark.parametrize("name", ["softmax", "tanh", "relu"])
def test_float32_agrees_with_float64(name: str) -> None:
    net = NETS[name]()
    v = torch.randn(len(net.weights), generator=torch.Generator().manual_seed(7)).double()
    rows = Rows(net.rows.x.float(), net.rows.y)
    assert net.problem is not None
    narrow = net.problem.hessian(net.weights.float(), rows, chunk=10) @ v.float()
    wide = by_problem(net, net.rows) @ v
    assert narrow.dtype == torch.float32
    assert float((narrow - wide).norm()) <= 1e-5 * float(wide.norm())


def test_the_model_decides_on_the_operator() -> None:
    kinds = {"softmax": LinearHessian, "tanh": MLPHessian, "relu": MLPHessian}
    for name, kind in kinds.items():
        net = NETS[name]()
        assert isinstance(by_problem(net, net.rows), kind)


@pytest.mark.parametrize("name", ["softmax", "quadratic", "tanh"])
def test_a_block_of_products_is_the_products(name: str) -> None:
    net = NETS[name]()
    damped = Damped(by_problem(net, net.rows, chunk=7), 0.3)
    vectors = torch.randn(4, len(net.weights), generator=torch.Generator().manual_seed(8)).double()
    one_by_one = torch.stack([damped @ v for v in vectors])
    assert torch.allclose(multiply(damped, vectors), one_by_one, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["softmax", "tanh"])
@pytest.mark.parametrize("block", [1, 10, 1000])
def test_the_assembled_matrix_is_the_hessian(name: str, block: int) -> None:
    net = NETS[name]()
    matrix = dense_matrix(by_problem(net, net.rows), net.weights, block=block)
    assert torch.allclose(matrix, dense_hessian(name), rtol=0, atol=1e-13)
    assert torch.equal(matrix, matrix.T)


def test_a_matrix_that_would_not_fit_is_refused() -> None:
    with pytest.raises(LetheError, match="10,000 weights at most, not 10,001"):
        dense_matrix(Damped(None, 0.0), torch.zeros(10_001))


def test_scipy_sees_the_same_operator() -> None:
    net = NETS["tanh"]()
    hessian = by_problem(net, net.rows)
    view = as_scipy(hessian, len(net.weights), torch.float64)
    v = np.linspace(-1, 1, len(net.weights))
    assert view.dtype == np.float64
    assert np.allclose(view @ v, net.dense().numpy() @ v, rtol=0, atol=1e-13)
    largest = scipy.sparse.linalg.eigsh(view, k=1, which="LA", return_eigenvectors=False)
    assert largest[0] == pytest.approx(float(torch.linalg.eigvalsh(net.dense())[-1]))


def test_widths_that_do_not_fit_the_weights_are_refused() -> None:
    net = NETS["tanh"]()
    with pytest.raises(ValueError, match="does not fit"):
        MLPHessian(
            net.rows.x,
            net.rows.y,
            net.weights[:-1],
            widths=(6, 6),
            activation="tanh",
            loss="cross_entropy",
            ridge=0.0,
        )


@pytest.mark.parametrize("chunk", [1, 6, 23, 24])
def test_slices_cover_every_row_once_in_order(chunk: int) -> None:
    parts = list(slices(ROWS, chunk))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(ROWS))
    assert all(part.stop - part.start == chunk for part in parts[:-1])


def test_a_chunk_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="1 row or more"):
        slices(10, 0)


@pytest.mark.parametrize(("name", "hidden"), [("softmax", ()), ("tanh", (6, 6))])
def test_a_product_computes_no_more_than_the_product_rule_asks_for(
    name: str, hidden: tuple[int, ...]
) -> None:
    """Two matrix products with the rows, six with each later layer, as the bench counts them."""
    net = NETS[name]()
    hessian = by_problem(net, net.rows, chunk=7)
    counted = flops(hessian.__matmul__, torch.ones(len(net.weights)).double())
    assert net.problem is not None
    sizes = [net.rows.x.shape[1], *hidden, net.problem.model.classes]
    first, *later = [a * b for a, b in pairwise(sizes)]
    assert counted == ROWS * (4 * first + 12 * sum(later))


def test_the_machines_limits_are_positive_and_finite() -> None:
    for limit in limits(torch.float32, torch.device("cpu")):
        assert 0 < limit < float("inf")


class Crowded:
    """An operator that has memory for so many rows a chunk only."""

    def __init__(self, rows: Rows, chunk: int, room: int) -> None:
        if chunk > room:
            raise torch.OutOfMemoryError("full")
        self._mean = rows.x[:, 0].mean()

    @property
    def gradient(self) -> torch.Tensor:
        return self._mean

    def __matmul__(self, vector: torch.Tensor) -> torch.Tensor:
        return self._mean * vector


def test_out_of_memory_halves_the_chunk_and_says_so_once_a_time() -> None:
    rows = Rows(torch.arange(100.0).view(100, 1), torch.zeros(100, dtype=torch.int64))
    with pytest.warns(UserWarning, match="out of memory") as heard:
        operator = WithinMemory(lambda chunk: Crowded(rows, chunk, room=30), 100)
    assert operator.chunk == 25
    assert len(heard) == 2
    assert float((operator @ torch.ones(1))[0]) == float(operator.gradient) == 49.5
    with pytest.warns(UserWarning, match="1 rows"), pytest.raises(torch.OutOfMemoryError):
        WithinMemory(lambda chunk: Crowded(rows, chunk, room=0), 4)


# Rows drawn by their importance, and the estimates of the Hessian that come of it.

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
