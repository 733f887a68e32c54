"""What an experiment is, typed: what programs read, where people read a plan's settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from benchmark.contract.claim import Target


class Facts(BaseModel):
    """What is known of an experiment without a look at its name, its title or its words.

    Attributes:
        data, features, model: their names, as in the experiment's file.
        data_title: what people call the data set.
        problem: what they call data, model and features together, e.g. `MNIST, softmax on HOG`.
        linear: whether the model is, in its weights.
        strongly_convex: whether the objective is.
        train: rows to train on; None for all that there are.
        scenario_title: what people call its rows, e.g. `random rows`; None where they are named, on
            a graph, and in a plan of an earlier version.
        forgotten, share: rows of each request, or which share of the training rows; both None
            where the scenario decides.
        requests: how many, one after the other.
        study: the experiment of its file as it stands.
        profile: of the file; None for the file as it stands.
        axis, value: of the sweep that it is a point of; None if it is none.
        group: what it is run together with.
        trial: whether it is for trying things out, and its numbers mean nothing.
        graph: whether the data are a graph, and requests name nodes, edges or features.
        kept_property: what is certified before and after, by its name; None for nothing.
        enforce: how it is kept, `never`, `release` or `training`; likewise.
        number: the target's name where it is a real number; None where it is of classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: str
    data_title: str
    features: str
    model: str
    problem: str
    linear: bool
    strongly_convex: bool
    loss: str
    ridge: float
    train: int | None
    scenario: str
    forgotten: int | None
    share: float | None = Field(gt=0, lt=1)
    requests: int = Field(ge=1)
    target: Target
    study: str
    profile: str | None
    axis: str | None
    value: float | str | None
    group: tuple[str, ...]
    trial: bool
    scenario_title: str | None = Field(None, exclude_if=lambda value: value is None)
    graph: bool = Field(False, exclude_if=lambda value: not value)
    kept_property: str | None = Field(None, exclude_if=lambda value: value is None)
    enforce: str | None = Field(None, exclude_if=lambda value: value is None)
    number: str | None = Field(None, exclude_if=lambda value: value is None)

    @property
    def varies(self) -> bool:
        """Whether it is a study's experiment with another value of one setting."""
        return self.axis is not None

    def same_problem(self, other: Facts) -> bool:
        """Whether both train alike and ask for the same, whatever rows are forgotten."""
        alike = {"data", "features", "model", "loss", "ridge", "train", "target"}
        return self.model_dump(include=alike) == other.model_dump(include=alike)
