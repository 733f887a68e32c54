"""Records whose method is the same keep their place when the way to hash it changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark.contract.method import Method
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.records import Store
from benchmark.runner.cell import fingerprint
from benchmark.runner.run import Tally, run
from benchmark.runner.source import source_hash
from benchmark.studies import audit_study, slack
from methods.newton import Newton
from tests import tiny_experiment
from tools import rekey

OLD = "0123456789abcdef" * 4
HASHES = {("newton", OLD): source_hash(Newton)}


def old_hash(method: type[Method]) -> str:
    return OLD


def tiny(folder: Path) -> Tally:
    toml = tiny_experiment.write(folder)
    console = Console(file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    return run(
        [experiments.load(str(toml))],
        Store(folder / "results"),
        torch.device("cpu"),
        methods=["newton"],
        seeds=[0],
        console=console,
    )


def aged(path: Path, method_source: str) -> None:
    """Give a record a hash of its method, and the key of it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["inputs"]["method_source"] = method_source
    content["key"] = fingerprint(content["inputs"])
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def test_a_record_of_the_same_code_is_kept_again(tmp_path: Path) -> None:
    tiny(tmp_path)
    path = tmp_path / "results" / "tiny" / "newton" / "seed-0.json"
    before = path.read_bytes()
    aged(path, OLD)
    assert rekey.carry_record(path, HASHES)
    assert path.read_bytes() == before
    assert not rekey.carry_record(path, HASHES)  # once is enough
    assert tiny(tmp_path).kept == 1


def test_any_other_record_stays_as_it_is(tmp_path: Path) -> None:
    tiny(tmp_path)
    path = tmp_path / "results" / "tiny" / "newton" / "seed-0.json"
    aged(path, "f" * 64)
    other = path.read_bytes()
    assert not rekey.carry_record(path, HASHES)
    aged(path, OLD)
    path.write_text(path.read_text(encoding="utf-8").replace("120", "121"), encoding="utf-8")
    edited = path.read_bytes()
    assert not rekey.carry_record(path, HASHES)  # its key is not that of its inputs
    assert path.read_bytes() == edited != other
    with pytest.raises(LetheError, match="has a key that does not fit its inputs"):
        tiny(tmp_path)


def test_a_record_of_forget_quality_holds_the_hash_further_in(tmp_path: Path) -> None:
    path = tmp_path / "quality-0.json"
    inputs = {"runs": 10, "cell": {"method": "newton", "method_source": OLD}}
    path.write_text(json.dumps({"key": fingerprint(inputs), "inputs": inputs}), encoding="utf-8")
    assert rekey.carry_record(path, HASHES)
    content = json.loads(path.read_text(encoding="utf-8"))
    inputs["cell"]["method_source"] = source_hash(Newton)
    assert content == {"key": fingerprint(inputs), "inputs": inputs}


def test_the_studies_keys_are_those_of_their_cells(tmp_path: Path) -> None:
    slack_key = rekey._with(old_hash, slack.study_key)
    audits = rekey._with(old_hash, audit_study.row_keys)
    origins = {name: {"key": key} for name, key in audits.items()}
    some = next(iter(origins))
    origins[some] = {"key": "of another setting"}
    (tmp_path / "slack.json").write_text(json.dumps({"key": slack_key}), encoding="utf-8")
    (tmp_path / "audit.json").write_text(json.dumps({"origins": origins}), encoding="utf-8")
    assert rekey.carry_slack(tmp_path, old_hash, source_hash)
    assert rekey.carry_audit(tmp_path, old_hash, source_hash) == len(origins) - 1
    assert json.loads((tmp_path / "slack.json").read_text()) == {"key": slack.study_key()}
    now = json.loads((tmp_path / "audit.json").read_text())["origins"]
    expected = audit_study.row_keys() | {some: "of another setting"}
    assert {name: origin["key"] for name, origin in now.items()} == expected
