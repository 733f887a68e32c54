"""The systems that are solved, and what the studies of timings share."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmark.bench.record import DampingInfo, Rule, SystemInfo
from benchmark.contract.seeds import Seeds
from benchmark.curvature.krylov import extreme_eigenvalues
from benchmark.data import catalogue
from benchmark.errors import LetheError, unknown
from benchmark.experiments import experiment as experiments
from benchmark.experiments.build import build
from benchmark.files import cache_folder, replace_file, seal, unsealed
from benchmark.json_file import Sound
from benchmark.problem.model import AllCNNSpec, Model, ModelSpec, ResNet18Spec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.records import Envelope, Store, study_path
from benchmark.rows import Rows
from benchmark.runner.cell import fingerprint
from benchmark.runner.device import cpu_model
from benchmark.solvers.solver import System
from benchmark.study.study import Piece, Study, Unit

# The systems that are solved: trained problems, their gradients and their dampings.

#: Raise this when a change here changes a system.
RECIPE = 3

Size = Literal["smoke", "full"]

RULES: tuple[Rule, ...] = ("0.1-norm", "1-norm", "1.5-lambda-min")


@dataclass(frozen=True)
class SystemSpec:
    """What determines a system but its damping.

    Attributes:
        source: the experiment whose problem it is; for a convolutional net a data set.
        rows: that H is the mean over, forgotten ones taken away; None takes all there are.
        forgotten: so many are.
        lanczos: steps for the ends of the spectrum.
    """

    name: str
    title: str
    size: Size
    source: str
    net: Literal["dense", "allcnn", "resnet18"]
    precision: Literal["float32", "float64"]
    rows: int | None
    forgotten: int
    lanczos: int = 60

    @property
    def key(self) -> str:
        return fingerprint({"recipe": RECIPE, **vars(self)})


SPECS: dict[Size, tuple[SystemSpec, ...]] = {
    "smoke": (
        SystemSpec("digits-mlp", "Digits, MLP", "smoke", "digits-mlp", "dense", "float32", 600, 20),
        SystemSpec(
            "digits-softmax",
            "Digits, softmax",
            "smoke",
            "digits-softmax",
            "dense",
            "float64",
            600,
            20,
        ),
        SystemSpec(
            "digits-allcnn",
            "Digits, AllCNN/16 with GroupNorm",
            "smoke",
            "digits",
            "allcnn",
            "float32",
            30,
            2,
            24,
        ),
    ),
    "full": (
        SystemSpec(
            "mnist-mlp",
            "MNIST, MLP 784-32-32-10",
            "full",
            "mnist-mlp",
            "dense",
            "float32",
            59_000,
            500,
        ),
        SystemSpec(
            "mnist-softmax-float32",
            "MNIST, softmax, float32",
            "full",
            "mnist-softmax",
            "dense",
            "float32",
            59_000,
            500,
        ),
        SystemSpec(
            "mnist-softmax-float64",
            "MNIST, softmax, float64",
            "full",
            "mnist-softmax",
            "dense",
            "float64",
            59_000,
            500,
        ),
        SystemSpec(
            "cifar10-allcnn",
            "CIFAR-10, AllCNN/4 with GroupNorm",
            "full",
            "cifar10",
            "allcnn",
            "float32",
            250,
            10,
            28,
        ),
    ),
}

#: Also solved where there is a GPU: the paper's largest net, at its full width,
#: on a data set that is small enough to carry to a machine without a network.
ON_A_GPU: dict[Size, SystemSpec] = {
    "smoke": SystemSpec(
        "digits-resnet18",
        "Digits, ResNet-18/16 with GroupNorm",
        "smoke",
        "digits",
        "resnet18",
        "float32",
        30,
        2,
        24,
    ),
    "full": SystemSpec(
        "mnist-resnet18",
        "MNIST, ResNet-18 with GroupNorm",
        "full",
        "mnist",
        "resnet18",
        "float32",
        250,
        10,
        28,
    ),
}

#: The nets on images, and the epochs of their training.
IMAGE_NETS: dict[tuple[str, Size], tuple[ModelSpec, int]] = {
    ("allcnn", "smoke"): (AllCNNSpec(kind="allcnn", width=6), 100),
    ("allcnn", "full"): (AllCNNSpec(kind="allcnn", width=24), 20),
    ("resnet18", "smoke"): (ResNet18Spec(kind="resnet18", width=4), 100),
    ("resnet18", "full"): (ResNet18Spec(kind="resnet18", width=64), 20),
}


def specs(size: Size, device: str) -> tuple[SystemSpec, ...]:
    """The systems of one size that a kind of device solves, `cpu` or `cuda`."""
    return SPECS[size] if device == "cpu" else (*SPECS[size], ON_A_GPU[size])


def find_system(name: str) -> SystemSpec:
    """The system of that name, of any size.

    Raises:
        LetheError: if there is none.
    """
    known = {spec.name: spec for size in SPECS for spec in specs(size, "cuda")}
    if name not in known:
        raise unknown("system", name, known)
    return known[name]


@dataclass(frozen=True)
class Bench:
    """A system up to its damping, ready to be solved.

    Attributes:
        weights: w, (d,), trained on the retained and the forgotten rows.
        rows: the retained ones.
        b: the gradient over them at w, (d,).
        smallest, largest: eigenvalues of the Hessian there, by Lanczos.
    """

    spec: SystemSpec
    problem: Problem
    weights: Tensor
    rows: Rows
    b: Tensor
    smallest: float
    largest: float

    @property
    def info(self) -> SystemInfo:
        return SystemInfo(
            name=self.spec.name,
            title=self.spec.title,
            size=self.spec.size,
            rows=len(self.rows),
            dimension=len(self.weights),
            precision=self.spec.precision,
            smallest=self.smallest,
            largest=self.largest,
        )

    def damping(self, rule: Rule) -> DampingInfo:
        """Lambda by one of the rules."""
        norm = max(self.largest, -self.smallest)
        by_rule = {
            "0.1-norm": 0.1 * norm,
            "1-norm": norm,
            "1.5-lambda-min": 1.5 * abs(self.smallest),
        }
        value = by_rule[rule]
        low, high = self.smallest + value, self.largest + value
        condition = high / low if low > 0 else None
        return DampingInfo(rule=rule, value=value, condition=condition)

    def system(self, rule: Rule) -> System:
        """The system with that damping; its operator is not built yet."""
        return System(self.problem, self.weights, self.rows, self.damping(rule).value, self.b)


def prepare(spec: SystemSpec, device: torch.device) -> Bench:
    """Read the data, train and find the ends of the spectrum; the last two are kept on disk.

    Raises:
        LetheError: if the data cannot be had.
    """
    seeds = Seeds.all(0)
    problem = _dense(spec, seeds) if spec.net == "dense" else _convolutional(spec, seeds)
    path = cache_folder() / "bench" / f"{spec.key[:32]}.pt"
    order = torch.randperm(len(problem.train), generator=seeds.generator("forget"))
    retained = order[spec.forgotten :].sort().values
    kept = _read(path)
    dtype = getattr(torch, spec.precision)
    problem = _moved(problem, device, dtype)
    if kept is None:
        weights = _train(spec, problem, seeds).to(dtype)
        rows = problem.train.take(retained)
        start = torch.randn(len(weights), generator=seeds.generator("training", "lanczos"))
        smallest, largest = extreme_eigenvalues(
            problem.hessian(weights, rows), start.to(weights), spec.lanczos
        )
        kept = {"weights": weights.cpu(), "smallest": smallest, "largest": largest}
        buffer = io.BytesIO()
        torch.save(kept, buffer)
        replace_file(path, seal(buffer.getvalue()))
    rows = problem.train.take(retained)
    weights = kept["weights"].to(device)
    return Bench(
        spec=spec,
        problem=problem,
        weights=weights,
        rows=rows,
        b=problem.gradient(weights, rows),
        smallest=kept["smallest"],
        largest=kept["largest"],
    )


def _dense(spec: SystemSpec, seeds: Seeds) -> Problem:
    """The experiment's problem with as many training rows as the system asks for, in float64."""
    own = experiments.load(spec.source).problem
    train = None if spec.rows is None else spec.rows + spec.forgotten
    held_back = {"negatives": 1 if own.split.test is None else own.split.negatives, "train": train}
    changes: dict[str, Any] = {
        "split": own.split.model_copy(update=held_back),
        "precision": "float64" if own.model.linear else spec.precision,
    }
    return build(own.model_copy(update=changes), seeds, torch.device("cpu"))[0]


