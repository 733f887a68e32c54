"""What is measured where there is a GPU: parts in order of worth, each a command that resumes."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.errors import LetheError

End = Literal["done", "failed", "out of time"]

#: Seconds that a part gets to end by itself once its time is over.
GRACE = 5.0
#: A part is not begun with fewer seconds left.
LEAST = 10.0
_ROOT = Path(__file__).resolve().parents[1]
_SOLVE, _PRODUCT = "benches/test_solvers.py", "benches/test_passes.py"


@dataclass(frozen=True)
class Part:
    """A command; `{results}` in it stands for the folder of the records.

    Attributes:
        most: seconds that it may take of the whole.
    """

    name: str
    title: str
    command: tuple[str, ...]
    most: float = math.inf


def _lethe(*arguments: str) -> tuple[str, ...]:
    return ("-m", "benchmark", *arguments)


def _bench(file: str, selection: str) -> tuple[str, ...]:
    """The benchmarks of `file` that pytest's -k selects; a solve of more than a minute is left."""
    where = ("--size", "full", "--device", "cuda", "--results", "{results}")
    how = ("--budget", "10", "--limit", "60", "--benchmark-columns=median,rounds")
    return ("-m", "pytest", file, "-k", selection, "-q", "--no-header", "-rfE", *where, *how)


def _run(*arguments: str) -> tuple[str, ...]:
    return _lethe("run", "--device", "cuda", "--results", "{results}", *arguments)


#: In the order of worth: what comes last is what the time does not suffice for.
PARTS = (
    Part("doctor", "What is there", _lethe("doctor")),
    Part(
        "tests",
        "The tests on the GPU",
        ("-m", "pytest", "tests/test_cuda.py", "tests/test_shadow.py", "-k", "cuda", "-q"),
        most=120,
    ),
    Part("mlp", "H^-1 b of the MNIST MLP", _bench(_SOLVE, "mnist-mlp and 0.1-norm")),
    Part(
        "resnet",
        "H^-1 b of a ResNet-18 at full width",
        _bench(_SOLVE, "resnet18 and 0.1-norm"),
    ),
    Part("hog", "Certified rows of MNIST", _run("mnist-hog", "--profile", "cuda")),
    Part(
        "softmax",
        "H^-1 b of the softmax head",
        _bench(_SOLVE, "softmax-float32 and 0.1-norm"),
    ),
    Part("products", "Products with the Hessian", _bench(_PRODUCT, "mnist")),
    Part("dampings", "H^-1 b at other dampings", _bench(_SOLVE, "mnist and not 0.1-norm")),
)


def chosen(names: Sequence[str] | None) -> tuple[Part, ...]:
    """The parts of these names in their order, all of them for None.

    Raises:
        LetheError: for a name that no part has.
    """
    known = {part.name: part for part in PARTS}
    for name in names or ():
        if name not in known:
            raise LetheError(f"no part is called '{name}': they are {', '.join(known)}")
    return tuple(part for part in PARTS if not names or part.name in names)


def measure(
    parts: Sequence[Part], results: Path, seconds: float, tell: Callable[[str], None]
) -> dict[str, End]:
    """How each part ended, by name; one that was not begun is left out.

    Args:
        parts: to run, one after the other.
        results: the folder of the records, which outlive a part that is cut short.
        seconds: for all parts together.
        tell: is told what happens, a line at a time.
    """
    end, found = time.monotonic() + seconds, {}
    for part in parts:
        left = end - time.monotonic()
        if left < LEAST:
            break
        tell(f"{part.name}: {part.title}, {left:.0f} s left")
        start = time.monotonic()
        found[part.name] = _ended(part, results, min(left, part.most))
        tell(f"{part.name}: {found[part.name]} after {time.monotonic() - start:.0f} s")
    return found


def _ended(part: Part, results: Path, seconds: float) -> End:
    arguments = [one.replace("{results}", str(results.resolve())) for one in part.command]
    process = subprocess.Popen([sys.executable, *arguments], cwd=_ROOT)
    try:
        return "failed" if process.wait(seconds) else "done"
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt what still runs, as Ctrl-C does, and kill what does not end then."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
