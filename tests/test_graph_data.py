"""Graphs by name, graphs of one's own, and what requests on them name."""

from __future__ import annotations

import io
import os
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmark.contract.seeds import Seeds
from benchmark.data import graph_downloads, graphs
from benchmark.data.forget import ForgetSpec
from benchmark.data.graphs import SOURCES, GraphSpec, load, read_npz
from benchmark.errors import LetheError
from benchmark.experiments import graphs as worlds
from benchmark.experiments.experiment import load as load_experiment
from benchmark.experiments.facts import facts_of
from benchmark.runner.plans import rows_of, settings
from tests import problems as small

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", SOURCES)
def test_published_graphs_have_their_content_hash(name: str) -> None:
    folder = os.environ.get("LETHE_DATA")
    if not folder or not (Path(folder) / SOURCES[name].file).exists():
        pytest.skip("not at hand")
    found = load(name)
    assert found.graph.content_hash == SOURCES[name].content_hash
    assert found.caveats


def test_features_fitted_on_all_nodes_make_a_claim_conditional(tmp_path: Path) -> None:
    problem = spec_of(tmp_path)
    data = problem.graph.load("small")
    roles = worlds.roles_of(data, problem, Seeds())
    fitted = graphs.GraphData(data.graph, data.parts, fitted=SOURCES["cora-ml"].fitted)
    world = worlds._world(problem, data.graph, roles, fitted, CPU)
    assert "tf-idf" in world.problem.declared.caveats[0]


def test_the_embedded_graph_is_the_same_everywhere() -> None:
    found = load(graphs.DIGITS)
    assert (len(found.graph), len(found.graph.edges), found.classes) == (1797, 6309, 10)
    u, v = found.graph.edges.T
    assert np.mean(found.graph.y[u] == found.graph.y[v]) > 0.97


def test_an_unknown_graph_is_named() -> None:
    with pytest.raises(LetheError, match="unknown graph 'corra'"):
        load("corra")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": np.array([[0, 1], [1, 0]])}, "the edge 0-1 stands there in both directions"),
        ({"edges": np.array([[0, 100]])}, "the edge 0-100 names no node"),
        ({"y": np.full(100, -1)}, "no node has a label"),
        ({"y": np.zeros(100, dtype=int)}, "every label is 0, so there is nothing to tell apart"),
        ({"y": np.zeros(7, dtype=int)}, "a graph of 100 nodes needs 100 labels"),
        ({"y": np.arange(100) - 2}, "a label is -2: number them from 0, and take -1 for none"),
        ({"x": np.zeros((99, 8))}, "a graph of 99 nodes needs 99 labels"),
        ({"x": np.zeros(3)}, "x is \\(nodes, inputs\\) of numbers"),
        ({"train": np.array([3, 3])}, "train names node 3 twice"),
        ({"train": np.arange(100) < 30}, "train is of type bool: it holds node numbers"),
        ({"test": np.array([1.5])}, "test is of type float64: it holds node numbers"),
        ({"train": np.array([3]), "test": np.array([3])}, "node 3 is in two of train, val"),
        ({"test": np.array([200])}, "test names node 200, the graph has 100"),
        ({"test": np.array([99])}, "test names node 99, which has no label"),
    ],
)
def test_a_malformed_file_is_one_line(
    tmp_path: Path, changes: dict[str, np.ndarray], message: str
) -> None:
    path = small.write(tmp_path, **changes)
    with pytest.raises(LetheError, match=f"^graph file small.npz: .*{message}"):
        read_npz(path)


def test_a_file_that_is_no_graph_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    for junk in (b"no archive", b"\x93NUMPY junk", b"PK\x03\x04junk"):
        path.write_bytes(junk)
        with pytest.raises(LetheError, match="is no npz file without pickles, or a damaged one"):
            read_npz(path)
    with path.open("wb") as file:
        np.save(file, np.eye(3))
    with pytest.raises(LetheError, match="is no npz file without pickles, or a damaged one"):
        read_npz(path)
    np.savez(path, x=np.eye(3))
    with pytest.raises(LetheError, match="has no arrays y and edges"):
        read_npz(path)
    np.savez(path, y=np.zeros(3, dtype=int), edges=np.zeros((0, 2)))
    with pytest.raises(LetheError, match="neither x nor x_data"):
        read_npz(path)
    np.savez(path, y=np.zeros(1, dtype=int), edges=np.zeros((0, 2)), x=np.array([["a"]]))
    with pytest.raises(LetheError, match=r"of numbers, not \(1, 1\) of <U1"):
        read_npz(path)
    np.savez(path, y=np.array([object()]), edges=np.zeros((0, 2)), x=np.eye(1))
    with pytest.raises(LetheError, match="without objects"):
        read_npz(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"x_shape": np.array([100, 5])},
        {"x_indices": np.full(8, -1)},
        {"x_shape": np.array([90, 8])},
    ],
)
def test_features_of_the_wrong_width_are_one_line(
    tmp_path: Path, changes: dict[str, np.ndarray]
) -> None:
    x = sparse.csr_array(small.arrays()["x"])
    parts = {"x_data": x.data, "x_indices": x.indices, "x_indptr": x.indptr}
    parts |= {"x_shape": np.array(x.shape)} | changes
    parts["x_indices"] = np.resize(parts["x_indices"], x.nnz)
    np.savez(tmp_path / "csr.npz", **{k: v for k, v in small.arrays().items() if k != "x"}, **parts)
    with pytest.raises(LetheError, match=r"csr\.npz: its features are no CSR matrix"):
        read_npz(tmp_path / "csr.npz")


