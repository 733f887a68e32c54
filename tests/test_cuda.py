"""The GPU against the CPU: products, solvers, releases, whole runs. Skipped where there is none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark import registry
from benchmark.contract.claim import Target
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.seeds import Seeds
from benchmark.curvature import krylov
from benchmark.experiments import experiment as experiments
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model, ModelSpec, ResNet18Spec, SoftmaxSpec
from benchmark.problem.problem import Problem
from benchmark.problem.variants import gauss_newton
from benchmark.records import Record, Store
from benchmark.runner.device import prepare
from benchmark.solvers.solver import SOLVERS, System
from benchmark.studies import experiments as runner
from benchmark.studies.random_problem import (
    in_fixed_point,
    linearised,
    one_vs_rest,
    public_distance,
    within_cone,
)
from benchmark.studies.two_sides import World, difference, reference, unlearned, without
from tests import problems, tiny_experiment
from tests.test_definitions import CERTIFIED, PARAMS
from tests.test_solvers import damped

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here"),
]

NETS: dict[str, ModelSpec] = {
    "softmax": SoftmaxSpec(kind="softmax"),
    "tanh": MLPSpec(kind="mlp", hidden=[8, 6], activation="tanh"),
    "relu": MLPSpec(kind="mlp", hidden=[8, 6], activation="relu"),
    "allcnn": AllCNNSpec(kind="allcnn", width=4),
    "resnet18": ResNet18Spec(kind="resnet18", width=4),
}
DENSE = ("softmax", "tanh", "relu")
FORMS = {"whole": {}, "chunks": {"chunk": 7}, "half kept": {"chunk": 7, "kept_rows": 14}}
#: Relative, in each precision: orders of summation differ.
ROUND_OFF = {torch.float64: 1e-11, torch.float32: 1e-4}
#: Their noise is drawn on the device, whose generator is another.
OWN_NOISE = {"dp-sgd"}


@pytest.fixture(autouse=True, scope="module")
def gpu() -> torch.device:
    return prepare("cuda", threads=1)


def moved(problem: Problem, device: torch.device) -> Problem:
    parts = {one: getattr(problem, one) for one in ("train", "negatives", "test")}
    return replace(problem, **{k: v.to(device, v.x.dtype) for k, v in parts.items()})


def small(net: str, dtype: torch.dtype) -> tuple[Problem, torch.Tensor]:
    """A net on 23 images of 8 x 8, and weights."""
    inputs = 64 if net in DENSE else (8, 8, 1)
    rows = problems.rows(23, 64, 10, 0, dtype)
    problem = replace(
        problems.mlp(), model=Model(NETS[net], inputs, 10), train=rows, negatives=rows, test=rows
    )
    weights = problem.model.initial_weights(torch.Generator().manual_seed(1))
    return problem, weights.to(dtype)


def apart(there: torch.Tensor, here: torch.Tensor) -> float:
    """Relative difference of a result on the GPU from that on the CPU."""
    return float((there.cpu() - here).norm() / here.norm())


@pytest.mark.parametrize("dtype", ROUND_OFF, ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", NETS)
def test_a_hessian_product_and_its_gradient(
    net: str, form: str, dtype: torch.dtype, gpu: torch.device
) -> None:
    problem, weights = small(net, dtype)
    there = moved(problem, gpu)
    v = torch.linspace(-1, 1, len(weights), dtype=dtype)
    here = problem.hessian(weights, problem.train, **FORMS[form])
    other = there.hessian(weights.to(gpu), there.train, **FORMS[form])
    assert apart(other @ v.to(gpu), here @ v) < ROUND_OFF[dtype]
    assert apart(other.gradient, here.gradient) < ROUND_OFF[dtype]


@pytest.mark.parametrize("net", DENSE)
def test_a_gauss_newton_product(net: str, gpu: torch.device) -> None:
    problem, weights = small(net, torch.float64)
    there = moved(problem, gpu)
    v = torch.linspace(-1, 1, len(weights), dtype=torch.float64)
    other = gauss_newton(there, weights.to(gpu), there.train) @ v.to(gpu)
    assert apart(other, gauss_newton(problem, weights, problem.train) @ v) < 1e-11


def on_both(share: float, gpu: torch.device) -> tuple[System, System]:
    here = damped(share)
    there = System(
        moved(here.problem, gpu),
        here.weights.to(gpu),
        here.rows.to(gpu, here.b.dtype),
        here.damping,
        here.b.to(gpu),
    )
    return here, there


def solved(name: str, system: System, tolerance: float = 1e-8):
    return SOLVERS[name].solve(system, tolerance, 500, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_finds_the_same(name: str, gpu: torch.device) -> None:
    here, there = on_both(1.0, gpu)
    one, other = solved(name, here), solved(name, there)
    assert other.x.device.type == "cuda"
    assert other.converged == one.converged
    assert apart(other.x, one.x) < 1e-6
    assert abs(other.products - one.products) <= 1 + 0.1 * one.products


@pytest.mark.parametrize("name", ["cg", "minres", "chebyshev"])
def test_reading_a_step_behind_changes_no_bit(
    name: str, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = on_both(0.02, gpu)
    behind = solved(name, there)
    monkeypatch.setattr(krylov, "_worth_it", lambda numbers: False)
    at_once = solved(name, there)
    assert torch.equal(behind.x, at_once.x)
    assert behind.history == at_once.history
    assert behind.products == at_once.products


def made_for(method: Method, head: Problem) -> Problem:
    """The problem that a softmax head becomes for what the method needs."""
    forms = {
        "one_vs_rest": one_vs_rest,
        "tangent": linearised,
        "squared_loss": in_fixed_point,
        "cone": within_cone,
        "constraint": within_cone,
    }
    for need, form in forms.items():
        if need in method.needs:
            return form(head)
    return head


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_certified_method_claims_the_same_and_publishes_the_same_noise(
    name: str, gpu: torch.device
) -> None:
    """Compare on a head; the two sides on the GPU differ in the centre of the noise alone."""
    method, forget = registry.find(name).method.build(PARAMS.get(name, {})), torch.arange(4)
    head = problems.declared(problems.softmax(3), 50)
    here, there = (made_for(method, one) for one in (head, moved(head, gpu)))
    asked = {"target": Target(distance=public_distance(here, 4, 3)), "seeds": Seeds.all(3)}
    one = unlearned(method, World(here), forget, **asked)
    other = unlearned(method, World(there), forget, **asked)
    assert other.predictor.weights.device.type == "cuda"
    assert verdict(other.claim) == verdict(one.claim)
    if name not in OWN_NOISE:
        assert apart(other.predictor.weights, one.predictor.weights) < 1e-5
    if name == "downdate":  # the nearest to the same rational solution
        assert torch.equal(other.predictor.weights.cpu(), one.predictor.weights)
    if verdict(other.claim) in ("proved", "exact"):
        left = World(without(there, forget))
        assert difference(other, reference(method, left, other, **asked)) == ""


@pytest.mark.parametrize("net", ["tanh", "allcnn", "resnet18"])
def test_training_and_a_newton_step_of_a_net(net: str, gpu: torch.device) -> None:
    problem, _ = small(net, torch.float32)
    problem = replace(problem, training=problem.training.model_copy(update={"radius": 1e3}))
    there = moved(problem, gpu)
    world, forget = World(there), torch.arange(3)
    start = problem.model.initial_weights(torch.Generator().manual_seed(0)).to(there.train.x)
    trained = world.weights(0)
    assert there.loss(trained, there.train) < there.loss(start, there.train)
    again = World(there).weights(0)
    assert torch.equal(trained, again), "deterministic arithmetic"
    method = registry.find("newton").method.build({"hessian_lipschitz": 1.0, "sigma": 1e-3})
    release = unlearned(method, world, forget, target=Target(), seeds=Seeds.all(0))
    assert torch.isfinite(release.predictor.weights).all()
    assert verdict(release.claim) != "proved"


def records(folder: Path, device: torch.device) -> list[Record]:
    """Records of a whole run of every method that answers on a head."""
    path = tiny_experiment.write(folder)
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        store = Store(folder / "results")
        loaded = [experiments.load(str(path))]
        runner.run(loaded, store, device, seeds=[0], console=Console(file=sink))
    return store.records("tiny")


def test_a_whole_run_says_what_the_cpu_says_and_twice_the_same(
    tmp_path: Path, gpu: torch.device
) -> None:
    folders = [tmp_path / one for one in ("here", "there", "again")]
    for folder in folders:
        folder.mkdir()
    here, there, again = map(records, folders, (torch.device("cpu"), gpu, gpu))
    assert [one.method.label for one in there] == [one.method.label for one in here]
    for one, other, twice in zip(here, there, again, strict=True):
        assert other.status == one.status, other.failure
        assert other.environment.gpu == torch.cuda.get_device_name()
        assert other.verdict == one.verdict
        assert other.metrics == twice.metrics, other.method.label
        label = other.method.label
        if one.status == "ok":
            accuracy = [r.metrics["accuracy_test"].value for r in (one, other)]
            if other.method.name not in OWN_NOISE:
                assert accuracy[1] == pytest.approx(accuracy[0], abs=2), label
