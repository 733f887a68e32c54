"""Long division by a symmetric matrix: every entry is the nearest step to the rational solution."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.curvature import symmetric
from benchmark.curvature.long_division import FINE, FULL, ExactSystem, Solve
from benchmark.curvature.symmetric import Inverse, Pending, Symmetric
from benchmark.errors import AssumptionBroken


def system(
    seed: int,
    *,
    rows: int = 30,
    inputs: int = 6,
    classes: int = 3,
    bits: int = 8,
    shift: Fraction = Fraction(1, 3),
    waiting: int = 0,
) -> ExactSystem:
    """A system over random features in fixed point, some rows of which wait to be subtracted."""
    generator = np.random.default_rng(seed)
    x = torch.from_numpy(generator.integers(-(2**bits), 2**bits, (rows, inputs)) / 2.0**bits)
    y = torch.from_numpy(generator.integers(0, 2, (classes, rows)).astype(float))
    gram = Pending.of(Symmetric.gram(x)).plus(-1.0, x[:waiting])
    return ExactSystem.of(gram, y[:, waiting:] @ x[waiting:], 4.0**-bits, shift)


def solver(one: ExactSystem, *, error: float = 0.0) -> Solve:
    """A solver by the matrix in float64, whose inverse is off by `error` in every entry."""
    whole = one.gram.whole.lower
    whole = whole + whole.tril(-1).T + one.unit * one.shift * 2.0**-FINE * torch.eye(len(whole))
    inverse = torch.linalg.inv(whole)
    noise = torch.randn(inverse.shape, generator=torch.Generator().manual_seed(0)).double()
    inverse *= 1 + error * noise
    return lambda b: b @ inverse


def rational(one: ExactSystem) -> list[list[Fraction]]:
    """The solution in fractions, by Gauss's elimination."""
    lower = one.gram.whole.lower
    size, classes = len(lower), len(one.moments)
    shift = Fraction(one.shift, 2**FINE) * Fraction(one.unit)
    table = [
        [Fraction(float(lower[max(i, j), min(i, j)])) + shift * (i == j) for j in range(size)]
        + [Fraction(float(one.moments[k, i])) for k in range(classes)]
        for i in range(size)
    ]
    for i in range(size):
        table[i] = [entry / table[i][i] for entry in table[i]]
        for j in range(size):
            if j != i:
                table[j] = [a - table[j][i] * b for a, b in zip(table[j], table[i], strict=True)]
    return [[table[i][size + k] for i in range(size)] for k in range(classes)]


def expected(one: ExactSystem) -> Tensor:
    """The rational solution with 53 bits for entries of the size of the largest, once scaled."""
    scale = [Fraction(c) for c in one.scale.tolist()]
    solution = [[c * v for c, v in zip(scale, row, strict=True)] for row in rational(one)]
    peak, e = max(abs(v) for row in solution for v in row) / Fraction(FULL), -300
    while peak > Fraction(2) ** e:
        e += 1
    step = Fraction(2) ** (e - 53)
    rounded = [
        [float(round(v / step) * step / c) for c, v in zip(scale, row, strict=True)]
        for row in solution
    ]
    return torch.tensor(rounded, dtype=torch.float64)


def data(found: Tensor | None) -> bytes:
    assert found is not None
    return found.contiguous().numpy().tobytes()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shift", [Fraction(1, 3), Fraction(1, 10**6), Fraction(1000)])
@pytest.mark.parametrize("bits", [0, 8, 16])
def test_every_entry_is_the_nearest_to_the_rational_solution(
    seed: int, shift: Fraction, bits: int
) -> None:
    one = system(seed, shift=shift, bits=bits, inputs=4 + seed, classes=1 + seed % 3)
    found = one.nearest(solver(one))
    assert data(found) == data(expected(one))


@pytest.mark.parametrize("waiting", [1, 20])
@pytest.mark.parametrize("rows", [25, 60])
@pytest.mark.parametrize("large", [1, 100])
def test_rows_may_wait(
    waiting: int, rows: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symmetric, "LARGE", large)
    one = system(1, rows=rows, waiting=waiting)
    assert len(one.gram.rows) == waiting
    whole = replace(one, gram=Pending.of(one.gram.whole))
    assert data(one.nearest(solver(one))) == data(expected(one))
    assert data(whole.nearest(solver(one))) == data(expected(one))


def test_columns_of_other_sizes_have_steps_of_their_own() -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        x = generator.integers(-200, 201, (30, 4)) * np.array([1, 16, 2**10, 2**14])
        rows = torch.from_numpy(x.astype(float))
        gram = Pending.of(Symmetric.gram(rows)).plus(-1.0, rows[:3])
        one = ExactSystem.of(gram, rows[3:5], 1.0, Fraction(7))
        found = one.nearest(solver(one))
        assert data(found) == data(expected(one))
        assert one.scale[-1] == 1
        assert one.scale[0] < 2.0**-12


@pytest.mark.parametrize("error", [1e-6, 1e-3, 0.02])
def test_the_result_is_that_of_no_inverse_in_particular(error: float) -> None:
    for seed in range(5):
        one = system(seed, shift=Fraction(1, 7))
        assert data(one.nearest(solver(one, error=error))) == data(expected(one))


