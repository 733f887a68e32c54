"""Records in one file an experiment: the same answers, nothing lost, each damage one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark import collected, json_file
from benchmark.collected import collect
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.records import Store, read_record
from benchmark.studies import experiments as runner
from benchmark.study.reproduce import recorded_in
from tests import tiny_experiment


def run(folder: Path, **more: object) -> runner.Tally:
    path = tiny_experiment.write(folder)
    more.setdefault("methods", ["newton", "nothing"])
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        loaded, store = [experiments.load(str(path))], Store(folder / "results")
        return runner.run(loaded, store, torch.device("cpu"), console=Console(file=sink), **more)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    run(tmp_path)
    return tmp_path / "results"


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json"))


def test_what_is_collected_is_what_there_was(results: Path) -> None:
    store = Store(results)
    plans, records = store.plans(), store.records("tiny")
    assert len(records) == 4
    assert collect(results) == [(results / "tiny.jsonl", 5)]
    assert files(results) == []
    assert not (results / "tiny").exists()
    assert (store.plans(), store.records("tiny")) == (plans, records)
    assert store.experiments() == ["tiny"]
    assert collect(results) == []


def test_a_line_is_one_record_and_they_are_sorted(results: Path) -> None:
    collect(results)
    lines = [json.loads(line) for line in (results / "tiny.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        "tiny/plan.json",
        *(f"tiny/{label}/seed-{seed}.json" for label in ("newton", "nothing") for seed in (0, 1)),
    ]
    assert lines[1]["content"]["method"]["label"] == "newton"


def test_seeds_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        json_path = tmp_path / "x" / "row" / f"seed-{seed}.json"
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text("{}")
    collect(tmp_path)
    assert list(collected.read(tmp_path / "x.jsonl")) == [
        f"x/row/seed-{s}.json" for s in (1, 9, 10)
    ]


def test_points_of_a_sweep_stand_in_the_file_of_their_experiment(results: Path) -> None:
    """Where they stood before, too: the file of their own is gone, and nothing twice."""
    records = Store(results).records("tiny")
    other = results / "tiny-10"
    other.mkdir()
    (other / "plan.json").write_text('{"a": 1}')
    assert [lines.name for lines, _ in collect(results)] == ["tiny-10.jsonl", "tiny.jsonl"]
    other.mkdir()
    (other / "plan.json").write_text("{}")
    assert collect(results, {"tiny-10": "tiny"}) == [(results / "tiny.jsonl", 1)]
    assert [path.name for path in results.glob("*.jsonl")] == ["tiny.jsonl"]
    assert collected.find(other / "plan.json") == ("{}", f"{results}/tiny.jsonl:6")
    assert Store(results).records("tiny") == records


def test_a_line_that_a_stop_left_in_two_files_counts_once(results: Path) -> None:
    collect(results)
    lines = results / "tiny.jsonl"
    (results / "old.jsonl").write_bytes(lines.read_bytes())
    assert len(Store(results).records("tiny")) == 4
    collect(results)
    assert not (results / "old.jsonl").exists()
    (results / "old.jsonl").write_text(lines.read_text().replace(': "ok"', ': "failed"', 1))
    with pytest.raises(LetheError, match=r"tiny\.jsonl:2 holds the record of .*old\.jsonl:2"):
        Store(results).records("tiny")


def test_files_of_lines_of_others_are_left_alone(results: Path) -> None:
    collect(results)
    (results.parent / "customers.jsonl").write_text('{"name": "x"}\n')
    (results / "notes.jsonl").write_text("")
    assert len(Store(results).records("tiny")) == 4
    assert collect(results) == []
    assert (results / "notes.jsonl").exists()


def test_a_run_keeps_what_is_collected_and_a_new_record_replaces_its_line(
    results: Path, tmp_path: Path
) -> None:
    collect(results)
    tally = run(tmp_path)
    assert (tally.kept, tally.ran) == (4, 0)
    assert files(results) == [], "a plan that is known is not written again"
    run(tmp_path, fresh=True, seeds=[1], methods=["newton"])
    assert files(results) == ["tiny/newton/seed-1.json"]
    path = results / "tiny" / "newton" / "seed-1.json"
    new = read_record(path)
    assert Store(results).records("tiny")[1] == new
    before = (results / "tiny.jsonl").read_text().splitlines()
    collect(results)
    after = (results / "tiny.jsonl").read_text().splitlines()
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [2]
    assert read_record(path) == new


def test_a_record_is_named_by_its_file_or_its_line(results: Path) -> None:
    wanted = read_record(results / "tiny" / "newton" / "seed-0.json")
    collect(results)
    assert recorded_in(results / "tiny" / "newton" / "seed-0.json") == wanted
    assert recorded_in(Path(f"{results}/tiny.jsonl:2")) == wanted
    with pytest.raises(LetheError, match="no line 9"):
        recorded_in(Path(f"{results}/tiny.jsonl:9"))
    with pytest.raises(LetheError, match="not a record of one row"):
        recorded_in(Path(f"{results}/tiny.jsonl:1"))


def test_a_last_line_without_its_end_counts(results: Path) -> None:
    collect(results)
    records, lines = Store(results).records("tiny"), results / "tiny.jsonl"
    lines.write_text(lines.read_text().removesuffix("\n"))
    assert Store(results).records("tiny") == records


@pytest.mark.parametrize("name", ["leaderboard", "wandb", "false-alarms"])
def test_what_is_no_experiment_is_not_taken(results: Path, name: str) -> None:
    path = results / name / "bench" / "summary.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    collect(results)
    assert files(results) == [f"{name}/bench/summary.json"]


def test_a_damaged_line_is_named_and_left_as_it_is(results: Path) -> None:
    collect(results)
    lines = results / "tiny.jsonl"
    text = lines.read_text()
    for damaged, words in (
        (text.replace('"content"', '"cntent"', 1), r"tiny\.jsonl:1 is damaged"),
        (
            text + text.splitlines(keepends=True)[1],
            r"tiny\.jsonl:6 holds the record of line 2: delete",
        ),
    ):
        lines.write_text(damaged)
        with pytest.raises(LetheError, match=words) as caught:
            Store(results).records("tiny")
        assert "\n" not in str(caught.value)
        assert lines.read_text() == damaged


def test_a_damaged_file_stops_before_anything_is_removed(results: Path) -> None:
    damaged = results / "tiny" / "newton" / "seed-0.json"
    damaged.write_text("{")
    before = files(results)
    with pytest.raises(LetheError, match=r"seed-0\.json is damaged"):
        collect(results)
    assert files(results) == before
    assert not (results / "tiny.jsonl").exists()


def test_a_file_that_a_run_writes_meanwhile_stays(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = results / "tiny" / "newton" / "seed-0.json"
    changed = read_record(path).model_copy(update={"seconds": 123.0})
    write = collected.replace_file

    def slow(to: Path, content: bytes) -> None:
        write(to, content)
        json_file.write(path, changed)

    monkeypatch.setattr(collected, "replace_file", slow)
    collect(results)
    assert files(results) == ["tiny/newton/seed-0.json"]
    assert read_record(path) == changed


def test_what_is_hidden_or_is_no_folder_is_left_alone(results: Path) -> None:
    (results / "slack.json").write_text("{}")
    hidden = results / "tiny" / ".artifacts" / "x.json"
    hidden.parent.mkdir()
    hidden.write_text("{}")
    collect(results)
    assert files(results) == ["slack.json", "tiny/.artifacts/x.json"]
