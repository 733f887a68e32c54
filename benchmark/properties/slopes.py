"""Bounds on the slopes of fully connected nets over boxes of inputs.

A box has an interval of each number and a set of admissible categories of each column. Bounds are
rounded outwards: none is above the least slope in real arithmetic of a net whose weights are the
given float64 numbers. The proof is in docs/properties.md, "Round-off".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.problem.domain import Domain
from benchmark.properties import round_off

#: By how much NumPy's tanh, and 1 - tanh^2 computed from it, are taken to be off at most.
FUNCTION = 2.0**-47
#: Likewise the offset of a line, as a multiple of 1 plus the largest |p|.
OFFSET = 2.0**-44
#: Steps by which lines of ReLU are bettered, and the share of sum_h |c_h| that they aim at.
_STEPS = 4
_AIM = 1e-3


@dataclass(frozen=True)
class Net:
    """A fully connected net with one output: act(W x + b), layer after layer, the last linear.

    Attributes:
        weights: of each layer (out, in), float64; the last has one row.
        biases: of each layer (out,).
        activation: `tanh` or `relu`.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activation: str

    def slopes(self, x: np.ndarray, place: int) -> np.ndarray:
        """(m,) derivatives of the output by input `place`, at `x` (m, inputs)."""
        values, tangent = x, np.zeros((len(x), x.shape[1]))
        tangent[:, place] = 1.0
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            before, tangent = values @ w.T + b, tangent @ w.T
            values = np.tanh(before) if self.activation == "tanh" else before.clip(min=0)
            tangent = tangent * self._derivative(before)
        return (tangent @ self.weights[-1].T)[:, 0]

    def _derivative(self, before: np.ndarray) -> np.ndarray:
        if self.activation == "tanh":
            return 1 - np.tanh(before) ** 2
        return (before > 0).astype(np.float64)