def test_fewer_rows_than_columns_and_nearly_no_ridge() -> None:
    """The condition number is 1e13: digits are a few bits wide, and right."""
    one = system(2, rows=4, inputs=9, shift=Fraction(1, 10**12), bits=12)
    assert data(one.nearest(solver(one))) == data(expected(one))


@pytest.mark.parametrize(
    "solve",
    [lambda b: b * 0, lambda b: b * math.nan, lambda b: -b, lambda b: b * 1e30],
    ids=["nothing", "nan", "away", "huge"],
)
def test_what_is_no_inverse_gives_no_result(solve: Solve) -> None:
    assert system(0).nearest(solve) is None


def test_no_moments_give_zeros_and_no_negative_one() -> None:
    one = system(0)
    none = replace(one, moments=torch.zeros_like(one.moments))
    found = none.nearest(lambda b: 1 / 0)
    assert data(found) == data(torch.zeros_like(one.moments))
    assert not torch.signbit(found).any()


#: Of a matrix that is this times I: the largest weight is 3 2^21, and steps are of 2^-29.
MANY = 2.0**30


def middle(moment: float) -> ExactSystem:
    """Two weights, of which the second is in the middle of two steps for an odd `moment`."""
    gram = Pending.of(Symmetric((MANY - 1) * torch.eye(2).double()))
    moments = torch.tensor([[3 * 2.0**51, moment]]).double()
    return ExactSystem.of(gram, moments, 1.0, Fraction(1))


@pytest.mark.parametrize(("moment", "steps"), [(1.0, 0), (-3.0, -2), (2.0, 1)])
def test_the_middle_of_two_steps_goes_down_whatever_the_digits(moment: float, steps: int) -> None:
    one = middle(moment)
    for factor in (1.0, 1 + 2.0**-30, 1 - 2.0**-30):
        found = one.nearest(lambda b, factor=factor: b / MANY * factor)
        assert found is not None
        assert found.tolist() == [[3 * 2.0**21, steps * 2.0**-29]]
    if moment % 2:
        assert one.nearest(lambda b: b / MANY * 0.9) is None, "digits come near, and never there"


@pytest.mark.parametrize(("moment", "steps"), [(1.0, 0), (-3.0, -1)])
def test_next_to_the_middle_is_told_from_it(moment: float, steps: int) -> None:
    """A larger shift puts both weights nearer to 0, by a millionth."""
    one = middle(moment)
    found = replace(one, shift=one.shift + 2 ** (10 + FINE)).nearest(lambda b: b / MANY)
    assert found is not None
    assert float(found[0, 1]) == steps * 2.0**-29


def test_weights_beyond_a_digit_give_no_result() -> None:
    one = middle(1.0)
    few = replace(one, gram=Pending.of(Symmetric(3 * torch.eye(2).double())))
    assert few.nearest(lambda b: b / 4) is None


@pytest.mark.parametrize(
    "shift", [Fraction(0), Fraction(1, 2**60), Fraction(2**70), 10 * Fraction(1e308)]
)
def test_a_ridge_that_is_no_number_of_units_is_refused(shift: Fraction) -> None:
    with pytest.raises(AssumptionBroken, match="change the ridge or the bits"):
        system(0, shift=shift)


def test_products_by_parts_are_exact_in_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "ROWS", 7)
    generator = np.random.default_rng(0)
    lower = np.tril(generator.integers(-(2**38), 2**38, (40, 40)))
    whole = (lower + np.tril(lower, -1).T).astype(object)
    digits = generator.integers(-(2**21), 2**21, (3, 40))
    matrix = Symmetric(torch.from_numpy(lower.astype(float)))
    vectors = torch.from_numpy(digits.astype(float))
    at_once = matrix.cut(2.0**19).products(vectors)
    monkeypatch.setattr(symmetric, "LARGE", 1)
    cut = matrix.cut(2.0**19)
    upper, rest = cut.products(vectors)
    assert torch.equal(upper, at_once[0])
    assert torch.equal(rest, at_once[1])
    assert float(cut.products(torch.eye(40).double())[1].abs().max()) <= 2**18
    found = [
        [int(a) + int(b) for a, b in zip(*two, strict=True)]
        for two in zip(upper, rest, strict=True)
    ]
    assert found == (digits.astype(object) @ whole).tolist()


@pytest.mark.parametrize("columns", [5, 64, 150])
def test_a_product_by_blocks_is_the_product(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(columns)
    x = torch.randn(columns, columns, generator=generator).double()
    matrix, vectors = Symmetric(x.tril()), torch.randn(3, columns, generator=generator).double()
    plain = matrix.product(vectors)
    monkeypatch.setattr(symmetric, "LARGE", 1)
    assert torch.allclose(matrix.product(vectors), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("ridge", [0.0, 0.01, 0.4])
def test_an_inverse_follows_rows_and_the_ridge(sign: float, ridge: float) -> None:
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    rows, whole = 0.3 * x[:3], x.T @ x + torch.eye(6)
    inverse = Inverse.of(Symmetric(torch.linalg.inv(whole).tril()), least=1.0)
    change = inverse.including if sign > 0 else inverse.without
    changed = change(rows, ridge)
    assert changed is not None
    right = whole + sign * (rows.T @ rows + ridge * torch.eye(6))
    b = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)).double()
    expected = b @ torch.linalg.inv(right)
    assert float((changed.solve(b) - expected).norm()) <= 1e-4 * float(expected.norm())
    assert changed.without(rows, 1.0) is None, "half of the ridge is gone"
