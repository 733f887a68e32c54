"""What the README shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import baselines
from benchmark import registry
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from tests import problems

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_method_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "shrink.py").write_text(code)
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    method = registry.find("shrink").method()
    problem = problems.softmax()
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    release = method.answer(Request.of(problem, original, torch.tensor([1, 2])))
    assert torch.allclose(release.predictor.weights, 0.9 * original.weights)


def test_every_file_it_names_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z0-9-]+)", README))
    assert {"demo", "test"} <= named <= targets
