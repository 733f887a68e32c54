"""How the program ends before its work is done: by a signal, or by code that it called.

Nothing heavy is imported here, so that an interrupt is heard while the rest is being imported.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, NoReturn

#: What asks the program to end: Ctrl-C, `kill`, a closed terminal, and a Slurm job whose time is
#: over.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
    if hasattr(signal, name)
)
#: Of the environment: the number of a run, and a folder that its server of processes removes once
#: the run is gone.
SOCKETS = "LETHE_SOCKETS"
_exit = os._exit
_received: list[int] = []
#: What is said of an interrupt; see `saying`.
_text = "stopped: the same command goes on from here"


class Stopped(BaseException):
    """A signal asked the program to end. No error of a method: nobody catches it to go on."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum
        self.text = _text


class Left(SystemExit):
    """The program heard a signal and has told so: nothing is left but to end it."""

    code: int


class Exited(Exception):
    """Code that was called tried to end the program."""


@contextmanager
def program() -> Iterator[None]:
    """The whole program: a signal ends it with one line and the code that shells expect.

    Raises:
        Left: with 128 + the signal's number.
    """
    hook, before = sys.unraisablehook, listen()
    try:
        yield
    except (Stopped, KeyboardInterrupt, Exception) as error:
        # C code may turn what the signal raised within it into an error of its own
        if isinstance(error, Exception) and not _received:
            raise
        signum = _received[0] if _received else signal.SIGINT
        stopped = error if isinstance(error, Stopped) else Stopped(signum)
        with suppress(OSError, ValueError):
            print(stopped.text, file=sys.stderr)
        raise Left(stopped.code) from None
    finally:
        _received.clear()
        sys.unraisablehook = hook
        for signum, handler in before.items():
            signal.signal(signum, handler)


def listen(*, once: bool = False) -> dict[int, Any]:
    """Let signals raise `Stopped` in the main thread; what is ignored, as by nohup, stays so.

    Where C code cannot pass that on, it is not printed either: `sys.unraisablehook` is replaced.

    Args:
        once: raise for the first signal alone. The next one then does not disturb a process that
            leaves. Somebody else has to end it by force where it does not.

    Returns:
        the handlers that were there before, by signal.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    sys.unraisablehook = partial(_unraised, sys.unraisablehook)
    heard = [one for one in SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    return {one: signal.signal(one, _stop_once if once else _stop) for one in heard}


def _unraised(tell: Callable[[Any], None], error: Any) -> None:
    """Tell of what C code could not raise, unless a signal raised it: `check` raises that again."""
    if not isinstance(error.exc_value, Stopped):
        tell(error)


@contextmanager
def saying(text: str) -> Iterator[None]:
    """A block in which an interrupt is told as `text`: not all that was begun ends with it."""
    global _text
    before, _text = _text, text
    try:
        yield
    finally:
        _text = before


def check() -> None:
    """Raise `Stopped` again where a signal came and the code that it met swallowed it."""
    if _received:
        raise Stopped(_received[0])


def came() -> bool:
    """Whether a signal came that ends the program, and no `program` block has ended since."""
    return bool(_received)


@contextmanager
def kept_alive() -> Iterator[None]:
    """Refuse attempts to end the program, as by `sys.exit` or `os._exit`, within the block.

    Raises:
        Exited: for any exception that is no `Exception` and not asked for by a signal.
        Stopped: if a signal came, whatever became of what it raised: the code may have swallowed
            it, and C code may turn it into an error of its own.
    """
    owner = os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != owner:  # a child process of the code, which may end as it likes
            _exit(status)
        raise Exited(f"it called os._exit({status})")

    os._exit = refuse
    try:
        yield
    except (Exception, Stopped):
        raise
    except KeyboardInterrupt as error:
        if signal.getsignal(signal.SIGINT) in (_stop, _stop_once):  # Ctrl-C raises `Stopped`
            raise Exited("it raised KeyboardInterrupt()") from error
        raise
    except SystemExit as error:
        raise Exited(f"it called sys.exit({error.code!r})") from error
    except BaseException as error:
        raise Exited(f"it raised {error!r}") from error
    finally:
        os._exit = _exit
        check()


def leave(code: int) -> None:
    """End this process at once, whatever its other threads are doing."""
    _exit(code)


def leave_tidily(code: int) -> None:
    """End this process once what is registered for its end has run, and nothing else.

    To take the interpreter apart, with torch in it, costs processor time. Who pressed Ctrl-C waits
    for it, and a cluster that ends a job may not.
    """
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or none
                stream.flush()
    finally:
        _exit(code)


def _stop(signum: int, _: FrameType | None) -> None:
    _received.append(signum)
    raise Stopped(signum)


def _stop_once(signum: int, frame: FrameType | None) -> None:
    if not _received:
        _stop(signum, frame)
