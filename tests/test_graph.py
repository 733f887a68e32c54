"""Graphs, their propagation, the worlds on both sides of a request, and graph convolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmark.contract.clock import Clock
from benchmark.contract.request import Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.experiments.experiment import load
from benchmark.experiments.facts import facts_of
from benchmark.experiments.graphs import Stream, stream
from benchmark.graph import propagation
from benchmark.graph.graph import Change, Graph
from benchmark.graph.net import times
from benchmark.graph.propagation import Propagation
from benchmark.graph.world import Roles, World
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.records import Record
from benchmark.rows import Declared, Rows
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from benchmark.sparse import SparseMatrix
from leaderboard.overview.row import track
from tests import problems

# Graphs, their propagation and the worlds before and after a request.

PATH = [(0, 1), (1, 2), (2, 3), (3, 4)]


def graph(edges: list[tuple[int, int]], n: int = 5, seed: int = 0) -> Graph:
    """Two classes by parity, features without a zero."""
    x = np.random.default_rng(seed).uniform(0.5, 1.5, (n, 3))
    return Graph.of(sparse.csr_array(x), np.arange(n) % 2, np.array(edges).reshape(-1, 2))


def random_graph(seed: int, n: int = 40) -> Graph:
    draw = np.random.default_rng(seed)
    pairs = np.array([(u, v) for u in range(n) for v in range(u + 1, n)])
    edges = pairs[draw.random(len(pairs)) < draw.uniform(0.02, 0.12)]
    x = sparse.random_array((n, 6), density=0.5, rng=draw, format="csr")
    return Graph.of(x, draw.integers(0, 3, n), edges)


def random_change(g: Graph, seed: int) -> Change:
    draw = np.random.default_rng(seed + 1000)
    nodes = draw.permutation(len(g))
    kind, count = seed % 4, int(draw.integers(1, 4))
    if kind == 0:
        return Change(nodes=nodes[:count])
    if kind == 1 and len(g.edges):
        return Change(edges=g.edges[draw.permutation(len(g.edges))[:count]])
    if kind == 2:
        return Change(features=nodes[:count], labels=nodes[:1])
    return Change(nodes=nodes[:1], features=nodes[1 : 1 + count])


def world(g: Graph, propagation: Propagation, roles: Roles) -> World:
    def rows(nodes: np.ndarray) -> Rows:
        z = propagation.rows(g, nodes)
        return Rows(torch.from_numpy(z), torch.from_numpy(g.y[nodes]))

    problem = Problem(
        Model(SoftmaxSpec(), g.x.shape[1], 3),
        Objective(loss="cross_entropy", ridge=1e-2),
        NewtonTraining(tolerance=1e-10),
        train=rows(roles.train),
        negatives=rows(roles.negatives),
        test=rows(roles.test),
        declared=Declared(feature_norm=propagation.largest_norm),
    )
    return World(g, propagation, roles, problem, propagation.sums(g))


def path_world(normalisation: str = "row", train: tuple[int, ...] = (0, 1, 2)) -> World:
    g = graph(PATH, n=6)  # node 5, alone, is the negative
    roles = Roles(np.array(train), np.array([5]), np.setdiff1d(np.arange(5), train))
    return world(g, Propagation(normalisation=normalisation, hops=1, unit_rows=False), roles)


def dense(g: Graph, spec: Propagation) -> np.ndarray:
    """Z by its definition."""
    a = g.a.toarray() + np.eye(len(g))
    d = a.sum(axis=1)
    p = a / d[:, None] if spec.normalisation == "row" else a / np.sqrt(np.outer(d, d))
    x = g.x.toarray()
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(norms > 0, norms, 1)
    z = sum(t * np.linalg.matrix_power(p, k) @ x for k, t in enumerate(spec.theta))
    if spec.unit_rows:
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        z = z / np.where(norms > 0, norms, 1)
    return z


SPECS = [
    Propagation(normalisation=normalisation, hops=hops, weights=weights, unit_rows=unit)
    for normalisation in ("row", "sym")
    for hops in (1, 2, 3)
    for weights, unit in (("sgc", True), ("appnp", False))
]


@pytest.mark.parametrize("spec", SPECS)
def test_propagation_is_its_definition(spec: Propagation) -> None:
    g = random_graph(3)
    np.testing.assert_allclose(spec.full(g), dense(g, spec), atol=1e-14)


@pytest.mark.parametrize("spec", SPECS)
def test_dense_and_sparse_features_give_the_same_bits(
    spec: Propagation, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = random_graph(7)
    dense_first = spec.full(g)
    monkeypatch.setattr(propagation, "DENSE", 2.0)
    assert np.array_equal(dense_first, spec.full(g))


def test_written_down_weights() -> None:
    spec = Propagation(weights=[0.5, -0.25, 0.25], hops=2)
    g = random_graph(5)
    np.testing.assert_allclose(spec.full(g), dense(g, spec), atol=1e-14)
    with pytest.raises(ValueError, match="3 hops take 4 weights, not 3"):
        Propagation(weights=[0.5, 0.25, 0.25], hops=3)
    with pytest.raises(ValueError, match="'sgc', 'appnp' or a list of numbers, not 'gcn'"):
        Propagation(weights="gcn")


@pytest.mark.parametrize("seed", range(24))
def test_lemma_2_covers_every_change_and_local_equals_full(seed: int) -> None:
    g, spec = random_graph(seed), SPECS[seed % len(SPECS)]
    change = random_change(g, seed)
    new = g.without(change)
    old_z, new_z = spec.full(g), spec.full(new)
    changed = spec.changed(g, new, change)
    differs = (old_z != new_z).any(axis=1).nonzero()[0]
    assert set(differs) <= set(changed)
    assert np.array_equal(spec.rows(new, changed), new_z[changed]), "to the last bit"
    np.testing.assert_allclose(new_z, dense(new, spec), atol=1e-12)


@pytest.mark.parametrize(("normalisation", "expected"), [("row", [0, 1]), ("sym", [0, 1, 2])])
def test_a_node_reaches_one_hop_farther_under_sym(normalisation: str, expected: list[int]) -> None:
    g, spec = graph(PATH), Propagation(normalisation=normalisation, hops=1, unit_rows=False)
    change = Change(nodes=[0])
    new = g.without(change)
    assert spec.changed(g, new, change).tolist() == expected
    differs = (spec.full(g) != spec.full(new)).any(axis=1)
    assert differs.nonzero()[0].tolist() == expected


def test_the_row_norm_before_does_not_bound_that_after() -> None:
    """A leaf sees a hub with more weight once the hub's other edges are gone."""
    star = graph([(0, v) for v in range(1, 9)], n=9)
    spec = Propagation(normalisation="sym", hops=1, unit_rows=False)
    change = Change(edges=[(0, v) for v in range(2, 9)])
    before = np.linalg.norm(spec.full(star)[1])
    after = np.linalg.norm(spec.full(star.without(change))[1])
    assert after > 1.3 * before
    assert spec.largest_norm is None
    assert Propagation(unit_rows=False).largest_norm == 1
    assert Propagation(normalisation="sym").largest_norm == 1


