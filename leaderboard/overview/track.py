"""Tracks: the problems on which rows may be compared, told by typed facts and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from benchmark.facts import Facts
from leaderboard.model.numbers import number
from leaderboard.model.study import SWEEPS
from leaderboard.model.table import Table

_LOSSES = {"cross_entropy": "cross-entropy", "squared": "squared loss"}
#: What stands before and after the word "rows".
_SCENARIOS = {
    "random": ("random", ""),
    "memorised": ("memorised", ""),
    "mislabelled": ("mislabelled", ""),
    "influential": ("most influential", ""),
    "against-property": ("", "that break the property"),
    "largest": ("", "with the largest images"),
    "subpopulation": ("", "of a sub-population"),
}
_MODELS = {
    "softmax": "linear",
    "mlp": "MLP",
    "allcnn": "AllCNN",
    "resnet18": "ResNet-18",
    "tangent": "tangent",
}


class Request(Enum):
    """What is asked for: one request or a stream of them, of random rows or of chosen ones."""

    RANDOM = "one request of random rows"
    CHOSEN = "one request of chosen rows"
    STREAM = "a stream of requests"


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
        return f"{self.family.title}: {self.request.value}, ε = {self.epsilon:g}"

    @property
    def order(self) -> tuple[bool, str, int, float]:
        """Linear models first, then the plainest request at the smallest epsilon."""
        place = list(Request).index(self.request)
        return not self.family.linear, self.family.key, place, self.epsilon


def track(facts: Facts) -> Track:
    """The track that a problem with these facts is in."""
    request = Request.RANDOM if facts.scenario == "random" else Request.CHOSEN
    if facts.requests > 1:
        request = Request.STREAM
    return Track(family(facts), request, facts.target.epsilon, facts.target.delta)


def family(facts: Facts) -> Family:
    """The family of a problem with these facts: nets, their tangents, or linear heads by loss."""
    if facts.model == "tangent":
        return Family("tangent", "Tangent of a net", linear=True)
    if not facts.linear:
        return Family("net", "Net", linear=False)
    loss = _LOSSES.get(facts.loss, facts.loss.replace("_", " "))
    key = facts.loss.replace("_", "-")
    return Family(f"linear-{key}", f"Linear head, {loss}", linear=True)


def is_problem(table: Table) -> bool:
    """Whether a table is a problem of its own: typed, and no variation of another."""
    return table.facts is not None and not SWEEPS & set(table.facts.group)


def request_in_words(facts: Facts) -> str:
    """What is asked for, e.g. `10 × 100 random rows`."""
    what = _rows(facts)
    return f"{facts.requests} × {what}" if facts.requests > 1 else what


def _rows(facts: Facts) -> str:
    if facts.scenario == "class":
        return "a whole class"
    before, after = _SCENARIOS.get(facts.scenario, (facts.scenario, ""))
    count = "" if facts.forgotten is None else f"{facts.forgotten:,}"
    if facts.share is not None:
        count = f"{number(100 * facts.share)} %,"
    noun = "row" if facts.forgotten == 1 else "rows"
    return " ".join(filter(None, [count, before, noun, after]))


def model_in_words(facts: Facts) -> str:
    """What people call the kind of model."""
    return _MODELS.get(facts.model, facts.model)
