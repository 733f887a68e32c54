"""Fidelity of the uncertified baselines: each against its paper or a known answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.bad_teacher import BadTeacher
from baselines.cf_k import CatastrophicForgetting
from baselines.eu_k import ExactLastLayers
from baselines.fine_tune import FineTune
from baselines.gradient_ascent import GradientAscent
from baselines.l1_sparse import L1Sparse
from baselines.neggrad_plus import NegGradPlus
from baselines.random_labels import RandomLabels, relabelled
from baselines.retrain import Retrain
from baselines.retrain_briefly import RetrainBriefly
from baselines.salun import SalUn
from baselines.scrub import Scrub
from baselines.sisa import SISA
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.problem.training.descent import batches, descend, taught, teacher_kl
from benchmark.problem.variants import last_layers, restricted
from benchmark.rows import Rows
from tests import problems

# Fidelity of the baselines: each against what its paper says it must do.

FORGET = torch.tensor([3, 17, 41, 58])
KINDS = [problems.softmax, problems.mlp]


def ask(method, problem: Problem, forget: torch.Tensor = FORGET):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, forget)
    return request, method.answer(request)


@pytest.mark.parametrize("kind", KINDS)
def test_T8_retrain_trains_on_exactly_train_minus_forget(kind, monkeypatch) -> None:
    seen: list[torch.Tensor] = []
    problem = kind()
    plain = Problem.fit

    def spy(self, index, generator, **more):
        seen.append(index)
        return plain(self, index, generator, **more)

    monkeypatch.setattr(Problem, "fit", spy)
    ask(Retrain(), problem)
    original, retrained = (set(index.tolist()) for index in seen)
    assert original == set(range(len(problem.train)))
    assert retrained == original - set(FORGET.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_retrain_does_not_depend_on_what_is_forgotten(kind) -> None:
    problem = kind()
    spoilt = problem.train.x.clone()
    spoilt[FORGET] = 7.0
    other = replace(problem, train=Rows(spoilt, problem.train.y))
    plain, blind = ask(Retrain(), problem)[1], ask(Retrain(), other)[1]
    assert torch.equal(plain.state.weights, blind.state.weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [1, 3, 7])
def test_sisa_equals_sisa_trained_without_the_forgotten_rows(kind, slices: int) -> None:
    """Slices of 60 / 4 = 15 rows do not divide by 7: the tail must not reuse a stale model."""
    problem, method = kind(), SISA(shards=4, slices=slices)
    for forget in (FORGET, torch.tensor([59]), torch.tensor([0])):
        request, release = ask(method, problem, forget)
        scratch = method.train(problem, request.retain, Seeds(), Clock())
        assert torch.equal(release.state.weights, scratch.weights)


def test_sisa_retrains_only_the_touched_shard_from_the_touched_slice(monkeypatch) -> None:
    problem, method = problems.mlp(), SISA(shards=4, slices=3)
    shard, slice_ = method._places(problem, Seeds())
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    calls = []
    plain = Problem.fit

    def spy(self, index, generator, **more):
        calls.append(index)
        return plain(self, index, generator, **more)

    monkeypatch.setattr(Problem, "fit", spy)
    row = int((slice_ == 1).nonzero()[0])
    release = method.answer(Request.of(problem, original, torch.tensor([row])))
    assert len(calls) == 2, "slices 1 and 2 of one shard"
    assert all((shard[index] == shard[row]).all() for index in calls)
    changed = (release.state.weights != original.weights).any(dim=1)
    assert changed.nonzero().squeeze(1).tolist() == [int(shard[row])]


def test_sisa_shards_partition_the_rows_evenly() -> None:
    shard, slice_ = SISA(shards=4, slices=3)._places(problems.mlp(), Seeds())
    assert torch.bincount(shard).tolist() == [15] * 4
    assert torch.bincount(slice_[shard == 0]).tolist() == [5] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_ascent_raises_the_loss_on_the_forgotten_rows(kind) -> None:
    problem = kind()
    request, release = ask(GradientAscent(epochs=20, learning_rate=1e-2), problem)
    rows = request.forget_rows
    before = float(problem.data_loss(request.original.weights, rows))
    assert float(problem.data_loss(release.state.weights, rows)) > before


def test_retraining_briefly_is_adam_from_a_fresh_model_on_the_retained_rows() -> None:
    """By hand: torch's own Adam, the batches in the order that the request's generator draws."""
    problem = replace(problems.softmax(), training=problems.mlp(radius=None).training)
    method = RetrainBriefly(epochs=3, batch=16, learning_rate=0.02)
    request, release = ask(method, problem)
    draws = request.generator("training", "retrain-briefly")
    weights = problem.model.initial_weights(draws).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.02)
    kept = torch.tensor([k for k in range(60) if k not in FORGET.tolist()])
    for _ in range(3):
        for part in torch.randperm(len(kept), generator=draws).split(16):
            optimiser.zero_grad()
            problem.loss(weights, problem.train.take(kept[part])).backward()
            optimiser.step()
    assert torch.allclose(release.state.weights, weights.detach(), atol=1e-12)
    assert verdict(release.claim) == "exact"
    assert release.claim.definition == "reference", "the trained reference is another model"


@pytest.mark.parametrize("kind", KINDS)
def test_retraining_briefly_sees_neither_the_original_nor_what_is_forgotten(kind) -> None:
    problem = kind()
    request, plain = ask(RetrainBriefly(), problem)
    x, y = problem.train.x.clone(), problem.train.y.clone()
    x[FORGET], y[FORGET] = 7.0, 0
    secret = replace(request.original, weights=request.original.weights + 1)
    spoilt = replace(problem, train=Rows(x, y))
    other = RetrainBriefly().answer(replace(request, problem=spoilt, original=secret))
    assert torch.equal(plain.state.weights, other.state.weights)


def test_retraining_briefly_ends_where_retraining_does_if_it_is_not_brief() -> None:
    """Strongly convex: after many epochs of all rows at a time, near the retained optimum."""
    problem = problems.softmax()
    _, release = ask(RetrainBriefly(epochs=1500, batch=60, learning_rate=1e-2), problem)
    _, exact = ask(Retrain(), problem)
    _, short = ask(RetrainBriefly(epochs=1, batch=60, learning_rate=1e-2), problem)
    near, far = (float((r.state.weights - exact.state.weights).norm()) for r in (release, short))
    assert near < 1e-4 < 0.5 < far


def test_fine_tuning_lowers_the_objective_on_the_retained_rows() -> None:
    problem = problems.mlp()
    request, release = ask(FineTune(epochs=20), problem)
    rows = request.retain_rows
    before = float(problem.loss(request.original.weights, rows))
    assert float(problem.loss(release.state.weights, rows)) < before


# Fidelity of the uncertified baselines that train on: each against a known answer.


def ask_rival(method: Method, problem: Problem, forget: Tensor = FORGET) -> tuple[Request, Release]:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, forget)
    return request, method.answer(request)


def tight(radius_share: float = 0.9) -> Problem:
    """A net whose training ends on the sphere."""
    free = problems.mlp(radius=None)
    weights = free.fit(problems.every_row(free), Seeds().generator("training"))
    return problems.mlp(radius=radius_share * float(weights.norm()))


@pytest.mark.parametrize("kind", KINDS)
def test_neggrad_plus_with_alpha_one_is_fine_tuning(kind) -> None:
    problem = kind()
    request, release = ask_rival(NegGradPlus(alpha=1, epochs=3, batch=16), problem)
    tuned = descend(
        problem.loss,
        request.original.weights,
        request.retain_rows,
        request.generator("training", "neggrad-plus"),
        epochs=3,
        batch=16,
        learning_rate=1e-3,
        radius=problem.training.radius,
    )
    assert torch.equal(release.state.weights, tuned)


def test_neggrad_plus_raises_what_fine_tuning_does_not() -> None:
    problem = problems.mlp()
    losses = []
    for alpha in (1.0, 0.5):
        method = NegGradPlus(alpha=alpha, epochs=20, learning_rate=1e-2)
        request, release = ask_rival(method, problem)
        losses.append(float(problem.data_loss(release.state.weights, request.forget_rows)))
    assert losses[1] > 2 * losses[0]


def test_random_labels_are_wrong_and_uniform() -> None:
    problem = problems.softmax(n=3000)
    request, _ = ask_rival(Retrain(), problem, torch.arange(2900))
    rows = relabelled(request, torch.Generator().manual_seed(0))
    new, old = rows.y[100:], problem.train.y[:2900]
    assert torch.equal(rows.y[:100], problem.train.y[2900:])
    assert torch.equal(rows.x[100:], problem.train.x[:2900])
    shift = torch.bincount((new - old) % 3, minlength=3)
    assert shift[0] == 0
    assert abs(int(shift[1]) - 1450) < 4 * (2900 / 4) ** 0.5  # 4 standard deviations


def test_random_labels_learn_the_wrong_label_of_two_classes() -> None:
    """With two classes the wrong label is known: the result is training on flipped labels."""
    problem = problems.softmax(classes=2)
    request, release = ask_rival(RandomLabels(epochs=2), problem)
    flipped = request.forget_rows
    rows = Rows(
        torch.cat([request.retain_rows.x, flipped.x]),
        torch.cat([request.retain_rows.y, 1 - flipped.y]),
    )
    expected = descend(
        problem.loss,
        request.original.weights,
        rows,
        request.generator("training", "random-labels"),
        epochs=2,
        batch=128,
        learning_rate=1e-3,
    )
    assert torch.equal(release.state.weights, expected)


def test_teacher_kl_is_the_kullback_leibler_divergence() -> None:
    """Against sums by hand, zero for the teacher itself."""
    problem = problems.mlp()
    teacher, student = (
        problem.model.initial_weights(torch.Generator().manual_seed(s)).float() for s in (1, 2)
    )
    rows = taught(problem.model, teacher, problem.train, 2.0)
    p = (problem.model(teacher, problem.train.x) / 2).softmax(dim=1).double()
    q = (problem.model(student, problem.train.x) / 2).softmax(dim=1).double()
    by_hand = 4 * float((p * (p / q).log()).sum(dim=1).mean())
    assert float(teacher_kl(problem.model, student, rows, 2.0)) == pytest.approx(by_hand, rel=1e-4)
    assert float(teacher_kl(problem.model, teacher, rows, 2.0)) == pytest.approx(0, abs=1e-7)


def test_bad_teacher_answers_like_the_teachers_in_the_end() -> None:
    """Like the random net on the forgotten row, like the original on the others."""
    problem = problems.mlp(radius=None)
    forget = torch.arange(20)
    request, release = ask_rival(BadTeacher(epochs=300, learning_rate=3e-3), problem, forget)
    model = problem.model
    incompetent = model.initial_weights(request.generator("training", "bad-teacher", "teacher"))
    for teacher, rows in (
        (request.original.weights, request.retain_rows),
        (incompetent.float(), request.forget_rows),
    ):
        answers = taught(model, teacher, rows, 1.0)
        before = float(teacher_kl(model, request.original.weights, answers, 1.0))
        after = float(teacher_kl(model, release.state.weights, answers, 1.0))
        assert after < 0.15 if before < 1e-6 else after < before / 3


def test_bad_teachers_student_shares_no_weights_with_a_teacher() -> None:
    problem = problems.mlp()
    request, release = ask_rival(BadTeacher(), problem)
    before = request.original.weights.clone()
    rows = taught(problem.model, request.original.weights, request.retain_rows, 1.0)
    kept = rows.y.clone()
    with torch.no_grad():
        release.state.weights.zero_()
    assert torch.equal(request.original.weights, before)
    assert torch.equal(rows.y, kept)


def test_scrub_without_max_steps_is_distillation_and_the_objective() -> None:
    problem = problems.mlp()
    method = Scrub(max_epochs=0, epochs=1, batch=20, temperature=2.0)
    request, release = ask_rival(method, problem)
    teacher, draws = request.original.weights, request.generator("training", "scrub")
    weights = teacher.clone().requires_grad_()
    adam = torch.optim.Adam([weights], lr=1e-3)
    for part in batches(request.retain_rows, 20, draws):
        p = (problem.model(teacher, part.x) / 2).softmax(dim=1)
        q = (problem.model(weights, part.x) / 2).log_softmax(dim=1)
        kl = (p * (p.log() - q)).sum(dim=1).mean()
        adam.zero_grad()
        (0.5 * 4 * kl + problem.loss(weights, part)).backward()
        adam.step()
    assert torch.allclose(release.state.weights, weights, atol=1e-5)


def test_scrubs_max_steps_drive_the_student_away_from_its_teacher_on_the_forgotten_rows() -> None:
    problem, kls = problems.mlp(), []
    for max_epochs in (0, 20):
        method = Scrub(max_epochs=max_epochs, epochs=20, learning_rate=1e-2)
        request, release = ask_rival(method, problem)
        answers = taught(problem.model, request.original.weights, request.forget_rows, 1.0)
        kls.append(float(teacher_kl(problem.model, release.state.weights, answers, 1.0)))
    assert kls[1] > 2 * kls[0]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_salun_leaves_the_weights_off_the_mask_alone(share: float) -> None:
    problem = tight()
    request, release = ask_rival(SalUn(share=share, epochs=20), problem)
    before, after = request.original.weights, release.state.weights
    w = before.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.data_loss(w, request.forget_rows), w)
    salient = (
        gradient.abs() >= gradient.abs().sort(descending=True).values[round(share * len(w)) - 1]
    )
    assert torch.equal(before[~salient], after[~salient])
    assert (before[salient] != after[salient]).all()
    assert float(after.norm()) <= problem.training.radius * (1 + 1e-5)


def test_salun_of_all_weights_is_random_labels() -> None:
    problem = problems.mlp()
    request, release = ask_rival(SalUn(share=1.0, epochs=2), problem)
    expected = descend(
        problem.loss,
        request.original.weights,
        relabelled(request, request.generator("training", "salun", "labels")),
        request.generator("training", "salun"),
        epochs=2,
        batch=128,
        learning_rate=1e-3,
        radius=problem.training.radius,
    )
    assert torch.allclose(release.state.weights, expected, atol=1e-6)


def test_l1_sparse_without_gamma_is_fine_tuning_and_with_it_sparser() -> None:
    problem = problems.mlp()
    request, plain = ask_rival(L1Sparse(gamma=0, epochs=3, batch=16), problem)
    tuned = descend(
        problem.loss,
        request.original.weights,
        request.retain_rows,
        request.generator("training", "l1-sparse"),
        epochs=3,
        batch=16,
        learning_rate=1e-3,
        radius=problem.training.radius,
    )
    assert torch.equal(plain.state.weights, tuned)
    norms = [
        float(ask_rival(L1Sparse(gamma=gamma, epochs=30), problem)[1].state.weights.abs().sum())
        for gamma in (0, 0.01, 0.1)
    ]
    assert norms[0] > norms[1] > norms[2]


def test_l1_gamma_falls_linearly_to_zero() -> None:
    """On a constant loss Adam sees the signs of w alone, scaled; without them nothing moves."""
    problem = problems.mlp()
    seen = []

    class Spy(Problem):
        def loss(self, weights: Tensor, rows: Rows) -> Tensor:
            seen.append(weights)
            return 0 * weights.sum()

    spied = Spy(**{name: getattr(problem, name) for name in problem.__dataclass_fields__})
    original = problem.fit(problems.every_row(problem), Seeds().generator("training"))
    from benchmark.contract.request import State

    request = Request.of(spied, State(original, problems.every_row(problem)), FORGET)
    L1Sparse(gamma=0.0, epochs=1, batch=16).answer(request)
    assert torch.equal(seen[-1].detach(), original)
    release = L1Sparse(gamma=0.3, epochs=1, batch=14).answer(request)
    # Four steps of Adam with gradients g, 2g/3, g/3, 0 times sign(w), by its definition.
    first, second, moved = 0.0, 0.0, 0.0
    for t, gradient in enumerate((0.3, 0.2, 0.1, 0.0), start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        moved += 1e-3 * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)) ** 0.5 + 1e-8)
    far = original.abs() > 2 * moved  # which keep their sign
    assert far.sum() > 50
    change = (original - release.state.weights) * original.sign()
    assert torch.allclose(change[far], torch.full_like(change[far], moved), rtol=1e-3)


@pytest.mark.parametrize("k", [1, 2])
def test_cf_k_leaves_the_first_layers_alone(k: int) -> None:
    problem = tight()
    request, release = ask_rival(
        CatastrophicForgetting(layers=k, epochs=20, learning_rate=0.05), problem
    )
    start = problem.model.layers[-k].start
    before, after = request.original.weights, release.state.weights
    assert torch.equal(before[:start], after[:start])
    assert (before[start:] != after[start:]).all()
    assert float(after.norm()) <= problem.training.radius * (1 + 1e-5)


@pytest.mark.parametrize("k", [3, 9])
def test_eu_k_of_all_layers_is_retraining(k: int) -> None:
    problem = problems.mlp()
    request, release = ask_rival(ExactLastLayers(layers=k), problem)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert torch.equal(release.state.weights, retrained)


def test_eu_k_of_a_linear_model_is_retraining() -> None:
    problem = problems.softmax()
    request, release = ask_rival(ExactLastLayers(), problem)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert torch.allclose(release.state.weights, retrained, atol=1e-8)


def test_eu_k_forgets_what_the_last_layers_knew() -> None:
    """The result depends on the first layers of the original and on nothing else of it."""
    problem = problems.mlp()
    request, release = ask_rival(ExactLastLayers(layers=2), problem)
    start = problem.model.layers[1].start
    spoilt = request.original.weights.clone()
    spoilt[start:] = 0.5
    other = replace(request, original=replace(request.original, weights=spoilt))
    assert torch.equal(ExactLastLayers(layers=2).answer(other).state.weights, release.state.weights)
    assert torch.equal(release.state.weights[:start], request.original.weights[:start])


def test_layers_are_where_the_modules_parameters_lie() -> None:
    model = problems.mlp().model
    assert [(s.start, s.stop) for s in model.layers] == [(0, 36), (36, 78), (78, 99)]
    assert [(s.start, s.stop) for s in problems.softmax().model.layers] == [(0, 18)]


def test_a_restricted_problem_has_the_whole_ones_gradient_and_projects_onto_its_ball() -> None:
    problem = problems.mlp(radius=2.0)
    weights = project(problem.model.initial_weights(torch.Generator().manual_seed(0)).float(), 1.9)
    free = last_layers(problem.model, 2)
    part = restricted(problem, weights, free)
    whole = problem.gradient(weights, problem.train)
    assert torch.allclose(part.gradient(weights[free], problem.train), whole[free], atol=1e-6)
    far = part.model.whole(project(100 * weights[free], part.training.radius))
    assert float(far.norm()) == pytest.approx(2.0, rel=1e-5)
    assert torch.equal(far[~free], weights[~free])
