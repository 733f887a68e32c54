"""SISA: sharded, isolated, sliced, aggregated training."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.problem.problem import Problem


class SISA(Method):
    """One model a shard, trained slice by slice with a checkpoint before each slice.

    A request retrains only the shards it touches, from the first slice it touches on. Exact by
    construction: a row's shard and slice depend on its number and the seed, never on the data, so
    the result is what training on the retained rows alone gives, bit for bit.
    """

    name = "sisa"
    title = "SISA"
    source = Source(
        paper="Bourtoule et al.: Machine Unlearning (IEEE S&P 2021)",
        url="https://arxiv.org/abs/1912.03817",
    )
    evidence = "construction"
    needs = frozenset({"retain"})

    shards: int = Field(5, ge=1)
    slices: int = Field(3, ge=1)

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("training"):
            paths = [self._train_shard(problem, rows, seeds, s) for s in range(self.shards)]
        return State(torch.stack([path[-1] for path in paths]), rows, memory=paths)

    def unlearn(self, request: Request) -> Release:
        shard, slice_ = self._places(request.problem, request.seeds)
        paths = list(request.original.memory)
        with request.clock.phase("training"):
            for s in shard[request.forget].unique().tolist():
                first = int(slice_[request.forget][shard[request.forget] == s].min())
                kept = paths[s][: first + 1]
                paths[s] = self._train_shard(
                    request.problem, request.retain, request.seeds, s, kept
                )
        weights = torch.stack([path[-1] for path in paths])
        claim = Claim.by_construction("touched shards retrained from checkpoints")
        return request.release(weights, claim, memory=paths)

    def _places(self, problem: Problem, seeds: Seeds) -> tuple[Tensor, Tensor]:
        """(n,) shard and (n,) slice of every training row, in use or not."""
        generator = seeds.generator("training", self.name, self.shards, self.slices)
        order = torch.randperm(len(problem.train), generator=generator)
        return order % self.shards, (order // self.shards) % self.slices

    def _train_shard(
        self,
        problem: Problem,
        rows: Tensor,
        seeds: Seeds,
        s: int,
        path: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Weights before the first slice and after each; `path` is how far it has come already.

        Each slice trains on all slices so far, with 2 / (slices + 1) of the epochs, so that the
        sum of row visits is that of one plain training (section V of the paper).
        """
        shard, slice_ = self._places(problem, seeds)
        mine = rows[shard[rows] == s]
        stream = (self.name, "shard", s)
        if path is None:
            start = problem.model.initial_weights(seeds.generator("training", *stream))
            path = [start.to(problem.device, problem.dtype)]
        path = list(path)
        for r in range(len(path) - 1, self.slices):
            seen = mine[slice_[mine] <= r]
            if len(seen) == 0:
                raise LetheError(f"SISA: shard {s} has no rows left up to slice {r}; use fewer")
            generator = seeds.generator("training", *stream, r)
            effort = 2 / (self.slices + 1)
            path.append(problem.fit(seen, generator, start=path[-1], effort=effort))
        return path
