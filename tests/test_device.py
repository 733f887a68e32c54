"""What can be shown of the GPU path without a GPU."""

from __future__ import annotations

import os
import subprocess
import time
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from benchmark import gpu
from benchmark.curvature import krylov
from benchmark.curvature.hessian import Damped, Differentiated
from benchmark.errors import LetheError
from benchmark.gpu import PARTS, Part, chosen, measure
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model, ModelSpec, ResNet18Spec, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.variants import gauss_newton
from benchmark.rows import Rows
from benchmark.runner.device import prepare
from benchmark.solvers import svrg
from benchmark.solvers.solver import System

# What can be shown of the GPU path without a GPU: tensors that know their device and no values.

DENSE: dict[str, ModelSpec] = {
    "softmax": SoftmaxSpec(kind="softmax"),
    "tanh": MLPSpec(kind="mlp", hidden=[8, 6], activation="tanh"),
    "relu": MLPSpec(kind="mlp", hidden=[8, 6], activation="relu"),
}
NETS: dict[str, ModelSpec] = {
    **DENSE,
    "allcnn": AllCNNSpec(kind="allcnn", width=4),
    "resnet18": ResNet18Spec(kind="resnet18", width=4),
}
FORMS = {"whole": {}, "chunks": {"chunk": 12}, "half kept": {"chunk": 12, "kept_rows": 12}}


def on_a_gpu(spec: ModelSpec) -> tuple[Problem, torch.Tensor]:
    """A problem and weights that say they are on a GPU; only within `FakeTensorMode`."""
    model = Model(spec, 64 if spec in DENSE.values() else (8, 8, 1), 10)
    rows = Rows(
        torch.empty(23, 64, device="cuda"), torch.empty(23, dtype=torch.int64, device="cuda")
    )
    problem = Problem(
        model=model,
        objective=Objective(ridge=1e-3),
        training=AdamTraining(algorithm="adam", epochs=1, batch=8, learning_rate=1e-3),
        train=rows,
        negatives=rows,
        test=rows,
    )
    return problem, torch.empty(model.dimension, device="cuda")


def multiplied(operator: Differentiated, vector: torch.Tensor) -> None:
    for found in (Damped(operator, 0.1) @ vector, operator.gradient):
        assert found.device == vector.device
        assert found.shape == vector.shape


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", NETS)
def test_a_hessian_product_stays_on_the_device_and_never_waits_for_it(net: str, form: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem, weights = on_a_gpu(NETS[net])
        multiplied(problem.hessian(weights, problem.train, **FORMS[form]), weights)


@pytest.mark.parametrize("net", DENSE)
def test_a_gauss_newton_product_does_neither(net: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem, weights = on_a_gpu(NETS[net])
        multiplied(gauss_newton(problem, weights, problem.train), weights)


RECURSIONS = {
    "cg": lambda a, b: krylov._cg_steps(a, b, None),
    "preconditioned cg": lambda a, b: krylov._cg_steps(a, b, lambda r: 0.5 * r),
    "minres": krylov._minres_steps,
    "chebyshev": lambda a, b: krylov._chebyshev_steps(a, b, 0.1, 2.0),
    "lanczos": lambda a, b: krylov._steps(a, b.new_empty(4, len(b))),
}


@pytest.mark.parametrize("name", RECURSIONS)
def test_a_recursion_leaves_its_numbers_on_the_device(name: str) -> None:
    """What decides how it goes on is read behind it, see `read_behind`."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem, weights = on_a_gpu(DENSE["relu"])
        operator = Damped(problem.hessian(weights, problem.train), 0.1)
        for _, numbers in islice(RECURSIONS[name](operator, operator.operator.gradient), 3):
            assert numbers.device.type == "cuda"
            assert numbers.ndim == 1


@pytest.mark.parametrize("net", NETS)
def test_a_stochastic_pass_does_not_wait_either(net: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem, weights = on_a_gpu(NETS[net])
        system = System(problem, weights, problem.train, 0.1, torch.empty_like(weights))
        shares = None if system.importance is None else torch.empty(23, device="cuda")
        mean = svrg._pass([system.part(problem.train, shares)] * 3, system.b, 0.1)
        assert mean.device.type == "cuda"


@pytest.mark.parametrize("net", ["tanh", "relu"])
def test_nor_does_a_step_of_all_chains_of_lissa(net: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        problem, weights = on_a_gpu(NETS[net])
        products = problem.minibatch_hessians(weights)
        x, y = problem.train.x[:20].unflatten(0, (4, 5)), problem.train.y[:20].view(4, 5)
        u = torch.empty(4, len(weights), device="cuda")
        assert products(x, y, u).device.type == "cuda"


def test_such_tensors_would_tell() -> None:
    """What the tests above rest on: a read value and a mixture of devices are errors."""
    with FakeTensorMode():
        there, here = torch.empty(3, device="cuda"), torch.empty(3)
        with pytest.raises(DataDependentOutputException):
            float(there.sum())
        with pytest.raises(RuntimeError, match="device"):
            there + here


def test_arithmetic_is_full_single_precision() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    prepare("cpu", threads=1)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


# Measuring on a GPU: the order of the parts, their ends, and what is left of one cut short.

ROOT = Path(__file__).resolve().parents[1]
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'done').write_text('x')"
#: Writes the number of its process, then waits for longer than any test does.
WAIT = (
    "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], 'id').write_text(str(os.getpid())); "
    "time.sleep(600)"
)


def part(name: str, code: str, most: float = 60.0) -> Part:
    return Part(name, name.title(), ("-c", code, "{results}"), most)


def test_parts_run_in_order_and_a_failure_does_not_end_them(tmp_path: Path) -> None:
    told: list[str] = []
    parts = [part("fails", "raise SystemExit(3)"), part("works", WRITE)]
    assert measure(parts, tmp_path, 120, told.append) == {"fails": "failed", "works": "done"}
    assert (tmp_path / "done").exists()
    assert [line.split(":")[0] for line in told] == ["fails", "fails", "works", "works"]


def test_a_part_over_its_time_is_stopped_and_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, number = part("slow", WAIT, most=20.0), tmp_path / "id"

    class Started(subprocess.Popen):
        """One whose 20 seconds are over as soon as it has begun, however loaded the machine."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout != slow.most:
                return super().wait(timeout)
            deadline = time.monotonic() + 120
            while not (number.exists() and number.read_text()) and time.monotonic() < deadline:
                time.sleep(0.01)
            return super().wait(0.01)

    monkeypatch.setattr(gpu.subprocess, "Popen", Started)
    found = measure([slow, part("works", WRITE)], tmp_path, 120, lambda line: None)
    assert found == {"slow": "out of time", "works": "done"}
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)


def test_no_part_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    assert measure([part("works", WRITE)], tmp_path, 1.0, lambda line: None) == {}
    assert not (tmp_path / "done").exists()


def test_parts_are_chosen_by_name_and_keep_their_order() -> None:
    names = [one.name for one in PARTS]
    assert len(set(names)) == len(names)
    assert chosen(None) == PARTS
    assert [one.name for one in chosen([names[3], names[1]])] == [names[1], names[3]]
    with pytest.raises(LetheError, match=f"no part is called 'x': they are {names[0]}, "):
        chosen(["x"])


def test_every_file_that_a_part_names_exists() -> None:
    for one in PARTS:
        for argument in one.command:
            if argument.endswith(".py"):
                assert (ROOT / argument).is_file(), argument
