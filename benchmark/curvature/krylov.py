"""Krylov methods: conjugate gradients, MINRES, Chebyshev, Lanczos, and what a solver hands back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator

# What a solver hands back.


@dataclass(frozen=True)
class Solution:
    """An approximate solution x of A x = b.

    Attributes:
        x: (d,).
        residual: ||b - A x||, from products with x or the parts that it is a sum of, equal to a
            recomputed one up to round-off; infinite where the recursion ended in no numbers.
        products: operator products spent, the residual's one included; work on a part of the
            rows counts as the fraction of a product that it is. One that a GPU began before it was
            known not to be needed does not count.
        converged: whether residual <= tolerance * ||b||, and A was not seen to be indefinite.
        curvature: a p with p.Ap <= 0 was met, at this value of p.Ap / p.p; None if none was.
        history: (products, residual relative to ||b||) as the recursion knew it along the way.
    """

    x: Tensor
    residual: float
    products: float
    converged: bool
    curvature: float | None
    history: tuple[tuple[float, float], ...] = ()

    def after(self, products: float) -> Solution:
        """The same with `products` more, spent before it was begun."""
        history = tuple((products + count, residual) for count, residual in self.history)
        return replace(self, products=products + self.products, history=history)


def measured(
    operator: Operator,
    b: Tensor,
    x: Tensor,
    *,
    goal: float,
    products: float,
    curvature: float | None = None,
    history: tuple[tuple[float, float], ...] = (),
) -> Solution:
    """The solution `x` with its residual recomputed, by one more product if any was spent.

    Args:
        operator: A.
        b: (d,).
        x: (d,), zero if no product was spent.
        goal: the residual at which x counts as converged.
        products: spent so far.
        curvature: of a direction that shows A to be indefinite.
        history: of the recursion.
    """
    if products:
        residual, products = float((b - operator @ x).norm()), products + 1
    else:
        residual = float(b.norm())
    residual = residual if math.isfinite(residual) else math.inf
    # The recursion's residual drifts from the true one by round-off; 1 % covers it.
    converged = curvature is None and residual <= 1.01 * goal < math.inf
    return Solution(x, residual, products, converged, curvature, history)


# The numbers of an iteration, read while the device is at work on the step after.

T = TypeVar("T")

#: A step is taken before the one in front of it is known unless the residual is within this
#: factor of the goal: one that shrinks it more costs a product in vain.
STRIDE = 3.0


def read_behind(
    steps: Iterable[tuple[T, Tensor]], far: Callable[[], bool]
) -> Iterator[tuple[T, list[float]]]:
    """Each step with its numbers on the host, in order.

    On a GPU the next step is handed to the device before the numbers of this one are waited for,
    so that it has work meanwhile. What is yielded is the same as on a CPU, where nothing is to be
    had from that and each step is read at once.

    Args:
        steps: an iteration that reads nothing from the device: its vectors, and the numbers (k,)
            that decide how it goes on.
        far: whether, by all that was yielded, the end is not expected at the next step.
    """
    begun: deque[tuple[T, _Reading]] = deque()
    for vectors, numbers in steps:
        begun.append((vectors, _Reading(numbers)))
        while len(begun) > (1 if _worth_it(numbers) and far() else 0):
            vectors, reading = begun.popleft()
            yield vectors, reading.values()
    for vectors, reading in begun:
        yield vectors, reading.values()


def _worth_it(numbers: Tensor) -> bool:
    return numbers.device.type == "cuda"


class _Reading:
    """Numbers (k,) on their way to the host."""

    def __init__(self, numbers: Tensor) -> None:
        self._copied = None
        self._numbers = numbers
        if numbers.device.type == "cuda":
            # into memory that the GPU can write to while the host does something else
            self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def values(self) -> list[float]:
        """Wait for these numbers, and for nothing behind them."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._numbers.tolist()