def test_features_may_be_dense_or_csr(tmp_path: Path) -> None:
    dense = read_npz(small.write(tmp_path)).graph
    x = sparse.csr_array(small.arrays()["x"])
    np.savez(
        tmp_path / "csr.npz",
        **{k: v for k, v in small.arrays().items() if k != "x"},
        x_data=x.data,
        x_indices=x.indices,
        x_indptr=x.indptr,
        x_shape=np.array(x.shape),
    )
    assert read_npz(tmp_path / "csr.npz").graph.content_hash == dense.content_hash


def spec_of(tmp_path: Path, **more: object) -> object:
    """The settings of the small experiment's problem."""
    small.write(tmp_path, parts=True)
    changes = {f"problem.graph.{name}": value for name, value in more.items()}
    return load_experiment(str(small.experiment(tmp_path)), None, changes).problem


def roles(tmp_path: Path, seed: int = 0, **more: object) -> worlds.Roles:
    problem = spec_of(tmp_path, **more)
    return worlds.roles_of(problem.graph.load("small"), problem, Seeds.all(seed))


def test_a_published_split_is_taken_as_it_is(tmp_path: Path) -> None:
    public = roles(tmp_path, split="public")
    assert public.train.tolist() == list(range(30))
    assert public.negatives.tolist() == list(range(30, 45))
    full = roles(tmp_path, split="full")
    assert full.train.tolist() == [*range(30), *range(65, 95)], "all others with a label"
    assert full.test.tolist() == public.test.tolist() == list(range(45, 65))


def test_a_random_split_is_by_the_split_seed(tmp_path: Path) -> None:
    one, again, other = roles(tmp_path), roles(tmp_path), roles(tmp_path, seed=1)
    assert np.array_equal(one.train, again.train)
    assert not np.array_equal(one.train, other.train)
    assert (len(one.train), len(one.negatives), len(one.test)) == (60, 15, 20)
    everything = np.concatenate([one.train, one.negatives, one.test])
    assert sorted(everything) == list(range(95)), "each node with a label once"


def test_an_inductive_split_leaves_out_edges_across(tmp_path: Path) -> None:
    problem = spec_of(tmp_path, inductive=True)
    world = worlds.graph_world(problem, Seeds.all(0), CPU)
    held = np.zeros(100, dtype=bool)
    held[world.roles.held_out] = True
    u, v = world.graph.edges.T
    assert len(u)
    assert np.array_equal(held[u], held[v])


def test_a_split_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    problem = spec_of(tmp_path, split="public")
    data = problem.graph.load("small")
    wrong = problem.model_copy(update={"split": problem.split.model_copy(update={"test": 7})})
    with pytest.raises(LetheError, match=r"split\.test is 7, and small has 20 published"):
        worlds.roles_of(data, wrong, Seeds())
    bare = graphs.GraphData(data.graph, {part: np.zeros(0, int) for part in graphs.PARTS})
    with pytest.raises(LetheError, match="no parts of small are published"):
        worlds.roles_of(bare, problem, Seeds())
    untrained = graphs.GraphData(data.graph, data.parts | {"train": np.zeros(0, int)})
    with pytest.raises(LetheError, match="the graph small has 0 training nodes"):
        worlds.roles_of(untrained, problem, Seeds())
    random = spec_of(tmp_path)
    huge = random.model_copy(update={"split": random.split.model_copy(update={"train": 90})})
    with pytest.raises(LetheError, match="asks for 125 nodes of small, which has 95"):
        worlds.roles_of(data, huge, Seeds())


