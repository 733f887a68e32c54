"""Metrics against closed forms, and the calibration by a clock of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from torch import Tensor

from benchmark.calibration import BUDGET, ROUNDS, Calibration, calibrate
from benchmark.contract.claim import Algorithm, Claim, Constant, Distance, Target
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.value import Value
from benchmark.curvature.hessian import Differentiated
from benchmark.errors import LetheError
from benchmark.metrics.scores import auc, population_auc
from benchmark.metrics.slack import distance_slack, realised_epsilon
from benchmark.metrics.utility import accuracy, losses
from benchmark.problem import products
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.products import Product, serving
from benchmark.rows import Rows
from benchmark.runner.evaluate import predict, score, score_claim, score_noise, score_stream
from benchmark.theory.gaussian import delta_for, m_for
from tests import problems

# Metrics against closed forms, bounds and scikit-learn.

RNG = np.random.default_rng(0)
scores = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_auc_is_scikit_learns_with_ties(members: list[int], others: list[int]) -> None:
    labels = [1] * len(members) + [0] * len(others)
    assert auc(np.array(members), np.array(others)) == pytest.approx(
        roc_auc_score(labels, members + others)
    )


def test_auc_of_two_gaussians_is_its_closed_form() -> None:
    shift, n = 0.7, 200_000
    measured = auc(RNG.normal(shift, 1, n), RNG.normal(0, 1, n))
    assert measured == pytest.approx(norm.cdf(shift / 2**0.5), abs=4 * 0.5 / n**0.5)


def test_auc_at_its_bounds() -> None:
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert auc(high, low) == 1
    assert auc(low, high) == 0
    assert auc(low, low) == 0.5


def test_a_planted_member_is_seen_by_its_low_loss() -> None:
    assert population_auc(np.zeros(5), np.ones(50)) == 1
    assert population_auc(np.ones(5), np.zeros(50)) == 0


def test_accuracy_and_loss_are_scikit_learns() -> None:
    logits = torch.from_numpy(RNG.normal(size=(50, 4)))
    y = torch.from_numpy(RNG.integers(0, 4, 50))
    outputs = logits.log_softmax(dim=1)
    assert accuracy(outputs, y) == accuracy_score(y, outputs.argmax(1))
    assert float(losses(outputs, y).mean()) == pytest.approx(log_loss(y, outputs.exp()))


def test_realised_epsilon_is_exact_at_the_measured_distance() -> None:
    epsilon = realised_epsilon(0.5, 2.0, 1e-5)
    assert delta_for(epsilon, 0.25) == pytest.approx(1e-5, rel=1e-6)
    assert realised_epsilon(0.5, 0.0, 1e-5) is None
    assert realised_epsilon(0.0, 1.0, 1e-5) == 0


def test_slack() -> None:
    assert distance_slack(3.0, 1.5) == 2
    assert distance_slack(1.0, 0.0) is None


def test_a_metric_is_never_infinite_or_nan() -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            Value(value=bad)


def test_retrain_scores_no_gap_and_doing_nothing_is_told_apart() -> None:
    problem = problems.mlp()
    forget, every = torch.arange(10), problems.every_row(problem)
    g = torch.Generator
    original = problem.fit(every, g().manual_seed(0))
    retrained = problem.fit(every[10:], g().manual_seed(0))
    outputs = [
        predict(Predictor(problem.model, w), problem, forget, every[10:])
        for w in (original, retrained)
    ]
    itself = score(outputs[1], outputs[1])
    assert all(itself[name].value == 0 for name in itself if name.endswith("gap"))
    nothing = score(outputs[0], outputs[1])
    assert nothing["loss_forget_gap"].value < 0, "the original fits what it was trained on"


def claim(reached: float, *, bound: float = 10.0, m: float = 10.0) -> Claim:
    steps = [("steps_taken", 3.0), ("further_steps", 2.0)]
    evidence = Distance(
        bound=bound,
        sigma=bound / m,
        theorem="thm5",
        reached=reached,
        measured=tuple(
            Constant(name=name, value=value, provenance="measured", meaning="of a test")
            for name, value in steps
        ),
    )
    return Claim.of("unlearn-on-retain", Gaussian(m=m), evidence, delta=1e-5)


def test_a_claim_is_scored_by_the_distance_to_retraining() -> None:
    w, reference = torch.tensor([3.0, 4.0]), torch.zeros(2)
    scores = score_claim(w, reference, claim(10.0), shared=True)
    assert scores["distance"].value == 5
    assert scores["slack"].value == 2
    assert scores["realised_epsilon"].value == realised_epsilon(5.0, 1.0, 1e-5)
    assert (scores["steps_taken"].value, scores["further_steps"].value) == (3, 2)
    assert score_claim(w, reference, claim(2.5), shared=True)["slack"].value == 0.5
    assert set(score_claim(w, reference, None, shared=True)) == {"distance"}
    own = score_claim(w, reference, claim(10.0), shared=False)
    assert own["distance"].value is None
    assert own["distance"].note
    assert "slack" not in own
    inside = Algorithm(theorem="blocks", sigma=1.0, steps=1)
    noisy = Claim.of("reference", Gaussian(m=1.0), inside, delta=1e-5)
    assert score_claim(w, reference, noisy, shared=True)["distance"].value is None


def test_what_the_noise_costs_is_a_number_of_its_own() -> None:
    problem = problems.softmax()
    weights = problem.fit(problems.every_row(problem), torch.Generator().manual_seed(0))
    forget, retain = torch.arange(5), torch.arange(5, 60)
    noiseless, noisy = (Predictor(problem.model, w) for w in (weights, -weights))
    outputs = [predict(one, problem, forget, retain) for one in (noiseless, noisy)]
    cost = score_noise(outputs[1], noiseless, problem, claim(1.0))["noise_cost"]
    lost = 100 * (outputs[1].worth - outputs[0].worth)
    assert cost.value == lost < 0
    assert score_noise(outputs[0], noiseless, problem, claim(1.0))["noise_cost"].value == 0
    exact = Claim.by_construction("retrained")
    assert score_noise(outputs[1], noiseless, problem, exact) == {}
    assert score_noise(outputs[1], noiseless, problem, None) == {}


def test_a_stream_lasts_by_what_was_measured_and_whatever_comes() -> None:
    """At m / 3 each, nine releases are as good as one: 3^2."""
    target = Target(epsilon=1.0, delta=1e-5)
    m = m_for(1.0, 1e-5) / 3
    scores = score_stream([claim(1.0, m=m), claim(1.0, m=m)], target)
    assert scores["uniform_capacity"].value == 9
    assert scores["budget_spent"].value == pytest.approx(100 * 2**0.5 / 10)
    assert scores["deletion_capacity"].value == 100
    assert "extrapolated from 2" in scores["deletion_capacity"].note
    spent = score_stream([claim(10.0, m=m), claim(10.0, m=m)], target)
    assert spent["deletion_capacity"].value == 1
    nothing = score_stream([claim(0.0, m=m), claim(0.0, m=m)], target)
    assert nothing["deletion_capacity"].value is None
    assert nothing["deletion_capacity"].note.endswith("nothing is spent")
    assert score_stream([claim(1.0)], target) == {}, "one request is no stream"
    assert score_stream([claim(1.0), None], target) == {}
    assert score_stream([claim(1.0), claim(1.0, bound=5.0)], target) == {}


@pytest.mark.parametrize(
    ("members", "others", "words"),
    [
        ([math.nan, 1.0], [0.0], "the score of a member is NaN"),
        ([1.0], [0.0, math.nan], "the score of a non-member is NaN"),
        ([], [1.0], "there is no member"),
        ([1.0], [], "there is no non-member"),
    ],
)
def test_an_auc_of_no_numbers_is_refused_by_name(
    members: list[float], others: list[float], words: str
) -> None:
    with pytest.raises(LetheError, match=words):
        auc(np.array(members), np.array(others))


def test_an_accuracy_of_no_numbers_is_refused_by_name() -> None:
    with pytest.raises(LetheError, match="an output of the model is NaN"):
        accuracy(torch.tensor([[math.nan, 0.0]]), torch.tensor([0]))
    with pytest.raises(LetheError, match="there is none"):
        accuracy(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))


# The calibration by a clock of its own: what it chooses, what it takes, what it refuses.

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
