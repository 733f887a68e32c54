"""Scoring a release, and looking at what it really published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.audit.lower_bounds import mechanism_audit
from benchmark.audit.published_noise import SUSPICIOUS, NoiseAudit, audit_noise
from benchmark.contract.claim import Claim, Distance, Target
from benchmark.contract.request import Release, Request
from benchmark.contract.value import Direction, Value
from benchmark.metrics.scores import population_auc
from benchmark.metrics.slack import distance_slack, realised_epsilon
from benchmark.metrics.utility import accuracy
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.runner.judge import Judge, Kept, judge_of
from benchmark.theory.composition import deletion_capacity
from benchmark.theory.gaussian import m_for

# Looking at what a release really published.

#: A correct certificate is called refuted once in a thousand audits at most.
CONFIDENCE = 0.999
#: Coordinates on each side below which nothing can be refuted.
FEWEST = 10


def published(release: Release) -> Tensor:
    """The weights that a release published, in the shape of its state's.

    Where they were projected after the noise, those before the projection: what is published must
    then be a function of them, which `benchmark.runner.properties` holds.
    """
    weights = release.predictor.members if release.unprojected is None else release.unprojected
    return weights.reshape(release.state.weights.shape)


def denoised(request: Request, release: Release) -> Tensor:
    """What was published less the noise that it should carry.

    The noise is drawn again from the request's seeds. If the release carried other noise, or other
    weights than those that it was certified for, the result is far from the retrained weights.
    """
    return published(release) - request.release_noise(release.state.weights, release.claim)


def audit(
    answers: Sequence[tuple[Request, Release]], directions: Mapping[str, Tensor]
) -> dict[str, Value]:
    """Tests of the noise that releases carried, from the published weights themselves.

    Args:
        answers: each request of a stream and its release, in order; all of one claim's kind.
        directions: named ones along which to look, (d,) each; none may depend on the noise.
    """
    claims = [release.claim for _, release in answers if release.claim is not None]
    exact = any(claim.evidence.kind == "construction" for claim in claims)
    if exact or len(claims) < len(answers):
        return {}
    if all(claim.release_sigma for claim in claims):
        residuals = [_array(published(release) - release.state.weights) for _, release in answers]
        sigmas = [claim.release_sigma for claim in claims]
        looked = {name: _array(direction) for name, direction in directions.items()}
        found = audit_noise(residuals, sigmas, looked, level=SUSPICIOUS)
        return _tests(found) | _refuted(residuals[-1] / sigmas[-1], claims[-1])
    steps = [release.noisy for _, release in answers if release.noisy is not None]
    if len(steps) < len(answers):
        note = "the noise is drawn while training: whole runs audit it (lethe audit)"
        return {"noise_p": Value(value=None, note=note)}
    residuals = [_array(step.noised - step.centre) for step in steps]
    return _tests(audit_noise(residuals, [step.sigma for step in steps], level=SUSPICIOUS))


def _tests(found: NoiseAudit) -> dict[str, Value]:
    n = len(found.findings)
    return {
        "noise_scale": Value(
            value=found.scale, n=n, note="size of the noise that was published over that claimed"
        ),
        "noise_p": Value(value=found.least, n=n, note=found.text),
    }


def _refuted(noise: np.ndarray, claim: Claim) -> dict[str, Value]:
    """A lower bound on epsilon from the (d,) published coordinates of noise, in sigmas.

    Each is a projection on a unit vector. Half of them are moved by m, as the worst pair of models
    that the claim allows would be apart: noise that is too small then shows.
    """
    half = len(noise) // 2
    if half < FEWEST:
        note = f"{len(noise)} weights are too few to refute anything"
        return {"audited_epsilon": Value(value=None, note=note)}
    m = claim.distance.bound / claim.distance.sigma
    result = mechanism_audit(m + noise[:half], noise[half:], claim.delta, CONFIDENCE)
    note = f"lower bound at {100 * CONFIDENCE:g} % confidence; above epsilon it refutes it"
    return {"audited_epsilon": Value(value=result.lower_epsilon, n=result.draws, note=note)}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().flatten().cpu().numpy()


# Scoring a release.

PARTS = ("retain", "forget", "test")
#: Parts on which predictions are compared with the retrained model's, row by row.
COMPARED = ("forget", "test")


@dataclass(frozen=True)
class Outputs:
    """Findings of a judge on each part of the data.

    Attributes:
        judge: of the problem.
        measures: by part, each of the judge's.
        losses: by part, (n,): those of `PARTS` and the never-trained `negatives`.
        predictions: on the parts of `COMPARED`; they are kept beside the record.
    """

    judge: Judge[Any]
    measures: dict[str, dict[str, float | None]]
    losses: dict[str, np.ndarray]
    predictions: dict[str, Kept]

    @property
    def worth(self) -> float | None:
        """The main measure on test rows."""
        return self.measures["test"][self.judge.main]

    @property
    def attack(self) -> float:
        """The population attack's AUC."""
        return population_auc(self.losses["forget"], self.losses["negatives"])