# Lanczos iteration: a Krylov basis and the extreme eigenvalues seen in it.


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis of span{s, A s, A^2 s, ...} and A in it.

    Attributes:
        basis: (k, d).
        projected: (k, k) float64 on the CPU, tridiagonal: basis A basis^T.
        remainder: norm of the part of A basis[-1] that is outside the space.
    """

    basis: Tensor
    projected: Tensor
    remainder: float


def lanczos(operator: Operator, start: Tensor, steps: int) -> Krylov:
    """The Krylov space after `steps` products, with full reorthogonalisation.

    Args:
        operator: symmetric, on (d,).
        start: (d,), not zero.
        steps: number of products, 1 or more; stops earlier where the space is exhausted.
    """
    basis = start.new_empty(min(steps, len(start)), len(start))
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    for _, (alpha, beta) in read_behind(_steps(operator, basis), far=lambda: True):
        diagonal.append(alpha)
        off_diagonal.append(beta)
        if beta <= 1e-10 * max(map(abs, diagonal)):
            break
    side = torch.tensor(off_diagonal[:-1], dtype=torch.float64)
    projected = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    projected += torch.diag(side, 1) + torch.diag(side, -1)
    return Krylov(basis[: len(diagonal)], projected, beta)


def _steps(operator: Operator, basis: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Fill `basis`, (k, d), from its first vector on; each with the numbers of its column."""
    for k in range(len(basis)):
        w = operator @ basis[k]
        alpha = w.dot(basis[k])
        for _ in range(2):  # twice is enough (Parlett)
            w = w - basis[: k + 1].T @ (basis[: k + 1] @ w)
        beta = w.norm()
        yield basis[k], torch.stack((alpha, beta))
        if k + 1 < len(basis):
            basis[k + 1] = w / beta


def extreme_eigenvalues(operator: Operator, start: Tensor, steps: int) -> tuple[float, float]:
    """Smallest and largest Ritz value of a symmetric operator, with full reorthogonalisation.

    Ritz values lie inside the spectrum: the smallest is an *upper* bound on the smallest
    eigenvalue, so a certificate that uses it is conditional (docs/theory/nets.md).

    Args:
        operator: symmetric, on (d,).
        start: (d,), not zero; a random direction meets every eigenvector.
        steps: number of products; stops earlier where the Krylov space is exhausted.
    """
    ritz = torch.linalg.eigvalsh(lanczos(operator, start, steps).projected)
    return float(ritz[0]), float(ritz[-1])


# Conjugate gradients, with negative curvature and the reached residual reported.

__all__ = ["Solution", "conjugate_gradients"]


def conjugate_gradients(
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float,
    max_products: int,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    recompute: bool = True,
) -> Solution:
    """Solve A x = b for symmetric A until ||b - A x|| <= tolerance ||b|| (Hestenes & Stiefel 1952).

    Stops early, with the best x so far, when a direction of non-positive curvature shows that A
    is not positive definite.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        preconditioner: r -> P^{-1} r for a symmetric positive definite P near A.
        recompute: whether the residual is computed anew at the end, by a product more; else it is
            what the recursion says, for callers that find out by themselves.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x = torch.zeros_like(b)
    products, curvature = 0, None
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    steps = islice(_cg_steps(operator, b, preconditioner), max_products if size > goal else 0)
    for p, (pap, rz, squared) in read_behind(steps, far):
        products += 1
        if pap <= 0:
            curvature = pap / float(p.dot(p))
            break
        x = x.add(p, alpha=rz / pap)
        size = squared**0.5
        history.append((products, size / norm))
        if not size > goal:
            break
    if not recompute:
        converged = curvature is None and size <= goal
        return Solution(x, size, products, converged, curvature, tuple(history))
    return measured(
        operator, b, x, goal=goal, products=products, curvature=curvature, history=tuple(history)
    )


def _cg_steps(
    operator: Operator, b: Tensor, preconditioner: Callable[[Tensor], Tensor] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The recursion: each direction p, (d,), with p.Ap, r.z before it and r.r after it."""
    r = b
    z = preconditioner(r) if preconditioner else r
    p, rz = z, r.dot(z)
    while True:
        ap = operator @ p
        pap, before = p.dot(ap), rz
        r = r.addcmul(ap, before / pap, value=-1)
        z = preconditioner(r) if preconditioner else r
        rz = r.dot(z)
        yield p, torch.stack((pap, before, r.dot(r) if preconditioner else rz))
        p = z.addcmul(p, rz / before)


# The minimal residual method, for symmetric systems that may be indefinite.


