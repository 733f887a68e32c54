"""The calibration by a clock of its own: what it chooses, what it takes, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from benchmark.calibration import BUDGET, ROUNDS, Calibration, calibrate
from benchmark.curvature.hessian import Differentiated
from benchmark.errors import LetheError
from benchmark.problem import products
from benchmark.problem.problem import Problem
from benchmark.problem.products import Product, serving
from benchmark.problem.rows import Rows
from tests import problems

#: Made-up seconds a row, of a gradient and of the default's product.
GRADIENT = 1e-5


class Watch:
    """A clock that only stands still or is set forward."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Costly:
    """An operator whose products take the next of some made-up times, and may be wrong."""

    operator: Differentiated
    rows: int
    watch: Watch
    costs: tuple[float, ...]
    factor: float
    products: int = 0

    @property
    def gradient(self) -> Tensor:
        return self.operator.gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        self.watch.seconds += self.rows * self.costs[self.products % len(self.costs)]
        self.products += 1
        return self.factor * (self.operator @ vector)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A gradient takes `GRADIENT` a row by it."""
    watch, gradient = Watch(), Problem.gradient

    def timed(self: Problem, weights: Tensor, rows: Rows) -> Tensor:
        watch.seconds += GRADIENT * len(rows)
        return gradient(self, weights, rows)

    monkeypatch.setattr(Problem, "gradient", timed)
    return watch


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> Callable[..., Calibration]:
    """Calibrate over n rows between products of made-up costs, in gradients; the first is usual."""

    def product(costs: tuple[float, ...], factor: float) -> Product:
        seconds = tuple(GRADIENT * cost for cost in costs)

        def build(problem: Problem, w: Tensor, rows: Rows, *_: int | None) -> Costly:
            watch.seconds += GRADIENT * len(rows)
            operator = products.by_model(problem, w, rows, None, None)
            return Costly(operator, len(rows), watch, seconds, factor)

        return Product("made up", lambda problem: True, build)

    def run(n: int, budget: float = BUDGET, factor: float = 1.0, **costs: float | tuple) -> object:
        own = {
            name.replace("_", "-"): product(
                cost if isinstance(cost, tuple) else (cost,), 1.0 if i == 0 else factor
            )
            for i, (name, cost) in enumerate(costs.items())
        }
        monkeypatch.setattr(products, "PRODUCTS", own)
        problem = problems.softmax(n=n)
        w = torch.linspace(-1, 1, problem.model.dimension).double()
        return calibrate(problem, w, problem.train, budget=budget, now=watch)

    return run


def test_what_is_clearly_faster_is_chosen(measure: Callable[..., Calibration]) -> None:
    found = measure(100, closed_form=2.0, rival=1.0, slow=9.0)
    assert found.default.product == "closed-form"
    assert found.choice is found.fastest
    assert found.choice.product == "rival"
    assert f'product="rival", chunk={found.choice.chunk})' in found.remarks()[-1]
    assert found.remarks()[-1].startswith("2 times as fast")


def test_what_is_faster_within_the_noise_is_not_chosen(measure: Callable[..., Calibration]) -> None:
    found = measure(100, closed_form=(2.0, 2.2, 1.9, 2.1, 2.0), rival=(1.8, 1.7, 2.0, 1.8, 1.7))
    assert found.fastest.product == "rival"
    assert found.choice is found.default
    assert "nothing is faster" in found.remarks()[-1]


def test_seconds_are_of_all_rows_where_a_sample_was_timed(
    measure: Callable[..., Calibration],
) -> None:
    n = 200_000
    found = measure(n, closed_form=2.0, rival=1.0)
    assert found.sample < n == found.rows
    assert found.gradient == pytest.approx(n * GRADIENT)
    assert found.default.seconds == pytest.approx([2 * n * GRADIENT] * ROUNDS)
    assert found.default.setup == pytest.approx(n * GRADIENT)
    assert found.choice.median == pytest.approx(n * GRADIENT)
    assert f"{found.sample:,} of 200,000 and extrapolated" in found.remarks()[0]


@pytest.mark.parametrize("budget", [2.0, 10.0])
@pytest.mark.parametrize("n", [2_000, 300_000])
def test_a_budget_that_suffices_is_kept_to(
    measure: Callable[..., Calibration], watch: Watch, n: int, budget: float
) -> None:
    found = measure(n, budget=budget, closed_form=2.0, rival=1.0)
    chosen = {(one.product, one.chunk) for one in found.measured}
    assert len(chosen) == len(found.measured) >= 2
    assert all(one.chunk <= found.sample for one in found.measured)
    assert len(found.choice.seconds) == ROUNDS
    assert watch.seconds <= 1.1 * budget


def test_a_budget_that_is_too_small_gives_the_default_one_round(
    measure: Callable[..., Calibration], watch: Watch
) -> None:
    found = measure(5_000, budget=0.0, closed_form=2.0, rival=1.0)
    assert [one.product for one in found.measured] == ["closed-form"]
    assert found.sample == found.default.chunk
    assert found.left_out > 0
    assert found.choice is found.default
    assert "raise --budget" in found.remarks()[1]
    assert "too few rounds" in found.remarks()[-1]
    # two gradients; a set-up, a first product and one round of the default
    assert watch.seconds == pytest.approx((2 + 1 + 2 + 2) * GRADIENT * found.sample, rel=0.01)


def test_a_product_that_disagrees_is_an_error(measure: Callable[..., Calibration]) -> None:
    assert measure(100, factor=1 + 1e-12, closed_form=1.0, rival=1.0).left_out == 0
    with pytest.raises(LetheError, match=r"'closed-form' and 'rival' differ by 0\.001 of") as error:
        measure(100, factor=1.001, closed_form=1.0, rival=1.0)
    assert "\n" not in str(error.value)
    with pytest.raises(LetheError, match="differ by nan"):
        measure(100, factor=float("nan"), closed_form=1.0, rival=1.0)


@pytest.mark.parametrize("problem", [problems.softmax(), problems.mlp()], ids=["softmax", "mlp"])
def test_the_real_products_agree_and_one_that_serves_is_chosen(problem: Problem) -> None:
    w = problem.model.initial_weights(torch.Generator().manual_seed(0)).to(problem.dtype)
    found = calibrate(problem, w, problem.train, budget=60)  # rounds end it
    assert {one.product for one in found.measured} == set(serving(problem))
    v = torch.ones_like(w)
    choice = problem.hessian(w, problem.train, product=found.choice.product, chunk=7) @ v
    assert torch.allclose(choice, problem.hessian(w, problem.train) @ v, rtol=1e-4, atol=1e-6)


def test_no_rows_are_refused() -> None:
    problem = problems.softmax()
    none = replace(problem, train=problem.train.take(torch.tensor([], dtype=torch.int64)))
    with pytest.raises(LetheError, match="no rows"):
        calibrate(none, torch.zeros(problem.model.dimension).double(), none.train)
