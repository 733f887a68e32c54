"""Graphs by name, and a user's own: read from files without pickles, and held to content hashes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PrivateAttr
from scipy import sparse

from benchmark.data import array_file, graph_downloads
from benchmark.data.digits_graph import digits_graph
from benchmark.data.images import local_folder
from benchmark.errors import LetheError, present, unknown
from benchmark.files import cache_folder
from benchmark.graph.graph import Graph
from benchmark.graph.propagation import Propagation

#: Arrays of a file; `x` may stand for the four of the features.
FEATURES = ("x_data", "x_indices", "x_indptr", "x_shape")
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class GraphSource:
    """A published graph, and what it must contain.

    Attributes:
        name: as in experiments.
        title: for people.
        file: its place under `$LETHE_DATA`.
        content_hash: of features, labels and edges, see `Graph.content_hash`.
        citation: whom to thank.
        caveats: what a reader of its numbers should know.
        fitted: which of its features were fitted on nodes that a request may name; a claim holds
            on condition that these are taken for public.
    """

    name: str
    title: str
    file: str
    content_hash: str
    citation: str
    caveats: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()


_WORDS = "the vocabulary of its features was chosen over all nodes"

SOURCES = {
    source.name: source
    for source in (
        GraphSource(
            name="cora",
            title="Cora",
            file="cora/cora.npz",
            content_hash="e1bd53a6d5b4c0f14db4a1b5b2e438414ed9a839a9c1ca4d9017c00ddb5978a4",
            citation="LINQS citation networks, packaged by Yang, Cohen, Salakhutdinov 2016",
            caveats=(_WORDS,),
        ),
        GraphSource(
            name="citeseer",
            title="Citeseer",
            file="graphs/citeseer.npz",
            content_hash="dad769b432a954daac977efad87864558dfbe57f865c768f35f5542ebc6620b2",
            citation="LINQS citation networks, packaged by Yang, Cohen, Salakhutdinov 2016",
            caveats=(_WORDS, "15 nodes have neither features nor a label and are in no part"),
        ),
        GraphSource(
            name="cora-ml",
            title="Cora-ML",
            file="graphs/cora-ml.npz",
            content_hash="541a649c1e4d38636f9ae2999338595dfb99adc4156d6a4b98101e1c0b044cf2",
            citation="Bojchevski, Günnemann 2018",
            caveats=(_WORDS,),
            fitted=("features are tf-idf over all nodes, and so functions of forgotten ones",),
        ),
        GraphSource(
            name="amazon-photo",
            title="Amazon Photo",
            file="graphs/amazon-photo.npz",
            content_hash="eaede75f555020b02325be5dc218b59404cd987cbac5c54f7d0fd81d5fa6f379",
            citation="McAuley et al. 2015, packaged by Shchur et al. 2018",
            caveats=(_WORDS,),
        ),
        GraphSource(
            name="coauthor-cs",
            title="Coauthor CS",
            file="graphs/coauthor-cs.npz",
            content_hash="baceba14e4c8dd3fea26c86709619ab03a7d025c43320ee8936cd82fa654fa19",
            citation="Microsoft Academic Graph, packaged by Shchur et al. 2018",
            caveats=(_WORDS,),
        ),
    )
}
DIGITS = "digits-knn"
NAMES = (DIGITS, *SOURCES)
TITLES = {DIGITS: "Digits, nearest neighbours"} | {s.name: s.title for s in SOURCES.values()}


@dataclass(frozen=True)
class GraphData:
    """A graph that was read, and its published parts.

    Attributes:
        graph: as published.
        parts: sorted node numbers of `PARTS`, empty where nothing is published.
        caveats: what a reader of its numbers should know.
        fitted: see `GraphSource`.
    """

    graph: Graph
    parts: dict[str, np.ndarray]
    caveats: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(self.graph.y.max()) + 1


class GraphSpec(Propagation):
    """A graph, what is made of it and which nodes are for what.

    Attributes:
        split: `public` takes the published parts, `full` the published test and validation nodes
            and trains on all others with a label, `random` draws by the split seed. Validation
            nodes that are published are the negatives.
        inductive: whether edges between nodes to train on and held-out ones are left out.
        file: a graph of one's own, an npz file whose path starts from the experiment's folder.
        content_hash: of the graph in the file; filled in where it is not given.
    """

    split: Literal["public", "full", "random"] = "random"
    inductive: bool = False
    file: str | None = Field(None, exclude_if=lambda value: value is None)
    content_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, exclude_if=lambda value: value is None
    )
    _folder: Path | None = PrivateAttr(None)

    def located(self, folder: Path) -> GraphSpec:
        """The same with the file read from a path that starts at `folder`, and its content hash.

        A record has the file's name alone: where it lies says nothing of the numbers.

        Raises:
            LetheError: if the graph cannot be read, is wrong or is not that of `content_hash`.
        """
        if self.file is None:
            return self
        path = (folder / self.file).resolve()
        found = self.model_copy(update={"file": path.name})
        found._folder = path.parent
        read = found.model_copy(update={"content_hash": found.load("").graph.content_hash})
        read._folder = path.parent
        return read

    def load(self, name: str) -> GraphData:
        """The graph called `name`, or that of the file.

        Raises:
            LetheError: if it cannot be had, is wrong or is not what it should be.
        """
        if self.file is None:
            return load(name)
        path = self._path()
        try:
            changed = path.stat().st_mtime_ns
        except OSError as error:
            raise LetheError(
                f"graph file {path} cannot be read ({error.strerror}): correct problem.graph.file, "
                "which starts from the experiment's folder"
            ) from error
        found = _read_file(path, changed)
        if self.content_hash not in (None, found.graph.content_hash):
            raise LetheError(
                f"graph file {path.name} has content hash {found.graph.content_hash[:16]}..., not "
                f"{self.content_hash[:16]}...: it has changed, or problem.graph.content_hash is of "
                "another one"
            )
        return found

    def _path(self) -> Path:
        """Where the file is: at the study, else in the current folder or in `$LETHE_DATA`."""
        if self._folder is not None:
            return self._folder / present(self.file)
        folders = [Path.cwd(), *map(Path, filter(None, [os.environ.get("LETHE_DATA")]))]
        places = [folder / present(self.file) for folder in folders]
        return next((place for place in places if place.exists()), places[0])


@cache
def load(name: str) -> GraphData:
    """The graph `name`, verified; read once a process.

    Raises:
        LetheError: for an unknown name, or if it cannot be had or is not what it should be.
    """
    if name == DIGITS:
        return GraphData(digits_graph(), {part: np.array([], dtype=np.int64) for part in PARTS})
    if name not in SOURCES:
        raise unknown("graph", name, NAMES)
    source = SOURCES[name]
    folder = local_folder()  # first, so that a wrong LETHE_DATA is never silent
    local = None if folder is None else folder / source.file
    if local is not None and local.exists():
        return _verified(read_npz(local), source, str(local), "replace the file")
    cached = cache_folder() / "graphs" / f"{name}-{source.content_hash[:16]}.npz"
    if not cached.exists():
        graph_downloads.fetch(name, source.file, cached)
    remedy = "its repository has changed: set LETHE_DATA to a folder with the original"
    try:
        return _verified(read_npz(cached), source, source.title, remedy)
    except LetheError:
        cached.unlink()
        raise


def caveats(name: str) -> tuple[str, ...]:
    """What a reader of the graph's numbers should know; nothing for a graph of one's own."""
    source = SOURCES.get(name)
    return () if source is None else (*source.caveats, *source.fitted)


def title(name: str) -> str:
    """What people call the graph."""
    return TITLES.get(name, name)


def read_npz(path: Path) -> GraphData:
    """The graph in a file: `x` or its four CSR arrays, `y`, `edges`, and the parts, if any.

    Raises:
        LetheError: if it cannot be read, lacks an array or holds a graph that is wrong.
    """
    where, advice = f"graph file {path.name}", "save numbers with numpy.savez, without objects"
    found = array_file.read_npz(path, "graph file", advice)
    if {"y", "edges"} - set(found):
        raise LetheError(f"{where} has no arrays y and edges: it needs both, and x")
    try:
        graph = Graph.of(_features(found), found["y"], found["edges"])
        parts = {part: _part(found, part, graph) for part in PARTS}
    except LetheError as error:
        raise LetheError(f"{where}: {error}") from error
    seen, counts = np.unique(np.concatenate(list(parts.values())), return_counts=True)
    if (counts > 1).any():
        raise LetheError(f"{where}: node {seen[counts > 1][0]} is in two of train, val and test")
    if (graph.y >= 0).sum() == 0:
        raise LetheError(f"{where}: no node has a label, so there is none to train on")
    if len(np.unique(graph.y[graph.y >= 0])) == 1:
        raise LetheError(
            f"{where}: every label is {graph.y.max()}, so there is nothing to tell apart"
        )
    return GraphData(graph, parts)


@lru_cache(maxsize=4)
def _read_file(path: Path, changed: int) -> GraphData:
    """The graph in a file, once a process and state of the file."""
    return read_npz(path)


def _features(arrays: dict[str, np.ndarray]) -> sparse.csr_array:
    if "x" in arrays:
        if arrays["x"].ndim != 2 or arrays["x"].dtype.kind not in "iufb":
            raise LetheError(
                f"x is (nodes, inputs) of numbers, not {arrays['x'].shape} of {arrays['x'].dtype}"
            )
        return sparse.csr_array(arrays["x"].astype(np.float64))
    if missing := [name for name in FEATURES if name not in arrays]:
        raise LetheError(f"it has neither x nor {missing[0]}: give the features, dense or as CSR")
    values, indices, indptr, shape = (arrays[name] for name in FEATURES)
    try:
        found = sparse.csr_array((values, indices, indptr), shape=tuple(map(int, shape)))
        found.check_format(full_check=True)  # columns, too: one outside would be read silently
    except (ValueError, TypeError) as error:
        raise LetheError(f"its features are no CSR matrix ({error})") from error
    return found


def _part(arrays: dict[str, np.ndarray], part: str, graph: Graph) -> np.ndarray:
    """Sorted node numbers of a published part."""
    nodes = np.asarray(arrays.get(part, []))
    if nodes.size and nodes.dtype.kind not in "iu":
        raise LetheError(
            f"{part} is of type {nodes.dtype}: it holds node numbers, of a mask "
            "numpy.flatnonzero(mask)"
        )
    nodes = nodes.astype(np.int64).ravel()
    nodes, counts = np.unique(nodes, return_counts=True)
    if len(nodes) and (nodes[0] < 0 or nodes[-1] >= len(graph)):
        raise LetheError(f"{part} names node {nodes[-1]}, the graph has {len(graph)}")
    if (counts > 1).any():
        raise LetheError(f"{part} names node {nodes[counts > 1][0]} twice")
    bare = nodes[graph.y[nodes] < 0] if len(nodes) else nodes
    if len(bare):
        raise LetheError(f"{part} names node {bare[0]}, which has no label")
    return nodes


def _verified(found: GraphData, source: GraphSource, where: str, remedy: str) -> GraphData:
    content = found.graph.content_hash
    if content != source.content_hash:
        raise LetheError(
            f"{where}: its content hash is {content[:16]}..., not {source.content_hash[:16]}... "
            f"({len(found.graph)} nodes read); {remedy}"
        )
    return GraphData(found.graph, found.parts, source.caveats, source.fitted)
