"""Trained models on disk, by the hash of what determines them, and the bank of shadow models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data.array_file import WeightFiles
from benchmark.errors import LetheError
from benchmark.metrics.divergence import margins
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem, Seal
from benchmark.problem.training.newton import DirectTraining, NewtonTraining
from benchmark.rows import Rows
from benchmark.shadow.training import Run, train

# Trained models on disk, each under the hash of everything that determines it.

#: Raise this when a change to training changes weights: what is on disk is then out of date.
RECIPE = 2
#: Models in one batched program: on the CPU what the caches hold, on a GPU what fills it.
BATCH = {"cpu": 8, "cuda": 64}

#: Hears how many models are there, and of how many.
Listener = Callable[[int, int], None]


class ModelStore:
    """Models of one problem, trained where they are missing and kept in `folder`.

    A model is one file. What a stop loses is the batch in flight; a file that is damaged is
    trained again. Every metric and method asks the same store, so nothing is trained twice.

    Args:
        problem: what is trained; its data and settings are part of every key.
        folder: for the weights; None keeps nothing.
        listener: for progress.
        batch: models trained together; by default what suits the device.
    """

    def __init__(
        self,
        problem: Problem,
        folder: Path | None,
        listener: Listener | None = None,
        batch: int | None = None,
    ) -> None:
        self.problem = problem
        self._seal = Seal()
        self._seal.put_problem(lambda: self.problem)
        self._files = WeightFiles(folder)
        self._listener = listener or (lambda done, total: None)
        self._batch = batch or BATCH.get(problem.device.type, BATCH["cpu"])

    def train(self, runs: list[Run]) -> Tensor:
        """Weights (len(runs), d), one row a run, read or trained.

        Runs that name the same model are trained once.

        Raises:
            LetheError: if there is no run, or runs that are trained together differ in size.
            InputsChanged: if the problem's rows are no longer what they were.
            DiskError: if the folder cannot be written.
            DidNotConverge: if a training is held to a tolerance and misses it.
        """
        if not runs:
            raise LetheError("there is no model to train")
        shape = (self.problem.model.dimension,)
        runs = [self._named(run) for run in runs]
        keys = [self.run_key(run) for run in runs]
        found = {key: w for key in keys if (w := self.read(key, shape)) is not None}
        wanted = dict(zip(keys, runs, strict=True))
        missing = [key for key in wanted if key not in found]
        self._listener(len(found), len(wanted))
        if missing:
            self.check("a method")
        for start in range(0, len(missing), self._batch):
            part = missing[start : start + self._batch]
            weights = train(self.problem, [wanted[key] for key in part])
            for key, row in zip(part, weights, strict=True):
                self.write(key, row)
                found[key] = row
            self._listener(len(found), len(wanted))
        return torch.stack([found[key] for key in keys])

    def check(self, who: str) -> None:
        """Compare the problem's rows with what they were: nothing is kept that came of others.

        Raises:
            InputsChanged: if something is different, by the fault of `who`.
        """
        self._seal.check(who)

    def run_key(self, run: Run) -> str:
        """The key of one training run's weights."""
        run = self._named(run)
        return self.key(rows=_digest([run.rows]), seed=run.seed)

    def key(self, **content: Any) -> str:
        """sha256, in hex, of the problem and of a JSON `content`."""
        whole = {"problem": self._problem_hash, "recipe": RECIPE, **content}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def read(self, key: str, shape: tuple[int, ...] | None = None) -> Tensor | None:
        """The weights under `key`, on the problem's device; None if missing or damaged.

        Args:
            key: from `key` or `run_key`.
            shape: another one counts as damaged; None takes any.
        """
        found = self._files.read(key, self.problem.device, shape)
        return None if found is None else found[0]

    def write(self, key: str, weights: Tensor) -> None:
        """Keep `weights`, behind a checksum.

        Raises:
            DiskError: if the folder cannot be written.
        """
        self._files.write(key, weights)

    def _named(self, run: Run) -> Run:
        """Where training goes to the one minimum there is, one run stands for those of any seed."""
        converges = isinstance(self.problem.training, NewtonTraining | DirectTraining)
        return Run(run.rows, 0) if converges and self.problem.strong_convexity else run

    @cached_property
    def _problem_hash(self) -> str:
        """Hash of what training looks at: rows, model, objective, algorithm, device."""
        problem = self.problem
        settings = {
            "model": problem.model.spec.model_dump(mode="json"),
            "classes": problem.model.classes,
            "objective": problem.objective.model_dump(mode="json"),
            "training": problem.training.model_dump(mode="json"),
            "precision": str(problem.dtype),
            "device": problem.device.type,
            "data": _rows_hash(problem.train),
        } | ({"graphs": shown} if (shown := problem.model.shown) else {})
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _rows_hash(rows: Rows) -> str:
    return _digest([rows.x, rows.y])


