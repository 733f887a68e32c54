"""The phase timer that methods report through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Seconds per named phase, summed over repeats.

    On one CPU thread they are processor seconds, which other programs on the machine do not
    lengthen; on several threads or a GPU, wall-clock seconds. On CUDA the device is synchronised
    at both ends of a phase, so that work still queued is charged to the phase that asked for it.
    `listener` hears the name of each phase as it starts.

    >>> clock = Clock()
    >>> with clock.phase("solve"):
    ...     total = sum(range(1000))
    >>> list(clock.seconds)
    ['solve']
    """

    def __init__(
        self, device: torch.device | str = "cpu", listener: Callable[[str], None] | None = None
    ) -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}
        self._listener = listener
        self._open: str | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the body as phase `name`. Phases do not nest, so no second is counted twice.

        Raises:
            RuntimeError: if another phase is open.
        """
        if self._open is not None:
            raise RuntimeError(f"phase '{name}' starts inside phase '{self._open}'")
        self._open = name
        if self._listener:
            self._listener(name)
        start = self.now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - start
            self._open = None

    def now(self) -> float:
        """Seconds on a monotonic clock, once the device has finished what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        elif torch.get_num_threads() == 1:
            return time.process_time()
        return time.perf_counter()
