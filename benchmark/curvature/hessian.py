"""The Hessian as a linear operator, whole, chunk by chunk, over processes or within memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from torch.func import grad, jvp

from benchmark.errors import LetheError
from benchmark.rows import Rows

# The Hessian as a linear operator.


class Operator(Protocol):
    """Anything symmetric that multiplies a vector (d,)."""

    def __matmul__(self, vector: Tensor, /) -> Tensor: ...


class Differentiated(Protocol):
    """A Hessian that holds the gradient at the same weights as well."""

    @property
    def gradient(self) -> Tensor: ...

    def __matmul__(self, vector: Tensor, /) -> Tensor: ...


class Hessian:
    """v -> hess f(w) v by reverse-over-reverse with the gradient's graph kept.

    One product costs about one gradient, because the forward pass and the first backward pass
    are done once, here.

    Args:
        function: scalar function of weights (d,), twice differentiable.
        weights: where to differentiate; copied, so that a later change cannot go unnoticed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], weights: Tensor) -> None:
        self._weights = weights.detach().clone().requires_grad_()
        value = function(self._weights)
        (self._gradient,) = torch.autograd.grad(value, self._weights, create_graph=True)

    @property
    def gradient(self) -> Tensor:
        """Grad f(w), (d,)."""
        return self._gradient.detach()

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Hess f(w) vector, (d,)."""
        return torch.autograd.grad(self._gradient, self._weights, vector, retain_graph=True)[0]


@dataclass(frozen=True)
class Damped:
    """v -> (A + damping I) v."""

    operator: Operator
    damping: float

    def __matmul__(self, vector: Tensor) -> Tensor:
        return (self.operator @ vector).add_(vector, alpha=self.damping)

    def block(self, vectors: Tensor) -> Tensor:
        """The products (k, d) with k vectors (k, d)."""
        return multiply(self.operator, vectors).add(vectors, alpha=self.damping)


def multiply(operator: Operator, vectors: Tensor) -> Tensor:
    """The products (k, d) with k vectors (k, d); in one pass where the operator knows how."""
    block = getattr(operator, "block", None)
    if block is not None:
        return block(vectors)
    return torch.stack([operator @ vector for vector in vectors])


#: Rows a chunk on a CPU, measured on 784 inputs: enough that matrix products run at speed, few
#: enough that what the first one reads is still in the cache for the second.
CPU_CHUNK = {torch.float32: 2048, torch.float64: 384}
#: Rows a chunk elsewhere, where each chunk costs the launch of its kernels.
DEVICE_CHUNK = 1 << 16


def default_chunk(x: Tensor) -> int:
    """Rows of `x`, (n, inputs), that a closed-form operator multiplies at a time."""
    return CPU_CHUNK[x.dtype] if x.device.type == "cpu" else DEVICE_CHUNK


def slices(n: int, chunk: int) -> Iterator[slice]:
    """[0, n) in order, `chunk` at a time; the last slice may be shorter.

    Raises:
        ValueError: if `chunk` is not positive.
    """
    if chunk < 1:
        raise ValueError(f"a chunk has 1 row or more, not {chunk}")
    return (slice(start, min(start + chunk, n)) for start in range(0, n, chunk))


class RowMean:
    """The operator of all rows as the weighted mean of the operators of chunks, in order.

    Exact also where the last chunk is shorter. A ridge in every chunk's objective comes out once,
    because the weights of the chunks sum to one.

    Args:
        build: the operator of some rows, a mean over them.
        rows: n of them.
        chunk: rows a chunk. Bounds the memory of building one.
        kept_rows: rows whose operators are kept; the others' are built anew in every product,
            which costs about another gradient. All by default.
    """

    def __init__(
        self,
        build: Callable[[Rows], Differentiated],
        rows: Rows,
        *,
        chunk: int,
        kept_rows: int | None = None,
    ) -> None:
        self._build, self._rows = build, rows
        self._slices = list(slices(len(rows), chunk))
        self._kept: list[Differentiated] = []
        self._gradient: Tensor
        for i, part in enumerate(self._slices):
            operator = self._part(part)
            share = operator.gradient * self._share(part)
            self._gradient = self._gradient + share if i else share
            if kept_rows is None or part.stop <= kept_rows:
                self._kept.append(operator)

    @property
    def gradient(self) -> Tensor:
        """The gradient over all rows, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        total = vector.new_zeros(vector.shape)
        for i, part in enumerate(self._slices):
            operator = self._kept[i] if i < len(self._kept) else self._part(part)
            total.add_(operator @ vector, alpha=self._share(part))
        return total

    def _part(self, part: slice) -> Differentiated:
        return self._build(Rows(self._rows.x[part], self._rows.y[part]))

    def _share(self, part: slice) -> float:
        return (part.stop - part.start) / len(self._rows)


