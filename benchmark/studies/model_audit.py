"""Whole runs of a certified method against whole runs of the other side of its definition."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from benchmark.audit.mechanism import AuditResult, gdp_resolution, mechanism_audit
from benchmark.audit.model_level import model_audit
from benchmark.audit.published_noise import SUSPICIOUS, audit_noise
from benchmark.contract.claim import Claim, Target
from benchmark.contract.definition import verdict
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method
from benchmark.contract.request import Release
from benchmark.contract.seeds import Seeds
from benchmark.metrics.utility import losses
from benchmark.problem.problem import Problem, Seal
from benchmark.runner.audits import published
from benchmark.runner.cell import Cell
from benchmark.studies.audit_record import Finding
from benchmark.studies.two_sides import World, difference, reference, unlearned, without

#: Of every lower bound.
CONFIDENCE = 0.95
#: Runs a side, the first ones, of which the noise itself is tested.
NOISES = 50
#: What an observer makes of a run: of a head, how far it lies from A(D_r) towards A(D), which is
#: the way that the forgotten rows moved it; of a net, what it says of the forgotten rows.
ALONG, LOSS = "projection on w* − w_r", "loss on the forgotten rows"


class Runs:
    """Independent runs on one problem and request, both sides of a claim.

    Run k of a side draws noise with a seed of its own. What is random in training is drawn anew
    as well where a claim rests on it: by the construction of the release, or by noise in a
    method's own training. For all other claims one pair of models is trained, and the observer
    knows both: they hold for every pair.

    Args:
        problem: with all rows.
        forget: (n_u,) of them.
        target: that requests name.
    """

    def __init__(self, problem: Problem, forget: Tensor, target: Target) -> None:
        self.target = target
        self._forget = forget
        self._rows = problem.train.take(forget)
        self._sides = (World(problem), World(without(problem, forget)))
        self._seal = Seal()
        self._seal.put_problem(lambda: self._sides[1].problem)
        self.scored = ALONG if problem.model.spec.linear else LOSS

    def check(self, who: str) -> None:
        """Compare the rows of the other side with what they were.

        Raises:
            InputsChanged: if something is different, by the fault of `who`.
        """
        self._seal.check(who)

    def seeds(self, method: Method, k: int, side: int) -> Seeds:
        """Seeds of run k on side 0, the release's, or 1: the sides share no draw of noise."""
        own = method.has_own_training() and method.evidence == "algorithm"
        anew = own or method.evidence == "construction"
        return Seeds(training=2 * k + side if anew else 0, noise=2 * k + side)

    def released(self, method: Method, k: int) -> Release:
        """U(D, D_u, A(D))."""
        seeds = self.seeds(method, k, 0)
        return unlearned(method, self._sides[0], self._forget, target=self.target, seeds=seeds)

    def reference(self, method: Method, k: int, claimed: Release) -> Release:
        """What the claim is compared with, in the world in which the forgotten rows never were."""
        seeds = self.seeds(method, k, 1)
        return reference(method, self._sides[1], claimed, target=self.target, seeds=seeds)

    def direction(self) -> Tensor:
        """w* - w_r by the problem's own training, (d,)."""
        whole, kept = (side.weights(0) for side in self._sides)
        return whole - kept

    def score(self, release: Release) -> float:
        """What an observer looks at, see `scored`."""
        if self.scored == LOSS:
            outputs = release.predictor.log_probabilities(self._rows.x)
            return float(losses(outputs, self._rows.y).mean())
        way = self.direction()
        offset = release.predictor.members.mean(dim=0) - self._sides[1].weights(0)
        return float(offset.dot(way) / way.norm())


def finding(cell: Cell, runs: Runs, count: int) -> Finding:
    """Audit one row.

    Three things refute a claim: what a release says of itself differs between the sides, the
    noise that was published is not what is claimed, or the scores prove a larger epsilon.

    Args:
        cell: whose method is audited.
        runs: of its experiment's problem and request.
        count: runs a side.

    Raises:
        LetheError: if the method does not answer.
    """
    method, told = cell.method, ""
    released, references, scores = [], [], np.empty((2, count))
    for k in range(count):
        release = runs.released(method, k)
        other = runs.reference(method, k, release)
        told = told or difference(release, other)
        scores[:, k] = runs.score(release), runs.score(other)
        if k < NOISES:
            released.append(release)
            references.append(other)
    claim = released[0].claim
    delta = claim.delta or cell.inputs.target.delta
    result, resolution = _lower(claim, scores, delta)
    beyond = f"epsilon is at least {result.lower_epsilon:.3g}"
    noise = _noise(released, references, runs)
    reason = told or noise or (beyond if result.lower_epsilon > claim.epsilon else "")
    hopeless = "not falsifiable" if claim.epsilon >= resolution else "not refuted"
    return Finding(
        definition=claim.definition,
        epsilon=claim.epsilon,
        delta=delta,
        verdict=verdict(claim),
        score=runs.scored,
        lower=result.lower_epsilon,
        resolution=resolution,
        runs=result.draws,
        confidence=CONFIDENCE,
        outcome="refuted" if reason else hopeless,
        reason=reason,
    )


def _lower(claim: Claim, scores: np.ndarray, delta: float) -> tuple[AuditResult, float]:
    """A lower bound on epsilon from (2, count) scores, and the largest there could be.

    A Gaussian guarantee is judged as one; any other by the definition of (epsilon, delta) alone.
    """
    if isinstance(claim.guarantee, Gaussian):
        result = mechanism_audit(*scores, delta, CONFIDENCE)
        return result, gdp_resolution(result.draws, delta, CONFIDENCE)
    audit = model_audit(*scores, claim.epsilon, delta, CONFIDENCE)
    return audit.result, audit.resolution


def _noise(released: list[Release], references: list[Release], runs: Runs) -> str:
    """What is wrong with the noise of these runs, "" if nothing.

    The references follow in reverse, so that the last one stands beside the last release and the
    first beside the first: neither within a side nor across may noise be used again.
    """
    both = [*released, *reversed(references)]
    drawn = [_drawn(release) for release in both]
    if any(noise is None for noise in drawn):
        return ""
    residuals, sigmas = zip(*drawn, strict=True)
    directions = {}
    if runs.scored == ALONG and residuals[0].shape == runs.direction().shape:
        directions["w* − w_r"] = _array(runs.direction())
    found = audit_noise(residuals, sigmas, directions, level=SUSPICIOUS)
    return found.text if found.suspicious else ""


def _drawn(release: Release) -> tuple[np.ndarray, float] | None:
    """The noise of a release and the sigma that it should have; None where it is not known."""
    sigma = release.claim.release_sigma
    if sigma:
        return _array(published(release) - release.state.weights), sigma
    if release.noisy is None:
        return None
    return _array(release.noisy.noised - release.noisy.centre), release.noisy.sigma


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().flatten().cpu().numpy()
