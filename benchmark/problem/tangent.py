"""The tangent of a public net as a model: linear in its weights, on rows of its own form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.tangent import TangentMap, TangentPreconditioner, precondition
from benchmark.errors import AssumptionBroken, present
from benchmark.problem.model import Model, TangentSpec
from benchmark.problem.models.fully_connected import ACTIVATIONS
from benchmark.rows import Rows

#: Rows that go through the net at a time.
CHUNK = 2048
#: Weights up to which the Hessian is made as a matrix.
LARGEST = 5000


@dataclass(frozen=True)
class PublicNet:
    """What a tangent takes from public rows.

    Attributes:
        weights: (d,) float64, of the whole net.
        basis: (inputs, inputs) float64, orthogonal: the axes of the public rows, the longest first.
    """

    weights: Tensor
    basis: Tensor

    @classmethod
    def of(cls, weights: Tensor, rows: Rows) -> PublicNet:
        """With the principal axes of `rows` around 0."""
        x = rows.x.double()
        return cls(weights.double(), torch.linalg.eigh(x.T @ x).eigenvectors.flip(1))

    def to(self, device: torch.device) -> PublicNet:
        """The same on `device`."""
        return PublicNet(self.weights.to(device), self.basis.to(device))


class Tangent(Model):
    """v -> c (f(x) + J v), with the net's logits f and Jacobian J at its public weights.

    v (d,) is the distance from the public weights of the layers that move; 0 is the public net.
    Rows are what `rows` makes of inputs, once: `model(v, x)` expects these.

    Args:
        spec: the architecture.
        inputs: of the net, before `rows`.
        classes: number of labels.
        public: its weights, on the device where rows are.
    """

    tangent: TangentMap

    def __init__(self, spec: TangentSpec, inputs: int, classes: int, public: PublicNet) -> None:
        super().__init__(spec, inputs, classes)
        net = Model(spec.net, inputs, classes)
        pieces = list(net.named(public.weights).values())
        self._layers = list(zip(pieces[::2], pieces[1::2], strict=True))
        sizes = spec.moving(inputs, classes)
        self._first = len(self._layers) - len(sizes) + 1
        self.tangent = TangentMap(
            sizes,
            tuple(matrix for matrix, _ in self._layers[self._first + 1 :]),
            present(spec.clip),
        )
        #: (k, k) orthogonal: of the inputs of the first layer that moves, the leading axes first.
        self.axes = public.basis if self._first == 0 else torch.eye(sizes[0]).to(public.basis)
        self.inputs = sum(self.tangent.columns)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `weights` (d,) and `x` (n, columns)."""
        return self.tangent.to(x.dtype).logits(weights, x)

    def in_training(self, weights: Tensor, x: Tensor) -> Tensor:
        """The same."""
        return self(weights, x)

    def initial_weights(self, generator: torch.Generator) -> Tensor:
        """(d,) float64 on the CPU: zeros, the public net; nothing is drawn."""
        return torch.zeros(self.dimension, dtype=torch.float64)

    @property
    def last_layer(self) -> tuple[Tensor, Tensor]:
        """Its public matrix and biases; without them, at v = -e, every logit is 0."""
        return self._layers[-1]

    @property
    def shortfall(self) -> float:
        """||e||, how far from the public net the logits are 0 on all rows."""
        return math.hypot(*(float(part.norm()) for part in self.last_layer))

    def row_norm(self, ridge: float) -> float:
        """R, declared: no row's c J has a larger spectral norm.

        Raises:
            AssumptionBroken: if public weights are so long that two minimisers may be further apart
                than those of a linear head with this ridge (docs/tangents.md).
        """
        longest = math.sqrt(4 * math.log(self.classes) / ridge) if ridge else math.inf
        if self.shortfall > longest:
            raise AssumptionBroken(
                f"the public net's last layer has norm {self.shortfall:.3g}, above {longest:.3g} "
                f"at ridge {ridge:.3g}: lower the ridge or train the public net for fewer epochs"
            )
        return self.spec.clip

    def rows(self, rows: Rows) -> Rows:
        """Rows (n, columns) out of inputs (n, inputs), each a function of its own input alone."""
        return Rows(torch.cat(list(self._parts(rows.x.double()))).to(rows.x.dtype), rows.y)

    def _parts(self, x: Tensor) -> Iterator[Tensor]:
        for part in x.split(CHUNK):
            inputs, slopes, logits = self._pass(part)
            norm = self._norms(inputs, slopes).unsqueeze(1)
            hidden = [both for pair in zip(inputs[1:], slopes, strict=True) for both in pair]
            yield torch.cat([inputs[0], *hidden, logits, norm], dim=1)

    def _pass(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Inputs of each layer that moves, slopes between them, and logits, of rows x."""
        activation = ACTIVATIONS[self.spec.activation]()
        inputs, slopes = [x], []
        for matrix, bias in self._layers[:-1]:
            z = (inputs[-1] @ matrix.T + bias).requires_grad_()
            a = activation(z)
            slopes.append(torch.autograd.grad(a.sum(), z)[0])
            inputs.append(a.detach())
        matrix, bias = self._layers[-1]
        return inputs[self._first :], slopes[self._first :], inputs[-1] @ matrix.T + bias

    def _norms(self, inputs: list[Tensor], slopes: list[Tensor]) -> Tensor:
        """(n,) spectral norms of J, exact: roots of the largest eigenvalues of J J^T.

        J J^T is the sum over layers of 1 + ||a||^2 times B B^T, with B (classes, units) the logits'
        derivative in the layer's output.
        """
        back = torch.eye(self.classes, dtype=inputs[0].dtype, device=inputs[0].device)
        gram = (1 + inputs[-1].square().sum(dim=1))[:, None, None] * back
        later = zip(inputs[-2::-1], slopes[::-1], self.tangent.matrices[::-1], strict=True)
        for a, slope, matrix in later:
            back = (back @ matrix) * slope.unsqueeze(1)
            gram = gram + (1 + a.square().sum(dim=1))[:, None, None] * (back @ back.mT)
        return torch.linalg.eigvalsh(gram)[:, -1].sqrt()


def refuse(model: Model, what: str) -> None:
    """Refuse a tangent where the model's layers themselves are needed.

    Raises:
        AssumptionBroken: if the model is one.
    """
    if model.tangent is not None:
        raise AssumptionBroken(
            f"{what} looks into a model's layers: a tangent has none, take a net"
        )


def inverse(model: Tangent, rows: Rows, weights: Tensor, ridge: float) -> TangentPreconditioner:
    """The inverse in float32 of the Hessian over `rows` at `weights` (d,), whole.

    Raises:
        AssumptionBroken: if the model has more than `LARGEST` weights.
    """
    if model.dimension > LARGEST:
        raise AssumptionBroken(
            f"the Hessian of {model.dimension} weights is too large a matrix: take tangent-newton, "
            "or fewer model.layers"
        )
    p = model(weights, rows.x).softmax(dim=1)
    shares = torch.full_like(p[:, 0], 1 / len(rows))
    return precondition(
        model.tangent, rows.x, p, shares, ridge=ridge, axes=model.axes, leading=len(model.axes)
    )
