"""Settings of the libraries that hold for everybody, and a guard that puts them back."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.backends

from benchmark.ends import SIGNALS
from benchmark.errors import LetheError


class SettingsChanged(LetheError):
    """A method changed what others compute with."""


#: What torch makes when it is imported, as modules of `mkldnn`, is in no stub.
backends: Any = torch.backends


class _Setting(NamedTuple):
    get: Callable[[], Any]
    put: Callable[[Any], object]


def _put_device(device: torch.device) -> None:
    # the processor is where tensors are made anyhow: to name it would slow every call down
    torch.set_default_device(None if device.type == "cpu" else device)


def _bytes(state: torch.Tensor) -> bytes:
    return state.numpy().tobytes()


def _state(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _gpu_states() -> list[bytes]:
    states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [_bytes(state) for state in states]


def _put_gpu_states(states: list[bytes]) -> None:
    for device, state in enumerate(states):  # none, where the method was the first to use a GPU
        torch.cuda.set_rng_state(_state(state), device)


def _numpy_state() -> tuple[str, bytes, int, int, float]:
    state: Any = np.random.get_state()  # noqa: NPY002
    kind, words, *rest = state
    return kind, words.tobytes(), *rest


def _put_numpy_state(state: tuple[str, bytes, int, int, float]) -> None:
    kind, words, *rest = state
    restored: Any = (kind, np.frombuffer(words, np.uint32), *rest)
    np.random.set_state(restored)  # noqa: NPY002


def _attributes(*places: tuple[Any, str]) -> _Setting:
    """Attributes of modules, which are set in this order."""

    def put(values: tuple[Any, ...]) -> None:
        for (holder, name), value in zip(places, values, strict=True):
            setattr(holder, name, value)

    return _Setting(lambda: tuple(getattr(holder, name) for holder, name in places), put)


#: The wider ones come first: the others fall back on them.
_PRECISION = _attributes(
    *(
        (holder, "fp32_precision")
        for holder in (
            backends,
            backends.cudnn,
            backends.mkldnn,
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.cudnn.rnn,
            backends.mkldnn.conv,
            backends.mkldnn.matmul,
            backends.mkldnn.rnn,
        )
    )
)
#: The same in torch's older words, which cannot be read where the newer ones differ from them.
_OLDER_PRECISION = (
    _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _attributes((backends.cudnn, "allow_tf32")),
)


def _older_precision(setting: _Setting) -> Any:
    try:
        return setting.get()
    except RuntimeError:
        return None


def _precision() -> tuple[Any, ...]:
    return _PRECISION.get(), *map(_older_precision, _OLDER_PRECISION)


def _put_precision(values: tuple[Any, ...]) -> None:
    newer, *older = values
    for setting, value in zip(_OLDER_PRECISION, older, strict=True):
        if value is not None:
            setting.put(value)
    _PRECISION.put(newer)


_AUTOCAST = ("cpu", "cuda")


def _autocast() -> list[tuple[bool, torch.dtype]]:
    return [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _AUTOCAST]


def _put_autocast(modes: list[tuple[bool, torch.dtype]]) -> None:
    for kind, (enabled, dtype) in zip(_AUTOCAST, modes, strict=True):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _flushes_denormals() -> bool:
    return sys.float_info.min / 2 == 0  # torch can set the mode of the processor, not read it


def _folder() -> str | list[str]:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it is gone
        return []


def _permissions() -> int:
    mask = os.umask(0o077)  # the only way to read it
    os.umask(mask)
    return mask


def _handlers() -> tuple[Any, ...]:
    return tuple(map(signal.getsignal, SIGNALS))


def _put_handlers(handlers: tuple[Any, ...]) -> None:
    for signum, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(signum, handler)


#: By the name in a sentence: what can change the numbers of those who run later, or make them
#: fail or write elsewhere. Filters of warnings, the environment and the recursion limit are none:
#: libraries change them when first used.
_SETTINGS = {
    "the default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
    "the default device": _Setting(torch.get_default_device, _put_device),
    "the number of threads": _Setting(torch.get_num_threads, torch.set_num_threads),
    "deterministic mode": _Setting(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    ),
    "gradient mode": _Setting(torch.is_grad_enabled, lambda mode: torch.set_grad_enabled(mode)),
    "anomaly mode": _Setting(
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda mode: torch.set_anomaly_enabled(*mode),
    ),
    "the precision of matrix products": _Setting(_precision, _put_precision),
    "automatic mixed precision": _Setting(_autocast, _put_autocast),
    "the handling of denormal numbers": _Setting(_flushes_denormals, torch.set_flush_denormal),
    "the kernels of the processor": _attributes(
        (backends.mkldnn, "enabled"), (backends.mkldnn, "deterministic")
    ),
    "NNPACK": _Setting(torch._C._get_nnpack_enabled, backends.nnpack.set_flags),
    "the kernels of the GPU": _attributes(
        (backends.cudnn, "enabled"),
        (backends.cudnn, "benchmark"),
        (backends.cudnn, "deterministic"),
    ),
    "the order of products in einsum": _attributes(
        (backends.opt_einsum, "enabled"), (backends.opt_einsum, "strategy")
    ),
    "NumPy's handling of errors": _Setting(np.geterr, lambda modes: np.seterr(**modes)),
    "torch's random generator": _Setting(
        lambda: _bytes(torch.get_rng_state()), lambda state: torch.set_rng_state(_state(state))
    ),
    "the GPU's random generator": _Setting(_gpu_states, _put_gpu_states),
    "NumPy's random generator": _Setting(_numpy_state, _put_numpy_state),
    "Python's random generator": _Setting(random.getstate, random.setstate),
    "the current folder": _Setting(_folder, os.chdir),
    "the permissions of new files": _Setting(_permissions, os.umask),
    "what signals do": _Setting(_handlers, _put_handlers),
}


@contextmanager
def kept(who: str) -> Iterator[None]:
    """A block after which every setting is as before, whatever it did.

    Raises:
        SettingsChanged: if the block changed one; it names `who` and each of them.
    """
    before = {name: setting.get() for name, setting in _SETTINGS.items()}
    try:
        yield
    except Exception as error:
        if changed := _put_back(before):
            raise _complaint(who, changed) from error
        raise
    except BaseException:  # the program is to end, and nothing else is said
        _put_back(before)
        raise
    if changed := _put_back(before):
        raise _complaint(who, changed)


@contextmanager
def restored() -> Iterator[None]:
    """A block after which every setting is as before, for callers with settings of their own."""
    before = {name: setting.get() for name, setting in _SETTINGS.items()}
    try:
        yield
    finally:
        _put_back(before)


def _put_back(before: dict[str, Any]) -> list[str]:
    """Set what is different as it was; the names of those."""
    now = {name: _SETTINGS[name].get() for name in before}
    changed = [name for name, then in before.items() if then != [] and now[name] != then]
    for name in changed:
        _SETTINGS[name].put(before[name])
    return changed


def _complaint(who: str, changed: list[str]) -> SettingsChanged:
    return SettingsChanged(
        f"{who} changed {', '.join(changed)} for all that run after it: let it draw from "
        "request.generator and leave the settings alone"
    )
