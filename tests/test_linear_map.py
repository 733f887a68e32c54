"""x W^T + b is that of float64, whichever kernel computes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmark.bench.operators import flops
from benchmark.curvature import linear_map
from benchmark.curvature.linear_map import linear

LARGE, SMALL = (1200, 90, 12), (7, 5, 3)


def operands(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    m, k, n = shape
    drawn = (torch.randn(*size, generator=generator) for size in ((m, k), (n, k), (n,)))
    return tuple(drawn)


@pytest.fixture(params=["as it comes", "without oneDNN"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without oneDNN":
        monkeypatch.setattr(linear_map, "ONEDNN", None)


@pytest.mark.parametrize("shape", [LARGE, SMALL])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_linear_map(
    kernel: None, shape: tuple[int, int, int], biased: bool, dtype: torch.dtype
) -> None:
    x, weight, bias = operands(shape)
    found = linear(x.to(dtype), weight.to(dtype), bias.to(dtype) if biased else None)
    truth = x.double() @ weight.double().T + (bias.double() if biased else 0)
    assert found.dtype == dtype
    assert float((found - truth).norm()) <= 4 * torch.finfo(dtype).eps * float(truth.norm())


def test_transposed_views_give_the_sum_of_outer_products(kernel: None) -> None:
    x, _, _ = operands(LARGE)
    errors = torch.randn(len(x), 32, generator=torch.Generator().manual_seed(1))
    truth = torch.einsum("ni,nj->ij", errors.double(), x.double())
    found = linear(errors.T, x.T)
    assert found.shape == (32, x.shape[1])
    assert float((found - truth).norm()) <= 1e-6 * float(truth.norm())


@pytest.mark.parametrize("rows", [1, 2])
def test_rows_of_a_larger_matrix_are_views_too(kernel: None, rows: int) -> None:
    x, weight, bias = operands((rows * 9000, 90, 2))
    part = slice(rows, 9000)
    torch.testing.assert_close(linear(x[part], weight, bias), x[part] @ weight.T + bias)


def test_large_products_in_single_precision_are_onednns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def onednn(*operands: object) -> Tensor:
        calls.append(operands)
        return torch.zeros(())

    monkeypatch.setattr(linear_map, "ONEDNN", onednn)
    for shape, dtype in ((LARGE, torch.float64), (SMALL, torch.float32), (LARGE, torch.float32)):
        x, weight, _ = operands(shape)
        linear(x.to(dtype), weight.to(dtype))
    assert len(calls) == 1


def test_its_operations_are_counted(kernel: None) -> None:
    x, weight, _ = operands(LARGE)
    one: Callable[[Tensor], Tensor] = lambda w: linear(x, w)  # noqa: E731
    assert flops(one, weight) == 2 * 1200 * 90 * 12
