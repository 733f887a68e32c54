"""Tracks: the problems on which rows may be compared, told by typed facts and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmark.facts import Facts
from leaderboard.model.study import varies
from leaderboard.model.table import Table

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
    """The family of a problem with these facts: graphs, nets, tangents, or heads by loss."""
    if facts.graph:
        kind = "Head" if facts.linear else "Net"
        return Family(GRAPH if facts.linear else f"{GRAPH}-net", f"{kind} on a graph", facts.linear)
    if facts.model == "tangent":
        return Family("tangent", "Tangent of a net", linear=True)
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
    of_nodes = {t.facts.data for t in tables if t.facts.graph and _of_nodes(t)}
    return [t for t in tables if t.facts.data not in of_nodes or _of_nodes(t)]


def _of_nodes(table: Table) -> bool:
    return table.facts.scenario.startswith("nodes")


def model_in_words(facts: Facts) -> str:
    """What people call the kind of model."""
    return _MODELS.get(facts.model, facts.model)
