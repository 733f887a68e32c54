"""The contract of attacks as checks, on numbers drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmark import settings
from benchmark.metrics.attack_contract import Attack, ModelAttack, ModelCase, RowCase

#: Examples and classes, models on either side, and models to score.
_ROWS, _CLASSES, _MODELS, _SCORED = 24, 3, 8, 6


def checked(cls: type[Attack]) -> Iterator[tuple[str, str]]:
    """Every rule in words, and what is wrong with the attack; "" where it keeps the rule.

    Args:
        cls: with its defaults.
    """
    case = _models if issubclass(cls, ModelAttack) else _rows
    wanted = (_SCORED, _ROWS) if issubclass(cls, ModelAttack) else (_ROWS,)
    given = case(cls)
    attack: Any = cls  # its two kinds are given different cases
    try:
        with settings.kept(cls.name):
            first, again = attack().score(given), attack().score(case(cls))
    except Exception as error:  # an attack may raise anything
        yield "it scores a case", f"{type(error).__name__}: {error}"
        return
    shape, finite = np.shape(first), bool(np.isfinite(first).all())
    right = shape == wanted
    yield "a score a piece", "" if right else f"scores have shape {shape}, not {wanted}"
    yield "scores are finite", "" if finite else "a score is not finite"
    same = np.array_equal(first, again)
    yield "the same twice", "" if same else "two runs differ: draw from a seed of your own"
    untouched = _equal(given, case(cls))
    yield "nothing is mutated", "" if untouched else "it changed the case in place: copy first"


def _rows(cls: type[Attack]) -> RowCase:
    """Some models' outputs on examples; every reference knows half of them."""
    draw = np.random.default_rng(0)
    references = max(2, getattr(cls, "references", 0))
    return RowCase(
        outputs=_outputs(draw, _ROWS),
        labels=draw.integers(_CLASSES, size=_ROWS),
        references=_outputs(draw, references, _ROWS),
        outside=np.indices((references, _ROWS)).sum(axis=0) % 2 == 0,
        population_outputs=_outputs(draw, _ROWS),
        population_labels=draw.integers(_CLASSES, size=_ROWS),
        population_references=_outputs(draw, references, _ROWS),
    )


def _models(cls: type[Attack]) -> ModelCase:
    draw = np.random.default_rng(0)
    return ModelCase(
        labels=draw.integers(_CLASSES, size=_ROWS),
        unlearned=_outputs(draw, _MODELS, _ROWS),
        retrained=_outputs(draw, _MODELS, _ROWS),
        scored=_outputs(draw, _SCORED, _ROWS),
    )


def _outputs(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """(..., classes) log-probabilities."""
    logits = draw.normal(size=(*shape, _CLASSES))
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def _equal(a: RowCase | ModelCase, b: RowCase | ModelCase) -> bool:
    return all(np.array_equal(value, getattr(b, name)) for name, value in vars(a).items())
