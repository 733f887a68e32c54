"""Certified bounds against the truth, on random requests on random graphs."""

from __future__ import annotations

import pytest
import torch

from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.studies import random_graph
from benchmark.studies.soundness import kind, methods

#: Six of each kind of request is enough to see a bound that leaves something out.
FEW = range(36)
#: The quick ones are asked about 300 problems between them, one from the kept gradient.
MORE = {"newton": range(150), "newton-chord": range(150, 300)}
ASKED = [method for method in methods() if kind(method) == "any" and method.can_alter()]


@pytest.mark.parametrize("method", ASKED, ids=lambda method: method.name)
def test_no_bound_is_below_the_distance(method: object) -> None:
    checked, refusals, seeds = [], [], MORE.get(method.name, FEW)
    for seed in seeds:
        try:
            checked += random_graph.checks(seed, method)
        except LetheError as refusal:
            refusals.append(str(refusal))
    assert not [check for check in checked if check.violated]
    answered = {check.seed for check in checked}
    assert len(answered) >= len(seeds) // 3, "it was hardly asked"
    if method.name in MORE:
        assert answered == set(seeds), "it was asked about every problem"
    assert not [refusal for refusal in refusals if "\n" in refusal]


def test_draws_are_of_every_kind() -> None:
    """Either loss with either normalisation and one to three hops, and with what is named."""
    seen = set()
    for seed in range(300):
        world, change = random_graph.draw(seed)
        spread, loss = world.propagation, world.problem.objective.loss
        seen.add((loss, spread.normalisation, spread.hops))
        asked = tuple(bool(getattr(change, n).size) for n in ("nodes", "edges", "features"))
        seen.add((loss, asked))
    assert len({one for one in seen if len(one) == 3}) == 2 * 2 * 3
    kinds = {(True, False, False), (False, True, False), (False, False, True), (True, True, True)}
    assert {(loss, kind) for loss in ("cross_entropy", "squared") for kind in kinds} <= seen


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
