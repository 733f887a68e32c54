"""Whole runs of every certified method against whole runs of its reference."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmark.audit.model_level import model_audit
from benchmark.contract.certificate import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.metrics.utility import losses
from benchmark.runner.cell import Cell
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import Finding

#: Of every lower bound.
CONFIDENCE = 0.95


class Runs:
    """Independent runs on one problem and request, both sides of a certificate.

    Run k draws training and noise with seeds of its own; data and forget set stay. Training varies
    also where it goes to a tolerance: what the seed leaves there, some 1e-12, would else tell two
    deterministic models apart.

    Args:
        bench: problem and request.
        count: runs a side.
        target: that requests name.
    """

    def __init__(self, bench: Workbench, count: int, target: Target) -> None:
        self.bench, self.count, self.target = bench, count, target
        self.original = cache(self._original)
        self.trained = cache(self._trained)

    def seeds(self, k: int, side: int) -> Seeds:
        """Of run k; the sides share no noise."""
        return Seeds(training=k, noise=2 * k + side)

    def released(self, method: Method, k: int) -> Release:
        """U(D, D_u, A(D))."""
        seeds = self.seeds(k, side=0)
        original = self.original(method, seeds.training, False)
        return method.answer(self._request(original, seeds, self.bench.forget))

    def reference(self, method: Method, k: int, claimed: Release) -> Release:
        """What the certificate compares with, under the noise that was `claimed`.

        A(D_r) itself for `retrain`; with the release's noise for `unlearn-on-retain`; for
        `reference` the method's own program started from A(D_r), which never saw D_u.
        """
        seeds = self.seeds(k, side=1)
        state = self.original(method, seeds.training, True)
        if claimed.certificate.definition == "reference":
            start = replace(state, rows=self.bench.rows)
            return method.answer(self._request(start, seeds, self.bench.forget))
        request = self._request(state, seeds, torch.tensor([], dtype=torch.int64))
        return request.release(state.weights, claimed.certificate)

    def score(self, release: Release) -> float:
        """Mean loss on the forgotten rows: what an observer who holds them would look at."""
        rows = self.bench.problem.train.take(self.bench.forget)
        return float(losses(release.predictor.log_probabilities(rows.x), rows.y).mean())

    def _original(self, method: Method, training: int, kept: bool) -> State:
        """Trained on all rows or on those to keep, and prepared for requests."""
        own = method if method.has_own_training() else None
        state = self.trained(own, training, kept)
        return method.prepare(self.bench.problem, state, Seeds(training=training), Clock())

    def _trained(self, own: Method | None, training: int, kept: bool) -> State:
        """By the method's own training, or by the problem's, which the others share."""
        rows = self.bench.retain if kept else self.bench.rows
        seeds = Seeds(training=training)
        if own is not None:
            return own.train(self.bench.problem, rows, seeds, Clock())
        return State(self.bench.problem.fit(rows, seeds.generator("training")), rows)

    def _request(self, original: State, seeds: Seeds, forget: Tensor) -> Request:
        return Request.of(self.bench.problem, original, forget, target=self.target, seeds=seeds)


def finding(cell: Cell, runs: Runs) -> Finding:
    """Audit one row.

    Raises:
        LetheError: if the method does not answer.
    """
    method = cell.method
    released = [runs.released(method, k) for k in range(runs.count)]
    references = [runs.reference(method, k, release) for k, release in enumerate(released)]
    certificate = released[0].certificate
    delta = certificate.delta or cell.inputs.target.delta
    epsilon = max(release.certificate.epsilon for release in released)
    audit = model_audit(
        np.array([runs.score(release) for release in released]),
        np.array([runs.score(release) for release in references]),
        epsilon,
        delta,
        CONFIDENCE,
    )
    return Finding(
        experiment=cell.experiment,
        title=cell.info.title,
        definition=certificate.definition,
        epsilon=epsilon,
        delta=delta,
        verdict=certificate.verdict,
        lower=audit.result.lower_epsilon,
        resolution=audit.resolution,
        runs=audit.result.draws,
        confidence=CONFIDENCE,
        outcome=audit.verdict,
    )