def minres(operator: Operator, b: Tensor, *, tolerance: float, max_products: int) -> Solution:
    """Solve A x = b for symmetric A until ||b - A x|| <= tolerance ||b|| (Paige & Saunders 1975).

    The x of least residual in the Krylov space, so the residual never grows, whether or not A is
    definite. That A is not is seen from the residuals r at no cost: r.Ar / r.r is a number of the
    recursion (Liu & Roosta 2022). The iteration goes on, as its x still means something, but the
    solution says so.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x, d, d_old = torch.zeros_like(b), torch.zeros_like(b), torch.zeros_like(b)
    cosine, sine, above, two_above = -1.0, 0.0, 0.0, 0.0
    products, lowest, scale = 0, 0.0, 0.0
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    steps = islice(_minres_steps(operator, b), max_products if size > goal else 0)
    for v, (alpha, beta) in read_behind(steps, far):
        products += 1
        # The column (two_above, above, alpha, beta) of the tridiagonal, turned by the last
        # reflection and then by the one that clears beta.
        middle = cosine * above + sine * alpha
        pivot = sine * above - cosine * alpha
        scale = max(scale, abs(alpha), beta)
        lowest = min(lowest, -cosine * pivot)
        following, above = sine * beta, -cosine * beta
        length = (pivot * pivot + beta * beta) ** 0.5
        if length <= torch.finfo(b.dtype).eps * scale:
            break  # A is singular and b outside its range: x is the least-squares solution
        cosine, sine = pivot / length, beta / length
        d, d_old = v.sub(d, alpha=middle).sub_(d_old, alpha=two_above).div_(length), d
        x = x.add(d, alpha=cosine * size)
        size *= sine
        two_above = following
        history.append((products, size / norm))
        if not size > goal:
            break
    # Within round-off of zero the recursion cannot tell the sign.
    indefinite = lowest < -10 * torch.finfo(b.dtype).eps * scale
    return measured(
        operator,
        b,
        x,
        goal=goal,
        products=products,
        curvature=lowest if indefinite else None,
        history=tuple(history),
    )


def _minres_steps(operator: Operator, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Lanczos' recursion from b: each vector v, (d,), with its alpha and beta."""
    v, v_old, beta = b / b.norm(), torch.zeros_like(b), b.new_zeros(())
    while True:
        q = (operator @ v).addcmul_(v_old, beta, value=-1)
        alpha = q.dot(v)
        q.addcmul_(v, alpha, value=-1)
        beta = q.norm()
        yield v, torch.stack((alpha, beta))
        v, v_old = q / beta, v


# Chebyshev iteration between eigenvalue bounds from a few Lanczos steps.


def chebyshev(
    operator: Operator, b: Tensor, *, tolerance: float, max_products: int, steps: int = 6
) -> Solution:
    """Solve A x = b for positive definite A until ||b - A x|| <= tolerance ||b||.

    Lanczos steps from b give bounds on the spectrum and a first x (the Galerkin solution in their
    space, which is that of conjugate gradients), so their products are not lost. Then Chebyshev's
    semi-iteration (Saad 2003, algorithm 12.1), which needs no inner products. Bounds that turn
    out too narrow, seen from a residual that grows, are found again from where the iteration
    stands.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        steps: Lanczos steps.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x, r, products = b.new_zeros(b.shape), b, 0
    low, high, curvature = torch.inf, 0.0, None
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    while size > goal and products + 2 <= max_products:
        space = lanczos(operator, r, min(steps, max_products - products - 1))
        products += len(space.basis) + 1
        ritz, vectors = torch.linalg.eigh(space.projected)
        if float(ritz[0]) <= 0:
            curvature = float(ritz[0])
            break
        # The outermost Ritz values are inside the spectrum, and as far out again as they may err.
        errors = space.remainder * vectors[-1].abs()
        low = min(low, max(float(ritz[0] - errors[0]), 0.5 * float(ritz[0])))
        high = max(high, float(ritz[-1] + errors[-1]))
        y = vectors @ (vectors[0] / ritz) * size
        x = x + space.basis.T @ y.to(b)
        r = b - operator @ x
        size = float(r.norm())
        history.append((products, size / norm))
        limit, left = size, max_products - products if size > goal else 0
        semi_iteration = islice(_chebyshev_steps(operator, r, low, high), left)
        for (d, after), (found,) in read_behind(semi_iteration, far):
            x, r, size = x + d, after, found
            products += 1
            history.append((products, size / norm))
            if not goal < size <= 2 * limit:
                break
    return measured(
        operator, b, x, goal=goal, products=products, curvature=curvature, history=tuple(history)
    )


def _chebyshev_steps(
    operator: Operator, r: Tensor, low: float, high: float
) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
    """Chebyshev's recursion from a residual r: each step of x and the residual after it, (d,)."""
    centre, half = (high + low) / 2, max((high - low) / 2, 1e-12 * high)
    rho, d = half / centre, r / centre
    while True:
        r = r - operator @ d
        yield (d, r), r.norm().view(1)
        rho, before = 1 / (2 * centre / half - rho), rho
        d = d.mul(rho * before).add_(r, alpha=2 * rho / half)
