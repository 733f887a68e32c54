"""A row of the overview, and the track that it is compared in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from benchmark.contract.claim import Algorithm, Claim, Constant, Construction, Distance
from benchmark.contract.definition import Definition, find
from benchmark.facts import Facts
from benchmark.studies.quality_record import Verdict as Forgotten
from leaderboard.experiments import details
from leaderboard.model import words
from leaderboard.model.columns import BY_KEY, CONTROLS, TEST_GAP, Column
from leaderboard.model.numbers import Estimate, arithmetic, geometric, request_in_words
from leaderboard.model.ranking import LOSS, keeps
from leaderboard.model.shown import erases_the_model, last_steps
from leaderboard.model.table import Row, Table, varies

# Tracks: the problems on which rows may be compared, told by typed facts and nothing else.

_LOSSES = {"cross_entropy": "cross-entropy", "squared": "squared loss"}
_MODELS = {
    "softmax": "linear",
    "mlp": "MLP",
    "allcnn": "AllCNN",
    "resnet18": "ResNet-18",
    "gcn": "GCN",
    "tangent": "tangent",
}


#: Scenarios that choose by the seed alone.
_AT_RANDOM = ("random", "nodes", "nodes-any", "edges", "features", "features-and-labels")
#: The key of the family of heads on graphs.
GRAPH = "graph"
#: The key of the family of heads that predict a real number, whose points are of R².
NUMBER = "linear-number"


class Request(Enum):
    """What is asked for: one request or a stream of them, of random rows or of chosen ones."""

    RANDOM = "one request of random rows"
    CHOSEN = "one request of chosen rows"
    STREAM = "a stream of requests"

    def on(self, family: Family) -> str:
        """In words, of what a family's requests name."""
        if not family.key.startswith(GRAPH):
            return self.value
        return self.value.replace(" of random rows", "").replace("rows", "nodes or edges")


@dataclass(frozen=True)
class Family:
    """Problems whose models are of a kind.

    Attributes:
        key: its name in addresses.
        title: in words.
        linear: whether the models are linear in their weights.
    """

    key: str
    title: str
    linear: bool


@dataclass(frozen=True)
class Track:
    """The problems of one family that ask for the same kind of request at one (epsilon, delta).

    Attributes:
        epsilon, delta: that every release of it is asked to keep.
    """

    family: Family
    request: Request
    epsilon: float
    delta: float

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return f"{self.family.key}-{self.request.name.lower()}-{self.epsilon:g}"

    @property
    def title(self) -> str:
        """In words, with its epsilon."""
        return f"{self.family.title}: {self.request.on(self.family)}, ε = {self.epsilon:g}"

    @property
    def order(self) -> tuple[bool, bool, str, int, float]:
        """Graphs last, linear models first; then the plainest request at the smallest epsilon."""
        place, key = list(Request).index(self.request), self.family.key
        return key.startswith(GRAPH), not self.family.linear, key, place, self.epsilon


def track(facts: Facts) -> Track:
    """The track that a problem with these facts is in."""
    request = Request.RANDOM if facts.scenario in _AT_RANDOM else Request.CHOSEN
    if facts.requests > 1:
        request = Request.STREAM
    return Track(family(facts), request, facts.target.epsilon, facts.target.delta)


def family(facts: Facts) -> Family:
    """The family of a problem with these facts: graphs, nets, tangents, numbers, heads by loss."""
    if facts.graph:
        kind = "Head" if facts.linear else "Net"
        return Family(GRAPH if facts.linear else f"{GRAPH}-net", f"{kind} on a graph", facts.linear)
    if facts.model == "tangent":
        return Family("tangent", "Tangent of a net", linear=True)
    if facts.number is not None:
        return Family(NUMBER, "Linear head, a number", linear=True)
    if not facts.linear:
        return Family("net", "Net", linear=False)
    loss = _LOSSES.get(facts.loss, facts.loss.replace("_", " "))
    key = facts.loss.replace("_", "-")
    return Family(f"linear-{key}", f"Linear head, {loss}", linear=True)


def is_problem(table: Table) -> bool:
    """Whether a table is a problem of its own: typed, and no variation of another."""
    return table.facts is not None and not varies(table.facts)