def predict(
    predictor: Predictor,
    problem: Problem,
    forget: Tensor,
    retain: Tensor,
    *,
    forgotten: Rows | None = None,
    negatives: Rows | None = None,
) -> Outputs:
    """Run a model over all parts of the data; there is no measure on a part without a row.

    Args:
        predictor: the model.
        problem: whose rows they are.
        forget: (n_u,) numbers of training rows.
        retain: (n_r,) likewise.
        forgotten: the rows to forget, where the problem no longer has them.
        negatives: in place of the problem's.
    """
    parts = {
        "retain": problem.train.take(retain),
        "forget": problem.train.take(forget) if forgotten is None else forgotten,
        "test": problem.test,
        "negatives": problem.negatives if negatives is None else negatives,
    }
    judge, found = judge_of(problem), Outputs(judge_of(problem), {}, {}, {})
    for name, rows in parts.items():
        outputs = judge.outputs(predictor, rows.x)
        if len(rows) == 0:
            found.losses[name] = np.zeros(0)
            continue
        found.measures[name] = judge.measure(outputs, rows.y)
        found.losses[name] = judge.losses(outputs, rows.y).cpu().numpy()
        if name in COMPARED:
            found.predictions[name] = judge.kept(outputs, rows.y)
    return found


def score(outputs: Outputs, reference: Outputs) -> dict[str, Value]:
    """Utility and forgetting of one model beside the retrained one's.

    Where no row is lost, as when an edge of a graph is, nothing is said of forgotten rows.
    """
    parts, compared = list(PARTS), list(COMPARED)
    if lost := len(outputs.losses["forget"]):
        negatives = len(outputs.losses["negatives"])
        return _scores(outputs, reference, parts, compared) | _attacked(
            outputs, reference, lost + negatives
        )
    parts.remove("forget")
    compared.remove("forget")
    note = "no row is lost: nothing to attack"
    scores = _scores(outputs, reference, parts, compared)
    main = f"{outputs.judge.main}_forget"
    names = (main, f"{main}_gap", "attack_auc", "attack_gap")
    return scores | {name: Value(value=None, note=note) for name in names}


def _scores(
    outputs: Outputs, reference: Outputs, parts: list[str], compared: list[str]
) -> dict[str, Value]:
    """Measures and losses on `parts`, predictions on `compared`."""
    scores: dict[str, Value] = {}
    judge, unit = outputs.judge, outputs.judge.loss_unit
    for part in parts:
        n = len(outputs.losses[part])
        forgotten = part == "forget"
        for name, written in judge.scores.items():
            number, retrained = outputs.measures[part][name], reference.measures[part][name]
            direction: Direction = "none" if forgotten else written.direction
            scores[f"{name}_{part}"] = written.value(number, n, direction)
            scores[f"{name}_{part}_gap"] = written.difference(number, retrained, n)
        ours, theirs = outputs.losses[part].mean(), reference.losses[part].mean()
        direction = "none" if forgotten else "lower"
        scores[f"loss_{part}"] = Value(value=ours, unit=unit, direction=direction, n=n)
        scores[f"loss_{part}_gap"] = Value(value=ours - theirs, unit=unit, direction="zero", n=n)
    for part in compared:
        found = judge.compared(reference.predictions[part], outputs.predictions[part])
        scores |= {f"{name}_{part}": value for name, value in found.items()}
    return scores


def _attacked(outputs: Outputs, reference: Outputs, n: int) -> dict[str, Value]:
    """The population attack beside that on the retrained model, on so many examples."""
    return {
        "attack_auc": Value(value=outputs.attack, direction="none", n=n),
        "attack_gap": Value(
            value=abs(outputs.attack - reference.attack),
            direction="lower",
            n=n,
            note="|AUC - AUC of retrain|",
        ),
    }


