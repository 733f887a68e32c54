"""The columns of numbers: what each one is and where a record holds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.records import Record, Value

_MIB = 2**20


@dataclass(frozen=True)
class Column:
    """One measured quantity.

    Attributes:
        key: its name in the CSV; of a metric, its name in the record.
        header, unit: what the tables call it; `unit` is "" for a pure number.
        meaning: for the page's list of columns.
        read: its value in a record that is not failed; None where the record has none.
        ratio: whether seeds are averaged by the geometric mean.
        bound: whether it tells how good a certificate is, so that a row whose certificate says
            nothing or is wrong must not win it.
    """

    key: str
    header: str
    unit: str
    meaning: str
    read: Callable[[Record], Value | None]
    ratio: bool = False
    bound: bool = False

    @property
    def heading(self) -> str:
        """Header and unit."""
        return f"{self.header} ({self.unit})" if self.unit else self.header


def _metric(key: str, header: str, unit: str, meaning: str, *, bound: bool = False) -> Column:
    return Column(key, header, unit, meaning, lambda record: record.metrics.get(key), bound=bound)


def _unlearn(record: Record) -> Value | None:
    if record.times is None:
        return None
    return Value(value=record.times.unlearn, unit="s", direction="lower")


def _speedup(record: Record) -> Value | None:
    # a clock too coarse to see the method gives no ratio
    if record.times is None or min(record.times.unlearn, record.times.retrain) <= 0:
        return None
    spent = record.times.unlearn + (record.times.tuning or 0)
    return Value(value=record.times.retrain / spent, direction="higher")


def _tuning(record: Record) -> Value | None:
    if record.times is None or record.times.tuning is None:
        return None
    return Value(value=record.times.tuning, unit="s", direction="lower")


def _once(record: Record) -> Value | None:
    if record.times is None:
        return None
    return Value(value=record.times.precomputation, unit="s")


def _pays_after(record: Record) -> Value | None:
    if record.times is None:
        return None
    spent = record.times.precomputation + (record.times.tuning or 0)
    saved = record.times.retrain - record.times.unlearn
    if not spent or saved <= 0:
        return None
    requests = math.ceil(spent / saved)
    return Value(value=requests, unit="requests", direction="lower")


def _memory(record: Record) -> Value | None:
    if record.peak_memory is None:
        return None
    return Value(value=record.peak_memory / _MIB, unit="MiB", direction="lower")


GUARANTEE = (
    _metric(
        "slack",
        "Slack",
        "",
        "The certified bound Δ over the measured distance. 1 is tight; the larger, the more "
        "noise is spent on caution. Below 1 the bound is violated: the certificate is wrong.",
        bound=True,
    ),
    _metric(
        "distance",
        "Distance",
        "",
        "L2 distance from the unlearned weights, before noise, to the retrained weights of the "
        "same seed.",
    ),
    _metric(
        "realised_epsilon",
        "Realised ε",
        "",
        "The ε that the release noise would give if Δ were the measured distance, at the "
        "certificate's δ. A diagnosis, not a guarantee.",
        bound=True,
    ),
    _metric(
        "audited_epsilon",
        "Audited ε",
        "",
        "The largest ε that an audit of the release's own noise could prove, at 99.9 % "
        "confidence and the certificate's δ. Above the certified ε the certificate is refuted.",
    ),
    _metric(
        "deletion_capacity",
        "Capacity",
        "requests",
        "Of a stream under a budget: how many requests fit it together, so that all releases seen "
        "side by side still keep the certified (ε, δ). Extrapolated while the budget lasts.",
        bound=True,
    ),
)
UTILITY = (
    _metric("accuracy_test", "Test accuracy", "%", "Accuracy on test rows."),
    _metric(
        "accuracy_test_gap",
        "Test gap",
        "points",
        "Test accuracy less that of the retrained model of the same seed.",
    ),
    _metric(
        "control_accuracy_test_gap",
        "Over control",
        "points",
        "Of a method that draws noise inside: test accuracy less that of the same method with the "
        "same noise, started from zero weights. At 0 the original model contributes nothing.",
    ),
)
FORGETTING = (
    _metric(
        "accuracy_forget_gap",
        "Forget gap",
        "points",
        "Accuracy on the forgotten rows less that of the retrained model of the same seed.",
    ),
    _metric(
        "js_mean_forget",
        "JS",
        "nats",
        "Jensen-Shannon divergence between what the model and the retrained one of the same seed "
        "predict for a forgotten row, mean over rows; 0 is the same, ln 2 the most there is.",
    ),
    _metric(
        "attack_auc",
        "Attack AUC",
        "",
        "How well a low loss tells forgotten rows from rows never trained on. The ideal is not "
        "0.5 but the retrained model's value.",
    ),
    _metric(
        "attack_gap",
        "Attack gap",
        "",
        "Attack AUC: distance to the retrained model's of the same seed, without sign.",
    ),
)
COST = (
    Column(
        "unlearn",
        "Time",
        "s",
        "Seconds from request to release, noise and all: processor seconds on one CPU thread, "
        "which a busy machine lengthens less than the wall clock; else by that.",
        _unlearn,
    ),
    Column(
        "speedup",
        "Speed-up",
        "×",
        "Time to retrain over time to unlearn, tuning included, a ratio for each seed, then their "
        "geometric mean with a multiplicative interval (×÷).",
        _speedup,
        ratio=True,
    ),
    Column(
        "tuning",
        "Tuning",
        "s",
        "Seconds spent on trying settings, the same number for each method that has a search "
        "space, scored on validation rows; not part of Time, but of Speed-up.",
        _tuning,
    ),
    Column(
        "precomputation",
        "Once",
        "s",
        "Seconds after training on what serves every later request; not part of Time.",
        _once,
    ),
    Column(
        "pays_after",
        "Pays after",
        "requests",
        "Requests after which the time spent once, on tuning too, is won back against retraining "
        "for each.",
        _pays_after,
    ),
    Column(
        "peak_memory",
        "Peak memory",
        "MiB",
        "Memory above the level before the request, at its highest; 0 if it never rose.",
        _memory,
    ),
)

#: In the order of the tables, under the headings they share.
GROUPS: dict[str, tuple[Column, ...]] = {
    "Guarantee": GUARANTEE,
    "Utility": UTILITY,
    "Forgetting": FORGETTING,
    "Cost": COST,
}
COLUMNS: tuple[Column, ...] = tuple(column for group in GROUPS.values() for column in group)
BY_KEY: dict[str, Column] = {column.key: column for column in COLUMNS}
