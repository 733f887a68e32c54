"""No proved bound is below the true distance, on any problem that can be drawn."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from rich.console import Console
from torch import Tensor

from benchmark import cli
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.problem import Problem
from benchmark.problem.training import NewtonTraining
from benchmark.studies import soundness
from benchmark.studies.random_problem import draw
from benchmark.studies.soundness import Answer, examine, methods, study
from benchmark.studies.tally import Check, Tally

QUIET = Console(file=io.StringIO())
#: Half a second a problem: too slow for hypothesis.
SLOW = {"newton-lissa"}


def sound(answers: list[Answer]) -> bool:
    assert all(answer.refusal or answer.checks for answer in answers)
    return not any(check.violated for answer in answers for check in answer.checks)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_T2_no_certificate_is_below_the_true_distance(seed: int) -> None:
    try:
        assert sound(examine(seed, [m for m in methods() if m.name not in SLOW]))
    except DidNotConverge:  # the study counts these; there is no reference to compare with
        reject()


@pytest.mark.parametrize("seed", [0, 3, 4, 8])
def test_T2_no_slow_methods_certificate_is_either(seed: int) -> None:
    assert sound(examine(seed, [m for m in methods() if m.name in SLOW]))


def test_every_method_that_certifies_a_distance_is_asked() -> None:
    names = {method.name for method in methods()}
    assert {"newton", "newton-lissa"} <= names
    assert not names & {"retrain", "sisa", "fine-tune"}


def test_a_seed_determines_its_problem() -> None:
    (problem, forget), (again, forget_again) = draw(11), draw(11)
    assert problem.objective == again.objective
    assert problem.train.x.equal(again.train.x)
    assert forget.equal(forget_again)
    assert len(draw(12)[0].train) != len(problem.train)


def test_problems_are_wide_apart() -> None:
    drawn = [draw(seed) for seed in range(300)]
    sizes = {len(problem.train) for problem, _ in drawn}
    assert min(sizes) < 10
    assert max(sizes) > 300
    assert {problem.objective.loss for problem, _ in drawn} == {"cross_entropy", "squared"}
    assert {problem.model.classes for problem, _ in drawn} == {2, 3, 4, 5, 6}
    assert all(1 <= len(forget) <= len(problem.train) / 2 for problem, forget in drawn)


def _lethe(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lethe", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def _wrong(theorem: Callable[..., float]) -> Callable[..., float]:
    return lambda **arguments: 1e-6 * theorem(**arguments)


def test_a_wrong_theorem_is_reported_with_the_seed_that_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.theory import bounds

    monkeypatch.setattr(bounds, "gradient_residual_bound", _wrong(bounds.gradient_residual_bound))
    assert _lethe(monkeypatch, "soundness", "--count", "2", "--seed", "8") == 1
    out = capsys.readouterr().out
    assert "VIOLATED newton, Theorem 5:" in out
    assert "VIOLATED newton, certified:" in out
    assert "VIOLATED newton, Theorem 6:" not in out
    assert "lethe soundness --count 1 --seed 8" in out
    assert _lethe(monkeypatch, "soundness", "--count", "1", "--seed", "8") == 1


def test_a_sound_study_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lethe(monkeypatch, "soundness", "--count", "2", "--seed", "0") == 0
    out = capsys.readouterr().out
    assert "no bound is violated" in out
    assert "0 of 2 problems were not trained" in out


def test_refusals_and_untrained_problems_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    newton = next(method for method in methods() if method.name == "newton")

    def refuse(*_: object) -> None:
        raise AssumptionBroken("no")

    def hopeless(seed: int) -> tuple[Problem, Tensor]:
        problem, forget = draw(seed)
        if seed == 5:
            problem = replace(problem, training=NewtonTraining(tolerance=1e-30))
        return problem, forget

    monkeypatch.setattr(type(newton), "unlearn", refuse)
    monkeypatch.setattr(soundness, "methods", lambda: [newton])
    monkeypatch.setattr(soundness, "draw", hopeless)
    tally = study(2, 4, QUIET)
    assert tally.untrained == [5]
    assert (tally.asked["newton"], tally.refused["newton"]) == (1, 1)
    assert not tally.violations


def test_slow_methods_are_asked_about_a_sub_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    newton = next(method for method in methods() if method.name == "newton")
    monkeypatch.setattr(soundness, "methods", lambda: [newton])
    monkeypatch.setattr(soundness, "SLOW", 0.0)
    monkeypatch.setattr(soundness, "PROBES", 2)
    monkeypatch.setattr(soundness, "STRIDE", 3)
    tally = study(8, 6, QUIET)
    assert tally.slow == {"newton", "newton, varied"}
    assert tally.asked["newton"] == 4  # the two probes, then problems 3 and 6


@pytest.mark.parametrize(
    ("value", "distance", "violated"),
    [(1.0, 1.0, False), (0.9, 1.0, True), (float("nan"), 1.0, True), (0.0, 0.0, False)],
)
def test_what_counts_as_violated(value: float, distance: float, violated: bool) -> None:
    check = Check(seed=7, method="m", bound="b", value=value, distance=distance)
    tally = Tally()
    tally.add("m", (check,), None)
    assert check.violated is violated
    assert bool(tally.violations) is violated
    assert tally.table().row_count == 1