def _digest(tensors: Iterable[Tensor]) -> str:
    """sha256, in hex, of shapes and contents."""
    digest = hashlib.sha256()
    for tensor in tensors:
        array = np.ascontiguousarray(tensor.cpu().numpy())
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


# The shadow bank: models that each saw a random half of the training rows.


@dataclass(frozen=True)
class ShadowBank:
    """Shadow models and who was a member of which.

    Attributes:
        weights: (models, d).
        members: (models, n) bool: whether a model was trained on a training row.
    """

    weights: Tensor
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    def part(self, start: int, stop: int) -> ShadowBank:
        """Some of the models. Cuts at even numbers keep pairs of complements together."""
        return ShadowBank(self.weights[start:stop], self.members[start:stop])


def members(rows: int, models: int, seeds: Seeds) -> np.ndarray:
    """(models, rows) bool: for each model, which rows it is trained on.

    Models 2k and 2k + 1 divide the rows between them at random, so that every row is in exactly
    half of the models (Carlini et al. 2022); with an odd number of rows a pair leaves one out.
    A pair depends on its number and the seed alone: a larger bank contains the smaller ones.

    Raises:
        LetheError: if the number of models is odd, or there is less than a row for each.
    """
    if models < 2 or models % 2:
        raise LetheError(f"a shadow bank has an even number of models, at least 2, not {models}")
    if rows < 2:
        raise LetheError("a shadow bank needs at least two training rows")
    bits = np.zeros((models, rows), dtype=bool)
    half = rows // 2
    for pair in range(models // 2):
        order = torch.randperm(rows, generator=seeds.generator("evaluation", "members", pair))
        bits[2 * pair, order[:half]] = True
        bits[2 * pair + 1, order[half : 2 * half]] = True
    return bits


def shadow_bank(store: ModelStore, models: int, seeds: Seeds) -> ShadowBank:
    """The bank of a problem, trained as far as it is not on disk.

    Args:
        store: of the problem.
        models: how many; even.
        seeds: of which the evaluation seed counts.

    Raises:
        LetheError: for an odd number of models.
        DiskError: if the store's folder cannot be written.
        DidNotConverge: if a training is held to a tolerance and misses it.
    """
    bits = members(len(store.problem.train), models, seeds)
    runs = [
        Run.of(torch.from_numpy(np.flatnonzero(row)), seeds.generator("evaluation", "shadow", k))
        for k, row in enumerate(bits)
    ]
    return ShadowBank(store.train(runs), bits)


def leave_out_effect(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(n,) mean score of the models trained on a row, minus the mean of those that were not.

    With the probability of the label as the score this is the memorisation of Feldman & Zhang
    (2020), estimated over random halves as they do.

    Args:
        scores: (models, n), e.g. the probability of each row's label.
        members: (models, n) bool: whether a model was trained on a row.

    Raises:
        LetheError: if a row is in all models or in none.
    """
    inside = members.sum(axis=0)
    outside = len(members) - inside
    if not (inside.all() and outside.all()):
        raise LetheError("some rows are in all shadow models or in none: use more models")
    mean_inside = np.where(members, scores, 0).sum(axis=0) / inside
    mean_outside = np.where(members, 0, scores).sum(axis=0) / outside
    return mean_inside - mean_outside


def log_probabilities(predictors: Iterable[Predictor], rows: Rows) -> np.ndarray:
    """(models, n, classes) float64 log-probabilities."""
    return np.stack([p.log_probabilities(rows.x).cpu().numpy() for p in predictors])


def label_margins(predictors: Iterable[Predictor], rows: Rows) -> np.ndarray:
    """(models, n) margins log(p_y / (1 - p_y)), one model at a time: a whole data set fits."""
    labels = rows.y.cpu().numpy()
    return np.stack(
        [margins(p.log_probabilities(rows.x).cpu().numpy(), labels) for p in predictors]
    )
