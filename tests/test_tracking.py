"""The W&B sink, offline, read back from what it wrote."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmark import tracking
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.records import Store, read_record
from benchmark.studies.experiments import run
from tests import tiny_experiment

# Reading a W&B transaction log: LevelDB's log format behind a header of seven bytes.

BLOCK = 32768
HEADER = 7
FULL, LAST = 1, 4


def payloads(path: Path) -> Iterator[bytes]:
    """The serialised messages of a `.wandb` file, in order, as far as it is written."""
    content = path.read_bytes()
    assert b":W&B".startswith(content[:4])
    position, pieces = HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # the rest of a block too short for a header
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        if position + HEADER + length > len(content):
            return
        pieces += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (FULL, LAST):
            yield pieces
            pieces = b""


def messages(path: Path) -> list[Any]:
    """What W&B wrote, once it has: its own process may write on for a moment after a run ends."""
    from wandb.proto.wandb_internal_pb2 import Record as Message

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [Message.FromString(payload) for payload in payloads(path)]
        if found and found[-1].HasField("exit"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"W&B never finished {path}")


def test_off_is_no_sink(tmp_path: Path) -> None:
    assert tracking.tracker("off", tmp_path) is None


def test_without_wandb_there_is_one_line_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(LetheError, match=r"--track offline needs Weights & Biases.*leave out"):
        tracking.tracker("offline", tmp_path)


def test_offline_writes_what_the_record_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "results")
    run(
        [experiments.load(str(tiny_experiment.write(tmp_path)))],
        store,
        torch.device("cpu"),
        methods=["newton"],
        seeds=[0],
        tracker=tracking.tracker("offline", tmp_path / "wandb"),
        console=Console(quiet=True),
    )
    record = read_record(store.cell_path("tiny", "newton", 0))
    (path,) = (tmp_path / "wandb").rglob("*.wandb")
    summary: dict[str, object] = {}
    config: dict[str, object] = {}
    for message in messages(path):
        for item in message.summary.update:
            summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        for item in message.run.config.update:
            config[item.key] = json.loads(item.value_json)
    assert config["key"] == record.key
    for name, value in record.summary().items():
        assert summary[name] == value, name