def score_claim(
    denoised: Tensor, reference: Tensor, claim: Claim | None, shared: bool
) -> dict[str, Value]:
    """Distance to the retrained weights, and how slack the bounds on it are.

    Args:
        denoised: (d,) or (members, d), what was published less the noise that it should carry.
        reference: (d,) retrained weights.
        claim: of the release, or None.
        shared: whether the method unlearns from the shared original; one with a training of its
            own has another retrained model.
    """
    evidence = claim.evidence if claim is not None else None
    if evidence is not None and evidence.kind == "algorithm":
        note = "the noise is drawn inside the algorithm: there are no weights before it"
        return {"distance": Value(value=None, direction="lower", note=note)}
    counts = _steps(evidence) if isinstance(evidence, Distance) else {}
    if not shared or denoised.shape != reference.shape:
        note = "the method trains its own model: the shared retrained weights are not its target"
        return {"distance": Value(value=None, direction="lower", note=note), **counts}
    distance = float(torch.linalg.vector_norm(denoised.double() - reference.double()))
    scores = {"distance": Value(value=distance, direction="lower", n=1), **counts}
    if claim is not None and isinstance(evidence, Distance):
        scores["slack"] = Value(
            value=distance_slack(evidence.reached, distance),
            direction="lower",
            n=1,
            note="proved bound on this release over its distance; below 1 it is violated",
        )
        scores["realised_epsilon"] = Value(
            value=realised_epsilon(distance, evidence.sigma, claim.delta),
            direction="lower",
            n=1,
            note="what the noise gives at the measured distance",
        )
    return scores


def _steps(evidence: Distance) -> dict[str, Value]:
    """How many steps the answer took, and how many of them beyond the method's own."""
    return {
        name: Value(value=c.value, unit="steps", direction="lower", n=1)
        for name in ("steps_taken", "further_steps")
        for c in evidence.measured
        if c.name == name
    }


def score_noise(
    outputs: Outputs, noiseless: Predictor, problem: Problem, claim: Claim | None
) -> dict[str, Value]:
    """Cost of the release noise: the main measure less that of the weights before it.

    Args:
        outputs: of the release.
        noiseless: the weights before noise.
        problem: with the test rows.
        claim: of the release, or None.
    """
    if claim is None or claim.release_sigma == 0:
        return {}
    judge, test = outputs.judge, problem.test
    before = judge.measure(judge.outputs(noiseless, test.x), test.y)[judge.main]
    note = f"{judge.title} with the release noise, less that without"
    main = judge.scores[judge.main]
    return {"noise_cost": main.difference(outputs.worth, before, len(test), note=note)}


def score_control(outputs: Outputs, control: Outputs) -> dict[str, Value]:
    """The main measure of the noise-only control, and what the row has over it.

    Args:
        outputs: of the release.
        control: of the same method, request and noise, started from zero weights.
    """
    n, main = len(outputs.losses["test"]), outputs.judge.main
    name, written = f"control_{main}_test", outputs.judge.scores[main]
    note = "above the noise-only control"
    return {
        name: written.value(control.worth, n, "none"),
        f"{name}_gap": written.difference(outputs.worth, control.worth, n, "higher", note),
    }


def score_restored(
    predictor: Predictor, problem: Problem, forget: Tensor, true_labels: Tensor | None
) -> dict[str, Value]:
    """Accuracy on forgotten rows by their true labels, where they were trained on with wrong ones.

    Args:
        predictor: what was released.
        problem: whose training labels are wrong on `forget`.
        forget: (n,) row indices.
        true_labels: (n,); None where the labels were right.
    """
    if true_labels is None:
        return {}
    outputs = predictor.log_probabilities(problem.train.take(forget).x)
    share = 100 * accuracy(outputs, true_labels)
    return {"accuracy_restored": Value(value=share, unit="%", direction="higher", n=len(forget))}


def score_stream(claims: list[Claim | None], target: Target) -> dict[str, Value]:
    """How far a noise that was fixed beforehand goes over a stream of requests.

    Args:
        claims: of its releases, in order.
        target: that all of them together should keep.
    """
    known = [claim for claim in claims if claim is not None and claim.composes]
    bounded = [claim.evidence for claim in known if isinstance(claim.evidence, Distance)]
    bounds = {e.bound for e in bounded}
    if len(claims) < 2 or len(bounded) < len(claims) or len(bounds) > 1:
        return {}
    n, bound = len(claims), bounds.pop()
    worst = (m_for(target.epsilon, target.delta) / max(c.guarantee.m for c in known)) ** 2
    capacity = deletion_capacity([e.reached for e in bounded], bound)
    note = "requests so far" if capacity.exhausted else f"extrapolated from {n} requests"
    note = "nothing is spent" if capacity.requests is None else note
    return {
        "budget_spent": Value(
            value=100 * capacity.spent,
            unit="%",
            direction="lower",
            n=n,
            note="sqrt(sum of squares of the proved bounds) over Delta_0, after the stream",
        ),
        "deletion_capacity": Value(
            value=capacity.requests,
            unit="requests",
            direction="higher",
            n=n,
            note=f"by the bounds proved for these requests; {note}",
        ),
        "uniform_capacity": Value(
            value=math.floor(worst * (1 + 1e-9)),
            unit="requests",
            direction="higher",
            n=n,
            note="whatever the requests are, each as far off as the noise is made for",
        ),
    }