def _convolutional(spec: SystemSpec, seeds: Seeds) -> Problem:
    """A convolutional net, as experiments have it, on centred images in flat rows."""
    dataset = catalogue.load(spec.source)
    total = spec.forgotten + (spec.rows or len(dataset.train.labels) - spec.forgotten)
    order = torch.randperm(len(dataset.train.labels), generator=seeds.generator("split"))
    chosen = order[:total].sort().values.numpy()
    images = dataset.train.images[chosen].astype(np.float32)
    images = images[..., None] if images.ndim == 3 else images
    x = torch.from_numpy(images / (catalogue.levels(spec.source) / 2) - 1)
    train = Rows(x.flatten(1), torch.from_numpy(dataset.train.labels[chosen]))
    net, epochs = IMAGE_NETS[spec.net, spec.size]
    height, width, channels = x.shape[1:]
    return Problem(
        model=Model(net, (height, width, channels), dataset.classes),
        objective=Objective(ridge=5e-4),
        training=AdamTraining(algorithm="adam", epochs=epochs, batch=50, learning_rate=1e-3),
        train=train,
        negatives=train,
        test=train,
    )


def _moved(problem: Problem, device: torch.device, dtype: torch.dtype) -> Problem:
    parts = ("train", "negatives", "test")
    return replace(problem, **{part: getattr(problem, part).to(device, dtype) for part in parts})


