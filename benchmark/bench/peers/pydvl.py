"""Conjugate gradients of pyDVL (appliedAI Institute), through its worker."""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
import torch.fx
from torch import Tensor

from benchmark.bench.clock import CLOCK
from benchmark.bench.peers.libraries import as_module
from benchmark.errors import LetheError
from benchmark.solvers.solver import System

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
        self._log = (Path(self._folder.name) / "log").open("w+")
        path = Path(self._folder.name) / "system.pt"
        torch.save(content, path)
        self._process = subprocess.Popen(
            [str(python), "-P", str(_WORKER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
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
