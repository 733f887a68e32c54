"""Conjugate gradients of curvlinops, dattri and pyDVL on our systems."""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from benchmark.bench.record import CLOCK
from benchmark.curvature.hessian import Operator
from benchmark.errors import LetheError
from benchmark.solvers.solver import System

# Conjugate gradients of curvlinops and dattri on our systems, and when they should stop.


def as_module(system: System) -> nn.Module:
    """The net with the system's weights, in evaluation mode; no generator is drawn from."""
    problem = system.problem
    with torch.device("meta"):
        module = problem.model.spec.module(problem.model.inputs, problem.model.classes)
    module = module.to(system.b.dtype).to_empty(device=system.b.device)
    vector_to_parameters(system.weights.clone(), module.parameters())
    return module.eval()


def iterations(
    operator: Operator, b: Tensor, *, start: Literal["zero", "b"], tolerance: float, limit: int
) -> int | None:
    """The least k after which ||b - A x_k|| <= tolerance ||b||; None if `limit` does not do.

    The libraries stop by rules of their own, some of which are not the one asked for. They all
    run the plain iteration, so it says beforehand when to stop them.

    Args:
        operator: A.
        b: (d,).
        start: x_0; two of the libraries start from b itself.
        tolerance: relative to ||b||.
        limit: the largest k.
    """
    x = b.new_zeros(b.shape) if start == "zero" else b.clone()
    r = b - operator @ x
    p, rr = r.clone(), float(r.dot(r))
    goal = tolerance * float(b.norm())
    for k in range(limit + 1):
        if rr**0.5 <= goal:
            return k
        ap = operator @ p
        pap = float(p.dot(ap))
        if not pap > 0:
            return None
        r = r.sub(ap, alpha=rr / pap)
        rr, old = float(r.dot(r)), rr
        p = r.add(p, alpha=rr / old)
    return None


def curvlinops_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    By curvlinops (Dangel et al. 2025, arXiv:2501.19183).

    Its own stopping rule is put out of reach: by default it stops after ten iterations with the
    residual unseen.
    """
    from curvlinops import CGInverseLinearOperator, HessianLinearOperator
    from curvlinops.examples import IdentityLinearOperator

    module = as_module(system)
    parameters = list(module.parameters())
    shift = system.damping + system.problem.objective.ridge

    def solve(iterations: int) -> Tensor:
        hessian = HessianLinearOperator(
            module,
            torch.nn.CrossEntropyLoss(),
            parameters,
            [(system.rows.x, system.rows.y)],
            check_deterministic=False,
        )
        shapes = [p.shape for p in parameters]
        identity = IdentityLinearOperator(shapes, system.b.device, system.b.dtype)
        inverse = CGInverseLinearOperator(
            hessian + shift * identity,
            max_iter=iterations,
            max_tridiag_iter=0,
            tolerance=0.0,
            stop_updating_after=0.0,
            eps=0.0,
        )
        with warnings.catch_warnings():
            # it warns that a tolerance of 0 was not reached, and that torch.jit will go
            warnings.simplefilter("ignore")
            return (inverse @ system.b).detach()

    return solve


def dattri_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    By dattri (Deng et al. 2024, arXiv:2410.04555). It always does as many iterations as it is
    told, whatever its tolerance.
    """
    from dattri.func.hessian import ihvp_at_x_cg

    def loss(weights: Tensor) -> Tensor:
        return system.problem.loss(weights, system.rows)

    def solve(iterations: int) -> Tensor:
        inverse = ihvp_at_x_cg(
            loss,
            system.weights,
            argnums=0,
            max_iter=iterations,
            mode="rev-rev",
            regularization=system.damping,
        )
        return inverse(system.b).squeeze(0).detach()

    return solve


# Conjugate gradients of pyDVL (appliedAI Institute), through its worker.

_WORKER = Path(__file__).with_name("pydvl_worker.py")


class Worker:
    """A process of pyDVL's environment that holds one system up to its damping.

    It ends with `close`, or when this process does.

    Args:
        python: the environment's interpreter.
        system: what to solve; it is handed over as a file.
    """

    def __init__(self, python: Path, system: System) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lethe-pydvl-")
        self._answer = Path(self._folder.name) / "x.pt"
        self._device, self._ridge = system.b.device, system.problem.objective.ridge
        self.peak: int | None = None
        content = {
            # traced, as its environment has none of this project's layers
            "module": torch.fx.symbolic_trace(as_module(system)),
            "x": system.rows.x,
            "y": system.rows.y,
            "b": system.b,
            "threads": torch.get_num_threads(),
        }
        self._log = (Path(self._folder.name) / "log").open("w+", encoding="utf-8", errors="replace")
        path = Path(self._folder.name) / "system.pt"
        torch.save(content, path)
        self._process = subprocess.Popen(
            [str(python), "-P", str(_WORKER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def solve(self, damping: float, iterations: int) -> Tensor:
        """X after so many iterations, (d,).

        Raises:
            LetheError: if the library fails, or its process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "iterations": iterations,
            "shift": damping + self._ridge,
            "to": str(self._answer),
        }
        try:
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise LetheError(f"pyDVL's process ended: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise LetheError(f"pyDVL failed: {answer['error']}")
        self.peak = answer["peak"]
        CLOCK.elsewhere += answer["seconds"]
        return torch.load(self._answer, weights_only=True).to(self._device)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        """End the process and remove its files."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # what it never read, if it has died
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()


class Workers:
    """The one worker that is running; another system's replaces it."""

    def __init__(self) -> None:
        self._running: tuple[Tensor, Worker] | None = None

    def of(self, python: Path, system: System) -> Worker:
        """A worker that holds the system, whatever its damping."""
        if self._running is not None and self._running[0] is system.weights:
            return self._running[1]
        self.close()
        worker = Worker(python, system)
        self._running = (system.weights, worker)
        atexit.register(worker.close)
        return worker

    def close(self) -> None:
        """End it."""
        if self._running is not None:
            atexit.unregister(self._running[1].close)
            self._running[1].close()
            self._running = None
