"""The contract, over every registered method: a new file is covered without an edit here."""

from __future__ import annotations

import pytest

from benchmark import registry
from benchmark.checks import asking, check, rules
from benchmark.checks.asking import KINDS, ask

__all__ = ["KINDS", "METHODS", "ask", "kinds"]

METHODS = registry.discover()
every_method = pytest.mark.parametrize("name", METHODS)


def kinds(name: str) -> list[str]:
    """The problems that a method can run on."""
    return asking.kinds(METHODS[name].method)


CERTIFYING = [name for name, found in METHODS.items() if found.method.evidence]
on_every_problem = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in METHODS for kind in kinds(name)]
)
certifying_on_every_problem = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in CERTIFYING for kind in kinds(name)]
)


@on_every_problem
def test_weights_are_finite_and_of_the_right_shape(name: str, kind: str) -> None:
    rules.weights_are_sound(METHODS[name].method, kind)


@on_every_problem
def test_same_seeds_give_the_same_bytes(name: str, kind: str) -> None:
    rules.same_seeds_give_the_same_bytes(METHODS[name].method, kind)


@on_every_problem
def test_another_noise_seed_changes_the_noise_and_nothing_else(name: str, kind: str) -> None:
    rules.noise_follows_its_seed(METHODS[name].method, kind)


@on_every_problem
def test_T7_noise_differs_between_releases(name: str, kind: str) -> None:
    rules.noise_differs_between_releases(METHODS[name].method, kind)


@on_every_problem
def test_inputs_and_the_global_generator_are_left_alone(name: str, kind: str) -> None:
    rules.nothing_is_mutated(METHODS[name].method, kind)


@on_every_problem
def test_it_does_something_unless_declared_otherwise(name: str, kind: str) -> None:
    rules.it_does_something(METHODS[name].method, kind)


@on_every_problem
def test_T13_forgetting_nothing_returns_the_original_up_to_release_noise(
    name: str, kind: str
) -> None:
    rules.nothing_to_forget_changes_nothing(METHODS[name].method, kind)


@certifying_on_every_problem
def test_an_observer_is_not_told_what_was_forgotten(name: str, kind: str) -> None:
    rules.an_observer_is_not_told(METHODS[name].method, kind)


@every_method
def test_a_second_request_goes_on_from_the_first(name: str) -> None:
    cls = METHODS[name].method
    rules.a_second_request_goes_on(cls, asking.head(cls))


@on_every_problem
def test_what_it_does_not_need_does_not_matter(name: str, kind: str) -> None:
    rules.what_it_does_not_need_does_not_matter(METHODS[name].method, kind)


PARAMETERS = [(n, p) for n, found in METHODS.items() for p in found.method.model_fields]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_parameter_changes_something(name: str, parameter: str) -> None:
    rules.every_parameter_matters(METHODS[name].method, parameter)


NEAR = [name for name in CERTIFYING if check.near(METHODS[name].method)]


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("seed", range(20))
def test_T2_the_bound_is_at_least_the_measured_distance(name: str, seed: int) -> None:
    rules.the_bound_holds(METHODS[name].method, seed)


@certifying_on_every_problem
def test_sigma_answers_the_target(name: str, kind: str) -> None:
    rules.noise_answers_the_target(METHODS[name].method, kind)


@every_method
def test_declarations_are_complete(name: str) -> None:
    rules.declarations_are_complete(METHODS[name].method)


@every_method
def test_a_method_that_certifies_claims_something(name: str) -> None:
    rules.it_claims_what_it_declares(METHODS[name].method)
