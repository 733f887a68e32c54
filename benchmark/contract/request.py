"""A deletion request, and what answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.contract.claim import Claim, Target
from benchmark.contract.clock import Clock
from benchmark.contract.seeds import Axis, Seeds
from benchmark.errors import LetheError
from benchmark.problem.predictor import Predictor
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


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

    A method makes one by `Request.release`, which also draws the noise of a claim; see there.

    >>> [field for field in Release.__dataclass_fields__]
    ['predictor', 'state', 'claim', 'noisy']
    """

    predictor: Predictor
    state: State
    claim: Claim | None
    noisy: NoisyStep | None = None


@dataclass(frozen=True)
class Request:
    """One request: forget `forget`, given what training on `forget` and `retain` left behind.

    Attributes:
        problem: data, model, objective and training.
        original: the state to unlearn from.
        forget: (n_u,) sorted row indices.
        retain: (n_r,) sorted row indices; with `forget` they are `original.rows`.
        target: the (epsilon, delta) asked for.
        seeds: the axes of randomness.
        clock: the phase timer.
        number: position in a stream of requests, from 0.

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

    @classmethod
    def of(
        cls,
        problem: Problem,
        original: State,
        forget: Tensor,
        *,
        target: Target | None = None,
        seeds: Seeds | None = None,
        clock: Clock | None = None,
        number: int = 0,
    ) -> Request:
        """Build a request and audit its split: only what was trained on can be forgotten.

        Raises:
            LetheError: if `forget` repeats a row, names one that was not trained on, or leaves
                nothing to keep.
        """
        forget = forget.to("cpu", torch.int64).sort().values
        if len(forget.unique()) != len(forget):
            raise LetheError("the forget set names a row twice")
        if not torch.isin(forget, original.rows).all():
            raise LetheError("the forget set holds rows that the model was not trained on")
        retain = original.rows[~torch.isin(original.rows, forget)]
        if len(retain) == 0:
            raise LetheError("the forget set is the whole training set: nothing is left to keep")
        return cls(
            problem,
            original,
            forget,
            retain,
            target or Target(),
            seeds or Seeds(),
            clock or Clock(problem.device),
            number,
        )

    @property
    def forget_rows(self) -> Rows:
        """The data to forget."""
        return self.problem.train.take(self.forget)

    @property
    def retain_rows(self) -> Rows:
        """The data to keep."""
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

        Args:
            weights: the next request starts from them.
            claim: what is certified. Where its evidence is an algorithm with noise inside, no noise
                is added here.
            memory: for the next request.
            published: what an algorithm with noise inside publishes, where it is not `weights`.
            noisy: the last noisy step of such an algorithm.
        """
        claim = self._with_caveats(claim)
        if published is None:
            published = weights
            if claim is not None and claim.release_sigma > 0:
                with self.clock.phase("noise"):
                    published = weights + self.release_noise(weights, claim)
        return Release(
            predictor=Predictor(self.problem.model, published),
            state=State(weights, self.retain, memory),
            claim=claim,
            noisy=noisy,
        )

    def _with_caveats(self, claim: Claim | None) -> Claim | None:
        """The claim with what the data have been fitted by before any training."""
        caveats = self.problem.declared.caveats
        if claim is None or not caveats:
            return claim
        return claim.model_copy(update={"caveats": (*claim.caveats, *caveats)})
