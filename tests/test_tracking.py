"""The W&B sink, offline, read back from what it wrote."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmark import tracking
from benchmark.experiments import experiment as experiments
from benchmark.records import Store, read_record
from benchmark.studies.experiments import run
from tests import tiny_experiment
from tests.wandb_file import payloads


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
