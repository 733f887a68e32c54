"""Linear systems over exact sums, solved to the last bit: long division by a symmetric matrix.

The digits of V = B A^-1 are found as on paper. A digit D is what an approximate inverse makes of
the remainder R, in whole numbers, and the next remainder is 2^w R - D A. Remainders are exact, so
what is wrong with a digit is made good by those that follow. If there is a result it is the same to
the last bit whatever the inverse, the order of summation, the library, the threads and the machine.

Dixon (Numerische Mathematik 40, 1982) solves linear equations exactly by digits from the lowest on;
here they come from the highest on, and end where the rounded result is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import torch
from torch import Tensor

from benchmark.curvature.symmetric import Cut, Pending
from benchmark.errors import AssumptionBroken

#: About B A^-1 of a B (classes, m).
Solve = Callable[[Tensor], Tensor]

#: Bits of the shift beyond the unit of the sums.
FINE = 31
#: Bits of the result that one digit adds at most: a remainder's fine part times 2^w is in int64.
WIDEST = 30
#: Size of a digit at most: times the fine part of the shift it is in int64.
LARGEST = 2.0**26
#: Remainders are int64 and wrap around at 2^63; no true one may come near that.
NEAR_WRAPPING = 2.0**61
#: Share of a step of the grid that sums of up to `MOST` digits may be off by, 2^-54 each.
ROUNDED = 2.0**-45
#: The largest entry is at most this share of 2^53 steps. No short number is on the border.
FULL = 0.7
#: Bits after the point beyond which no digit tells on which side of a middle an entry is.
MOST = 400


@dataclass(frozen=True)
class ExactSystem:
    """V (S + shift I) = B for whole numbers S and B of some unit, where S is a sum of x x^T.

    Attributes:
        gram: S, (m, m) float64, of rows of whole numbers of the root of the unit.
        moments: B, (classes, m) float64.
        unit: a power of four.
        shift: whole number of 2^-FINE units, above 0: no eigenvalue of S + shift I is below it.
    """

    gram: Pending
    moments: Tensor
    unit: float
    shift: int

    @classmethod
    def of(cls, gram: Pending, moments: Tensor, unit: float, shift: Fraction) -> Self:
        """The system with its shift rounded to the nearest multiple of 2^-FINE units.

        Raises:
            AssumptionBroken: if that is 0, or more than 2^60 units.
        """
        rounded = round(shift / Fraction(unit) * 2**FINE)
        if not 0 < rounded < 2 ** (60 + FINE):
            raise AssumptionBroken(
                f"n times the ridge must be from {unit / 2**FINE:.3g} to {unit * 2.0**60:.3g} for "
                f"exact sums in units of {unit:.3g}: change the ridge or the bits of "
                "problem.fixed_point"
            )
        return cls(gram, moments, unit, rounded)

    @property
    def scale(self) -> Tensor:
        """Powers of two, (m,), 1 at most: about how a change of each entry of V counts in V A."""
        diagonal = self.gram.diagonal / self.unit + self.shift * 2.0**-FINE
        half = torch.frexp(diagonal).exponent // 2
        return torch.ldexp(torch.ones_like(diagonal), half - half.max())

    def nearest(self, solve: Solve) -> Tensor | None:
        """V with every entry rounded to the nearest point of a grid: (classes, m) float64.

        The grid of column j has steps of 2^(e - 53) / c_j for the `scale` c and the least e such
        that no c_j V_kj is above `FULL` times 2^e, so that float64 has its points.

        Where A = S + shift I, the remainder R of the digits so far is E A for the error E of what
        they make. So no row of E is longer than that of R over the shift, and the digits end when
        no entry can be nearer to another point.

        Args:
            solve: about B A^-1 of a B (classes, m). It decides how long this takes.

        Returns:
            None where `solve` is too far off to add a digit, or to tell an entry from the middle of
            two points.
        """
        if not self.moments.any():
            return torch.zeros_like(self.moments)
        divisor = _Divisor.of(self.gram, self.unit, self.shift)
        remainder, found = _Remainder.of(self.moments / self.unit), _Found(self.scale)
        while (nearest := found.nearest(remainder.norms / divisor.least)) is None:
            digit = divisor.digit(solve(remainder.about * self.unit))
            left = divisor.left(remainder, *digit) if digit else None
            if digit is None or left is None or found.bits > MOST:
                return None
            remainder, found = left, found.plus(*digit)
        return nearest


@dataclass(frozen=True)
class _Remainder:
    """An exact remainder, in units of the last digit: whole ones, and 2^-FINE of one.

    Attributes:
        whole: (classes, m) int64.
        fine: (classes, m) int64, from 0 to below 2^FINE.
    """

    whole: Tensor
    fine: Tensor

    @classmethod
    def of(cls, moments: Tensor) -> Self:
        """The remainder before any digit: B, whole numbers in float64."""
        return cls(moments.long(), torch.zeros_like(moments, dtype=torch.int64))

    @property
    def about(self) -> Tensor:
        """The remainder but for rounding, (classes, m) float64."""
        return self.whole.double() + self.fine.double() * 2.0**-FINE

    @property
    def norms(self) -> Tensor:
        """Bounds on the norm of each row, (classes, 1) float64."""
        return self.about.norm(dim=1, keepdim=True) * (1 + 2.0**-20)


@dataclass(frozen=True)
class _Divisor:
    """A = S + shift I, where S is cut in two, for products that float64 does not round.

    Attributes:
        gram: S but for rows that wait, cut into multiples of a step and a rest.
        rows: (k, m) that wait, in roots of the unit.
        scale: of all of these.
        unit: of the numbers in S.
        shift: whole number of 2^-FINE units.
        largest: size of a digit up to which its products with either part are exact.
    """

    gram: Cut
    rows: Tensor
    scale: float
    unit: float
    shift: int
    largest: float

    @classmethod
    def of(cls, gram: Pending, unit: float, shift: int) -> Self:
        """The divisor, cut where its two parts are about the same size."""
        if not gram.matrix.by_blocks:
            gram = Pending.of(gram.whole)
        roots = (gram.matrix.lower.diagonal() / unit).sqrt()
        count, most = len(roots), float(roots.max() * roots.sum()) * (1 + 2.0**-20)
        # Sizes in a column of a sum of x x^T sum up to `most` at most, those of its rest to half of
        # count * step.
        step = 2.0 ** math.ceil(math.log2(max(2 * most / count, 1.0)) / 2)
        largest = 2.0**53 / (max(most / step, count * step / 2) + count)
        rows = gram.rows / math.sqrt(unit)
        cut = gram.matrix.cut(step * unit)
        return cls(cut, rows, gram.scale, unit, shift, min(largest, LARGEST))

    @property
    def least(self) -> float:
        """Bound, in units, that no eigenvalue of A is below."""
        return self.shift * 2.0**-FINE

    def digit(self, quotient: Tensor) -> tuple[Tensor, int] | None:
        """A digit (classes, m) float64 and its width w: 2^w times the `quotient`, in whole numbers.

        The wider it is, the more bits it adds. None where there is no bit to add.
        """
        peak = float(quotient.abs().max())
        width = math.floor(math.log2((self.largest - 1) / peak)) if 0 < peak < math.inf else 0
        width = min(WIDEST, width)
        return (quotient.mul(2.0**width).round(), width) if width > 0 else None

    def left(self, before: _Remainder, digit: Tensor, width: int) -> _Remainder | None:
        """The remainder 2^w R - D A; None if it may be too large for int64.

        Whole numbers are computed modulo 2^64. They are right if the true ones, which float64 tells
        to much less than 2^60, are not near 2^63.
        """
        upper, lower = self.gram.products(digit)
        upper, lower, step = upper / self.gram.step, lower / self.unit, self.gram.step / self.unit
        about = before.about * 2.0**width - digit * self.least - upper * step - lower
        about -= (digit @ self.rows.mT) @ self.rows * self.scale
        if not float(about.abs().max()) < NEAR_WRAPPING:
            return None
        count, (coarse, fine) = digit.long(), divmod(self.shift, 2**FINE)
        rest = (before.fine << width) - count * fine
        carry = rest >> FINE
        whole = (before.whole << width) - count * coarse + carry
        whole -= (upper.long() << int(math.log2(step))) + lower.long()
        if len(self.rows):
            whole -= _whole_product(digit, self.rows) * int(self.scale)
        return _Remainder(whole, rest - (carry << FINE))


def _whole_product(digit: Tensor, rows: Tensor) -> Tensor:
    """`digit` (classes, m) times the sum of x x^T over `rows` (k, m), (classes, m) int64.

    All are whole numbers; CUDA multiplies no matrices of them.
    """
    x = rows.cpu().long()
    return ((digit.cpu().long() @ x.T) @ x).to(digit.device)


@dataclass(frozen=True)
class _Found:
    """What the digits so far make.

    Attributes:
        scale: (m,), see `ExactSystem.scale`.
        digits: (classes, m) float64 whole numbers, each with the bits after the point it ends at.
    """

    scale: Tensor
    digits: tuple[tuple[Tensor, int], ...] = ()

    @property
    def bits(self) -> int:
        """Bits that the digits have after the point."""
        return self.digits[-1][1] if self.digits else 0

    def plus(self, digit: Tensor, width: int) -> Self:
        """The same with one more digit."""
        return replace(self, digits=(*self.digits, (digit, self.bits + width)))

    def nearest(self, error: Tensor) -> Tensor | None:
        """The nearest multiples of the grid, (classes, m); None where they are not certain yet.

        Args:
            error: (classes, 1), in units of the last digit, of what the digits make.
        """
        places = self._places(float(error.max()) * 2.0**-self.bits)
        if places is None:
            return None
        whole, part = torch.zeros_like(self.digits[0][0]), torch.zeros_like(self.digits[0][0])
        for digit, bits in self.digits:
            part = part + digit * (self.scale * 2.0 ** (places - bits))
            carry = part.round()
            whole, part = whole + carry, part - carry
        finest = self.scale * 2.0 ** (places - self.bits)
        certain = part.abs() + error * finest < 0.5 - ROUNDED
        if float(finest.min()) >= 2.0**-50:  # sums of multiples of it have not been rounded
            certain |= error == 0
        if not bool(certain.all()):
            return None
        whole = whole - (part == -0.5).double()  # from the middle down
        return whole * (2.0**-places / self.scale) + 0.0

    def _places(self, error: float) -> int | None:
        """Bits after the point of the grid of columns of scale 1; None where that is uncertain.

        Args:
            error: of what the digits make.
        """
        made = [digit * 2.0**-bits for digit, bits in self.digits]
        peak = float((sum(made[1:], made[0]) * self.scale).abs().max()) if made else 0.0
        error += 2.0**-45 * peak  # of the sum in float64
        if peak <= error:
            return None
        low, high = (math.ceil(math.log2((peak + e) / FULL)) for e in (-error, error))
        return 53 - high if low == high else None
