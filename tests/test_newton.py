"""The certified Newton update against cases with a known answer."""

from __future__ import annotations

import pytest
import torch

from benchmark.theory.gaussian import delta_for
from benchmark.claims.spectra import head_constants, sampled_hessian_lipschitz
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.curvature.lissa import lissa
from benchmark.curvature.minibatches import differentiated
from benchmark.errors import AssumptionBroken
from benchmark.problem.rows import Rows
from methods.newton import Newton
from methods.newton_lissa import NewtonLissa
from tests import problems

FORGET = torch.tensor([1, 8, 30])


def ask(method: Newton, problem):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    request = Request.of(problem, original, FORGET)
    return request, method.answer(request)


def test_T14_one_step_is_retraining_on_a_quadratic() -> None:
    problem = problems.softmax(loss="squared")
    request, release = ask(Newton(tolerance=1e-12), problem)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert float((release.state.weights - retrained).norm()) < 1e-10


def test_softmax_is_proved_and_nearly_tight() -> None:
    problem = problems.softmax(n=200, ridge=0.05)
    request, release = ask(Newton(), problem)
    certificate = release.certificate
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    distance = float((release.state.weights - retrained).norm())
    assert certificate.verdict == "proved"
    assert certificate.definition == "unlearn-on-retain"
    assert {c.provenance for c in certificate.constants} == {"exact"}
    assert certificate.theorem == "Theorem 6"
    assert distance <= certificate.sensitivity < 2 * distance
    assert certificate.sensitivity < certificate.trivial_sensitivity
    other = {bound.theorem: bound.sensitivity for bound in certificate.alternatives}
    assert certificate.sensitivity < other["Theorem 5"]
    paper = next(value for name, value in other.items() if name.startswith("Zhang"))
    assert paper > 1e3 * other["Theorem 5"], "the published formula is shown, and is loose"


def test_the_training_tolerance_is_charged() -> None:
    problem = problems.softmax()
    certificate = ask(Newton(), problem)[1].certificate
    values = {c.name: c.value for c in certificate.constants}
    assert values["training_gradient"] == problem.training.tolerance
    charged = values["gradient_norm"] + values["training_gradient"]
    other = {bound.theorem: bound.sensitivity for bound in certificate.alternatives}
    assert other["Theorem 5"] == pytest.approx(charged / values["strong_convexity"])


def test_a_net_is_vacuous_and_says_so() -> None:
    problem = problems.mlp()
    _, release = ask(Newton(hessian_lipschitz=1.0, retrain_gradient=0.1), problem)
    certificate = release.certificate
    assert certificate.vacuous
    assert certificate.verdict == "vacuous"
    assert certificate.sensitivity == certificate.trivial_sensitivity == 2 * problem.training.radius
    values = {c.name: c for c in certificate.constants}
    assert values["smallest_eigenvalue"].provenance == "exact", "its failure is paid for in delta"
    assert values["hessian_lipschitz"].provenance == "assumed"
    assert len(certificate.alternatives) == 2, "Theorem 4 and the paper's formula"
    assert all(other.sensitivity > certificate.sensitivity for other in certificate.alternatives)


def dense_spectrum(problem, weights, rows) -> tuple[float, float]:
    hessian = problem.hessian(weights.double(), Rows(rows.x.double(), rows.y))
    eye = torch.eye(problem.model.dimension, dtype=torch.float64)
    values = torch.linalg.eigvalsh(torch.stack([hessian @ e for e in eye]))
    return float(values[0]), float(values[-1])


@pytest.mark.parametrize("seed", range(5))
def test_measured_spectra_enclose_the_dense_one(seed: int) -> None:
    problem = problems.mlp(seed)
    method = Newton(spectrum_steps=40)
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    prepared = method.prepare(problem, original, Seeds(), Clock())
    low, high = dense_spectrum(problem, original.weights, problem.train)
    assert prepared.memory.smallest <= low < high <= prepared.memory.largest
    request = Request.of(problem, prepared, FORGET)
    kept = method._spectrum(request)
    low, high = dense_spectrum(problem, original.weights, request.retain_rows)
    assert kept.smallest <= low < high <= kept.largest
    assert kept.failure_probability == pytest.approx(method.failure_probability)


def test_T12_delta_pays_for_noise_and_for_the_spectrum() -> None:
    certificate = ask(Newton(failure_probability=4e-6), problems.mlp())[1].certificate
    m = certificate.sensitivity / certificate.sigma
    assert certificate.delta == 1e-5
    assert delta_for(1.0, m) + 4e-6 == pytest.approx(1e-5, rel=1e-6)
    with pytest.raises(AssumptionBroken, match="leave nothing"):
        ask(Newton(failure_probability=2e-5), problems.mlp())


def test_too_few_lanczos_steps_are_refused() -> None:
    with pytest.raises(AssumptionBroken, match="bound nothing"):
        ask(Newton(spectrum_steps=2), problems.mlp())


def test_a_sampled_lipschitz_constant_is_called_an_estimate() -> None:
    certificate = ask(Newton(hessian_lipschitz="sampled", retrain_gradient=0.1), problems.mlp())[
        1
    ].certificate
    values = {c.name: c for c in certificate.constants}
    assert values["sampled_lipschitz"].provenance == "estimated"
    assert values["sampled_lipschitz"].value > 0
    assert "under-estimate" in values["sampled_lipschitz"].meaning