def one_a_graph(tables: list[Table]) -> list[Table]:
    """The problems without requests for a graph's edges and features, where some are for nodes.

    These have an answer of their own, and the overview would be about them for the most part.
    """
    of_nodes = {t.known.data for t in tables if t.known.graph and _of_nodes(t)}
    return [t for t in tables if t.known.data not in of_nodes or _of_nodes(t)]


def _of_nodes(table: Table) -> bool:
    return table.known.scenario.startswith("nodes")


def model_in_words(facts: Facts) -> str:
    """What people call the kind of model."""
    return _MODELS.get(facts.model, facts.model)


# A row of the overview: one method on one problem, from the records and typed facts.

#: A mean of exact cancellations comes out as some 1e-15.
_NOTHING = 1e-12

#: What a claim rests on, by the names of its constants.
_NEEDS = {
    "strong_convexity": "a strongly convex objective",
    "self_concordance": "a self-concordant loss",
    "radius": "weights kept in a ball of known radius",
    "gradient_lipschitz": "a smooth objective",
    "learning_steps": "training by noisy gradient descent",
    "rewound": "training by gradient descent, with a checkpoint on the way",
    "group": "private training, before any request",
    "residual_budget": "training with a random linear term",
}
_CAPACITY = "a limit, set beforehand, on how many rows are forgotten"
_CONSTRUCTION = "nothing: the release is exact by construction"