@pytest.mark.parametrize(
    "scenario",
    [
        "nodes",
        "nodes-any",
        "nodes-high-degree",
        "edges",
        "edges-planted",
        "features",
        "features-and-labels",
    ],
)
def test_requests_of_a_stream_are_disjoint_and_by_the_forget_seed(
    tmp_path: Path, scenario: str
) -> None:
    problem = spec_of(tmp_path)
    forget = ForgetSpec(scenario=scenario, count=4, requests=3)
    streams = [worlds.stream(problem, forget, Seeds(forget=seed), CPU) for seed in (0, 0, 1)]
    names = [[_named(change) for change in found.changes] for found in streams]
    assert names[0] == names[1] != names[2]
    assert all(len(one) == 4 for one in names[0])
    assert len(set().union(*names[0])) == 12
    train = set(streams[0].start.roles.train)
    if scenario.startswith(("nodes", "features")) and scenario != "nodes-any":
        assert set().union(*names[0]) <= train


def _named(change: object) -> set:
    if len(change.edges):
        return set(map(tuple, change.edges.tolist()))
    return set(change.nodes.tolist()) | set(change.features.tolist())


def test_nodes_by_degree_and_by_class(tmp_path: Path) -> None:
    problem = spec_of(tmp_path)
    found = worlds.stream(problem, ForgetSpec(scenario="nodes-high-degree", count=5), Seeds(), CPU)
    degrees, train = found.start.graph.degrees, found.start.roles.train
    assert degrees[found.changes[0].nodes].min() >= np.sort(degrees[train])[-5]
    whole = worlds.stream(problem, ForgetSpec(scenario="nodes-class"), Seeds(), CPU)
    labels = found.start.graph.y
    gone = whole.changes[0].nodes
    assert len(set(labels[gone])) == 1
    assert len(gone) == (labels[train] == labels[gone[0]]).sum()


def test_edges_of_one_node(tmp_path: Path) -> None:
    forget = ForgetSpec(scenario="edges-of-node", count=2, requests=2)
    found = worlds.stream(spec_of(tmp_path), forget, Seeds(), CPU)
    for change in found.changes:
        assert set.intersection(*(set(edge) for edge in change.edges.tolist()))


def test_planted_edges_join_classes_and_are_all_forgotten(tmp_path: Path) -> None:
    problem = spec_of(tmp_path)
    found = worlds.stream(problem, ForgetSpec(scenario="edges-planted", count=9), Seeds(), CPU)
    plain = worlds.graph_world(problem, Seeds(), CPU)
    u, v = found.changes[0].edges.T
    labels = plain.graph.y
    assert (labels[u] != labels[v]).all()
    assert len(found.start.graph.edges) == len(plain.graph.edges) + 9
    last = found.worlds[-1]
    assert np.array_equal(last.graph.edges, plain.graph.edges)
    assert torch.equal(last.problem.train.x, plain.problem.train.x)


def test_requests_for_too_much_are_one_line(tmp_path: Path) -> None:
    problem = spec_of(tmp_path)
    for scenario, message in (
        ("nodes", "name 60 training nodes, and 59 are there to name"),
        ("edges-of-node", "0 training nodes have so many edges"),
    ):
        forget = ForgetSpec(scenario=scenario, count=60)
        with pytest.raises(LetheError, match=message):
            worlds.stream(problem, forget, Seeds(), CPU)
    with pytest.raises(LetheError, match="3 requests forget a class each, and there are 3"):
        worlds.stream(problem, ForgetSpec(scenario="nodes-class", requests=3), Seeds(), CPU)