@dataclass(frozen=True)
class Boxes:
    """Some boxes of a domain.

    Attributes:
        domain: which inputs are numbers, which categories.
        low, high: (m, inputs): intervals of numbers; of categories both are the value where it is
            chosen, the same in all boxes.
        open: (m, inputs) bool: the categories that are admissible; all True of numbers.
    """

    domain: Domain
    low: np.ndarray
    high: np.ndarray
    open: np.ndarray

    @classmethod
    def whole(cls, domain: Domain) -> Boxes:
        """The one box that is the domain."""
        low, high = (side.numpy()[None, :].copy() for side in domain.box)
        chosen = domain.choices.ravel()
        low[:, chosen] = high[:, chosen]
        return cls(domain, low, high, np.ones_like(low, dtype=bool))

    def __len__(self) -> int:
        return len(self.low)

    def take(self, index: np.ndarray | slice) -> Boxes:
        """The boxes of these numbers."""
        return Boxes(self.domain, self.low[index], self.high[index], self.open[index])

    def least(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least value of v . x over each box, (m,), and where it is, (m, inputs).

        Args:
            v: (m, inputs), or (1, inputs) for the same in all boxes.
        """
        ends = np.where(v >= 0, self.low, self.high)
        x = self.choose(ends, -np.where(self.open, v * ends, np.inf))
        return (v * x).sum(axis=1), x

    def choose(self, x: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """Points x (m, inputs) with the category of each column that has the largest worth."""
        choices, rows = self.domain.choices, np.arange(len(x))[:, None]
        best = choices[np.arange(len(choices)), worth[:, choices].argmax(axis=2)]
        x = x.copy()
        x[:, choices.ravel()] = 0.0
        x[rows, best] = self.high[rows, best]
        return x

    def widths(self) -> np.ndarray:
        """(m, inputs) how far each input can move."""
        width, chosen = self.high - self.low, self.domain.choices.ravel()
        width[:, chosen] = self.high[:, chosen]
        return width

    def ranges(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, out) ranges of W x + b over each box: exact, but for rounding outwards."""
        room = round_off.share(len(self.domain.features) + 4) * self.sizes(w, b)
        numbers = np.array([one.places[0] for one in self.domain.numbers], dtype=np.int64)
        up, down = w[:, numbers].clip(min=0).T, w[:, numbers].clip(max=0).T
        low, high = self.low[:, numbers], self.high[:, numbers]
        lower, upper = low @ up + high @ down + b, high @ up + low @ down + b
        for one in self.domain.categories:
            places = np.array(one.places)
            value, shut = w[:, places] * self.high[:1, places], ~self.open[:, None, places]
            lower += np.where(shut, np.inf, value).min(axis=2)
            upper += np.where(shut, -np.inf, value).max(axis=2)
        return lower - room, upper + room

    def sizes(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(m, out) the largest sum of the sizes of the terms of W x + b over each box."""
        return np.maximum(np.abs(self.low), np.abs(self.high)) @ np.abs(w).T + np.abs(b)

    def halves(self, score: np.ndarray) -> tuple[Boxes, np.ndarray]:
        """Each box cut in two where `score` (m, inputs), the gain of cutting an input, is largest.

        A box that is a point of all numbers with one category of each column is left out.

        Returns:
            the halves, and the number of the box that each is of.
        """
        owners = self.domain.owners
        of = owners.T.astype(np.float64)
        count, width = self.open @ of, (self.high - self.low) @ of
        gains = np.where((count > 1) | (width > 1e-12), (score * self.open) @ of, -1.0)
        keep = np.flatnonzero(gains.max(axis=1) >= 0)
        best, whole = gains[keep].argmax(axis=1), self.take(keep)
        cut = owners[best]
        middle = (whole.low + whole.high) / 2  # of categories both are the same
        admitted = whole.open & cut & (count[keep, best] > 1)[:, None]
        rank = admitted.cumsum(axis=1)
        late = rank > rank[:, -1:] // 2
        halves = Boxes(
            self.domain,
            np.concatenate([whole.low, np.where(cut, middle, whole.low)]),
            np.concatenate([np.where(cut, middle, whole.high), whole.high]),
            np.concatenate([whole.open & ~(admitted & late), whole.open & ~(admitted & ~late)]),
        )
        return halves, np.tile(keep, 2)


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of a slope over boxes.

    Attributes:
        values: (m,), sound.
        where: (m, inputs) a point of each box that looks bad.
        score: (m, inputs) what cutting each input may gain.
        lines: (m, units) of ReLU, each alpha as a share of the largest; (m, 0) of others.
    """

    values: np.ndarray
    where: np.ndarray
    score: np.ndarray
    lines: np.ndarray


def slope_bounds(
    net: Net, boxes: Boxes, place: int, sign: int, lines: np.ndarray | None = None
) -> Bounds:
    """Lower bounds of sign * d output / d input `place` over each box.

    Args:
        net: with one output.
        boxes: m of them.
        place: of the input.
        sign: 1 or -1.
        lines: that steps start from, as those of the boxes that these were cut from; None for none.
    """
    w, b = net.weights[0], net.biases[0]
    lower, upper = boxes.ranges(w, b)
    flat, steep = _derivative_range(net.activation, lower, upper)
    tangent = sign * w[:, place]
    if len(net.weights) == 2:
        coefficient = net.weights[1][0] * tangent
        known = (lower, upper, flat, steep)
        return _one_layer(net.activation, w, b, coefficient, boxes, known, lines)
    low, high = _times(flat, steep, tangent, tangent)
    gap = (steep - flat) * np.abs(tangent)
    values = _activated(net.activation, lower, upper)
    for w, b in zip(net.weights[1:-1], net.biases[1:-1], strict=True):
        before = _through(w, b, *values)
        low, high = _through(w, 0.0, low, high)
        flat, steep = _derivative_range(net.activation, *before)
        low, high = _times(flat, steep, low, high)
        values = _activated(net.activation, *before)
    worst, _ = _through(net.weights[-1], 0.0, low, high)
    # inputs that move the first layer's units most, by how much the units are worth
    first = np.abs(net.weights[0])
    outgoing = np.abs(net.weights[1]).sum(axis=0)
    spread = (gap + (upper - lower)) * outgoing
    score = spread @ first * boxes.widths()
    middle = boxes.choose((boxes.low + boxes.high) / 2, boxes.open)
    return Bounds(worst[:, 0], middle, score, np.empty((len(boxes), 0)))


def _one_layer(
    activation: str,
    w: np.ndarray,
    b: np.ndarray,
    coefficient: np.ndarray,
    boxes: Boxes,
    known: tuple[np.ndarray, ...],
    start: np.ndarray | None,
) -> Bounds:
    """The larger of interval arithmetic and of one linear functional, minimised over the box."""
    lower, upper, flat, steep = known
    plain = np.where(coefficient > 0, coefficient * flat, coefficient * steep).sum(axis=1)
    total, lines = _Sum(w, b, coefficient, boxes, boxes.sizes(w, b)), np.empty((len(boxes), 0))
    least = plain - total.room * total.total
    if activation == "tanh":
        alpha, below, above = _tanh_lines(lower, upper)
        offset = np.where(coefficient > 0, coefficient * below, coefficient * above).sum(axis=1)
        line, where = total.least(coefficient * alpha, offset)
        least = np.maximum(least, line)
    else:
        longest = _relu_lines(coefficient, lower, upper)
        if start is None:  # up where the longer side has it
            start = ((coefficient > 0) == (upper >= -lower)).astype(np.float64)
        least, where, lines = _best_lines(total, coefficient * longest, plain, least, start)
    gap = np.abs(coefficient) * (steep - flat)
    score = gap @ np.abs(w) * boxes.widths()
    return Bounds(least, where, score, lines)


class _Sum:
    """sum_h c_h (alpha_h p_h + o_h) over boxes, with p = W x + b.

    Args:
        w, b: (units, inputs) and (units,).
        coefficient: c, (units,).
        boxes: m of them.
        sizes: (m, units) of p, see `Boxes.sizes`.
    """

    def __init__(
        self,
        w: np.ndarray,
        b: np.ndarray,
        coefficient: np.ndarray,
        boxes: Boxes,
        sizes: np.ndarray,
    ) -> None:
        self.w, self.b, self.coefficient, self.boxes, self.sizes = w, b, coefficient, boxes, sizes
        self.room = round_off.share(sum(w.shape) + 8) * 2
        self.total = np.abs(coefficient).sum()

    def least(self, scaled: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least value over each box, (m,), rounded outwards, and where it is, (m, inputs).

        Args:
            scaled: (m, units) c_h alpha_h.
            offset: (m,) the sum of c_h o_h.
        """
        linear, where = self.boxes.least(scaled @ self.w)
        sizes = self.total + (np.abs(scaled) * self.sizes).sum(axis=1)
        return linear + scaled @ self.b + offset - self.room * sizes, where

    def take(self, index: np.ndarray) -> _Sum:
        """The sum over the boxes of these numbers."""
        return _Sum(self.w, self.b, self.coefficient, self.boxes.take(index), self.sizes[index])


def _best_lines(
    total: _Sum, longest: np.ndarray, offset: np.ndarray, best: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest found of the bounds by lines of ReLU, (m,), where the first is attained, lines.

    The bound is concave in alpha, and c_h p_h at its minimum is a supergradient. Steps are those of
    Polyak, towards a value that is a little positive, along shares of the largest alpha. They end
    where the bound is not negative: more is not asked. It is sound at any alpha.

    Args:
        total: whose alpha are chosen.
        longest: (m, units) c_h times the largest alpha; the least is 0.
        offset: (m,).
        best: (m,) bounds that are known.
        share: (m, units) of the largest alpha, to start from.
    """
    values, first = total.least(longest * share, offset)
    best, lines = np.fmax(best, values), share.copy()
    where, todo, aim = first, np.arange(len(best)), _AIM * total.total
    for _ in range(_STEPS):
        keep = np.flatnonzero(best[todo] < 0)
        if len(keep) == 0:
            break
        if len(keep) < len(todo):
            todo, total, longest, offset = todo[keep], total.take(keep), longest[keep], offset[keep]
            share, values, where = share[keep], values[keep], where[keep]
        slope = longest * (where @ total.w.T + total.b)
        slope[np.where(slope < 0, share <= 0, share >= 1)] = 0.0
        gain = (slope * slope).sum(axis=1)
        step = np.divide(aim - values, gain, out=np.zeros_like(gain), where=gain > 1e-200)
        share = (share + step[:, None] * slope).clip(0.0, 1.0)
        values, where = total.least(longest * share, offset)
        best[todo], lines[todo] = np.fmax(best[todo], values), share
    return best, first, lines


def _tanh_lines(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines alpha p + below <= 1 - tanh^2 p <= alpha p + above on [lower, upper].

    Their alpha is the chord, and the offsets are exact but for rounding outwards: between the ends
    1 - tanh^2 p - alpha p is extreme where t = tanh p solves t^3 - t - alpha / 2 = 0.
    """
    ends = [1 - np.tanh(end) ** 2 for end in (lower, upper)]
    width = upper - lower
    alpha = np.divide(ends[1] - ends[0], width, out=np.zeros_like(width), where=width > 1e-9)
    offsets = [end - alpha * p for end, p in zip(ends, (lower, upper), strict=True)]
    angle = np.arccos(np.clip(3 * np.sqrt(3) / 4 * alpha, -1, 1)) / 3
    low, high = np.minimum(*offsets), np.maximum(*offsets)
    for k in range(3):
        t = np.clip(2 / np.sqrt(3) * np.cos(angle - 2 * np.pi * k / 3), -1 + 1e-15, 1 - 1e-15)
        p = np.clip(np.arctanh(t), lower, upper)  # any point of the interval only loosens
        value = 1 - np.tanh(p) ** 2 - alpha * p
        low, high = np.minimum(low, value), np.maximum(high, value)
    room = OFFSET * (1 + np.maximum(np.abs(lower), np.abs(upper)))
    return alpha, low - room, high + room


def _relu_lines(coefficient: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The largest alpha of the lines of ReLU's derivative on [lower, upper], (m, units).

    Around 0, alpha p <= 1[p > 0] for 0 <= alpha <= 1 / u and 1[p > 0] <= 1 + alpha p for
    0 <= alpha <= -1 / l. The sign of the coefficient says which one is asked for.
    """
    side = np.where(coefficient > 0, upper, -lower)
    around = (lower <= 0) & (upper >= 0) & (side > 1e-9)
    return np.divide(1.0, side, out=np.zeros_like(side), where=around)


def _derivative_range(
    activation: str, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest act' on [lower, upper]; of ReLU at 0 anything between."""
    if activation == "relu":
        return (lower > 0).astype(np.float64), (upper >= 0).astype(np.float64)
    ends = [1 - np.tanh(end) ** 2 for end in (lower, upper)]
    inside = (lower <= 0) & (upper >= 0)
    flat = (np.minimum(*ends) - FUNCTION).clip(min=0)
    return flat, np.where(inside, 1.0, (np.maximum(*ends) + FUNCTION).clip(max=1))


def _activated(
    activation: str, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of act(p) for p in an interval."""
    if activation == "relu":
        return lower.clip(min=0), upper.clip(min=0)
    return np.tanh(lower) - FUNCTION, np.tanh(upper) + FUNCTION


def _through(
    w: np.ndarray, b: np.ndarray | float, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of W x + b for x in an interval."""
    up, down = w.clip(min=0), w.clip(max=0)
    sizes = np.maximum(np.abs(low), np.abs(high)) @ np.abs(w).T + np.abs(b)
    room = round_off.share(w.shape[1] + 6) * sizes
    return low @ up.T + high @ down.T + b - room, high @ up.T + low @ down.T + b + room


def _times(
    flat: np.ndarray, steep: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a factor in [flat, steep], not negative, times one in [low, high]."""
    least, most = np.minimum(flat * low, steep * low), np.maximum(flat * high, steep * high)
    return least - round_off.share(1) * np.abs(least), most + round_off.share(1) * np.abs(most)
