"""What all methods of one experiment and seed share: problem, request, original, reference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from benchmark.contract.clock import Clock
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import with_bias
from benchmark.data import catalogue
from benchmark.data.array_file import WeightFiles
from benchmark.data.scenarios import Context
from benchmark.data.split import Split
from benchmark.errors import LetheError, present
from benchmark.experiments.build import build, fitted_features
from benchmark.experiments.experiment import ProblemSpec
from benchmark.experiments.graphs import nodes_split, stream
from benchmark.problem.influence import fewest_rows, most_influential
from benchmark.problem.model import Predictor
from benchmark.problem.problem import InputsChanged, Problem, Seal
from benchmark.properties.finding import Finding
from benchmark.records import DataInfo
from benchmark.rows import Rows
from benchmark.runner.cell import RETRAIN, Inputs, fingerprint
from benchmark.runner.evaluate import Outputs, predict
from benchmark.shadow.store import ModelStore, label_margins, leave_out_effect, shadow_bank

# The controls of a problem with public rows: models that have seen no private row.


def public_controls(
    spec: ProblemSpec, problem: Problem, chosen: Split, seeds: Seeds
) -> dict[str, np.ndarray]:
    """Whether each control is right on each test row, (n,) bool, by its name among the metrics'.

    Args:
        spec: the problem's settings.
        problem: built from them.
        chosen: the rows that went into it.
        seeds: of which the training seed counts.

    Raises:
        LetheError: if the control's training fails.
    """
    if problem.public is None:
        return {}
    found = {"head": best_head(problem, seeds)}
    if (outputs := _net_outputs(spec, problem, chosen)) is not None:
        found["net"] = (outputs.argmax(dim=1) == problem.test.y.cpu()).numpy()
    return found


def best_head(problem: Problem, seeds: Seeds) -> np.ndarray:
    """(n,) bool, whether the model trained on the public rows alone is right on each test row.

    It is trained with the ridge of the mean, and again with that of the sum, which weighs more on
    fewer rows. The one with the higher test accuracy counts, which favours the control.
    """
    public, ridge = present(problem.public), problem.objective.ridge
    ridges = {ridge, ridge * len(problem.train) / len(public)}
    answers = [_head(problem, r, seeds) for r in sorted(ridges)]
    return max(answers, key=np.sum)


def _head(problem: Problem, ridge: float, seeds: Seeds) -> np.ndarray:
    objective = problem.objective.model_copy(update={"ridge": ridge})
    alone = replace(problem, objective=objective, train=present(problem.public))
    weights = alone.fit(torch.arange(len(alone.train)), seeds.generator("training"))
    outputs = Predictor(problem.model, weights).log_probabilities(problem.test.x)
    return (outputs.argmax(dim=1) == problem.test.y).cpu().numpy()


def _net_outputs(spec: ProblemSpec, problem: Problem, chosen: Split) -> Tensor | None:
    """(n, classes) on the test rows; None where no net was trained on the public rows."""
    if problem.model.tangent is not None:
        public = torch.zeros(problem.model.dimension, dtype=problem.dtype, device=problem.device)
        return Predictor(problem.model, public).log_probabilities(problem.test.x).cpu()
    dataset = catalogue.load(spec.data)
    cache = fitted_features(spec, dataset, chosen)
    if cache is None or cache.spec.net is None:
        return None
    if chosen.test is None:
        return cache.fitted.net_log_probabilities(present(dataset.test).images)
    return cache.fitted.net_log_probabilities(dataset.train.images[chosen.test])


# What all methods of one experiment and seed share: problem, request, original, reference.

#: Of the shadow bank, the first models are for attacks and the others rank rows by memorisation:
#: an attack with models that chose its examples would find what they were chosen for.
ATTACKING, BANK = 8, 64


class Workbench:
    """The shared side of the cells with equal problem, seeds and forget set.

    Trained models are kept in `folder`, so that a run that was stopped does not train again.

    Args:
        inputs: of any of the cells.
        device: where to compute.
        folder: for trained models; None keeps nothing.

    Raises:
        LetheError: if the data cannot be had, or split and forget set do not fit them.
    """

    def __init__(self, inputs: Inputs, device: torch.device, folder: Path | None) -> None:
        self._inputs = inputs
        self._folder = folder
        self._seal = Seal()
        #: What a property's certification said of the retrained model, once it was asked.
        self.retrained_finding: Finding | None = None
        #: For a graph, the requests with the worlds before and after each; else None.
        self.stream = None
        if inputs.problem.graph is not None:
            self.stream = stream(inputs.problem, inputs.forget, inputs.seeds, device)
            self.problem = self.stream.start.problem
            self.split = nodes_split(self.stream.start.roles)
        else:
            self.problem, self.split = build(inputs.problem, inputs.seeds, device)
        self.rows = torch.arange(len(self.problem.train))
        correct = self.problem.train
        self._corrupt()
        self._seal.put_problem(lambda: self.problem)
        self._seal.put("row numbers", lambda: self.rows)
        #: For each request, the rows that are lost and those that it alters.
        self.requests, self.altered = self._requests(correct)
        #: The problem before all requests, that after the first, ...: of rows always the same.
        self.problems = self._problems(correct)
        #: All rows that are lost, and those whose inputs are corrected, which stay.
        self.forget = torch.cat([*self.requests, *self._corrected]).sort().values
        self.split.refuse_public(self.forget)
        self.retain = self.rows[~torch.isin(self.rows, torch.cat(self.requests))]
        #: Of the forgotten rows, (n,), where they are trained on with wrong ones; else None.
        self.true_labels = correct.take(self.forget).y if self._relabelled else None
        self._seal.put("rows to forget", lambda: torch.cat([*self.requests, self.forget]))
        self._seal.put("rows to keep", lambda: self.retain)
        for number, problem in enumerate(self.problems[1:]):
            if problem is not self.problem:
                self._seal.put(f"inputs of request {number}", partial(_rows_of, problem))
        # Constants of the data, known before any request: no method is charged for them.
        for problem in self.problems:
            _ = problem.row_norm, problem.fixed_point

    @property
    def after(self) -> Problem:
        """The problem after all requests: what every model is scored on."""
        return self.problems[-1]

    def request(self, number: int, state: State, **more: Any) -> Request:
        """The request of that number in the stream, from the `state` that the last one left."""
        old, new = self.problems[number : number + 2]
        before = old.train if new is not old else None
        return Request.of(
            new,
            state,
            self.requests[number],
            altered=self.altered[number],
            before=before,
            number=number,
            **more,
        )

    def edge_generator(self) -> torch.Generator:
        """Draws the pairs that forgotten edges are compared with."""
        return self.evaluation_generator("pairs without an edge")

    def evaluation_generator(self, scope: str) -> torch.Generator:
        """Draws what models are looked at with, in a scope of its own."""
        return self._inputs.seeds.generator("evaluation", scope)

    def propagation(self, number: int) -> float:
        """Seconds that the features of a request took: whoever answers it needs them."""
        return self.stream.edits[number].seconds if self.stream is not None else 0.0

    def predict(self, predictor: Predictor) -> Outputs:
        """A model over all parts of the data as they are after the requests."""
        old = {}
        if self.stream is not None:  # members and non-members as they were when it was trained
            old = {"forgotten": self.problem.train.take(self.forget)}
            old["negatives"] = self.problem.negatives
        elif self._corrected:  # forgotten is what was wrong
            old = {"forgotten": self.problem.train.take(self.forget)}
        return predict(predictor, self.after, self.forget, self.retain, **old)

    @classmethod
    def of_rows(cls, inputs: Inputs, device: torch.device, folder: Path | None) -> Workbench:
        """The same for a study that takes requests to name whole rows.

        Raises:
            LetheError: if the data are a graph, or rows are corrected; or see the class.
        """
        graph = inputs.problem.graph is not None
        if graph or inputs.forget.corrects:
            raise LetheError(
                "this study is of requests that name whole rows, and here they change "
                f"{'a graph' if graph else 'their inputs'}: "
                "take an experiment on rows, such as digits-softmax"
            )
        return cls(inputs, device, folder)

    @cached_property
    def original(self) -> tuple[State, float]:
        """The shared original, trained on every training row, and the seconds it took."""
        weights, seconds = self._trained(self.rows)
        self._seal.put("weights of the original", lambda: weights)
        return State(weights, self.rows), seconds

    @cached_property
    def reference(self) -> tuple[Tensor, float]:
        """A(D_r): weights retrained with the original's training seed, and the seconds."""
        weights, seconds = self._trained(self.retain, self.after)
        self._seal.put("weights of the retrained model", lambda: weights)
        return weights, seconds

    def take_reference(self, weights: Tensor, seconds: float) -> None:
        """Keep the last answer of the row `RETRAIN` as the reference, unless there is one already.

        It is the same training of the same rows by the same seed. Nobody trains it a second time,
        and the time that every speed-up is measured by is that of the row.

        Raises:
            InputsChanged: if the inputs are no longer what they were; then nothing is kept.
            DiskError: if the folder cannot be written.
        """
        if "reference" in vars(self):
            return
        self.check(RETRAIN)
        WeightFiles(self._folder).write(self.weights_key(self.retain, self.after), weights, seconds)
        self.reference = weights, seconds
        self._seal.put("weights of the retrained model", lambda: weights)

    @cached_property
    def spectral_norm(self) -> float:
        """The largest singular value of the retained rows, with their bias, after the requests."""
        rows = with_bias(self.after.train.take(self.retain).x).double()
        gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
        return float(torch.linalg.eigvalsh(gram)[-1]) ** 0.5

    def check(self, who: str) -> None:
        """Compare what every method is given with what it was when it was made.

        Raises:
            InputsChanged: if something is different, by the fault of `who`. This side is then of
                no use to others.
        """
        self._seal.check(who)

    @property
    def intact(self) -> bool:
        """Whether everything that methods are given is as it was."""
        try:
            self.check("a method")
        except InputsChanged:
            return False
        return True

    @cached_property
    def reference_outputs(self) -> Outputs:
        """The reference model's predictions."""
        return self.predict(Predictor(self.problem.model, self.reference[0]))

    @cached_property
    def public_controls(self) -> dict[str, np.ndarray]:
        """Whether each control of public rows is right on each test row, (n,) bool, by name."""
        return public_controls(self._inputs.problem, self.problem, self.split, self._inputs.seeds)

    @cached_property
    def data(self) -> DataInfo:
        """The record's account of the data."""
        if self.stream is not None:
            return self._graph_data()
        dataset = catalogue.load(self._inputs.problem.data)
        hashes = {"train": dataset.train.content_hash}
        if dataset.test is not None:
            hashes["test"] = dataset.test.content_hash
        return DataInfo(
            name=dataset.name,
            content_hash=hashes,
            split_hash=self.split.fingerprint,
            forget_hash=hashlib.sha256(self.forget.numpy().tobytes()).hexdigest(),
            train=len(self.rows),
            negatives=len(self.problem.negatives),
            test=len(self.problem.test),
            forget=len(self.forget),
            public=None if self.problem.public is None else len(self.problem.public),
        )

    def _graph_data(self) -> DataInfo:
        found = self._inputs.problem.graph_data()
        asked = b"|".join(
            part.tobytes()
            for change in present(self.stream).changes
            for part in (change.nodes, change.edges, change.features, change.labels)
        )
        return DataInfo(
            name=self._inputs.problem.data,
            content_hash={"graph": found.graph.content_hash},
            split_hash=self.split.fingerprint,
            forget_hash=hashlib.sha256(asked).hexdigest(),
            train=len(self.rows),
            negatives=len(self.problem.negatives),
            test=len(self.after.test),
            forget=len(self.forget),
        )

    def _requests(self, correct: Rows) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        if self.stream is not None:
            edits = self.stream.edits
            return tuple(e.lost for e in edits), tuple(e.altered for e in edits)
        context = Context(
            correct.y,
            correct.x,
            leave_out_effect=self._leave_out_effect,
            sizes=self._sizes,
            most_influential=self._most_influential if self.problem.strong_convexity else None,
            against_property=self._against_property(),
            numbers=tuple(self.split.train.tolist()),
            ids=self._ids(),
        )
        named = self._inputs.forget.draw(self.rows, self._inputs.seeds, context)
        none = (named[0][:0],) * len(named)
        return (none, named) if self._inputs.forget.corrects else (named, none)

    @property
    def _corrected(self) -> tuple[Tensor, ...]:
        """For each request, the rows whose inputs it puts right."""
        return self.altered if self._inputs.forget.corrects else ()

    def _problems(self, correct: Rows) -> tuple[Problem, ...]:
        if self.stream is not None:
            return tuple(world.problem for world in self.stream.worlds)
        found = [self.problem]
        for rows in self.altered:
            before = found[-1]
            if len(rows):
                x, places = before.train.x.clone(), rows.to(correct.x.device)
                x[places] = correct.x[places]
                before = replace(before, train=Rows(x, before.train.y))
            found.append(before)
        return tuple(found)

    @property
    def _relabelled(self) -> bool:
        return self._inputs.forget.relabels

    def _corrupt(self) -> None:
        """Give rows the labels and inputs that the scenario has for them, to train with."""
        forget, train, seeds = self._inputs.forget, self.problem.train, self._inputs.seeds
        if forget.relabels or forget.corrects:
            y = forget.training_labels(train.y, self.problem.model.classes, seeds)
            x = forget.training_inputs(train.x, seeds)
            self.problem = replace(self.problem, train=Rows(x, y))

    def _leave_out_effect(self) -> Tensor:
        """(n,) by the probability of the label; trains most of a shadow bank."""
        store = ModelStore(self.problem, self._folder)
        bank = shadow_bank(store, BANK, self._inputs.seeds).part(ATTACKING, BANK)
        predictors = (Predictor(self.problem.model, weights) for weights in bank.weights)
        probabilities = expit(label_margins(predictors, self.problem.train))
        return torch.from_numpy(leave_out_effect(probabilities, bank.members))

    def _ids(self) -> tuple[str, ...] | None:
        """(n,) the hashes of the training rows' ids."""
        ids = catalogue.load(self._inputs.problem.data).train.ids
        return None if ids is None else tuple(ids[row] for row in self.split.train.tolist())

    def _sizes(self) -> Tensor:
        """(n,) float64, the norms of images in the units of pixels, of a table's rows as scaled."""
        part = catalogue.load(self._inputs.problem.data).train
        if part.is_table:
            return torch.linalg.vector_norm(self.problem.train.x.double().cpu(), dim=1)
        images = part.images[self.split.train.numpy()]
        flat = images.reshape(len(images), -1)
        squares = np.einsum("ij,ij->i", flat, flat, dtype=np.int64)
        return torch.from_numpy(np.sqrt(squares))

    def _most_influential(self, rows: Tensor, count: int) -> Tensor:
        """(count,) of `rows`; trains the original."""
        return most_influential(self.problem, self.original[0].weights, rows, count)

    def _against_property(self) -> Callable[[Tensor], Tensor] | None:
        """Finds the fewest of some rows that break the property; trains the original."""
        declared, free = self._inputs.problem.kept_property, not self.problem.constrained
        constraints = declared.constraints(self.problem) if declared is not None else None
        if constraints is None or self.problem.strong_convexity is None or not free:
            return None
        return lambda rows: fewest_rows(self.problem, self.original[0].weights, rows, constraints)

    def _trained(self, rows: Tensor, problem: Problem | None = None) -> tuple[Tensor, float]:
        problem = problem or self.problem
        files, key = WeightFiles(self._folder), self.weights_key(rows, problem)
        if (found := files.read(key, self.problem.device)) is not None:
            return found
        self.check("the method")  # no model is trained on, or kept of, what a method changed
        clock = Clock(self.problem.device)
        with clock.phase("training"):
            weights = problem.fit(rows, self._inputs.seeds.generator("training"))
        seconds = clock.seconds["training"]
        files.write(key, weights, seconds)
        return weights, seconds

    def weights_key(self, rows: Tensor, problem: Problem | None = None) -> str:
        """sha256, in hex, of everything that determines the weights trained on `rows`.

        Args:
            rows: (n,) numbers.
            problem: whose rows they are; that before all requests if None.
        """
        content = {
            "recipe": self._inputs.recipe,
            "problem": self._inputs.problem.model_dump(mode="json"),
            "split": self._inputs.seeds.split,
            "training": self._inputs.seeds.training,
            "device": self._inputs.device,
            "rows": hashlib.sha256(rows.numpy().tobytes()).hexdigest(),
        }
        if self._relabelled:  # then what is forgotten decides what is trained on
            content["labels"] = hashlib.sha256(self.problem.train.y.cpu().numpy().data).hexdigest()
        if self.stream is not None or self._corrected:  # inputs are a function of the request
            x = (problem or self.problem).train.take(rows).x
            content["features"] = hashlib.sha256(x.cpu().numpy().tobytes()).hexdigest()
        if shown := self.problem.model.shown:
            content["graphs"] = shown
        return fingerprint(content)


def _rows_of(problem: Problem) -> Tensor:
    """Inputs of the training rows."""
    return problem.train.x
