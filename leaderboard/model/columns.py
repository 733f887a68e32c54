"""The columns of numbers: what each one is and where a record holds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmark.records import Record, Value

_MIB = 2**20
#: Of errors in a real target, whose name takes its place where there is one target.
TARGET_UNITS = "the target's units"


@dataclass(frozen=True)
class Column:
    """One measured quantity.

    Attributes:
        key: its name in the CSV; of a metric, its name in the record.
        header, unit: what the tables call it; `unit` is "" for a pure number.
        meaning: for the page's list of columns.
        read: its value in a record that is not failed; None where the record has none.
        ratio: whether seeds are averaged by the geometric mean.
        bound: whether it tells how good a guarantee is or what it costs, so that a row whose claim
            says nothing of unlearning or is wrong must not win it.
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


def _published(record: Record) -> Value | None:
    """The size of the published noise, or why there is none."""
    return record.metrics.get("noise_scale") or record.metrics.get("noise_p")


def _unlearn(record: Record) -> Value | None:
    if record.times is None:
        return None
    return Value(value=record.times.unlearn, unit="s", direction="lower")


def _speedup(record: Record) -> Value | None:
    if record.method.role == "reference":  # two timings of one training differ, but not this
        return Value(value=1, direction="higher", note="by definition")
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
        "The proved bound on a release's distance, divided by the measured distance. 1 is tight. "
        "Below 1 the bound is violated and the claim is wrong.",
        bound=True,
    ),
    Column(
        "noise_scale",
        "Published noise",
        "×",
        "Size of the noise that was published over the size that is claimed: 1 if the claim holds.",
        _published,
    ),
    _metric(
        "deletion_capacity",
        "Capacity",
        "requests",
        "In a stream: for how many requests all releases together keep (ε, δ), by the bounds "
        "proved for those that came, extrapolated beyond them.",
        bound=True,
    ),
    _metric(
        "uniform_capacity",
        "Worst-case capacity",
        "requests",
        "In a stream: for how many requests all releases together keep (ε, δ), whatever they are.",
        bound=True,
    ),
)
UTILITY = (
    _metric("accuracy_test", "Test accuracy", "%", "Accuracy on test rows."),
    _metric(
        "accuracy_test_gap",
        "Test gap",
        "points",
        "Test accuracy minus that of the retrained model.",
    ),
    _metric(
        "r2_test",
        "Test R²",
        "%",
        "Share of the variance of a real target that is explained on test rows.",
    ),
    _metric("r2_test_gap", "R² gap", "points", "Test R² minus that of the retrained model."),
    _metric("rmse_test", "Test RMSE", TARGET_UNITS, "Root mean squared error on test rows."),
    _metric(
        "noise_cost",
        "Noise cost",
        "points",
        "Test accuracy, or R², with the release noise minus that without: what the guarantee "
        "costs.",
        bound=True,
    ),
    _metric(
        "control_accuracy_test_gap",
        "Gain over control",
        "points",
        "Where noise is drawn inside: test accuracy minus that of the same method and noise from "
        "zero weights. At 0 the original model contributes nothing.",
    ),
    _metric(
        "control_r2_test_gap",
        "R² over control",
        "points",
        "Where noise is drawn inside: test R² minus that of the same method and noise from zero "
        "weights.",
    ),
    _metric(
        "public_accuracy_test_gap",
        "Over public",
        "points",
        "Where rows are public: test accuracy minus that of the same model trained on these alone, "
        "at the better of two ridges. At 0 the private rows contribute nothing.",
    ),
    _metric(
        "public_net_accuracy_test_gap",
        "Over public net",
        "points",
        "Where features come from a net trained on public rows: test accuracy minus that of this "
        "net alone.",
    ),
)
#: Metrics of what the original model, or the private rows, have to add: the lead over a control,
#: in points. These are the same noise from zero weights, and what public rows give alone.
CONTROLS = (
    "control_accuracy_test_gap",
    "control_r2_test_gap",
    "public_accuracy_test_gap",
    "public_net_accuracy_test_gap",
)
FORGETTING = (
    _metric(
        "accuracy_forget_gap",
        "Forget gap",
        "points",
        "Accuracy on the forgotten rows minus that of the retrained model.",
    ),
    _metric(
        "rmse_forget_gap",
        "Forget RMSE gap",
        TARGET_UNITS,
        "RMSE on the forgotten rows minus that of the retrained model.",
    ),
    _metric(
        "attack_gap",
        "Attack gap",
        "",
        "How far the attack's AUC is from its value on the retrained model.",
    ),
)
COST = (
    Column(
        "unlearn",
        "Time",
        "s",
        "Seconds from request to release, noise included: of the processor on one CPU thread, else "
        "of the wall clock.",
        _unlearn,
    ),
    Column(
        "speedup",
        "Speed-up",
        "×",
        "Time to retrain divided by time to unlearn, tuning included: the geometric mean over "
        "seeds with a multiplicative interval (×÷).",
        _speedup,
        ratio=True,
    ),
    _metric(
        "steps_taken",
        "Steps",
        "",
        "Steps until a proved bound was within the distance that the noise is made for.",
    ),
    Column(
        "tuning",
        "Tuning",
        "s",
        "Seconds spent on trying settings on validation rows: part of Speed-up, not of Time.",
        _tuning,
    ),
    Column(
        "precomputation",
        "One-off cost",
        "s",
        "Seconds of work after training that serves every later request. Not part of Time.",
        _once,
    ),
    Column(
        "pays_after",
        "Break-even",
        "requests",
        "Requests after which the one-off cost, tuning included, is won back.",
        _pays_after,
    ),
)