@dataclass(frozen=True, eq=False)
class OverviewRow:
    """One method on one problem.

    Attributes:
        table, row: where it is from.
        forgotten: the verdict of forget quality; None if the row was not attacked as it is.
        told_by: the tests that tell it from retraining.
        qualifier: what tells its problem from others of the same name; "" if there are none.
    """

    table: Table
    row: Row
    forgotten: Forgotten | None = None
    told_by: tuple[str, ...] = ()
    qualifier: str = ""

    @cached_property
    def track(self) -> Track:
        return track(self.table.known)

    @property
    def anchor(self) -> str:
        """Its name in addresses."""
        return f"{self.table.slug}/{self.row.label}"

    @property
    def problem(self) -> str:
        """Data, model and features, with the device unless that is a CPU."""
        device = "" if self.table.device == "cpu" else self.table.device
        aside = ", ".join(filter(None, [self.qualifier, device]))
        return self.table.known.problem + (f" ({aside})" if aside else "")

    @property
    def request(self) -> str:
        return request_in_words(self.table.known)

    @property
    def data(self) -> str:
        return self.table.known.data_title

    @property
    def model(self) -> str:
        return model_in_words(self.table.known)

    # --- what is claimed ------------------------------------------------------------------------

    @property
    def claim(self) -> Claim | None:
        """The claim of the first seed that has one; None if none has."""
        return self.row.claims[0] if self.row.claims else None

    @property
    def definition(self) -> type[Definition] | None:
        return find(self.claim.definition) if self.claim else None

    @property
    def mode(self) -> str:
        """How the guarantee comes about, in words; "" without a claim."""
        if self.claim is None:
            return ""
        evidence = self.claim.evidence
        if isinstance(evidence, Construction):
            return "exact by construction"
        if isinstance(evidence, Algorithm):
            return "noise inside the algorithm"
        if find(self.claim.definition).proves:
            return "noise on the weights, fixed beforehand"
        return "noise on the weights, fitted to this request"

    @property
    def epsilon(self) -> float | None:
        """The largest over seeds, of a stream's releases together where they compose."""
        composed = [step.composed_epsilon for step in last_steps(self.row)]
        stated = [claim.epsilon for claim in self.row.claims]
        known = [value for value in composed if value is not None]
        return max(known or stated, default=None)

    @property
    def delta(self) -> float | None:
        return max((claim.delta for claim in self.row.claims), default=None)

    @property
    def theorem(self) -> str:
        """The name of the statement, or the reason of what is exact; "" without a claim."""
        return words.statement(self.claim.theorem) if self.claim else ""

    @property
    def constants(self) -> tuple[Constant, ...]:
        return self.claim.constants if self.claim else ()

    @property
    def sigma(self) -> float | None:
        """Noise per weight, of the release or of one noisy step."""
        evidence = self.claim.evidence if self.claim else None
        return evidence.sigma if isinstance(evidence, Distance | Algorithm) else None

    @property
    def needs(self) -> list[str]:
        """What the claim and the answer ask of a problem, in words."""
        if self.claim is None:
            return []
        names = {constant.name for constant in self.constants}
        found = [text for name, text in _NEEDS.items() if name in names]
        if "capacity" in names:
            found.append(_CAPACITY)
        if isinstance(self.claim.evidence, Construction):
            found.append(_CONSTRUCTION)
        if self.once and self.once.mean:
            found.append("work done once after training")
        return found

    # --- what was measured ----------------------------------------------------------------------

    def estimate(self, key: str) -> Estimate | None:
        """The mean over seeds of a column; None without a number. Round-off of 0 is 0."""
        return self._estimate(BY_KEY[key])

    def _estimate(self, column: Column) -> Estimate | None:
        found = self.row.estimate(column)
        if found is None or abs(found.mean) > _NOTHING:
            return found
        return Estimate(0.0, found.spread, found.n)

    def values(self, key: str) -> dict[int, float]:
        """A column's number for each seed that has one."""
        return self.row.values(BY_KEY[key])

    @property
    def speedup(self) -> Estimate | None:
        return self.estimate("speedup")

    @cached_property
    def alone(self) -> Estimate | None:
        """Speed-up of a single request that bears all that was done once before it."""
        times = [record.times for record in self.row.done.values() if record.times]
        spent = [(t.retrain, t.unlearn + t.precomputation + (t.tuning or 0)) for t in times]
        ratios = [retrain / cost for retrain, cost in spent if min(retrain, cost) > 0]
        return geometric(ratios) if ratios and self.speedup else None

    @property
    def gap(self) -> Estimate | None:
        """Accuracy, or R², less that of retraining, points."""
        return self._estimate(TEST_GAP)

    @property
    def gaps(self) -> dict[int, float]:
        """The same for each seed that has a number."""
        return self.row.values(TEST_GAP)

    @property
    def worst_gap(self) -> float | None:
        """The least over seeds, points."""
        return min(self.gaps.values(), default=None)

    @property
    def once(self) -> Estimate | None:
        """Seconds after training on what serves every request."""
        return self.estimate("precomputation")

    # --- where it stands ------------------------------------------------------------------------

    @property
    def guaranteed(self) -> bool:
        """Whether it has every seed, proved or exact as asked for, and nothing refutes it."""
        row, target = self.row, self.table.known.target
        if row.verdict not in ("exact", "proved") or row.violations or not row.complete:
            return False
        return all(keeps(claim, target.epsilon, target.delta) for claim in row.claims)

    @property
    def accurate(self) -> bool:
        """Whether it loses no more than `LOSS` points against retraining, on average."""
        return self.gap is not None and self.gap.mean >= -LOSS

    @property
    def erases(self) -> bool:
        """Whether its noise-only control does as well."""
        return erases_the_model(self.row)

    @property
    def over_control(self) -> bool:
        """Whether it beats each of its controls by the interval; without one there is none to."""
        return all(
            found.spread is not None and found.mean - found.spread > 0
            for name in CONTROLS
            if (found := self._metric(name))
        )

    def _metric(self, name: str) -> Estimate | None:
        """The mean over seeds of a metric; None if no seed has it."""
        values = [r.metrics[name].value for r in self.row.done.values() if name in r.metrics]
        known = [value for value in values if value is not None]
        return arithmetic(known) if known else None

    @property
    def useful(self) -> bool:
        """Whether it is accurate and over its controls."""
        return self.accurate and self.over_control

    @property
    def ranked(self) -> bool:
        """Whether it counts in the ranking: proved, useful and timed."""
        return self.guaranteed and self.useful and self.speedup is not None

    def command(self, results: str) -> str:
        """What runs its first cell again; "" if it has no record."""
        return details.command(self.table, self.row, results).removeprefix(".venv/bin/")


def first_of(rows: Sequence[OverviewRow]) -> OverviewRow:
    """The row that stands for several of one method: the first with a claim, else the first."""
    return next((row for row in rows if row.claim is not None), rows[0])
