"""Processor seconds of a certificate: `certify` of the property `monotone` on nets of one layer.

Verdict, margin and boxes of each net are in the `extra_info` of `--benchmark-json`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.experiments.build import build
from benchmark.experiments.experiment import ProblemSpec, load
from benchmark.problem.model import MLPSpec, Predictor
from benchmark.properties.monotone import Monotone

UNITS = 64


@dataclass(frozen=True)
class Rows:
    """A data set, the experiment that declares its signs, and passes over it that train a net."""

    data: str
    experiment: str
    epochs: int


@dataclass(frozen=True)
class Net:
    """An activation, and the weight of the penalty that the net is trained with."""

    activation: Literal["tanh", "relu"]
    weight: float


#: Adult has seven times the rows of COMPAS, so it gets a sixth of the passes.
ROWS = (Rows("compas", "compas-monotone-mlp", 30), Rows("adult", "adult-monotone", 5))
#: With the weight of the experiments nets of ReLU on COMPAS are violated, with the last all held.
NETS = (Net("tanh", 10.0), *(Net("relu", weight) for weight in (10.0, 100.0, 1000.0)))


def problem_of(rows: Rows, net: Net) -> tuple[ProblemSpec, Monotone]:
    """The net on the rows, trained as those of COMPAS with a penalty; and its property."""
    declared, trained = load(rows.experiment).problem, load("compas-monotone-mlp").problem
    signs = declared.kept_property
    assert isinstance(signs, Monotone)
    found = signs.model_copy(update={"weight": net.weight})
    changes = {
        "model": MLPSpec(kind="mlp", hidden=(UNITS,), activation=net.activation),
        "objective": trained.objective,
        "training": trained.training.model_copy(update={"epochs": rows.epochs}),
        "kept_property": found,
    }
    return declared.model_copy(update=changes), found


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("net", NETS, ids=[f"{one.activation}-{one.weight:g}" for one in NETS])
@pytest.mark.parametrize("rows", ROWS, ids=[one.data for one in ROWS])
def test_certify_a_net(rows: Rows, net: Net, seed: int, benchmark: BenchmarkFixture) -> None:
    """Times one certificate, as after a request, without training; NumPy bounds on the CPU."""
    if reason := catalogue.find(rows.data).absent():
        pytest.skip(f"{rows.data} is not here: {reason}")
    benchmark.group = f"{rows.data}, {UNITS} units of {net.activation}, penalty {net.weight:g}"
    spec, declared = problem_of(rows, net)
    problem, _ = build(spec, Seeds.all(seed), torch.device("cpu"))
    every = torch.arange(len(problem.train))
    weights = problem.fit(every, torch.Generator().manual_seed(seed))
    asked = (Predictor(problem.model, weights), problem, declared.budget)
    found = benchmark.pedantic(declared.certify, asked, rounds=5, iterations=1)
    benchmark.extra_info |= {
        "inputs": problem.train.x.shape[1],
        "boxes": found.work,
        "verdict": found.verdict,
        "margin": found.margin,
    }