def test_lemma_1_holds_of_rows_that_are_not_scaled() -> None:
    for seed in range(10):
        spec = Propagation(hops=1 + seed % 3, unit_rows=False)
        assert np.linalg.norm(spec.full(random_graph(seed)), axis=1).max() <= 1 + 1e-12


def test_an_unlabelled_node_removed_is_a_request() -> None:
    edit = path_world(train=(1, 2)).after(Change(nodes=[0]))
    assert edit.lost.tolist() == []
    assert edit.altered.tolist() == [0], "row 0 is node 1"
    assert edit.nodes == 2


def test_node_numbers_are_never_positions() -> None:
    """After node 0 is gone node 2 is still node 2, and still row 2."""
    first = path_world(train=(0, 1, 2)).after(Change(nodes=[0]))
    assert first.lost.tolist() == [0]
    assert first.altered.tolist() == [1]
    second = first.world.after(Change(nodes=[2]))
    assert second.lost.tolist() == [2]
    assert second.altered.tolist() == [1]
    assert second.world.roles.train.tolist() == [0, 1, 2]
    assert len(second.world.problem.train) == 3


@pytest.mark.parametrize("seed", range(8))
def test_a_world_after_is_that_of_the_graph_after(seed: int) -> None:
    g, spec = random_graph(seed), SPECS[seed % len(SPECS)]
    order = np.random.default_rng(seed).permutation(len(g))
    roles = Roles(*(np.sort(part) for part in np.split(order, [24, 32])))
    edit = world(g, spec, roles).after(random_change(g, seed))
    new = edit.world
    z = spec.full(new.graph)
    kept = new.trained
    assert np.array_equal(new.problem.train.x[kept].numpy(), z[roles.train[kept]])
    assert not new.problem.train.x[edit.lost].any()
    assert np.array_equal(new.problem.test.x.numpy(), z[new.roles.test])
    assert np.array_equal(new.problem.negatives.x.numpy(), z[new.roles.negatives])
    assert np.array_equal(new.problem.test.y.numpy(), g.y[new.roles.test])


