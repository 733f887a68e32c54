"""What the server that forks the processes of a run imports first, for as long as the run lives."""

from __future__ import annotations

import os
import threading

_RUN = os.getppid()
_imported = threading.Event()


def _end_with_the_run() -> None:
    """End the server if the run is gone: it would look for that only when all is imported."""
    while not _imported.wait(0.2):
        if os.getppid() != _RUN:
            os._exit(os.EX_UNAVAILABLE)


_watcher = threading.Thread(target=_end_with_the_run, daemon=True)
_watcher.start()
import benchmark.runner.run_cell  # noqa: E402
import benchmark.study.executors.processes  # noqa: E402, F401

_imported.set()
_watcher.join()  # a process with threads is not to be forked
