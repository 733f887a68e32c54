"""Numbers as people read them: intervals over seeds, what a claim rules out, sizes of requests."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import fmean, stdev

from scipy.stats import t as student

from benchmark.audit.published_noise import SUSPICIOUS
from benchmark.contract.claim import Claim
from benchmark.facts import Facts
from benchmark.records import Record

#: Digits and the minus, raised.
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# powers of ten that are written out
_PLAIN = range(-3, 5)


def number(value: float, digits: int = 3) -> str:
    """`value` to so many significant digits, e.g. 0.0123 or 8.0×10⁸."""
    if value == 0:
        return "0"
    if not math.isfinite(value):  # as the spread of numbers that are as large as can be
        return f"{value}".replace("inf", "∞").replace("-", "−")
    power = _power(value, digits)
    if power in _PLAIN:
        return _fixed(value, digits - 1 - power)
    return _scaled(value, power, digits - 1)


def measured(mean: float, half_width: float | None, *, signed: bool = False) -> tuple[str, str]:
    """A mean and the half-width of its interval, to the digits that the interval supports.

    Args:
        mean: any number.
        half_width: None if there is no interval.
        signed: put a plus before a positive mean.

    Returns:
        Both as text; the second is "" if there is no interval.
    """
    plus = "+" if signed and mean > 0 else ""
    if not half_width or not math.isfinite(mean + half_width):
        return plus + number(mean), "" if half_width is None else number(half_width)
    # two digits of the interval, but no more than four of the mean
    decimals = 1 - _power(half_width, 2)
    if abs(mean) > half_width:
        decimals = min(decimals, 3 - _power(mean, 4))
    power = _power(max(abs(mean), half_width), 4)
    if power in _PLAIN:
        spread = _fixed(half_width, decimals)
        return plus + _fixed(mean, decimals), spread if spread.strip("0.") else number(
            half_width, 2
        )
    digits = decimals + power
    return plus + _scaled(mean, power, digits), _scaled(half_width, power, digits)


def span(values: list[float], digits: int = 3) -> str:
    """The range of some numbers; one number where they look the same."""
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low} to {high}"


def _power(value: float, digits: int) -> int:
    """The power of ten of `value` after rounding, so that 9.99 to two digits has that of 10."""
    return int(f"{value:.{digits - 1}e}".split("e")[1])


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{max(0, decimals)}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def _scaled(value: float, power: int, decimals: int) -> str:
    most = max(power, -300)  # ten to less than that may be 0 in a float
    mantissa = value / 10.0**most / 10.0 ** (power - most)
    return f"{_fixed(mantissa, decimals)}×10{str(power).translate(SUPERSCRIPT)}"


#: Coverage of every interval on the board.
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: arithmetic, or geometric.
        spread: half the width of the t interval; of a geometric mean, the factor by which the
            interval reaches up and down. None with one seed.
        n: how many seeds.
    """

    mean: float
    spread: float | None
    n: int


def arithmetic(values: Sequence[float]) -> Estimate:
    """Mean and half-width of the t interval of one value or more."""
    return _arithmetic(tuple(values))


@lru_cache(maxsize=1 << 16)  # a page asks for the same numbers again and again
def _arithmetic(values: tuple[float, ...]) -> Estimate:
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, 1)
    return Estimate(fmean(values), _quantile(n - 1) * stdev(values) / math.sqrt(n), n)


@cache
def _quantile(freedom: int) -> float:
    """Quantile of Student's t with so many degrees of freedom, for the end of an interval."""
    return float(student.ppf((1 + LEVEL) / 2, freedom))


def geometric(values: Sequence[float]) -> Estimate:
    """Geometric mean of positive values and the factor of its interval, taken on logarithms."""
    logs = arithmetic([math.log(value) for value in values])
    spread = None if logs.spread is None else math.exp(logs.spread)
    return Estimate(math.exp(logs.mean), spread, logs.n)


def violations(record: Record) -> list[str]:
    """Every violation of a record's claim, in words; none without a claim."""
    return [] if record.claim is None else list(_found(record, record.claim))


def _found(record: Record, claim: Claim) -> Iterator[str]:
    slack = _metric(record, "slack")
    if slack is not None and slack < 1:
        yield f"the slack is {number(slack)}, below 1"
    distance = _metric(record, "distance")
    if distance is not None and claim.bound is not None and distance > claim.bound:
        yield f"the distance is {number(distance)}, beyond the bound {number(claim.bound)}"
    audited = _metric(record, "audited_epsilon")
    if audited is not None and audited > claim.epsilon:
        yield f"ε is at least {number(audited)}, above the certified {number(claim.epsilon)}"
    p = _metric(record, "noise_p")
    if p is not None and p < SUSPICIOUS:
        yield f"published noise: {record.metrics['noise_p'].note}"


def _metric(record: Record, name: str) -> float | None:
    value = record.metrics.get(name)
    return None if value is None else value.value


#: What a request on a graph names, where the number goes.
_ON_GRAPHS = {
    "nodes": "{} nodes",
    "nodes-any": "{} nodes, labelled or not",
    "nodes-high-degree": "{} nodes of high degree",
    "nodes-class": "the nodes of a class",
    "edges": "{} edges",
    "edges-of-node": "{} edges of a node",
    "edges-planted": "{} planted edges",
    "features": "features of {} nodes",
    "features-and-labels": "features and labels of {} nodes",
}


def request_in_words(facts: Facts) -> str:
    """What is asked for, e.g. `10 × 100 random rows` or `features of 10 nodes`."""
    what = _of_graph(facts) if facts.graph else _rows(facts)
    return f"{facts.requests} × {what}" if facts.requests > 1 else what


def _of_graph(facts: Facts) -> str:
    count = f"{100 * facts.share:g} % of the" if facts.share is not None else facts.forgotten or ""
    words = _ON_GRAPHS.get(facts.scenario, f"{{}} {facts.scenario}").format(count).strip()
    return re.sub(r"(?<=\b1 )(node|edge)s", r"\1", words)


def _rows(facts: Facts) -> str:
    """The scenario's title with the number of rows in it."""
    title = facts.scenario_title or f"{facts.scenario} rows"
    if facts.share is not None:
        return f"{number(100 * facts.share)} %, {title}"
    if facts.forgotten is None:
        return title
    article = "the " if title.startswith("the ") else ""
    title = title.removeprefix("the ")
    if facts.forgotten == 1:
        title = re.sub(r"\brows\b", "row", title, count=1)
    return f"{article}{facts.forgotten:,} {title}"