@pytest.mark.parametrize("seed", range(5))
def test_a_sampled_lipschitz_constant_never_exceeds_the_true_one(seed: int) -> None:
    """On softmax the true one is known: M = sqrt(6) / 9 R^3."""
    problem = problems.softmax(seed)
    weights = torch.randn(
        problem.model.dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    sampled = sampled_hessian_lipschitz(
        problem, weights, problem.train, torch.Generator().manual_seed(seed)
    )
    assert 0 < sampled <= head_constants(problem).hessian_lipschitz


def test_the_papers_noise_has_the_epsilon_it_has() -> None:
    certificate = ask(Newton(sigma=1e-3), problems.mlp())[1].certificate
    m = certificate.sensitivity / 1e-3
    assert certificate.sigma == 1e-3
    assert certificate.epsilon == pytest.approx(m * m / 2, rel=1e-3)


def test_a_relu_net_names_the_false_assumption() -> None:
    method = Newton(hessian_lipschitz=1.0, retrain_gradient=0.1)
    certificate = ask(method, problems.mlp(activation="relu"))[1].certificate
    assert any("ReLU" in caveat for caveat in certificate.caveats)
    assert certificate.verdict == "vacuous"


def test_an_indefinite_system_is_refused() -> None:
    problem = problems.mlp()
    original = Newton().train(problem, problems.every_row(problem), Seeds(), Clock())
    hessian = problem.hessian(original.weights, problem.train)
    dense = torch.stack([hessian @ e for e in torch.eye(problem.model.dimension)])
    assert float(torch.linalg.eigvalsh(dense)[0]) < 0, "the case must be indefinite"
    with pytest.raises(AssumptionBroken, match="raise damping"):
        Newton(damping=0.0, tolerance=1e-8).answer(Request.of(problem, original, FORGET))


def test_without_a_ball_there_is_no_certificate() -> None:
    with pytest.raises(AssumptionBroken, match="radius"):
        ask(Newton(), problems.mlp(radius=None))


def test_the_update_stays_in_the_ball() -> None:
    problem = problems.mlp(radius=2.0)
    _, release = ask(Newton(), problem)
    assert float(release.state.weights.norm()) <= 2.0 * (1 + 1e-6)


def test_the_cheap_gradient_is_charged_what_it_leaves_out() -> None:
    problem = problems.mlp()
    assumed = {"hessian_lipschitz": 1.0, "retrain_gradient": 0.1}
    plain = ask(Newton(**assumed), problem)[1]
    request, cheap = ask(Newton(gradient="forgotten", **assumed), problem)
    assert not torch.equal(plain.state.weights, cheap.state.weights)
    residuals = [
        next(c.value for c in release.certificate.constants if c.name == "residual")
        for release in (plain, cheap)
    ]
    n, kept = len(problem.train), len(request.retain)
    trained = float(problem.gradient(request.original.weights, problem.train).norm())
    assert residuals[1] >= residuals[0] + 0.99 * n / kept * trained


def test_the_cheap_gradient_is_the_exact_one_where_training_has_converged() -> None:
    problem = problems.softmax()
    plain, cheap = ask(Newton(), problem)[1], ask(Newton(gradient="forgotten"), problem)[1]
    assert torch.allclose(plain.state.weights, cheap.state.weights, atol=1e-6)


def test_lissa_converges_to_the_solution_and_says_when_it_diverges() -> None:
    problem = problems.softmax(ridge=0.1)
    exact = ask(Newton(tolerance=1e-10), problem)[1].state.weights
    close = NewtonLissa(scale=20.0, depth=600, chains=30, batch=30)
    step = float((ask(close, problem)[1].state.weights - exact).norm())
    start = ask(Newton(), problem)[0].original.weights
    assert step < 0.1 * float((start - exact).norm())
    with pytest.raises(AssumptionBroken, match=r"LiSSA diverged.*raise scale"):
        ask(NewtonLissa(scale=1.0, depth=200), problem)


def test_lissa_on_a_quadratic_with_full_batches_is_its_closed_form() -> None:
    """With A_t = A the recursion is a Neumann series: u_s = sum_{j <= s} (I - A / S)^j b."""
    problem = problems.softmax(loss="squared", n=6)
    w = problem.model.initial_weights(Seeds().generator("training"))
    one = Rows(problem.train.x[:1], problem.train.y[:1])  # every draw is the same row
    b = torch.randn(len(w), generator=Seeds().generator("training")).double()
    ours = lissa(
        differentiated(problem.loss, w), one, b, Seeds().generator("noise"),
        damping=0.3, scale=40.0, chains=2, depth=7, batch=3,
    )  # fmt: skip
    hessian = problem.hessian(w, one)
    dense = torch.stack([hessian @ e for e in torch.eye(len(w)).double()])
    shrink = torch.eye(len(w)).double() - (dense + 0.3 * torch.eye(len(w))) / 40.0
    series = sum(torch.linalg.matrix_power(shrink, j) @ b for j in range(8)) / 40.0
    assert torch.allclose(ours, series, atol=1e-12)