def _train(spec: SystemSpec, problem: Problem, seeds: Seeds) -> Tensor:
    """Weights (d,) trained on all rows; a linear model in float64, where training converges."""
    if problem.model.spec.linear:
        problem = _moved(problem, problem.device, torch.float64)
        easier = problem.training.model_copy(update={"tolerance": 1e-6})
        problem = replace(problem, training=easier)
    everything = torch.arange(len(problem.train))
    return problem.fit(everything, seeds.generator("training"))


def _read(path: Path) -> dict[str, Any] | None:
    """What was kept, None if it is missing or damaged."""
    payload = unsealed(path)
    return None if payload is None else torch.load(io.BytesIO(payload), weights_only=True)


# What the studies of timings share: their systems, what a key is made of, what is planned.

#: Raise this when a change to the timings changes what is timed.
TIMINGS_RECIPE = 1


class TimedPiece(Piece, Protocol):
    """Something that is timed on a system."""

    @property
    def spec(self) -> SystemSpec: ...

    @property
    def device(self) -> str: ...


T = TypeVar("T", bound=TimedPiece)
E = TypeVar("E", bound=Envelope)
N = TypeVar("N", bound=str)


class Timings(Study[T, E]):
    """A study of times on the systems of one size.

    Attributes:
        size: of the systems, `smoke` or `full`.
        systems: their names; None for all that the device solves.
        threads: of the process.
    """

    size: Size = "full"
    systems: tuple[str, ...] | None = None
    threads: int = 1

    @abstractmethod
    def planned(self, device: str) -> Sequence[T]:
        """All that the board should have of this size on `device`, asked for or not."""

    def begin(self, store: Store, units: list[Unit[T]]) -> None:
        """Write down what is planned, beside what is for other devices and sizes.

        Raises:
            LetheError: if it cannot be written.
        """
        device = units[0].pieces[0].device
        planned = self.planned(device)
        ours = {study_path(self.name, device, piece.spec.name, "") for piece in planned}
        others = {
            path: where
            for path, where in _known(store, self.name).items()
            if not path.startswith(tuple(ours))
        }
        whole = others | {piece.path: piece.where for piece in planned}
        store.keep_contents(self.name, dict(sorted(whole.items())))


class OneSystem:
    """Bench that times pieces on one system at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._system: Bench | None = None

    @property
    def intact(self) -> bool:
        """Nothing is shared that a piece could change."""
        return True

    def _bench(self, spec: SystemSpec) -> Bench:
        """The system, loaded; the one before is let go."""
        if self._system is None or self._system.spec != spec:
            self._system = None
            self._system = prepare(spec, self._device)
        return self._system


def _known(store: Store, study: str) -> dict[str, str]:
    """What was planned so far; a damaged plan is made anew."""
    try:
        return store.contents(study).pieces
    except Sound:
        raise
    except LetheError:
        return {}


def chosen(what: str, names: Sequence[str] | None, known: Sequence[N]) -> Sequence[N]:
    """The names that were asked for, all for None.

    Raises:
        LetheError: for one that is not known.
    """
    for name in names or ():
        if name not in known:
            raise unknown(what, name, known)
    return known if names is None else [known[known.index(name)] for name in names]


def systems(size: Size, device: str, names: Sequence[str] | None) -> list[SystemSpec]:
    """The systems of these names, in order; all that the device solves for None.

    Raises:
        LetheError: for a name that none of them has.
    """
    found = specs(size, device)
    asked = chosen("system", names, [spec.name for spec in found])
    return [spec for spec in found if spec.name in asked]


def inputs_of(spec: SystemSpec, what: str, name: str, device: str, threads: int) -> dict[str, Any]:
    """Everything that determines what is timed, and on what kind of machine."""
    return {
        "recipe": TIMINGS_RECIPE,
        "system": spec.key,
        "what": what,
        "name": name,
        "cpu": cpu_model(),
        "device": device,
        "threads": threads,
    }


def system_again(record: Envelope, name: str) -> tuple[SystemSpec, list[str]]:
    """The system of a record, by its name, and a remark if it is no longer the same.

    Raises:
        LetheError: if there is none of that name.
    """
    spec = find_system(name)
    same = spec.key == record.inputs["system"]
    return spec, [] if same else [f"the system '{name}' has changed since"]
