"""Programs of tests, forked from a process that has imported the libraries already.

Each is a process with its own session, signals and exit code. What it does not do again is to
import torch and the like, which takes seconds. No module of ours is imported before it is forked:
plug-ins, the environment and the command line are what they are in a fresh interpreter. A test of
the interpreter's own start, of its encoding or of what is imported, needs a fresh one all the same.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What a run imports and what its page is made with.
LIBRARIES = (
    "torch",
    "torch.fx.experimental.symbolic_shapes",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.datasets",
    "seaborn",
    "pydantic",
    "rich.progress",
    "typer",
)


class Program:
    """`python ARGUMENTS` in a session of its own; see `subprocess.Popen`."""

    def __init__(self, *arguments: str, cwd: Path, **environment: str) -> None:
        """Start it.

        Args:
            arguments: of Python: `-m`, a module and its arguments, or a script and its own.
            cwd: the folder that it runs in.
            environment: what differs from that of the tests.
        """
        path = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        given = {"arguments": arguments, "cwd": str(cwd), "env": os.environ | path | environment}
        self.returncode: int | None = None
        self._told, telling = Pipe(duplex=False)
        self._output, output = os.pipe()
        self._error, error = os.pipe()
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            json.dump(given, file)
            file.seek(0)
            handles = [file.fileno(), output, error, telling.fileno()]
            socket.send_fds(_server(), [b"!"], handles)
        telling.close()
        os.close(output)
        os.close(error)
        self.pid: int = self._told.recv()

    def poll(self) -> int | None:
        """The exit code, or minus the signal that killed it; None while it runs."""
        if self.returncode is None and self._told.poll():
            self.returncode = self._told.recv()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutError: if it takes longer.
        """
        if self.returncode is None and not self._told.poll(timeout):
            raise TimeoutError(f"still running after {timeout} s")
        self.poll()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it and its children print, until the last of them has closed what it prints to."""
        read, deadline = {self._output: b"", self._error: b""}, time.monotonic() + timeout
        still = list(read)
        while still:
            ready = wait(still, max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"still printing after {timeout} s")
            for stream in ready:
                assert isinstance(stream, int)
                part = os.read(stream, 1 << 16)
                read[stream] += part
                if not part:
                    os.close(stream)
                    still.remove(stream)
        self.wait(timeout)
        output, error = read.values()
        return output.decode(), error.decode()

    def kill(self) -> None:
        """Kill it, and none of its children."""
        os.kill(self.pid, signal.SIGKILL)


@functools.cache
def _server() -> socket.socket:
    """The way to the server of this process, which ends with it."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # pipes, as those that the programs print to
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    return ours


def _serve(requests: socket.socket) -> tuple[list[str], dict[str, str]]:
    """Fork a program a request until nobody can ask any more; returns in the programs alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        asked, handles, *_ = socket.recv_fds(requests, 1, 4)
        if not asked:
            os._exit(0)
        if not os.fork():
            requests.close()
            return _forked(*handles)
        for handle in handles:
            os.close(handle)


def _forked(file: int, output: int, error: int, telling: int) -> tuple[list[str], dict[str, str]]:
    """Fork the program, wait for its end and tell of it; returns in the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ends = Connection(telling, readable=False)
    if program := os.fork():
        os.close(output)
        os.close(error)
        ends.send(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))
        os._exit(0)
    os.setsid()
    os.dup2(output, 1)
    os.dup2(error, 2)
    os.close(output)
    os.close(error)
    with open(file, encoding="ascii") as text:
        given = json.load(text)
    os.chdir(given["cwd"])
    ends.send(os.getpid())
    ends.close()
    return given["arguments"], given["env"]


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    """What `python ARGUMENTS` does."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # a library may have asked for it, which read $TMPDIR
    first, *rest = arguments
    own = str(Path.cwd()) if first == "-m" else str(Path(first).resolve().parent)
    sys.path[:] = [own, *environment["PYTHONPATH"].split(os.pathsep), *sys.path]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    for library in LIBRARIES:
        import_module(library)
    sys.path[:] = [one for one in sys.path if Path(one).resolve() != ROOT]
    _run(*_serve(socket.socket(fileno=int(sys.argv[1]))))