def shard(rows: Rows, rank: int, world: int) -> Rows:
    """The rows of process `rank` out of `world`: a view, near equal shares, in order.

    Raises:
        LetheError: if there are fewer rows than processes.
    """
    n = len(rows)
    if n < world:
        raise LetheError(f"{n} rows cannot be spread over {world} processes")
    part = slice(n * rank // world, n * (rank + 1) // world)
    return Rows(rows.x[part], rows.y[part])


class Sharded:
    """The mean over the rows of all processes of a group, each holding the operator of its own.

    Every process makes one, and all call the same products in the same order, which solvers do:
    the sum is the same bytes everywhere, so that they take the same branches. Under `torchrun`,
    after `torch.distributed.init_process_group` (gloo on CPUs, nccl on GPUs):
    `Sharded(problem.hessian(w, shard(rows, rank, world)), count)` with `count` rows in the shard.
    Equal to one process's product to round-off.

    Args:
        local: the operator of this process's rows, a mean over them.
        rows: how many they are.
        group: the processes; all of them by default.
    """

    def __init__(
        self, local: Differentiated, rows: int, group: dist.ProcessGroup | None = None
    ) -> None:
        self._local, self._group = local, group
        total = torch.tensor(rows, dtype=torch.int64, device=local.gradient.device)
        dist.all_reduce(total, group=group)
        self._share = rows / int(total)
        self._gradient = self._sum(local.gradient)

    @property
    def gradient(self) -> Tensor:
        """The gradient over all rows, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The product over all rows; every process passes the same vector (d,)."""
        return self._sum(self._local @ vector)

    def _sum(self, mean: Tensor) -> Tensor:
        total = mean * self._share
        dist.all_reduce(total, group=self._group)
        return total


T = TypeVar("T")


class WithinMemory:
    """Builds an operator anew with half the rows a chunk whenever the GPU's memory runs out.

    Args:
        build: the operator with so many rows a chunk; it keeps less, the fewer these are.
        chunk: rows to begin with.
    """

    def __init__(self, build: Callable[[int], Differentiated], chunk: int) -> None:
        self._build = build
        self._operator: Differentiated | None = None
        self.chunk = chunk
        self._gradient = self._fit(lambda operator: operator.gradient)

    @property
    def gradient(self) -> Tensor:
        """(d,)."""
        return self._gradient

    @property
    def importance(self) -> Tensor | None:
        """How much each row has to do with the operator, (n,), if that is known."""
        return self._fit(lambda operator: getattr(operator, "importance", None))

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self._fit(lambda operator: operator @ vector)

    def _fit(self, work: Callable[[Differentiated], T]) -> T:
        """`work` done, with smaller chunks if it must be.

        Raises:
            torch.OutOfMemoryError: if one row a chunk is too much.
        """
        while True:
            try:
                self._operator = self._operator or self._build(self.chunk)
                return work(self._operator)
            except torch.OutOfMemoryError:
                if self.chunk == 1:
                    raise
                self._operator = None
                self.chunk //= 2
                warnings.warn(
                    f"out of memory: Hessian products go on with {self.chunk} rows a chunk",
                    stacklevel=2,
                )
                torch.cuda.empty_cache()


@dataclass(frozen=True)
class Downdated:
    """(n H_all - m H_left) / (n - m): the rows that are kept are never copied.

    True of means over rows plus one and the same ridge, and of their gradients alike.

    Attributes:
        whole: Hessian and gradient of the mean over all n rows.
        left: of the mean over the m rows that are left out, at the same weights.
        rows: n.
        left_rows: m, below n.
    """

    whole: Differentiated
    left: Differentiated
    rows: int
    left_rows: int

    @property
    def gradient(self) -> Tensor:
        """(d,) gradient of the mean over the kept rows."""
        return self._kept(self.whole.gradient, self.left.gradient)

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self._kept(self.whole @ vector, self.left @ vector)

    def _kept(self, whole: Tensor, left: Tensor) -> Tensor:
        return downdated(whole, left, self.rows, self.left_rows)


def downdated(whole: Tensor, left: Tensor, rows: int, left_rows: int) -> Tensor:
    """The mean over n - m rows, from the mean `whole` over n and the mean `left` over m."""
    return (rows * whole - left_rows * left) / (rows - left_rows)


def exchanged(
    whole: Tensor, old: Tensor, new: Tensor, *, rows: int, old_rows: int, new_rows: int
) -> Tensor:
    """The mean over n - m + c rows: `whole` over n, of which m go, `old`, and c come, `new`."""
    total = rows * whole - old_rows * old + new_rows * new
    return total / (rows - old_rows + new_rows)


class ForwardOverReverse:
    """v -> hess f(w) v as d/dt grad f(w + t v) at t = 0 (Pearlmutter 1994), by forward mode.

    Nothing is kept between products: each one computes the gradient again beside its derivative.
    `torch.func.linearize`, which would keep what does not depend on v, is not used: of a ResNet-18
    its second product and all later ones are wrong (torch 2.15).

    Args:
        function: scalar function of weights (d,), twice differentiable.
        weights: where to differentiate; copied, so that a later change cannot go unnoticed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], weights: Tensor) -> None:
        self._weights = weights.detach().clone()
        self._gradient_at = grad(function)

    @cached_property
    def gradient(self) -> Tensor:
        """Grad f(w), (d,); computed when it is first asked for."""
        return self._gradient_at(self._weights)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Hess f(w) vector, (d,)."""
        with warnings.catch_warnings():
            # torch loads its forward-mode rules through its own deprecated torch.jit
            warnings.simplefilter("ignore", FutureWarning)
            return jvp(self._gradient_at, (self._weights,), (vector.detach(),))[1]


def as_scipy(
    operator: Operator,
    dimension: int,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> LinearOperator:
    """A symmetric (dimension, dimension) `scipy.sparse.linalg.LinearOperator`.

    Vectors pass through memory of the CPU; products are computed in `dtype` on `device`.
    """

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(np.array(vector)).to(device, dtype).view(dimension)
        return (operator @ v).cpu().numpy()

    return LinearOperator(
        (dimension, dimension),
        matvec=product,
        rmatvec=product,
        dtype=torch.empty(0, dtype=dtype).numpy().dtype,
    )
