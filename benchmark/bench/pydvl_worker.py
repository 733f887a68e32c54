"""Conjugate gradients of pyDVL, in an environment of its own: it wants NumPy 1.

Run as `python pydvl_worker.py system.pt`. It reads one JSON object a line, {"iterations": k,
"shift": s, "to": path}, solves (H + s I) x = b anew, leaves x there and answers one, {"seconds":
..., "peak": bytes or null} or {"error": ...}. Nothing of this project is imported.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch


def solver(content: dict[str, Any]) -> Any:
    """From the shift and iterations to x, (d,); each call sets everything up anew.

    One batch of all rows: over several, of which the last is short, its Hessian is not the mean's.
    """
    from pydvl.influence.torch.operator import CgOperator, HessianOperator

    def solve(shift: float, iterations: int) -> torch.Tensor:
        hessian = HessianOperator(
            content["module"], torch.nn.CrossEntropyLoss(), [(content["x"], content["y"])]
        )
        inverse = CgOperator(
            hessian,
            regularization=shift,
            rtol=0.0,
            atol=0.0,
            maxiter=iterations,
            warn_on_max_iteration=False,
        )
        return inverse.apply(content["b"]).flatten().detach()

    return solve


def peak_above(solve: Any, *arguments: Any) -> tuple[torch.Tensor, float, int | None]:
    """x, processor seconds, and bytes of the resident high-water mark above the level before."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = resident("VmRSS")
    except (OSError, AttributeError):  # not Linux, or another C library
        before = None
    start = time.process_time()
    x = solve(*arguments)
    seconds = time.process_time() - start
    return x, seconds, None if before is None else max(0, resident("VmHWM") - before)


def resident(field: str) -> int:
    """A size in bytes out of the process's status."""
    found = re.search(
        rf"^{field}:\s+(\d+) kB",
        Path("/proc/self/status").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    content = torch.load(sys.argv[1], weights_only=False)
    torch.set_num_threads(content["threads"])
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever the library prints must not be taken for an answer
    solve = solver(content)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            x, seconds, peak = peak_above(solve, asked["shift"], asked["iterations"])
            torch.save(x.cpu(), asked["to"])
            answer: dict[str, object] = {"seconds": seconds, "peak": peak}
        except Exception as error:  # any failure of the library is an answer about it
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
