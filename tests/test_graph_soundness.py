"""Certified bounds against the truth, on random requests on random graphs."""

from __future__ import annotations

import pytest
import torch

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.studies import random_graph
from benchmark.studies.soundness import kind, methods

#: Six of each kind of request is enough to see a bound that leaves something out.
SEEDS = range(36)
ASKED = [method for method in methods() if kind(method) == "any" and method.can_alter()]


@pytest.mark.parametrize("method", ASKED, ids=lambda method: method.name)
def test_no_bound_is_below_the_distance(method: object) -> None:
    checked, refusals = [], []
    for seed in SEEDS:
        try:
            checked += random_graph.checks(seed, method)
        except LetheError as refusal:
            refusals.append(str(refusal))
    assert not [check for check in checked if check.violated]
    assert len({check.seed for check in checked}) >= len(SEEDS) // 3, "it was hardly asked"
    assert not [refusal for refusal in refusals if "\n" in refusal]


@pytest.mark.parametrize("seed", range(24))
def test_lemma_3_counts_lost_and_altered_rows(seed: int) -> None:
    """The gradient moves by 2 (f + c) g / n at most, at any weights."""
    world, change = random_graph.draw(seed)
    edit = world.after(change)
    old, new = world.problem, random_graph.without(edit)
    if old.objective.loss == "squared":
        pytest.skip("a row's gradient has no bound")
    weights = torch.randn(
        old.model.dimension, generator=Seeds().generator("evaluation"), dtype=torch.float64
    )
    apart = float((old.gradient(weights, old.train) - new.gradient(weights, new.train)).norm())
    longest = max(old.train.largest_norm(bias=True), new.train.largest_norm(bias=True))
    counted = len(edit.lost) + len(edit.altered)
    assert apart <= 2 * counted * 2**0.5 * longest / len(old.train)


def test_a_draw_is_the_same_again() -> None:
    one, again, other = (random_graph.draw(seed)[0].graph.content_hash for seed in (3, 3, 4))
    assert one == again != other
