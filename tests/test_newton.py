"""The certified Newton update against cases with a known answer."""

from __future__ import annotations

import pytest
import torch

from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from methods.newton import Newton
from tests import problems

FORGET = torch.tensor([1, 8, 30])


def ask(method: Newton, problem):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, FORGET)
    return request, method.answer(request)


def test_T14_one_step_is_retraining_on_a_quadratic() -> None:
    problem = problems.softmax(loss="squared")
    request, release = ask(Newton(tolerance=1e-12), problem)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert float((release.state.weights - retrained).norm()) < 1e-10


def test_theorem_5_on_softmax_is_proved_and_not_loose() -> None:
    problem = problems.softmax(n=200, ridge=0.05)
    request, release = ask(Newton(), problem)
    certificate = release.certificate
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    distance = float((release.state.weights - retrained).norm())
    assert certificate.verdict == "proved"
    assert certificate.definition == "unlearn-on-retain"
    assert {c.provenance for c in certificate.constants} == {"exact"}
    assert distance <= certificate.sensitivity < 20 * distance
    assert certificate.sensitivity < certificate.trivial_sensitivity


def test_the_training_tolerance_is_charged() -> None:
    problem = problems.softmax()
    certificate = ask(Newton(), problem)[1].certificate
    values = {c.name: c.value for c in certificate.constants}
    assert values["retrain_gradient"] == problem.training.tolerance
    charged = values["gradient_norm"] + values["retrain_gradient"]
    assert certificate.sensitivity == pytest.approx(charged / values["strong_convexity"])


def test_a_net_is_vacuous_and_says_so() -> None:
    problem = problems.mlp()
    _, release = ask(Newton(hessian_lipschitz=1.0, retrain_gradient=0.1), problem)
    certificate = release.certificate
    assert certificate.vacuous
    assert certificate.verdict == "vacuous"
    assert certificate.sensitivity == certificate.trivial_sensitivity == 2 * problem.training.radius
    values = {c.name: c for c in certificate.constants}
    assert values["theorem_4"].value > certificate.sensitivity
    assert values["theorem_4"].provenance == "assumed"
    assert values["smallest_eigenvalue"].provenance == "estimated"


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