def test_an_own_graph_is_known_by_its_content(tmp_path: Path) -> None:
    problem = spec_of(tmp_path)
    said = problem.graph.model_dump(mode="json")
    assert said["file"] == "small.npz", "no path"
    assert said["content_hash"] == read_npz(tmp_path / "small.npz").graph.content_hash
    again = GraphSpec.model_validate(said)
    with pytest.raises(LetheError, match=r"graph file .*small\.npz cannot be read"):
        again.load("small")
    other = small.arrays(seed=1)
    np.savez(tmp_path / "small.npz", **other)
    os.utime(tmp_path / "small.npz", ns=(1, 1))
    with pytest.raises(LetheError, match="it has changed"):
        problem.graph.load("small")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem.features": "hog"}, "nothing is fitted on nodes that may be forgotten"),
        ({"problem.features": "unit-pixels"}, "set features = 'propagated'"),
        ({"forget.scenario": "random"}, "requests are on a graph: forget.scenario is one of nodes"),
        ({"forget.scenario": "node"}, "unknown scenario 'node': did you mean 'nodes'"),
        ({"problem.graph.weights": [1.0]}, "2 hops take 3 weights, not 1"),
        ({"problem.split.public": 3}, "a graph has no public rows"),
        (
            {"problem.model": {"kind": "mlp", "hidden": [3]}},
            "on a graph the model is a linear head",
        ),
        ({"problem.graph.file": "nothing.npz"}, "nothing.npz cannot be read"),
    ],
)
def test_a_graph_experiment_that_is_wrong_is_one_line(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    small.write(tmp_path)
    with pytest.raises(LetheError, match=message) as raised:
        load_experiment(str(small.experiment(tmp_path)), None, changes)
    assert "\n" not in str(raised.value).strip()


def test_rows_take_no_graph_scenario() -> None:
    with pytest.raises(
        LetheError, match=r"requests are on rows: forget\.scenario is one of random"
    ):
        load_experiment("digits-softmax", None, {"forget.scenario": "edges"})
    with pytest.raises(LetheError, match="propagated features are of a graph"):
        load_experiment("digits-softmax", None, {"problem.features": "propagated"})


def test_a_graph_experiment_says_so_and_leaves_out_who_cannot_alter(tmp_path: Path) -> None:
    small.write(tmp_path)
    found = load_experiment(str(small.experiment(tmp_path)))
    facts = facts_of(found)
    assert facts.graph
    assert facts.problem == "small, softmax on SGC, 2 hops"
    assert not facts_of(load_experiment("digits-softmax")).graph
    assert "graph" not in facts_of(load_experiment("digits-softmax")).model_dump()
    assert settings(found)["split"] == "random"
    assert "vocabulary" in settings(load_experiment("cora-sgc"))["caveats"]
    taking_part = {row.method for row in rows_of(found)}
    assert "newton-chord" in taking_part
    assert "recollection" not in taking_part


def test_a_citation_graph_as_published_is_read_without_running_anything(tmp_path: Path) -> None:
    """Eight nodes: three to train on, two known besides, two to test and one without a label."""
    files = {
        "x": sparse.csr_matrix(np.eye(5)[:3]),
        "allx": sparse.csr_matrix(np.eye(5)),
        "tx": sparse.csr_matrix(np.eye(5)[[0, 1]]),
        "y": np.eye(2)[[0, 1, 0]],
        "ally": np.eye(2)[[0, 1, 0, 1, 1]],
        "ty": np.eye(2)[[0, 1]],
        "graph": defaultdict(list, {0: [1, 1, 0], 1: [0], 6: [2], 2: [6]}),
    }
    content = {name: pickle.dumps(value) for name, value in files.items()}
    content["test.index"] = b"7\n5\n"

    def read(address: str) -> bytes:
        return content[address.split("ind.cora.")[1]]

    graph_downloads.fetch("cora", "cora/cora.npz", tmp_path / "cora.npz", read)
    with np.load(tmp_path / "cora.npz") as found:
        assert found["edges"].tolist() == [[0, 1], [2, 6]]
        assert found["y"].tolist() == [0, 1, 0, 1, 1, 1, -1, 0]
        assert found["train"].tolist() == [0, 1, 2]
        assert found["test"].tolist() == [5, 7]


def test_a_download_that_would_run_something_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(os.getcwd)
    with pytest.raises(LetheError, match="is not in the form it was published in \\(it holds a"):
        graph_downloads.fetch("cora", "cora/cora.npz", tmp_path / "x.npz", lambda _: content)


def test_a_download_of_shchurs_format(tmp_path: Path) -> None:
    adjacency = sparse.csr_array(np.array([[1, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=float))
    parts = {"adj": adjacency, "attr": sparse.csr_array(np.eye(3))}
    arrays = {
        f"{name}_{field}": getattr(part, field)
        for name, part in parts.items()
        for field in ("data", "indices", "indptr", "shape")
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, labels=np.array([0, 1, 1]), names=np.array([object()]))
    fetched = tmp_path / "photo.npz"
    graph_downloads.fetch("amazon-photo", "x", fetched, lambda _: buffer.getvalue())
    assert read_npz(fetched).graph.edges.tolist() == [[0, 1], [1, 2]]


def test_a_download_without_a_network_is_one_line(tmp_path: Path) -> None:
    def read(address: str) -> bytes:
        raise OSError("no route")

    with pytest.raises(LetheError, match="set LETHE_DATA to a folder that holds graphs/citeseer"):
        graph_downloads.fetch("citeseer", "graphs/citeseer.npz", tmp_path / "x.npz", read)
