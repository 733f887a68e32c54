"""Descent-to-Delete: what K steps on the retained rows promise (Neel et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.certify.bounds import Bound, constant
from benchmark.certify.constants import HeadConstants, a_priori_distance
from benchmark.certify.contraction import contraction, descent_error
from benchmark.contract.certificate import Constant


@dataclass(frozen=True)
class Promise:
    """Known before a request is.

    Attributes:
        bound: on the distance to the retrained weights after the K steps.
        idle: the same without a step.
        error: the distance to the retained minimiser that is carried on to the next request.
    """

    bound: Bound
    idle: Bound
    error: float


def descent_promise(
    head: HeadConstants,
    *,
    training_gradient: float,
    carried: float,
    trained: int,
    capacity: int,
    step_size: float,
    steps: int,
) -> Promise:
    """c^K (e + 2 n_u g / (mu n)) + G / mu, for the n_u of the capacity.

    Args:
        head: mu, L and g of a softmax head.
        training_gradient: G, the gradient norm at which training and retraining stop.
        carried: e, distance of the weights to the minimiser before the request.
        trained: n, rows before the request.
        capacity: n_u at most.
        step_size: eta.
        steps: K.

    Raises:
        AssumptionBroken: if the step is too long to contract, or a constant is out of its range.
    """
    mu, forgotten = head.strong_convexity, min(capacity, trained - 1)
    c = contraction(
        step_size=step_size, strong_convexity=mu, gradient_lipschitz=head.gradient_lipschitz
    )
    moved = a_priori_distance(
        trained=trained,
        forgotten=forgotten,
        sample_gradient=head.sample_gradient,
        strong_convexity=mu,
    )
    after = descent_error(start=carried, moved=moved, contraction=c, steps=steps)
    # A request with nothing to forget takes no step and leaves the error as it was.
    error, retrained = max(carried, after), training_gradient / mu
    rests_on = (
        constant("gradient_lipschitz", head.gradient_lipschitz),
        constant("strong_convexity", mu),
        constant("sample_gradient", head.sample_gradient),
        constant("training_gradient", training_gradient),
        constant("step_size", step_size),
        constant("trained", trained),
        _own("unlearning_steps", steps, "K, steps on the retained rows"),
        _own("request_capacity", forgotten, "n_u, rows of one request that the noise is made for"),
        _own("carried", carried, "e, what the state may be off its minimiser by"),
    )
    theorem = "Descent-to-Delete, contraction 1 - eta mu"
    idle = Bound("no step", carried + moved + retrained, rests_on)
    return Promise(Bound(theorem, error + retrained, rests_on), idle, error)


def _own(name: str, value: float, meaning: str) -> Constant:
    return Constant(name=name, value=value, provenance="exact", meaning=meaning)
