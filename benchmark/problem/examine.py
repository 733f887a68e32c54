"""What is wrong with a net of one's own, found before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from benchmark.problem.models.batch_norm import BatchNorm

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
