"""What every study keeps to, and what is reported of it to a sink."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import BaseModel
from rich.console import Console

from benchmark import collected, plugins, tracking
from benchmark.contract.method import Source
from benchmark.contract.request import Release, Request
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.json_file import DIGEST, Sound
from benchmark.records import Envelope, Record, Store, read_record
from benchmark.studies import audit, inverse_hessian, products, slack, soundness
from benchmark.studies.audit import Audit, Part
from benchmark.studies.experiments import Experiments
from benchmark.studies.experiments import run as run_experiments
from benchmark.studies.forget_quality import ForgetQuality
from benchmark.studies.inverse_hessian import InverseHessian
from benchmark.studies.products import ProductTimings
from benchmark.studies.slack import Slack
from benchmark.studies.solvers import SolverTimings
from benchmark.studies.soundness import Soundness
from benchmark.study.executors.submission import Submission
from benchmark.study.reproduce import compare, recorded_in, reproduce
from benchmark.study.run import Shard, Tally, run
from benchmark.study.study import Piece, Study, discover, find, of_kind
from methods.newton import Newton
from tests import tiny_experiment

# What every study keeps to: pieces that are kept, resumed, spread, collected and made again.


CPU = torch.device("cpu")
METHODS = ("newton", "nothing")


def studies(toml: str) -> dict[str, Study]:
    """One of each kind, of two units or more."""
    loaded = (experiments.load(toml),)
    return {
        "experiments": Experiments(experiments=loaded, methods=METHODS),
        "forget-quality": ForgetQuality(experiments=loaded, methods=METHODS, runs=8, shadows=2),
        "slack": Slack(),
        "audit": Audit(),
        "soundness": Soundness(count=3, streams=0),
        "inverse-hessian": InverseHessian(systems=("digits-softmax", "digits-mlp")),
        "solvers": SolverTimings(
            size="smoke",
            systems=("digits-softmax",),
            dampings=("1-norm", "1.5-lambda-min"),
            solvers=("cg", "official"),
            budget=1e-3,
        ),
        "products": ProductTimings(size="smoke", systems=("digits-softmax", "digits-mlp")),
    }


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny experiment, and every study cut down to it or to seconds."""
    path = str(tiny_experiment.write(tmp_path))
    _, ridge, damping, *_ = slack.SWEEPS
    sweeps = (
        replace(ridge, experiment=path, values=(1e-2, 1e-1)),
        replace(damping, experiment=path, values=(1e-2, 1.0)),
    )
    monkeypatch.setattr(slack, "SWEEPS", sweeps)
    monkeypatch.setattr(slack, "SEEDS", (0,))
    runs = dict.fromkeys(("distance", "algorithm", "construction"), 4)
    part = Part(path, runs, methods=("newton", "retrain", "newton-iterated"))
    monkeypatch.setattr(audit, "PLAN", (part,))
    few = [m for m in soundness.methods() if m.name in ("newton", "sekhari")]
    monkeypatch.setattr(soundness, "methods", lambda: few)
    monkeypatch.setattr(soundness, "STRIDE", 2)
    monkeypatch.setattr(inverse_hessian, "SOLVES", {"cg": 1e-3})
    monkeypatch.setattr(inverse_hessian, "ROUNDS", 1)
    monkeypatch.setattr(inverse_hessian, "LARGEST_DIMENSION", 100)
    monkeypatch.setattr(inverse_hessian, "ORDER", 64)
    monkeypatch.setattr(products, "WORLDS", {})
    return path


@pytest.fixture(params=sorted(discover()))
def study(request: pytest.FixtureRequest, toml: str) -> Study:
    return studies(toml)[request.param]


def go(study: Study, folder: Path, **more: object) -> Tally:
    return run(study, Store(folder), CPU, console=Console(file=io.StringIO()), **more)


@dataclass
class Done:
    """What one run of a study left, what it counted, and what a tracker heard meanwhile."""

    folder: Path
    tally: Tally | None = None
    heard: list[Envelope] = field(default_factory=list)

    def log(self, record: Envelope) -> None:
        self.heard.append(record)


@pytest.fixture(scope="module")
def runs() -> dict[str, Done]:
    """The run of each study that was run already, by name."""
    return {}


