"""A net of one's own: whatever torch module a function returns."""

from __future__ import annotations

import importlib
import inspect
import marshal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from benchmark import code
from benchmark.ends import kept_alive
from benchmark.errors import LetheError
from benchmark.problem.examine import Finding, examine, seeded
from benchmark.problem.models.convolutional import Images
from benchmark.problem.models.spec import Built, Inputs, ModelSpec, columns, image
from benchmark.syntax import package_of

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
