"""What the server that forks the processes of a run imports first, for as long as the run lives."""

from __future__ import annotations

import atexit
import os
import shutil
import threading

from benchmark import ends

# the run may be gone before this is imported: it says itself who it is
_RUN, _, _SOCKETS = os.environ.pop(ends.SOCKETS, f"{os.getppid()} ").partition(" ")
_imported = threading.Event()


def _is_gone() -> bool:
    return os.getppid() != int(_RUN)


def _end_with_the_run() -> None:
    """End the server if the run is gone: it would look for that only when all is imported."""
    while not _imported.wait(0.2):
        if _is_gone():
            _clear()
            os._exit(os.EX_UNAVAILABLE)


@atexit.register
def _clear() -> None:
    """Remove the folder of the server's socket, where the run was killed and cannot."""
    if _SOCKETS and _is_gone():
        shutil.rmtree(_SOCKETS, ignore_errors=True)


_watcher = threading.Thread(target=_end_with_the_run, daemon=True)
_watcher.start()
import benchmark.study.executors.executor  # noqa: E402, F401

_imported.set()
_watcher.join()  # a process with threads is not to be forked
