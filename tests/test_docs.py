"""What docs/curvature.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmark.curvature.lanczos import extreme_eigenvalues
from benchmark.problem.products import PRODUCTS

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "curvature.md").read_text()


def test_it_names_every_product() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)) == set(PRODUCTS)


def test_its_examples_work_as_they_stand() -> None:
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, names)
    assert names["found"].converged
    assert names["found"].residual <= 1.01e-3 * float(names["b"].norm())
    problem, w = names["problem"], names["weights"]
    start = torch.randn(len(w), generator=torch.Generator().manual_seed(0))
    ends = extreme_eigenvalues(problem.hessian(w, problem.train), start, 40)
    assert abs(float(names["largest"][0])) == pytest.approx(max(map(abs, ends)), rel=1e-3)
