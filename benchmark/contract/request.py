"""A deletion request, and what answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmark.contract.claim import Claim, Target
from benchmark.contract.clock import Clock
from benchmark.contract.seeds import Axis, Seeds
from benchmark.errors import LetheError
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.rows import Rows


@dataclass(frozen=True)
class State:
    """What training leaves behind. It stays secret: only a `Release` is published.

    Attributes:
        weights: (d,), or (members, d) for an ensemble; free of release noise.
        rows: (n,) sorted indices into the problem's training rows that it was trained on.
        memory: whatever the method that trained it keeps for later requests.

    >>> State(torch.zeros(650), torch.arange(1200)).rows.shape
    torch.Size([1200])
    """

    weights: Tensor
    rows: Tensor
    memory: Any = None


@dataclass(frozen=True)
class NoisyStep:
    """The last step at which an algorithm drew noise, handed over so that it can be audited.

    Attributes:
        centre: (d,) before the noise of the step.
        noised: (d,) after it.
        sigma: that the noise should have, per coordinate.
    """

    centre: Tensor
    noised: Tensor
    sigma: float


@dataclass(frozen=True)
class Release:
    """What a request is answered with.

    Attributes:
        predictor: the public model; nothing else is published but `Claim.public`.
        state: the start of the next request; its weights are the predictor's before release noise.
        claim: what is certified, or None.
        noisy: of an algorithm with noise inside, its last noisy step; secret, for audits.
        unprojected: the noised weights before they were projected onto the convex set of a
            property; secret, for audits. None where nothing is projected.

    A method makes one by `Request.release`, which also draws the noise of a claim; see there.

    >>> [field for field in Release.__dataclass_fields__]
    ['predictor', 'state', 'claim', 'noisy', 'unprojected']
    """

    predictor: Predictor
    state: State
    claim: Claim | None
    noisy: NoisyStep | None = None
    unprojected: Tensor | None = None


@dataclass(frozen=True)
class Request:
    """One request: an edit of the data that `original` was trained on.

    Some rows are lost, others keep their number and have other content from now on. What is to be
    forgotten are the lost rows and the old versions of the altered ones; what is to be kept are the
    rows that stay, altered ones in their new version. Most requests alter nothing: then `forget`
    and `retain` are disjoint, and together they are `original.rows`.

    Attributes:
        problem: data, model, objective and training, the data as they are from now on.
        original: the state to unlearn from.
        forget: (n_u,) sorted row indices, lost and altered; theorems that count rows count these.
        retain: (n_r,) sorted row indices to train on, altered ones among them.
        target: the (epsilon, delta) asked for.
        seeds: the axes of randomness.
        clock: the phase timer.
        number: position in a stream of requests, from 0.
        altered: (c,) sorted row indices, in `forget` and in `retain`.
        before: the training rows as they were, under the same numbers; None where none changed.

    Ask *Downdate* to forget three digits, and read what it certifies:

    >>> from benchmark.experiments.build import build
    >>> from benchmark.experiments.experiment import load
    >>> from benchmark.registry import find
    >>> seeds, clock = Seeds.all(0), Clock()
    >>> problem, _ = build(load("digits-squared").problem, seeds, "cpu")
    >>> method = find("downdate").method()
    >>> rows = torch.arange(len(problem.train))
    >>> trained = method.train(problem, rows, seeds, clock)
    >>> original = method.prepare(problem, trained, seeds, clock)
    >>> request = Request.of(problem, original, torch.tensor([3, 14, 15]), seeds=seeds)
    >>> release = method.answer(request)
    >>> release.claim.definition, release.claim.epsilon, len(release.state.rows)
    ('retrain', 0.0, 1197)
    """

    problem: Problem
    original: State
    forget: Tensor
    retain: Tensor
    target: Target
    seeds: Seeds
    clock: Clock
    number: int = 0
    altered: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    before: Rows | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        original: State,
        lost: Tensor,
        *,
        altered: Tensor | None = None,
        before: Rows | None = None,
        target: Target | None = None,
        seeds: Seeds | None = None,
        clock: Clock | None = None,
        number: int = 0,
    ) -> Request:
        """Build a request and audit its split: only what was trained on can be forgotten.

        Raises:
            LetheError: if rows to forget are repeated, were not trained on or leave nothing to
                keep, if altered rows have no old version, or if others differ from theirs.
        """
        lost = _numbers(lost, original.rows)
        altered = _numbers(lost[:0] if altered is None else altered, original.rows)
        if torch.isin(altered, lost).any():
            raise LetheError("a row is lost and altered in one request: it can only be one of them")
        retain = original.rows[~torch.isin(original.rows, lost)]
        if len(retain) == 0:
            raise LetheError("the forget set is the whole training set: nothing is left to keep")
        if before is None and len(altered):
            raise LetheError("rows are altered: give the rows as they were before as well")
        if before is not None:
            _check_kept(before, problem.train, retain[~torch.isin(retain, altered)])
        return cls(
            problem,
            original,
            torch.cat([lost, altered]).sort().values,
            retain,
            target or Target(),
            seeds or Seeds(),
            clock or Clock(problem.device),
            number,
            altered,
            before,
        )

    @property
    def lost(self) -> Tensor:
        """(f,) sorted indices of the rows that are gone."""
        return self.forget[~torch.isin(self.forget, self.altered)]

    @property
    def forget_rows(self) -> Rows:
        """The data to forget: lost rows, and altered ones as they were."""
        return (self.problem.train if self.before is None else self.before).take(self.forget)

    @property
    def altered_rows(self) -> Rows:
        """The altered rows as they are from now on."""
        return self.problem.train.take(self.altered)

    @property
    def retain_rows(self) -> Rows:
        """The data to keep, altered rows as they are from now on."""
        return self.problem.train.take(self.retain)

    def generator(self, axis: Axis, *scope: object) -> torch.Generator:
        """A fresh generator of this request's own: requests of a stream never share draws."""
        return self.seeds.generator(axis, "request", self.number, *scope)

    def noise(self, like: Tensor, sigma: float, *scope: object) -> Tensor:
        """N(0, sigma^2 I) in the shape, device and precision of `like`, drawn in float64.

        A method that adds noise inside names its step in `scope`: every scope has its own draw.
        """
        generator = self.generator("noise", *scope)
        draw = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        return (sigma * draw).to(like.device, like.dtype)

    def release_noise(self, like: Tensor, claim: Claim | None) -> Tensor:
        """The noise that this request's release carries under `claim`: zeros where it adds none."""
        sigma = claim.release_sigma if claim is not None else 0.0
        return self.noise(like, sigma) if sigma else torch.zeros_like(like)

    def release(
        self,
        weights: Tensor,
        claim: Claim | None = None,
        memory: Any = None,
        *,
        published: Tensor | None = None,
        noisy: NoisyStep | None = None,
    ) -> Release:
        """Publish `weights` ((d,) or (members, d)), plus the noise that the claim asks for.

        Where the problem says so, what is published is projected after the noise. The set depends
        on no row, so that is post-processing, on both sides of a definition.

        Args:
            weights: the next request starts from them.
            claim: what is certified. Where its evidence is an algorithm with noise inside, no noise
                is added here.
            memory: for the next request.
            published: what an algorithm with noise inside publishes, where it is not `weights`.
            noisy: the last noisy step of such an algorithm.
        """
        claim = self.with_caveats(claim)
        if claim is not None and self.problem.released_within is not None:
            claim = claim.model_copy(update={"projected": True})
        if published is None:
            published = weights
            if claim is not None and claim.release_sigma > 0:
                with self.clock.phase("noise"):
                    published = weights + self.release_noise(weights, claim)
        within, unprojected = self.problem.released_within, None
        if within is not None:
            with self.clock.phase("projection"):
                unprojected, published = published, within.project(published)
        return Release(
            predictor=Predictor(self.problem.model, published),
            state=State(weights, self.retain, memory),
            claim=claim,
            noisy=noisy,
            unprojected=unprojected,
        )

    def with_caveats(self, claim: Claim | None) -> Claim | None:
        """The claim with the caveats of data and problem that it lacks."""
        if claim is None:
            return None
        lacking = [one for one in self.problem.declared.caveats if one not in claim.caveats]
        return (
            claim.model_copy(update={"caveats": (*claim.caveats, *lacking)}) if lacking else claim
        )


def _numbers(rows: Tensor, trained: Tensor) -> Tensor:
    """Sorted row indices, each once and each of a row that was trained on.

    Raises:
        LetheError: if they are not.
    """
    rows = rows.to("cpu", torch.int64).sort().values
    if len(rows.unique()) != len(rows):
        raise LetheError("the forget set names a row twice")
    if not torch.isin(rows, trained).all():
        raise LetheError("the forget set holds rows that the model was not trained on")
    return rows


def _check_kept(before: Rows, after: Rows, kept: Tensor) -> None:
    """Hold the rows that an edit leaves alone to be the same, bit for bit.

    Raises:
        LetheError: naming the first row that is not, or if rows have other numbers.
    """
    if before.x.shape != after.x.shape:
        raise LetheError(
            f"the rows before have shape {tuple(before.x.shape)}, those after "
            f"{tuple(after.x.shape)}: an edit leaves every row its number"
        )
    old, new = before.take(kept), after.take(kept)
    differs = (old.x != new.x).flatten(1).any(dim=1) | (old.y != new.y)
    if differs.any():
        row = int(kept[differs.cpu()][0])
        raise LetheError(f"row {row} changes and is not among the altered rows: name it")
