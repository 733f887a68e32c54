"""Graphs from the repositories that publish them, for where `$LETHE_DATA` has none."""

from __future__ import annotations

import io
import pickle
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from scipy import sparse

from benchmark.errors import LetheError
from benchmark.files import replace_file

_PLANETOID = "https://github.com/kimiyoung/planetoid/raw/master/data/ind"
_SHCHUR = "https://github.com/shchur/gnn-benchmark/raw/master/data/npz"
_PLANETOID_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")
#: Validation nodes follow the training nodes, by the convention of those who use the files.
_VALIDATION = 500
#: Seconds without an answer.
_TIMEOUT = 60

Read = Callable[[str], bytes]


def fetch(name: str, place: str, path: Path, read: Read | None = None) -> None:
    """Download the graph `name` and write it to `path` as arrays without pickles.

    Args:
        name: one of `benchmark.data.graphs.SOURCES`.
        place: where it would lie under `$LETHE_DATA`.
        path: of the npz file.
        read: the content behind an address.

    Raises:
        LetheError: if it cannot be downloaded or is not in the form that was published.
    """
    read = read or _read
    try:
        arrays = _SOURCES[name](read)
    except (URLError, OSError, TimeoutError) as error:
        raise LetheError(
            f"graph {name} could not be downloaded ({str(error)[:100]}): check the network, or set "
            f"LETHE_DATA to a folder that holds {place}"
        ) from error
    except (KeyError, ValueError, IndexError, pickle.UnpicklingError) as error:
        raise LetheError(
            f"graph {name} is not in the form it was published in ({str(error)[:100]}): set "
            f"LETHE_DATA to a folder that holds {place}"
        ) from error
    content: dict[str, Any] = dict(arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
        return answer.read()


def planetoid(name: str) -> Callable[[Read], dict[str, np.ndarray]]:
    """How to read one of the citation graphs of Yang et al. 2016.

    Test nodes stand in the order of a list of their numbers, and numbers that the list leaves out
    are nodes without features and without a label.
    """

    def arrays(read: Read) -> dict[str, np.ndarray]:
        parts = {p: _unpickled(read(f"{_PLANETOID}.{name}.{p}")) for p in _PLANETOID_PARTS}
        test = np.array(read(f"{_PLANETOID}.{name}.test.index").split(), dtype=np.int64)
        known, last = parts["allx"].shape[0], int(test.max()) + 1
        x = sparse.lil_array((last, parts["allx"].shape[1]))
        x[:known], x[test] = parts["allx"].todense(), parts["tx"].todense()
        y = np.full(last, -1)
        for nodes, labels in ((np.arange(known), parts["ally"]), (test, parts["ty"])):
            y[nodes] = np.where(labels.any(axis=1), labels.argmax(axis=1), -1)
        pairs = np.array([(u, v) for u, others in parts["graph"].items() for v in others])
        train = len(parts["y"])
        return _arrays(sparse.csr_array(x), y, pairs) | {
            "train": np.arange(train),
            "val": np.arange(train, train + _VALIDATION),
            "test": np.sort(test),
        }

    return arrays


def shchur(file: str) -> Callable[[Read], dict[str, np.ndarray]]:
    """How to read one of the graphs of Shchur et al. 2018; other arrays of the file stay closed."""

    def arrays(read: Read) -> dict[str, np.ndarray]:
        with np.load(io.BytesIO(read(f"{_SHCHUR}/{file}.npz"))) as found:
            adjacency, x = (
                sparse.csr_array(
                    tuple(found[f"{part}_{field}"] for field in ("data", "indices", "indptr")),
                    shape=tuple(found[f"{part}_shape"]),
                )
                for part in ("adj", "attr")
            )
            y = found["labels"]
        return _arrays(x, y, np.stack(adjacency.nonzero(), axis=1))

    return arrays


def _arrays(x: sparse.csr_array, y: np.ndarray, pairs: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a file; `pairs` (p, 2) may have loops, both directions and duplicates."""
    x.sum_duplicates()
    x.eliminate_zeros()
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return {
        "x_data": x.data.astype(np.float32),
        "x_indices": x.indices.astype(np.int32),
        "x_indptr": x.indptr.astype(np.int32),
        "x_shape": np.array(x.shape, dtype=np.int64),
        "y": y.astype(np.int64),
        "edges": np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int32),
    }


class _Unpickler(pickle.Unpickler):
    """Reads arrays, CSR matrices and dictionaries of lists, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        from numpy._core import multiarray

        admitted = {
            "_reconstruct": multiarray._reconstruct,
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "csr_matrix": sparse.csr_matrix,
            "defaultdict": defaultdict,
            "list": list,
        }
        places = ("numpy", "scipy.sparse", "collections", "__builtin__", "builtins")
        if name not in admitted or not module.startswith(places):
            raise pickle.UnpicklingError(f"it holds a {module}.{name}")
        return admitted[name]


def _unpickled(content: bytes) -> Any:
    return _Unpickler(io.BytesIO(content), encoding="latin1").load()


_SOURCES = {
    "cora": planetoid("cora"),
    "citeseer": planetoid("citeseer"),
    "cora-ml": shchur("cora_ml"),
    "amazon-photo": shchur("amazon_electronics_photo"),
    "coauthor-cs": shchur("ms_academic_cs"),
}
