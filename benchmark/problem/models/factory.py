"""A net of one's own: whatever torch module a function returns, and what is wrong with it."""

from __future__ import annotations

import importlib
import inspect
import marshal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from benchmark import code
from benchmark.code import package_of
from benchmark.ends import kept_alive
from benchmark.errors import LetheError
from benchmark.problem.models.convolutional import BatchNorm, Images
from benchmark.problem.models.spec import Built, Inputs, ModelSpec, columns, image

# What is wrong with a net of one's own, found before anything is trained on it.

#: Rows that are tried.
_ROWS = 4
#: Relative difference of two ways to add up the same logits.
_ROUND_OFF = {torch.float32: 1e-3, torch.float64: 1e-8}
_KINKED = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardswish, nn.ELU)
_KINKED_TOO = (nn.Hardsigmoid, nn.Threshold, nn.Softshrink, nn.Hardshrink, nn.MaxPool2d)


@dataclass(frozen=True)
class Finding:
    """Something about a net that its user should know.

    Attributes:
        refused: whether nothing can be certified, so that it is not trained at all.
        text: what it is, why it matters and what to do instead, in one line.
    """

    refused: bool
    text: str


def seeded(build: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """The net that `build` makes, its weights drawn by `generator`.

    Constructors draw from torch's global generator. It takes the state of `generator` meanwhile,
    and is as before afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        net = build()
        generator.set_state(torch.get_rng_state())
    return net


def examine(
    build: Callable[[], nn.Module], inputs: int, classes: int, dtype: torch.dtype
) -> list[Finding]:
    """Everything that is found out about a net, what is refused first.

    Args:
        build: makes the net; its constructor draws the weights.
        inputs: features of a row.
        classes: number of labels.
        dtype: of rows and weights.
    """
    with torch.random.fork_rng(devices=[]):
        found = list(_findings(build, inputs, classes, dtype))
    return sorted(found, key=lambda one: not one.refused)


def _findings(
    build: Callable[[], nn.Module], inputs: int, classes: int, dtype: torch.dtype
) -> Iterator[Finding]:
    try:
        first, again = (seeded(build, torch.Generator().manual_seed(0)) for _ in range(2))
    except Exception as error:  # the code is somebody else's, and may raise anything
        yield _refused(f"the factory raises {_said(error)}: try it in Python by itself")
        return
    if not isinstance(first, nn.Module):
        kind = type(first).__name__
        yield _refused(f"the factory returns {kind}, not a torch.nn.Module: return the net")
        return
    broken = list(_of_layers(first))
    yield from broken
    if any(one.refused for one in broken):
        return
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        yield _refused(
            "two starts from one seed differ: draw initial weights with torch alone, not with "
            "NumPy, Python's random or a generator of your own"
        )
        return
    yield from _of_outputs(first.to(dtype), inputs, classes, dtype)


def _of_layers(net: nn.Module) -> Iterator[Finding]:
    """What the layers and weights show."""
    names = dict(net.named_modules())
    normed = [name or "net" for name, m in names.items() if isinstance(m, _NormBase)]
    if normed:
        yield _refused(
            f"BatchNorm ({_these(normed)}) keeps statistics of all rows, the forgotten ones too, "
            "outside the weights: take GroupNorm or LayerNorm, which look at one row alone, or "
            "lethe.BatchNorm, whose statistics are weights"
        )
    dropped = [name for name, m in names.items() if isinstance(m, _DropoutNd) and m.p > 0]
    if dropped:
        yield _refused(
            f"Dropout ({_these(dropped)}) draws at random in every pass, so that the loss is no "
            "function of the weights: leave it out, and set objective.ridge against overfitting"
        )
    inside = {n for n, m in names.items() if isinstance(m, _NormBase)}
    buffers = [n for n, _ in net.named_buffers() if n.rpartition(".")[0] not in inside]
    if buffers:
        yield _refused(
            f"buffers ({_these(buffers)}) lie outside the weights that are certified: compute "
            "them in forward, or make them parameters"
        )
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    if frozen:
        yield _refused(
            f"frozen weights ({_these(frozen)}) would be trained, as all parameters are: put that "
            "part of the net into the features of the rows"
        )
    lazy = [n for n, p in net.named_parameters() if isinstance(p, UninitializedParameter)]
    if lazy:
        yield _refused(f"lazy layers ({_these(lazy)}) have no shape yet: name their widths")
    if not lazy and not sum(p.numel() for p in net.parameters()):
        yield _refused("the net has no parameters: there is nothing to train")
    if any(isinstance(m, BatchNorm) for m in names.values()):
        yield Finding(
            False,
            "lethe.BatchNorm: a row's loss depends on its batch, so certificates by bounds or "
            "noise are refused; what is exact by construction and uncertified methods run",
        )
    kinked = [n for n, m in names.items() if isinstance(m, (*_KINKED, *_KINKED_TOO))]
    if kinked:
        kind = type(names[kinked[0]]).__name__
        yield Finding(
            False,
            f"{kind} ({_these(kinked)}) has no second derivative everywhere: bounds that assume a "
            "smooth loss are shown, not proved; GELU, SiLU, tanh and average pooling are smooth",
        )


def _of_outputs(net: nn.Module, inputs: int, classes: int, dtype: torch.dtype) -> Iterator[Finding]:
    """What a few rows show, of numbers drawn at random."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(_ROWS, inputs, generator=generator, dtype=torch.float64).to(dtype)
    weights = {name: p.detach().to(dtype) for name, p in net.named_parameters()}

    def logits(rows: Tensor) -> Tensor:
        return functional_call(net, weights, (rows,))

    word, kept = str(dtype).removeprefix("torch."), x.clone()
    state = torch.get_rng_state()
    try:
        out = logits(x)
    except Exception as error:  # see above
        other = "float32" if dtype == torch.float64 else "float64"
        hint = f", or set problem.precision = '{other}'" if "dtype" in str(error) else ""
        yield _refused(
            f"rows of shape {(_ROWS, inputs)} in {word} raise {_said(error)}: take rows of that "
            f"shape and leave their precision as it is{hint}"
        )
        return
    if not isinstance(out, Tensor) or out.shape != (_ROWS, classes):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        yield _refused(
            f"{_ROWS} rows give {got}, not logits of shape {(_ROWS, classes)}: end with a layer "
            f"of {classes} units, one a class, and no softmax"
        )
        return
    if out.dtype != dtype:
        yield _refused(
            f"the net computes in {str(out.dtype).removeprefix('torch.')} where rows are {word}: "
            f"leave the precision as it is, or set problem.precision to its own"
        )
        return
    if not torch.equal(x, kept):
        yield _refused("forward changes its input in place: work on a copy")
        return
    drew = not torch.equal(state, torch.get_rng_state())
    if drew or not torch.equal(out, logits(x)):
        yield _refused(
            "two passes over the same rows differ, or draw at random: forward must be a function "
            "of weights and rows alone (no dropout, no noise)"
        )
        return
    yield from _alone(logits, x, out, dtype)
    yield from _derivatives(net, weights, x, classes)


def _alone(
    logits: Callable[[Tensor], Tensor], x: Tensor, out: Tensor, dtype: torch.dtype
) -> Iterator[Finding]:
    """Whether every row is answered by itself, as the last batch of an epoch may have one row."""
    try:
        single = torch.cat([logits(row) for row in x.split(1)])
    except Exception as error:  # see above
        yield _refused(
            f"a batch of one row raises {_said(error)}, and the last batch may be one: keep the "
            "axis of rows, as flatten(1) does and squeeze() does not"
        )
        return
    if single.shape != out.shape:
        yield _refused(
            f"a batch of one row gives shape {tuple(single[:1].shape)}: keep the axis of rows, as "
            "flatten(1) does and squeeze() does not"
        )
    elif not torch.allclose(single, out, rtol=_ROUND_OFF[dtype], atol=_ROUND_OFF[dtype]):
        yield _refused(
            "a row's logits depend on the other rows of its batch, so that no row's loss is its "
            "own: normalise within a row, as GroupNorm and LayerNorm do"
        )


def _derivatives(
    net: nn.Module, weights: dict[str, Tensor], x: Tensor, classes: int
) -> Iterator[Finding]:
    """Whether there are first and second derivatives by the weights."""
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    y = torch.arange(len(x)) % classes
    loss = nn.functional.cross_entropy(functional_call(net, leaves, (x,)), y)
    gradient_of = partial(torch.autograd.grad, allow_unused=True, materialize_grads=True)
    try:
        gradient = gradient_of(loss, list(leaves.values()), create_graph=True)
    except Exception as error:  # see above
        yield _refused(f"there is no gradient ({_said(error)}): keep forward differentiable")
        return
    if not all(torch.isfinite(part).all() for part in gradient):
        yield _refused("the gradient is not finite on rows of standard normal numbers: scale it")
        return
    try:
        total = sum(part.square().sum() for part in gradient)
        gradient_of(total, list(leaves.values()))
    except Exception as error:  # see above
        yield Finding(
            False,
            f"there is no second derivative ({_said(error)}): methods that use the Hessian will "
            "fail, and their rows say so",
        )


def _refused(text: str) -> Finding:
    return Finding(True, text)


def _these(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _said(error: Exception) -> str:
    """An error on one line, not too long."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


# A net of one's own: whatever torch module a function returns.

#: Rows of a pass over all data, of a net that sees images.
_CHUNK = 250


class FactorySpec(ModelSpec):
    """The net that `factory(inputs, classes, **args)` returns, trained from where it starts.

    All its parameters are trained, as one flat vector. `examine` says what is wrong with it before
    anything is.

    Attributes:
        factory: a module that Python can import and a function in it, `my_package.nets:small_cnn`.
            Modules are looked for beside the experiment's file and in the current folder, too.
        args: further arguments of the function.
        images: whether the net takes images (n, channels, height, width), and the function their
            (channels, height, width) as `inputs`; else rows are flat and `inputs` is their length.
        smooth_loss: declared; whether the loss has a Lipschitz Hessian. Bounds that assume it are
            only shown where this is not set.
        code: sha256 of the module and of those of its package that it imports. A record of other
            code is out of date.
    """

    title: ClassVar[str] = "own net"

    kind: Literal["factory"] = "factory"
    factory: str
    args: dict[str, Any] = Field(default_factory=dict)
    images: bool = False
    smooth_loss: bool = False
    code: str = Field("", repr=False)

    @field_validator("factory")
    @classmethod
    def _named(cls, factory: str) -> str:
        module, _, name = factory.partition(":")
        parts = [*module.split("."), *name.split(".")]
        if not all(part.isidentifier() for part in parts):
            raise ValueError(
                f"factory is a module and a function in it, as 'my_package.nets:small_cnn', not "
                f"'{factory}'"
            )
        return factory

    @model_validator(mode="after")
    def _current(self) -> FactorySpec:
        """Find the function and the hash of its code.

        Raises:
            ValueError: if there is no such function, or its code is not what was recorded.
        """
        try:
            found = _code_of(self.function)
        except LetheError as error:
            raise ValueError(str(error)) from error
        if self.code and self.code != found:
            raise ValueError(f"the code of {self.factory} has changed since this was recorded")
        object.__setattr__(self, "code", found)
        return self

    @classmethod
    def of(cls, function: Callable[..., nn.Module], **settings: Any) -> FactorySpec:
        """The model of a function at hand.

        Raises:
            LetheError: if it cannot be found again by its name, as a lambda cannot.
        """
        name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
        found: Any = sys.modules.get(module or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not function:
            raise LetheError(
                f"{name or function!r} cannot be found again by its name: define it with def, at "
                "the top of a module"
            )
        return cls(factory=f"{module}:{name}", **settings)

    @property
    def function(self) -> Callable[..., nn.Module]:
        """The factory.

        Raises:
            LetheError: if there is none.
        """
        module, _, name = self.factory.partition(":")
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if not callable(found):
            raise LetheError(f"module {module} has no function '{name}': correct model.factory")
        return found

    @property
    def smooth(self) -> bool:
        return self.smooth_loss

    @property
    def sees_images(self) -> bool:
        return self.images

    @property
    def chunk(self) -> int | None:  # type: ignore[override]  # elsewhere a constant of the kind
        return _CHUNK if self.images else None

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        return built(self.function, inputs, classes, images=self.images, args=self.args)

    def start(self, model: Built, generator: torch.Generator) -> Tensor:
        """See `ModelSpec`: what the module's constructor draws, by `generator`."""
        net = seeded(lambda: self.module(model.inputs, model.classes), generator)
        return torch.cat([p.detach().flatten() for p in net.parameters()]).double().cpu()

    def findings(self, inputs: Inputs, classes: int, dtype: torch.dtype) -> list[Finding]:
        """Everything that is found out about the net, see `examine`."""
        return look_at(lambda: self.module(inputs, classes), inputs, classes, dtype)

    def check(self, inputs: Inputs, classes: int, dtype: torch.dtype) -> None:
        """See `ModelSpec`."""
        refused = [one.text for one in self.findings(inputs, classes, dtype) if one.refused]
        if refused:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            raise LetheError(f"{self.factory}: {refused[0]}{more}")

    def in_words(self) -> dict[str, Any]:
        """See `ModelSpec`; the hash says nothing to people."""
        return self.model_dump(exclude={"code"}, exclude_defaults=True) | {"kind": self.factory}


def built(
    function: Callable[..., nn.Module],
    inputs: Inputs,
    classes: int,
    *,
    images: bool,
    args: dict[str, Any],
) -> nn.Module:
    """The net that a factory makes, from flat rows to logits; see `FactorySpec`."""
    if not images:
        return function(inputs, classes, **args)
    height, width, channels = shape = image(inputs)
    return nn.Sequential(Images(shape), function((channels, height, width), classes, **args))


def look_at(
    build: Callable[[], nn.Module], inputs: Inputs, classes: int, dtype: torch.dtype
) -> list[Finding]:
    """See `examine`; `inputs` is the length of a row, or the shape of the image in it."""
    return examine(build, columns(inputs), classes, dtype)


def search_beside(problem: Any, folder: Path) -> None:
    """Let the module of a factory lie in a folder, after wherever else Python looks for it.

    Args:
        problem: settings as a file has them, valid or not.
        folder: where the file is.

    Raises:
        LetheError: if the folder has the module and Python finds another one of that name.
    """
    model = problem.get("model") if isinstance(problem, dict) else None
    name = model.get("factory") if isinstance(model, dict) else None
    if not isinstance(name, str):
        return
    _search_in(folder)
    module = package_of(name.partition(":")[0])
    beside, found = folder.resolve() / f"{module}.py", code.file_of(module)
    if beside.is_file() and found is not None and found.resolve() != beside:
        raise LetheError(
            f"{beside.name} beside the experiment is not the module {module} that Python finds "
            "first: rename the file"
        )


def _search_in(folder: Path) -> None:
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def import_module(module: str) -> Any:
    """A module, looked for in the current folder as well.

    Raises:
        LetheError: if there is none, or it cannot be imported.
    """
    _search_in(Path.cwd())
    importlib.invalidate_caches()
    try:
        with kept_alive():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise LetheError(
                f"there is no module {module}: put its file beside the experiment's, or install "
                "its package"
            ) from error
        raise LetheError(f"module {module} cannot be imported: {error}") from error
    except Exception as error:  # any error in somebody else's file
        text = f"{type(error).__name__}: {error}"
        raise LetheError(f"module {module} cannot be imported: {text}") from error


def _code_of(function: Callable[..., Any]) -> str:
    """The hash of a function's module and what that imports of its own package or folder."""
    found = code.hash_beside(getattr(function, "__module__", ""))
    if found is not None:
        return found
    try:  # typed in, as into a notebook
        return code.hash_of([inspect.getsource(function).encode()])
    except (OSError, TypeError):
        return code.hash_of([marshal.dumps(function.__code__)])