#: In the order of the tables, under the headings they share.
GROUPS: dict[str, tuple[Column, ...]] = {
    "Guarantee": GUARANTEE,
    "Utility": UTILITY,
    "Forgetting": FORGETTING,
    "Cost": COST,
}
#: Shown below a table, with the row that they are of.
ASIDE = (
    _metric(
        "distance",
        "Distance",
        "",
        "L2 distance of the published weights, minus the noise they should carry, to the retrained "
        "weights.",
    ),
    _metric(
        "realised_epsilon",
        "Realised ε",
        "",
        "The ε that the release noise gives at the measured distance and the claim's δ: a "
        "diagnosis, no guarantee.",
        bound=True,
    ),
    _metric(
        "audited_epsilon",
        "Audited ε",
        "",
        "The largest ε that the published noise could prove, at 99.9 % confidence and the claim's "
        "δ. Above the certified ε the claim is refuted.",
    ),
    _metric(
        "budget_spent",
        "Budget spent",
        "%",
        "In a stream: the root of the sum of its squared bounds over the distance that the noise "
        "is made for.",
        bound=True,
    ),
    _metric(
        "further_steps",
        "Further steps",
        "",
        "Steps that were taken beyond the method's own.",
    ),
    _metric(
        "public_accuracy_test",
        "Public rows only",
        "%",
        "Test accuracy of the model that Over public compares with.",
    ),
    _metric(
        "public_net_accuracy_test",
        "Public net alone",
        "%",
        "Test accuracy of the net that was trained on the public rows.",
    ),
    _metric(
        "attack_auc",
        "Attack AUC",
        "",
        "How well a low loss tells forgotten rows from rows never trained on. The ideal is not "
        "0.5 but the retrained model's value.",
    ),
    _metric(
        "js_mean_forget",
        "JS",
        "nats",
        "Jensen-Shannon divergence of the model's and the retrained one's predictions of forgotten "
        "rows: from 0, the same, to ln 2.",
    ),
    _metric("mae_test", "Test MAE", TARGET_UNITS, "Mean absolute error on test rows."),
    _metric(
        "rms_to_retrain_forget",
        "RMS to retrain",
        TARGET_UNITS,
        "How far predictions of forgotten rows are from the retrained model's, root mean square.",
    ),
    Column(
        "peak_memory",
        "Peak memory",
        "MiB",
        "Memory above the level before the request, at its highest; 0 if it never rose.",
        _memory,
    ),
)
COLUMNS: tuple[Column, ...] = (*(column for group in GROUPS.values() for column in group), *ASIDE)
BY_KEY: dict[str, Column] = {column.key: column for column in COLUMNS}


def _either(key: str, other: str) -> Column:
    """The first of two columns that a record has a number in: it never has both."""
    first, second = BY_KEY[key], BY_KEY[other]
    return replace(first, read=lambda record: first.read(record) or second.read(record))


#: What a model is worth against retraining, and against its noise-only control, in points: of
#: accuracy, or of R² where the target is a real number. Rows are ranked and told useful by these.
TEST_GAP = _either("accuracy_test_gap", "r2_test_gap")
OVER_CONTROL = _either("control_accuracy_test_gap", "control_r2_test_gap")