@pytest.mark.parametrize("spec", SPECS)
def test_kept_sums_give_the_bits_that_a_recomputation_gives(
    spec: Propagation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows do not tell what was forgotten before, and fewer sums are made anew."""
    monkeypatch.setattr(propagation, "COLUMNS", 4)
    g = random_graph(11)
    kept = spec.sums(g)
    assert (kept is None) == (spec.hops == 1)
    for change in (Change(nodes=[3, 8]), Change(features=[5, 4]), Change(edges=g.edges[:2])):
        new = g.without(change)
        kept, g = spec.sums_after(kept, g, new, change), new
        assert np.array_equal(spec.rows(g, np.arange(len(g)), kept), spec.full(g))
        assert kept is None or len(kept.before_last.nodes) < len(g)


def test_sparse_features_keep_no_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "DENSE", 2.0)
    assert Propagation().sums(random_graph(11)) is None


def test_old_features_at_test_would_leak() -> None:
    """A test node next to a removed one has other features afterwards, and a removed one none."""
    before = path_world(train=(0, 1, 2))
    edit = before.after(Change(nodes=[4]))
    assert before.roles.test.tolist() == [3, 4]
    assert edit.world.roles.test.tolist() == [3]
    assert not torch.equal(edit.world.problem.test.x[0], before.problem.test.x[0])


def test_a_world_makes_requests() -> None:
    before = path_world(train=(0, 1, 2))
    edit = before.after(Change(nodes=[0]))
    state = State(torch.zeros(before.problem.model.dimension), torch.arange(3))
    request = Request.of(
        edit.world.problem,
        state,
        edit.lost,
        altered=edit.altered,
        before=before.problem.train,
    )
    assert request.forget.tolist() == [0, 1]
    assert torch.equal(request.forget_rows.x, before.problem.train.x[:2])


def test_an_edit_is_timed_by_the_clock_of_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of `Clock`: of the processor on one thread, which other programs do not lengthen."""
    seconds = iter([5.0, 7.0])
    monkeypatch.setattr(Clock, "now", lambda self: next(seconds))
    assert path_world().after(Change(nodes=[0])).seconds == 2.0


def test_features_go_and_the_label_stays_or_goes() -> None:
    start = path_world(train=(0, 1, 2))
    stays = start.after(Change(features=[1]))
    assert (stays.lost.tolist(), stays.altered.tolist()) == ([], [0, 1, 2])
    goes = start.after(Change(features=[1], labels=[1]))
    assert (goes.lost.tolist(), goes.altered.tolist()) == ([1], [0, 2])
    label = start.after(Change(labels=[1]))
    assert (label.lost.tolist(), label.altered.tolist()) == ([1], [])


def test_the_last_test_node_cannot_go() -> None:
    with pytest.raises(LetheError, match="forgets every node of test"):
        path_world(train=(0, 1, 2)).after(Change(nodes=[3, 4]))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([(0, 1), (4, 5)], "the edge 4-5 names no node: they are 0 to 4"),
        ([(0, 1), (2, -1)], "the edge 2--1 names no node"),
        ([(0, 1), (1, 0)], "the edge 0-1 stands there in both directions"),
        ([(0, 1), (0, 1)], "the edge 0-1 stands there twice"),
        ([(0, 1), (2, 2)], "the edge 2-2 is a loop"),
    ],
)
def test_malformed_edges_are_one_line(edges: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(LetheError, match=message):
        graph(edges)


def test_malformed_arrays_are_one_line() -> None:
    x = sparse.csr_array(np.ones((4, 2)))
    with pytest.raises(LetheError, match="a graph of 4 nodes needs 4 labels"):
        Graph.of(x, np.zeros(3, dtype=int), np.zeros((0, 2)))
    with pytest.raises(LetheError, match="pairs of node numbers"):
        Graph.of(x, np.zeros(4, dtype=int), np.zeros((2, 3), dtype=int))
    with pytest.raises(LetheError, match="no finite number"):
        Graph.of(x * np.nan, np.zeros(4, dtype=int), np.zeros((0, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(nodes=[7]), "names node 7, the graph has 5"),
        (Change(nodes=[1, 1]), "names node 1 twice in nodes"),
        (Change(edges=[(0, 2)]), "forgets the edge 0-2, which is not there"),
        (Change(edges=[(0, 1), (1, 0)]), "in both directions"),
        (Change(features=[-1]), "names node -1"),
    ],
)
def test_malformed_requests_are_one_line(change: Change, message: str) -> None:
    with pytest.raises(LetheError, match=message):
        graph(PATH).without(change)


def test_a_node_is_forgotten_once() -> None:
    new = graph(PATH).without(Change(nodes=[1]))
    with pytest.raises(LetheError, match="names node 1, which was forgotten before"):
        new.without(Change(nodes=[1]))
    with pytest.raises(LetheError, match="forgets the label of node 1"):
        graph(PATH).without(Change(labels=[1])).without(Change(labels=[1]))
    assert new.degrees.tolist() == [0, 0, 1, 2, 1]
    assert not new.x[[1]].nnz


def test_planted_and_cut_edges() -> None:
    g = graph(PATH).plus_edges(np.array([[4, 0]]))
    assert g.edges.tolist() == [[0, 1], [0, 4], [1, 2], [2, 3], [3, 4]]
    inside = np.array([True, True, False, False, False])
    assert g.cut(inside).edges.tolist() == [[0, 1], [2, 3], [3, 4]]
    with pytest.raises(LetheError, match="stands there twice"):
        graph(PATH).plus_edges(np.array([[0, 1]]))


def test_the_content_hash_is_that_of_sorted_parts() -> None:
    g = graph(PATH)
    again = Graph.of(g.x, g.y, np.array([(4, 3), (1, 0), (3, 2), (2, 1)]))
    assert again.content_hash == g.content_hash
    assert graph(PATH[:3]).content_hash != g.content_hash


# A graph convolutional net as a model of rows, and the methods that it is for.

TOML = """
title = "A small graph"
seeds = [0]

[problem]
data = "small"
graph = {{ file = "small.npz", normalisation = "{normalisation}" }}
precision = "float64"
split = {{ test = 20, negatives = 15 }}
model = {{ kind = "{kind}", hidden = {hidden} }}
objective = {{ loss = "cross_entropy", ridge = 5e-4 }}
training = {{ algorithm = "adam", epochs = 20, batch = 1000, learning_rate = 1e-2 }}

[forget]
scenario = "{scenario}"
count = 3
requests = {requests}
"""


def file(folder: Path, scenario: str = "nodes", requests: int = 1, **changes: str) -> Path:
    problems.write(folder)
    path = folder / "small.toml"
    known = {"normalisation": "sym", "kind": "gcn", "hidden": "4"} | changes
    path.write_text(TOML.format(scenario=scenario, requests=requests, **known), encoding="utf-8")
    return path


def worlds(folder: Path, *args: object, **more: str) -> Stream:
    found = load(str(file(folder, *args, **more)))
    return stream(found.problem, found.forget, Seeds.all(0), torch.device("cpu"))


def by_definition(found: Stream, number: int, weights: torch.Tensor) -> np.ndarray:
    """(V, classes) logits of a world, from dense matrices."""
    world = found.worlds[number]
    a = world.graph.a.toarray() + np.eye(len(world.graph))
    d = a.sum(axis=1)
    p = a / d[:, None] if world.propagation._reach.normalisation == "row" else None
    p = a / np.sqrt(np.outer(d, d)) if p is None else p
    x = world.graph.x.toarray()
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(norms > 0, norms, 1)
    w1, b1, w2, b2 = (part.numpy() for part in world.problem.model.named(weights).values())
    return p @ np.maximum(p @ x @ w1.T + b1, 0) @ w2.T + b2


@pytest.mark.parametrize("normalisation", ["row", "sym"])
@pytest.mark.parametrize("scenario", ["nodes", "edges", "features"])
def test_a_net_is_its_definition_in_every_world(
    tmp_path: Path, scenario: str, normalisation: str
) -> None:
    found = worlds(tmp_path, scenario, 2, normalisation=normalisation)
    model = found.start.problem.model
    weights = model.initial_weights(torch.Generator().manual_seed(0))
    for number, world in enumerate(found.worlds):
        logits = model(weights, world.features_of(np.arange(100)))
        np.testing.assert_allclose(logits, by_definition(found, number, weights), atol=1e-12)
        train = world.roles.train[world.trained]
        rows = world.problem.train.x[torch.from_numpy(world.trained)]
        assert torch.equal(model(weights, rows), logits[train])


def test_a_batch_may_hold_rows_of_several_worlds_and_a_row_twice(tmp_path: Path) -> None:
    found = worlds(tmp_path)
    model = found.start.problem.model
    weights = model.initial_weights(torch.Generator().manual_seed(0))
    old, new = (world.features_of(np.arange(100)) for world in found.worlds)
    mixed = torch.cat([new[:7], old, new, old[:3]])
    parts = [model(weights, rows) for rows in (new[:7], old, new, old[:3])]
    torch.testing.assert_close(model(weights, mixed), torch.cat(parts), rtol=0, atol=1e-14)
    assert model(weights, mixed[:0]).shape == (0, model.classes)


def test_rows_that_no_request_reaches_stay_and_altered_ones_are_named(tmp_path: Path) -> None:
    found = worlds(tmp_path, "edges")
    (edit,) = found.edits
    same = found.start.problem.train.x == edit.world.problem.train.x
    assert torch.equal((~same[:, 0]).nonzero()[:, 0], edit.altered)
    assert 0 < len(edit.altered) < len(same)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_with_a_graph_are_those_of_coordinates_to_the_bit(dtype: torch.dtype) -> None:
    """Also the gradient, and the gradient of something made of it."""
    p = Propagation(normalisation="row").matrix(random_graph(0))
    like = torch.zeros(1, dtype=dtype)
    entries = p.tocoo()
    places = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    values = torch.from_numpy(entries.data)
    plain = torch.sparse_coo_tensor(places, values, p.shape, check_invariants=False).to(like)
    draw = torch.Generator().manual_seed(0)
    dense = torch.randn(3, 40, generator=draw, dtype=dtype).T.requires_grad_()
    v = torch.randn(40, 3, generator=draw, dtype=dtype)

    def found(product: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        out = product(dense)
        (first,) = torch.autograd.grad(out.square().sum(), dense, create_graph=True)
        return [out, first, *torch.autograd.grad((first * v).sum(), dense)]

    ours = found(lambda x: times(SparseMatrix(p.astype(like.numpy().dtype), like.device), x))
    theirs = found(lambda x: torch.sparse.mm(plain.coalesce(), x))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


def test_curvature_is_that_of_the_gradient(tmp_path: Path) -> None:
    """Products for GIF go through the graph twice."""
    problem = worlds(tmp_path).start.problem
    draw = torch.Generator().manual_seed(1)
    weights = problem.model.initial_weights(draw)
    v = torch.randn(len(weights), generator=draw, dtype=torch.float64)
    step = 1e-6 * v
    ends = [problem.gradient(weights + sign * step, problem.train) for sign in (1, -1)]
    product = problem.hessian(weights, problem.train) @ v
    torch.testing.assert_close(product, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


UNCERTIFIED = ["nothing", "retrain", "retrain-other-seed", "sisa", "influence", "fine-tune"]


def records(folder: Path, methods: list[str], scenario: str = "nodes") -> dict[str, Record]:
    cells = plan_cells(load(str(file(folder, scenario))), "cpu", methods)
    bench = Workbench(cells[0].inputs, torch.device("cpu"), None)
    return {cell.info.name: run_cell(cell, bench, lambda _: None) for cell in cells}


@pytest.mark.parametrize("scenario", ["nodes", "edges-planted"])
def test_methods_without_a_certificate_answer(tmp_path: Path, scenario: str) -> None:
    found = records(tmp_path, [*UNCERTIFIED, "gradient-ascent"], scenario)
    assert set(found) == {*UNCERTIFIED, "gradient-ascent"}
    for name, record in found.items():
        assert record.status == "ok", (name, record.failure)
        assert record.metrics["reach_rows"].value > 0
    assert found["retrain"].metrics["distance"].value == 0
    moved = found["influence"].metrics["distance"].value, found["nothing"].metrics["distance"].value
    assert moved[0] != moved[1]


def test_a_certified_method_is_refused_by_name(tmp_path: Path) -> None:
    path = file(tmp_path)
    default = {cell.info.name for cell in plan_cells(load(str(path)), "cpu")}
    assert default >= {"retrain", "sisa", "influence"}
    assert default.isdisjoint({"newton", "dp-sgd", "noisy-fine-tune", "certified-removal"})
    only = 'methods = ["newton"]\n\n[rows.newton]\n\n[problem]'
    text = path.read_text(encoding="utf-8").replace("[problem]", only)
    path.write_text(text, encoding="utf-8")
    (cell,) = plan_cells(load(str(path)), "cpu")
    bench = Workbench(cell.inputs, torch.device("cpu"), None)
    record = run_cell(cell, bench, lambda _: None)
    assert record.status == "failed"
    assert "a GCN trains what passes between neighbours" in record.failure.message
    assert "take model.kind = 'softmax'" in record.failure.message


def test_trained_nets_are_kept_by_the_graph_that_they_saw(tmp_path: Path) -> None:
    cells = plan_cells(load(str(file(tmp_path))), "cpu", ["nothing"])
    bench = Workbench(cells[0].inputs, torch.device("cpu"), None)
    rows = bench.retain
    assert bench.weights_key(rows) != bench.weights_key(rows, bench.after)


def test_a_gcn_without_a_graph_and_another_net_on_one_are_one_line(tmp_path: Path) -> None:
    path = file(tmp_path, kind="mlp", hidden="[4]")
    with pytest.raises(LetheError, match="a linear head or a GCN: set"):
        load(str(path))
    text = file(tmp_path).read_text(encoding="utf-8")
    rows = text.replace('data = "small"', 'data = "digits"').replace('"nodes"', '"random"')
    without = "\n".join(line for line in rows.splitlines() if not line.startswith("graph ="))
    path.write_text(without, encoding="utf-8")
    with pytest.raises(LetheError, match="a GCN sees a graph: set"):
        load(str(path))


def test_a_net_on_a_graph_is_in_a_family_of_its_own(tmp_path: Path) -> None:
    found = facts_of(load(str(file(tmp_path))))
    assert found.problem == "small, GCN"
    assert track(found).slug == "graph-net-random-1"
    assert track(found).title == "Net on a graph: one request, ε = 1"


def test_a_head_on_sparse_rows_is_that_on_dense_ones() -> None:
    """Gradient, products and loss, also of a part of the rows."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(60, 30, generator=draw, dtype=torch.float64)
    x *= torch.rand(60, 30, generator=draw) < 0.2
    y = torch.randint(3, (60,), generator=draw)
    found = SparseMatrix.within(x)
    assert found is not None
    assert SparseMatrix.within(x + 1) is None
    problem = Problem(
        Model(SoftmaxSpec(), 30, 3),
        Objective(loss="cross_entropy", ridge=1e-3),
        NewtonTraining(tolerance=1e-10),
        train=Rows(x, y, found),
        negatives=Rows(x[:5], y[:5]),
        test=Rows(x[:5], y[:5]),
    )
    weights, v = torch.randn(2, 93, generator=draw, dtype=torch.float64)
    for index in (torch.arange(60), torch.arange(0, 60, 2)):
        rows = problem.train.take(index)
        plain = Rows(rows.x, rows.y)
        assert rows.sparse is not None
        assert plain.sparse is None
        dense, sparse = problem.hessian(weights, plain), problem.hessian(weights, rows)
        assert torch.allclose(dense.gradient, sparse.gradient, rtol=0, atol=1e-12)
        assert torch.allclose(dense @ v, sparse @ v, rtol=0, atol=1e-12)
        with torch.no_grad():
            losses = problem.loss(weights, plain), problem.loss(weights, rows)
        assert torch.allclose(*losses, rtol=1e-14, atol=0)


def test_rows_forget_the_sparse_form_of_others() -> None:
    x = torch.eye(5, dtype=torch.float64)
    rows = Rows(x, torch.zeros(5, dtype=torch.int64), SparseMatrix.within(x))
    assert rows.sparse is not None
    assert replace(rows, y=rows.y + 1).sparse is rows.sparse
    assert replace(rows, x=2 * x).sparse is None
