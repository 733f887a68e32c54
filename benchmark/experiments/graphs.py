"""From a graph experiment's settings to the worlds of its requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmark.contract.seeds import Seeds
from benchmark.data.forget import ForgetSpec
from benchmark.data.graphs import GraphData
from benchmark.data.split import Split, SplitSpec
from benchmark.errors import LetheError, present
from benchmark.experiments.experiment import ProblemSpec
from benchmark.graph.graph import Change, Graph
from benchmark.graph.net import GraphNet, GraphRows
from benchmark.graph.propagation import Propagation
from benchmark.graph.scenarios import trainable
from benchmark.graph.world import Edit, Roles, World, compressed, finished
from benchmark.problem.model import Model
from benchmark.problem.problem import Problem
from benchmark.rows import Declared, Rows


@dataclass(frozen=True)
class Stream:
    """Requests on a graph, drawn in advance: what they name depends on no model.

    Attributes:
        start: the world that training starts from.
        changes: one a request.
        edits: what each does to the problem.
    """

    start: World
    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]

    @property
    def worlds(self) -> tuple[World, ...]:
        """The world before all requests, that after the first, ..."""
        return (self.start, *(edit.world for edit in self.edits))


def graph_world(spec: ProblemSpec, seeds: Seeds, device: torch.device) -> World:
    """The problem that a graph makes for one split seed, before anything is planted in it.

    Raises:
        LetheError: if the graph cannot be had or the split does not fit it.
    """
    data = spec.graph_data()
    roles = roles_of(data, spec, seeds)
    graph = data.graph
    if present(spec.graph).inductive:
        inside = np.zeros(len(graph), dtype=bool)
        inside[roles.held_out] = True
        graph = graph.cut(inside)
    return _world(spec, graph, roles, data, device)


def stream(spec: ProblemSpec, forget: ForgetSpec, seeds: Seeds, device: torch.device) -> Stream:
    """The requests of an experiment, and the worlds before and after each.

    Raises:
        LetheError: if the graph cannot be had, or split and requests do not fit it.
    """
    plain, data = graph_world(spec, seeds, device), spec.graph_data()
    drawn = forget.draw_on(plain.graph, plain.roles.train, seeds)
    start = plain
    if drawn.graph is not plain.graph:
        start = _world(spec, drawn.graph, plain.roles, data, device)
    edits, world = [], start
    for change in drawn.changes:
        edits.append(world.after(change))
        world = edits[-1].world
    return Stream(start, drawn.changes, tuple(edits))


def roles_of(data: GraphData, spec: ProblemSpec, seeds: Seeds) -> Roles:
    """What each node is for.

    Raises:
        LetheError: if nodes are fewer than the split asks for, or no parts are published.
    """
    if present(spec.graph).split == "random":
        return _random(data.graph, spec, seeds)
    if len(data.parts["val"]) == 0 or len(data.parts["test"]) == 0:
        raise LetheError(
            f"no parts of {spec.data} are published: set graph.split = 'random', or give the file "
            "arrays val and test"
        )
    held = np.union1d(data.parts["val"], data.parts["test"])
    everything = np.setdiff1d(trainable(data.graph), held)
    train = everything if present(spec.graph).split == "full" else data.parts["train"]
    if len(train) < 2:
        raise LetheError(f"the graph {spec.data} has {len(train)} training nodes: give it some")
    found = Roles(train, data.parts["val"], data.parts["test"])
    _check_sizes(found, spec.split, spec.graph_name)
    return found


def nodes_split(roles: Roles) -> Split:
    """The node numbers as a record has them."""
    train, negatives, test = map(torch.from_numpy, (roles.train, roles.negatives, roles.test))
    validation = None if roles.validation is None else torch.from_numpy(roles.validation)
    return Split(train, negatives, test, validation)


def _check_sizes(roles: Roles, spec: SplitSpec, name: str) -> None:
    """Hold the numbers that the experiment writes down against the published parts."""
    for part in ("negatives", "test", "train"):
        wanted, found = getattr(spec, part), len(getattr(roles, part))
        if wanted is not None and not isinstance(wanted, float) and wanted != found:
            raise LetheError(
                f"split.{part} is {wanted}, and {name} has {found} published: correct it"
            )
    if spec.validation is not None:
        raise LetheError("published validation nodes are the negatives: leave out split.validation")


def _random(graph: Graph, spec: ProblemSpec, seeds: Seeds) -> Roles:
    nodes, sizes = trainable(graph), spec.split
    if sizes.test is None:
        raise LetheError("a graph that is divided at random needs split.test")
    order = nodes[torch.randperm(len(nodes), generator=seeds.generator("split")).numpy()]
    there = len(order)
    parts = (sizes.negatives, sizes.test, sizes.validation or 0)
    ends = np.cumsum([max(1, round(p * there)) if isinstance(p, float) else p for p in parts])
    held = int(ends[-1])
    wanted = there - held if sizes.train is None else sizes.train
    if wanted < 2 or held + wanted > there:
        raise LetheError(
            f"the split asks for {held + max(wanted, 2)} nodes of {spec.data}, which has {there} "
            "with a label"
        )
    negatives, test, validation = (np.sort(part) for part in np.split(order[:held], ends[:-1]))
    train = np.sort(order[held : held + wanted])
    return Roles(train, negatives, test, validation if sizes.validation else None)


def _world(
    spec: ProblemSpec, graph: Graph, roles: Roles, data: GraphData, device: torch.device
) -> World:
    dtype = getattr(torch, spec.precision)
    empty = Rows(torch.zeros(1, graph.x.shape[1]), torch.zeros(1, dtype=torch.int64))
    empty = empty.to(device, dtype)
    model, propagation = _model(spec, graph.x.shape[1], data.classes, empty.x)
    declared = Declared(spec.rows_at_least, propagation.largest_norm, spec.fixed_point, data.fitted)
    bare = Problem(model, spec.objective, spec.training, empty, empty, empty, declared=declared)
    sums: Any = propagation.sums(graph)  # what the propagation alone looks at

    def rows(nodes: np.ndarray | None) -> Rows | None:
        if nodes is None:
            return None
        x = finished(propagation.rows(graph, nodes, sums), bare)
        return Rows(x, torch.from_numpy(graph.y[nodes]).to(device))

    parts = ("train", "negatives", "test", "validation")
    held: dict[str, Any] = {part: rows(getattr(roles, part)) for part in parts}
    problem = replace(bare, **held)
    problem = replace(problem, train=compressed(problem, problem.train))
    return World(graph, propagation, roles, problem, sums)


def _model(
    spec: ProblemSpec, inputs: int, classes: int, like: torch.Tensor
) -> tuple[Model, Propagation | GraphRows]:
    """The model, and how a graph becomes its rows."""
    graph = present(spec.graph)
    if spec.model.hops is None:
        return Model(spec.model, inputs, classes), graph
    reach = graph.model_copy(update={"hops": spec.model.hops, "weights": "sgc"})
    net = GraphNet(spec.model, inputs, classes, reach, like)
    return net, GraphRows(net, reach)