@pytest.fixture
def done(
    study: Study, runs: dict[str, Done], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """A whole run of the study, in a folder of the test's own; each study is run once for all."""
    if study.name not in runs:
        made = Done(tmp_path_factory.mktemp(study.name))
        made.tally = go(study, made.folder, tracker=made)
        runs[study.name] = made
    made = runs[study.name]
    return replace(made, folder=Path(shutil.copytree(made.folder, tmp_path / "runs")))


def pieces(study: Study) -> list[Piece]:
    return [piece for unit in study.units("cpu") for piece in unit.pieces]


def kept(study: Study, folder: Path) -> dict[str, Envelope]:
    """The records that are there and current, by path."""
    found = {p.path: Store(folder).kept(p.path, study.record, p.key) for p in pieces(study)}
    return {path: record for path, record in found.items() if record is not None}


def numbers(study: Study, folder: Path) -> dict[str, dict]:
    return {path: record.numbers() for path, record in kept(study, folder).items()}


def test_what_is_there_is_kept_and_what_is_damaged_is_made_again(study: Study, done: Done) -> None:
    folder, first, count = done.folder, done.tally, len(pieces(study))
    assert (first.ran, first.kept, first.failed) == (count, 0, [])
    before = numbers(study, folder)
    assert len(before) == count
    path = folder / pieces(study)[0].path
    path.write_text(path.read_text()[:-30])
    again = go(study, folder)
    assert (again.ran, again.kept) == (1, count - 1)
    assert numbers(study, folder) == before
    assert go(study, folder, fresh=True).ran == count


def test_shards_are_everything_once(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    ran = [go(study, folder, shard=Shard(i, 2)).ran for i in (1, 2)]
    assert all(ran)
    assert sum(ran) == len(pieces(study)) == go(study, folder).kept


@pytest.mark.parametrize("name", ["slack", "soundness"])
def test_two_processes_find_what_one_does(toml: str, tmp_path: Path, name: str) -> None:
    study = studies(toml)[name]
    alone, both = tmp_path / "alone", tmp_path / "both"
    go(study, alone)
    tally = go(study, both, jobs=2)
    assert (tally.ran, tally.failed) == (len(pieces(study)), [])
    assert numbers(study, both) == numbers(study, alone)


def test_what_was_finished_before_a_kill_stays(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    process = multiprocessing.get_context("fork").Process(target=go, args=(study, folder))
    process.start()
    while process.is_alive() and not kept(study, folder):
        time.sleep(0.001)
    process.kill()
    process.join()
    there = {path: (folder / path).read_bytes() for path in kept(study, folder)}
    assert there
    tally = go(study, folder)
    assert tally.ran == len(pieces(study)) - len(there)
    assert {path: (folder / path).read_bytes() for path in there} == there


def test_collected_records_are_kept(study: Study, done: Done) -> None:
    folder = done.folder
    before = numbers(study, folder)
    assert list(collected.collect(folder))
    assert not any((folder / path).exists() for path in before)
    assert go(study, folder).ran == 0
    assert numbers(study, folder) == before


def test_a_record_is_made_again_from_its_inputs_alone(study: Study, done: Done) -> None:
    first = recorded_in(done.folder / pieces(study)[0].path)
    again, remarks = reproduce(first, CPU, lambda _: None)
    assert all(one.agrees for one in compare(first, again, 0.0))
    assert [one for one in remarks if "has changed" in one] == []
    assert compare(first, again, 0.0), "there is something to compare"


def test_a_record_that_lies_elsewhere_or_was_forged_is_refused(study: Study, done: Done) -> None:
    folder = done.folder
    path = folder / pieces(study)[0].path
    content = path.read_text()
    elsewhere = path.with_name(path.name.replace(".json", "0.json"))
    elsewhere.write_text(content)
    with pytest.raises(Sound, match="two records claim"):
        Store(folder).read(elsewhere, study.record)
    path.write_text(json.dumps(json.loads(content) | {"status": "failed"}))
    with pytest.raises(Sound, match="was edited by hand"):
        go(study, folder)
    undigested = {k: v for k, v in json.loads(content).items() if k != DIGEST}
    path.write_text(json.dumps(undigested | {"inputs": {"schema": 0}}))
    with pytest.raises(Sound, match="a key that does not fit its inputs"):
        go(study, folder)
    path.write_text(json.dumps(json.loads(content) | {"schema_version": 99}))
    with pytest.raises(Sound, match="update Lethe"):
        go(study, folder)


def test_a_submission_names_the_same_pieces(study: Study) -> None:
    made = Submission(
        name="lethe-1",
        submitted="now",
        device="cpu",
        threads=1,
        track="off",
        study=study.name,
        settings=json.loads(json.dumps(study.model_dump(mode="json"))),
        tasks=tuple(unit.place for unit in study.units("cpu")),
    )
    again, units = Submission.model_validate_json(made.model_dump_json()).planned
    assert again.model_dump() == study.model_dump()
    assert tuple(units) == made.tasks
    keys = [piece.key for task in made.tasks for piece in units[task].pieces]
    assert keys == [piece.key for piece in pieces(study)]


def test_a_tracker_hears_of_every_record_in_flat_numbers(study: Study, done: Done) -> None:
    assert [record.path for record in done.heard] == [piece.path for piece in pieces(study)]
    for record in done.heard:
        assert all(isinstance(value, int | float | str) for value in record.summary().values())
        assert record.group != record.title


def test_pieces_have_places_and_keys_of_their_own(toml: str) -> None:
    found = [piece for study in studies(toml).values() for piece in pieces(study)]
    for names in ({p.path for p in found}, {p.key for p in found}):
        assert len(names) == len(found)
    units = [unit.place for study in studies(toml).values() for unit in study.units("cpu")]
    assert len(set(units)) == len(units), "a cluster knows a unit by its place"


@pytest.mark.parametrize("content", ["{}", '{"kind": []}', '{"kind": "slack"}', "[]"])
def test_what_is_no_record_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(content)
    with pytest.raises(LetheError, match=r"is not a record|does not fit the schema"):
        recorded_in(path)


def test_a_method_that_breaks_is_counted_and_the_rest_goes_on(
    toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Newton, request: Request) -> Release:
        raise ValueError("no rows")

    monkeypatch.setattr(Newton, "unlearn", broken)
    study = studies(toml)["soundness"]
    go(study, tmp_path)
    (first, *_) = kept(study, tmp_path).values()
    assert ("newton", "ValueError: no rows", 2) in first.refused
    assert first.checks["sekhari"]


def test_every_study_is_found_by_its_name_and_by_its_records() -> None:
    for name, study in discover().items():
        assert find(name) is study
        assert of_kind(study.record.model_fields["kind"].default) is study
    with pytest.raises(LetheError, match="audit"):
        find("nothing-of-the-kind")
    assert of_kind("nothing-of-the-kind") is None


class NotRecord(BaseModel):
    """No record at all."""


class Unversioned(Envelope):
    """A record with a kind alone."""

    kind: Literal["outside"] = "outside"


class Planned(Unversioned):
    """A record that says it is a plan."""

    kind: Literal["plan"] = "plan"
    schema_version: Literal[1] = 1


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (None, r"\(Outside\) declares no 'record'"),
        (NotRecord, "declares no 'record'"),
        (Envelope, "records of Envelope, whose 'kind' has no default: give it a text"),
        (Unversioned, "whose 'schema_version' has no default: give it a whole number"),
        (Planned, "records of kind 'plan', which is no study's"),
        (Record, r"two studies keep records of kind 'cell': .*experiments\.py .*\(Outside\): give"),
    ],
)
def test_a_study_from_outside_cannot_take_records_that_are_not_its_own(
    monkeypatch: pytest.MonkeyPatch, record: type | None, complaint: str
) -> None:
    declared = {
        "name": "outside",
        "title": "Outside",
        "source": Source(paper="None", url="https://example.org"),
        **{method: lambda *_: None for method in ("units", "open", "again")},
        **({} if record is None else {"record": record}),
        "__module__": __name__,
        "__annotations__": dict.fromkeys(("name", "title", "source", "record"), ClassVar[object]),
    }
    outside = type(Study)("Outside", (Study,), declared)
    monkeypatch.setattr(plugins, "in_entry_points", lambda _: [plugins.Found(outside, "outside")])
    with pytest.raises(LetheError, match=complaint):
        discover.__wrapped__()


def test_a_missing_record_is_known_as_missing(toml: str, tmp_path: Path) -> None:
    study, store = studies(toml)["audit"], Store(tmp_path / "runs")
    assert store.gathered("audit", study.record) is None
    go(study, store.folder, shard=Shard(1, 3))
    found = store.gathered("audit", study.record)
    assert len(found.records) == 1
    assert found.missing == [piece.where for piece in pieces(study)[1:]]


def test_a_changed_setting_makes_its_piece_alone_run_again(
    toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = studies(toml)["slack"], tmp_path / "runs"
    go(study, folder)
    first, second = slack.SWEEPS
    monkeypatch.setattr(slack, "SWEEPS", (replace(first, values=(1e-2, 2e-1)), second))
    assert go(study, folder).ran == 1


# The W&B sink, offline, read back from what it wrote.


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
    run_experiments(
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
