"""Problems made from others: some weights held fixed, a linear term, the Gauss-Newton matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.curvature.hessian import Differentiated, RowMean
from benchmark.curvature.output_loss import GaussNewton
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.model import Inputs, Model
from benchmark.problem.problem import Problem
from benchmark.problem.products import by_units
from benchmark.problem.tangent import refuse
from benchmark.problem.training.newton import DirectTraining, NewtonTraining
from benchmark.rows import Rows

# A problem in some of the weights, the others held fixed.


@dataclass(frozen=True)
class AnyNet:
    """In place of a model's spec: nothing is known that a closed form could use."""

    linear: bool = False
    smooth: bool = False
    sees_images: bool = False
    convolves: bool = False
    widths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class RestrictedModel:
    """A model as a function of its free weights (k,).

    Attributes:
        model: of all weights (d,).
        weights: (d,), of which those that are not free stay.
        free: (d,) bool.
    """

    model: Model
    weights: Tensor
    free: Tensor
    spec: AnyNet = AnyNet()
    tangent: None = None

    @property
    def inputs(self) -> Inputs:
        return self.model.inputs

    @property
    def chunk(self) -> int | None:
        return self.model.chunk

    @property
    def smallest_chunk(self) -> int:
        return self.model.smallest_chunk

    def __call__(self, part: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `part` (k,) and `x` (n, ...)."""
        return self.model(self.whole(part), x)

    def in_training(self, part: Tensor, x: Tensor) -> Tensor:
        """The same: BatchNorm's statistics are not free, they stay those of all weights."""
        return self(part, x)

    @property
    def statistics(self) -> Tensor | None:
        """(k,) bool: which free weights are statistics, that a choice of weights took along."""
        statistics = self.model.statistics
        return None if statistics is None else statistics[self.free.cpu()]

    def with_statistics(self, part: Tensor, x: Tensor, batch: int) -> Tensor:
        """`part` (k,) as it is."""
        return part

    def without_statistics(self, part: Tensor) -> Tensor:
        """`part` (k,) with zeros for statistics."""
        if self.statistics is None:
            return part
        return part.masked_fill(self.statistics.to(part.device), 0)

    def whole(self, part: Tensor) -> Tensor:
        """(d,): the free weights from `part` (k,), the others bit for bit as they were."""
        return self.weights.masked_scatter(self.free, part)


@dataclass(frozen=True)
class RestrictedProblem(Problem):
    """A problem in some of the weights."""

    model: RestrictedModel  # type: ignore[assignment]  # all that a problem asks of its model


def restricted(problem: Problem, weights: Tensor, free: Tensor) -> RestrictedProblem:
    """The same data, objective and training, as a problem in the weights that are `free`.

    The ridge of the fixed weights is a constant and left out. The ball of the whole problem cuts
    the plane of the free weights in a smaller one, which the training then projects onto. A direct
    solve is one for all weights: for some of them Newton-CG goes to the same tolerance.

    Args:
        problem: in all weights (d,).
        weights: (d,), where the others are fixed; in the ball, if there is one.
        free: (d,) bool.
    """
    training = problem.training
    if problem.constrained:
        raise AssumptionBroken(
            "training is within the convex set of a property, and this method steps in some of the "
            "weights alone: leave it out where property.enforce = 'training'"
        )
    if training.radius is not None:
        fixed = float(weights[~free].norm())
        room = math.sqrt(max(0.0, training.radius**2 - fixed**2))
        training = training.model_copy(update={"radius": room})
    if isinstance(training, DirectTraining):
        training = NewtonTraining(tolerance=training.tolerance)
    parts: dict[str, Any] = {field.name: getattr(problem, field.name) for field in fields(problem)}
    model = RestrictedModel(problem.model, weights, free)
    return RestrictedProblem(**parts | {"model": model, "training": training})


def last_layers(model: Model, k: int) -> Tensor:
    """(d,) bool on the CPU: the weights of the last `k` layers, or of all if there are fewer.

    BatchNorm's statistics are left out: only a training of the whole net sets them.
    """
    free = torch.zeros(model.dimension, dtype=torch.bool)
    free[model.layers[-k:][0].start :] = True
    return free if model.statistics is None else free & ~model.statistics


# The units of a net: neurons of linear layers, filters of convolutional ones.


class Units:
    """What every unit puts out, and which weights it owns: a row of its layer's, and the bias.

    Units are numbered layer by layer, first to last; normalisation layers have none.
    """

    def __init__(self, model: Model) -> None:
        refuse(model, "this method")
        self._chunk = model.chunk
        with torch.device("meta"):
            self._module = model.spec.module(model.inputs, model.classes)
        self._shapes = {name: p.shape for name, p in self._module.named_parameters()}
        self._layers = {
            name: layer
            for name, layer in self._module.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        }

    def owners(self) -> Tensor:
        """(d,): the unit that each weight belongs to, -1 for none."""
        first, count = {}, 0
        for name, layer in self._layers.items():
            first[name] = count
            count += len(layer.weight)
        pieces = []
        for name, shape in self._shapes.items():
            layer = name.rpartition(".")[0]
            if layer in first:
                own = first[layer] + torch.arange(shape[0])
                pieces.append(own.repeat_interleave(shape[1:].numel()))
            else:
                pieces.append(torch.full((shape.numel(),), -1))
        return torch.cat(pieces)

    @torch.no_grad()
    def outputs(self, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, units) before the activation, mean over an image's places; (n, classes) logits."""
        pieces = torch.split(weights, [shape.numel() for shape in self._shapes.values()])
        named = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        parts = [self._outputs(named, part) for part in x.split(self._chunk or max(1, len(x)))]
        outputs, logits = zip(*parts, strict=True)
        return torch.cat(outputs), torch.cat(logits)

    def _outputs(self, named: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        found: dict[str, Tensor] = {}

        def keep(name: str, layer: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output.flatten(2).mean(dim=2) if output.dim() > 2 else output

        hooks = [
            layer.register_forward_hook(partial(keep, name)) for name, layer in self._layers.items()
        ]
        logits = functional_call(self._module, named, (x,))
        for hook in hooks:
            hook.remove()
        return torch.cat([found[name] for name in self._layers], dim=1), logits


@dataclass(frozen=True, kw_only=True)
class PerturbedProblem(Problem):
    """The same problem with L(w, S) + b.w for its objective; mu, L and M stay as they are.

    Attributes:
        perturbation: b (d,).
    """

    perturbation: Tensor

    @classmethod
    def of(cls, problem: Problem, perturbation: Tensor) -> PerturbedProblem:
        """`problem` with the term perturbation.w.

        Raises:
            AssumptionBroken: if it is not strongly convex: there may be no minimiser then.
        """
        if problem.strong_convexity is None:
            raise AssumptionBroken(
                "a perturbed objective needs strong convexity: a linear model and a ridge"
            )
        shared = {field.name: getattr(problem, field.name) for field in fields(problem)}
        return cls(**shared, perturbation=perturbation)

    @property
    def tilt(self) -> Tensor:
        """(d,) the perturbation b."""
        return self.perturbation

    def loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The whole objective with its linear term, a scalar."""
        return super().loss(weights, rows) + self.perturbation.dot(weights)

    def hessian(self, weights: Tensor, rows: Rows, **settings: Any) -> Differentiated:
        """The Hessian that a linear term leaves as it is, and the gradient with it."""
        hessian = super().hessian(weights, rows, **settings)
        return _Shifted(hessian, hessian.gradient + self.perturbation)


@dataclass(frozen=True)
class _Shifted:
    """A Hessian beside another gradient (d,)."""

    hessian: Differentiated
    gradient: Tensor

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self.hessian @ vector


def gauss_newton(
    problem: Problem,
    weights: Tensor,
    rows: Rows,
    *,
    chunk: int | None = None,
    kept_rows: int | None = None,
) -> Differentiated:
    """The Gauss-Newton matrix of L(w, rows) as an operator on (d,), with the gradient.

    As for the Hessian the model decides how: the closed form of a linear model, whose Hessian it
    is, the R-operator of a fully connected net, kept graphs elsewhere.

    Args:
        problem: whose objective L is.
        weights: w, (d,).
        rows: over which L is the mean.
        chunk: rows multiplied at a time, as in `Problem.hessian`.
        kept_rows: rows whose passes are kept for the next product, likewise.

    Raises:
        LetheError: for a net with BatchNorm, whose statistics the ridge spares.
    """
    spec, loss, ridge = problem.model.spec, problem.objective.loss, problem.objective.ridge
    if spec.linear:
        return problem.hessian(weights, rows, chunk=chunk)
    if not problem.objective.closed:
        raise LetheError(f"no Gauss-Newton matrix of loss '{loss}': take another loss")
    if spec.widths is not None:
        return by_units(problem, weights, rows, chunk, kept_rows, gauss_newton=True)
    if problem.model.statistics is not None:
        raise LetheError("no Gauss-Newton matrix of a net with BatchNorm: use norm = 'group'")
    fixed = weights.detach().clone()

    def build(part: Rows) -> GaussNewton:
        return GaussNewton(
            lambda w: problem.model(w, part.x), part.y, fixed, loss=loss, ridge=ridge
        )

    own = problem.model.chunk
    kept = own if kept_rows is None else kept_rows
    return RowMean(build, rows, chunk=chunk or own or len(rows), kept_rows=kept)
