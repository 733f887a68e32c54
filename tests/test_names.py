"""Names become folders: within the results, the same everywhere, each of one study."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from pydantic import BaseModel, Field, ValidationError

from benchmark import json_file, names, plugins, registry
from benchmark.collected import collect, exists
from benchmark.errors import LetheError, explain
from benchmark.experiments.experiment import load
from benchmark.json_file import Sound
from benchmark.records import Store, fingerprint, read_record
from benchmark.studies import experiments as runner
from benchmark.studies import quality_record
from benchmark.study.reproduce import recorded_in
from benchmark.study.run import Tally
from leaderboard.export import read
from tests import tiny_experiment
from tests.conftest import Run
from tests.plugin import Outside

CPU = torch.device("cpu")


def finish(*tomls: Path, folder: Path, methods: list[str] | None = None, **more: bool) -> Tally:
    methods = methods or ["nothing"]
    return tiny_experiment.run(*tomls, folder=folder, methods=methods, seeds=[0], **more)


BAD = [
    "",
    " ",
    ".",
    "..",
    "../../evil",
    "/evil",
    "a/b",
    "a\\\\b",
    "C:evil",
    "a\\u0000b",
    "a\\nb",
    ".artifacts",
    "leaderboard",
    "Leaderboard",
    "wandb",
    "plan.json",
    "nul",
    "COM1.txt",
    "ends.",
    "ends ",
    "-r",
    "x" * 101,
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_a_folder_of_the_results(tmp_path: Path, name: str) -> None:
    named = ('title = "Tiny"', f'title = "Tiny"\nname = "{name}"')
    with pytest.raises(LetheError, match="cannot be a name"):
        load(str(tiny_experiment.write(tmp_path, named)))
    within = ("[target]", f'[profiles.p]\nname = "{name}"\n[target]')
    toml = str(tiny_experiment.write(tmp_path, within))
    with pytest.raises(LetheError, match="cannot be a name"):
        load(toml, "p")
    profile = ("[target]", f'[profiles."{name}"]\nseeds = [0]\n[target]')
    with pytest.raises(LetheError, match="cannot be a profile's name"):
        load(str(tiny_experiment.write(tmp_path, profile)))
    row = ("[target]", f'[rows."{name}"]\nmethod = "newton"\n[target]')
    with pytest.raises(LetheError, match="label"):
        load(str(tiny_experiment.write(tmp_path, row)))


@pytest.mark.parametrize("name", ["digits-softmax", "my study (2)", "Étude", "a.b_c", "7"])
def test_a_name_that_can(name: str) -> None:
    assert names.complaint(name) == ""


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    rows = "".join(f'[rows.{x}]\nmethod = "newton"\n' for x in ("newton", "Newton"))
    toml = tiny_experiment.write(tmp_path, ("[target]", f"{rows}[target]"))
    with pytest.raises(LetheError, match="'Newton' and 'newton' differ in upper and lower case"):
        finish(toml, folder=tmp_path / "runs", methods=["newton"])
    profiles = ("[target]", "[profiles.A]\nseeds = [0]\n[profiles.a]\nseeds = [1]\n[target]")
    with pytest.raises(LetheError, match="'A' and 'a' differ"):
        load(str(tiny_experiment.write(tmp_path, profiles)))
    small, large = (tiny_experiment.write(tmp_path, name=name) for name in ("same", "Same"))
    with pytest.raises(LetheError, match="'Same' and 'same' differ"):
        finish(small, large, folder=tmp_path / "runs")
    finish(small, folder=tmp_path / "runs")
    with pytest.raises(LetheError, match="'Same' and 'same' differ"):
        finish(large, folder=tmp_path / "runs")


def test_two_studies_of_one_name(tmp_path: Path) -> None:
    results, tomls = tmp_path / "runs", []
    for folder, ridge in (("A", "1e-2"), ("B", "1e-1")):
        (tmp_path / folder).mkdir()
        change = ("ridge = 1e-2", f"ridge = {ridge}")
        tomls.append(tiny_experiment.write(tmp_path / folder, change))
    one, other = tomls
    with pytest.raises(LetheError, match=r"two experiments are called 'tiny' \(.*A.*B.*\)"):
        finish(one, other, folder=results)
    finish(one, folder=results)
    path = Store(results).cell_path("tiny", "nothing", 0)
    before = path.read_bytes()
    with pytest.raises(LetheError, match="holds records of another experiment 'tiny'"):
        finish(other, folder=results)
    assert path.read_bytes() == before
    # the same file may change, and may be moved
    tiny_experiment.write(one.parent, ("ridge = 1e-2", "ridge = 1e-3"))
    assert finish(one, folder=results).ran == 1
    one.unlink()
    assert finish(other, folder=results).ran == 1


def test_changes_to_a_file_do_not_replace_its_records(tmp_path: Path) -> None:
    toml, store = str(tiny_experiment.write(tmp_path)), Store(tmp_path / "runs")

    def run(**more: object) -> Tally:
        one = load(toml, changes={"problem.objective.ridge": 1e-1, **more} if more else None)
        options = {"methods": ["nothing"], "seeds": [0], "console": tiny_experiment.QUIET}
        return runner.run([one], store, CPU, **options)

    run()
    before = store.cell_path("tiny", "nothing", 0).read_bytes()
    with pytest.raises(LetheError, match="holds records of 'tiny' with no changes: set another"):
        run(**{"forget.count": 4})
    assert store.cell_path("tiny", "nothing", 0).read_bytes() == before
    assert run(name="other").ran == 1
    assert run(name="other").kept == 1
    with pytest.raises(LetheError, match=r"of 'other' with the changes .*ridge.*: set another"):
        run(**{"name": "other", "forget.count": 4})


def test_a_method_that_no_study_has(tmp_path: Path) -> None:
    some = ("seeds = [0, 1]", 'seeds = [0, 1]\nmethods = ["newton", "nothing"]')
    toml = tiny_experiment.write(tmp_path, some)
    with pytest.raises(LetheError, match="no method 'fisher-forgetting' in tiny: there is newton"):
        finish(toml, folder=tmp_path / "runs", methods=["fisher-forgetting"])
    with pytest.raises(LetheError, match=r"it needs .*squared loss.*problem.fixed_point.*; t"):
        finish(toml, folder=tmp_path / "runs", methods=["downdate"])
    other = tiny_experiment.write(tmp_path, name="other")
    # one of several that has it is enough
    assert finish(toml, other, folder=tmp_path / "runs", methods=["retrain"]).ran == 1


def test_a_listed_method_that_does_not_go_with_the_problem_is_named(
    lethe: Run, tmp_path: Path
) -> None:
    listed = ("seeds = [0, 1]", 'seeds = [0]\nmethods = ["nothing", "downdate"]')
    toml = tiny_experiment.write(tmp_path, listed)
    code, out, err = lethe("run", str(toml), "--no-board")
    assert code == 0
    assert "1 cells run" in out
    assert "note tiny lists downdate, which does not go with its problem" in err
    assert "it needs a linear model with squared loss and a ridge and direct training" in err
    alone = tiny_experiment.write(
        tmp_path, (listed[0], 'seeds = [0]\nmethods = ["nothing"]'), name="alone"
    )
    assert "note" not in lethe("run", str(alone), "--no-board")[2]


@pytest.mark.parametrize("name", ["cora-sgc", "cora-gcn", "compas-monotone", "digits-tangent"])
def test_whoever_does_not_go_with_a_problem_is_told_why(name: str) -> None:
    every = {"methods": tuple(registry.discover()), "rows": (), "dropped": ()}
    notes = runner.left_out([load(name).model_copy(update=every)])
    assert notes
    assert all(re.search("no part: it(s| needs| forgets| certifies) ", note) for note in notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, "'a/b', which cannot be a name"),
        ({"name": "ä"}, "'ä', which cannot be a name"),
        ({"name": None}, "name = None: it must be a text"),
        ({"title": None}, "title = None: it must be a text"),
        ({"title": ""}, "title = '': it must be a text"),
        ({"title": "\x1b[31m"}, "it must be a text"),
    ],
)
def test_what_a_plug_in_is_called(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], words: str
) -> None:
    odd = type("Odd", (Outside,), {"__annotations__": {}, **changes})
    monkeypatch.setattr(plugins, "in_entry_points", lambda _: [plugins.Found(odd, "outside")])
    with pytest.raises(LetheError, match=words):
        registry.discover()


# --- records that are not where or what they say ------------------------------------------------


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Path]:
    """A study and the record of its one cell."""
    toml = tiny_experiment.write(tmp_path)
    finish(toml, folder=tmp_path / "runs")
    return toml, Store(tmp_path / "runs").cell_path("tiny", "nothing", 0)


def test_a_record_in_anothers_place_is_named_and_left_alone(recorded: tuple[Path, Path]) -> None:
    toml, path = recorded
    store = Store(path.parents[2])
    other = store.cell_path("tiny", "newton", 0)
    other.parent.mkdir()
    path.rename(other)
    before = other.read_bytes()
    for look in (
        lambda: store.records("tiny"),
        lambda: finish(toml, folder=store.folder, methods=["newton"]),
    ):
        with pytest.raises(Sound, match=r"newton/seed-0.json says that it is of .* nothing-seed-0"):
            look()
    assert other.read_bytes() == before
    other.rename(path.with_name("seed-1.json"))
    with pytest.raises(Sound, match=r"seed-1.json says that it is of .*-seed-0"):
        store.records("tiny")


@pytest.mark.parametrize("field", ["key", "inputs"])
def test_a_key_that_does_not_fit_is_named(recorded: tuple[Path, Path], field: str) -> None:
    toml, path = recorded
    content = json.loads(path.read_text())
    assert content["key"] == fingerprint(content["inputs"])
    if field == "key":
        content["key"] = "0" * 64
    else:
        content["inputs"]["forget"]["count"] += 1
    del content["digest"]  # as of a record that was written before there were any
    path.write_text(json.dumps(content))
    for look in (
        lambda: Store(path.parents[2]).records("tiny"),
        lambda: finish(toml, folder=path.parents[2]),
    ):
        with pytest.raises(Sound, match="a key that does not fit its inputs"):
            look()


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("forget", {"requests": None}, "inputs.forget.requests"),
        ("target", {"epsilon": 10**400, "delta": 1e-5}, "inputs.target.epsilon"),
        ("problem", {"training": 3}, "inputs.problem.training: a table is wanted"),
    ],
)
def test_inputs_that_no_board_reads_are_one_line(
    recorded: tuple[Path, Path], part: str, value: object, words: str
) -> None:
    _, path = recorded
    content = json.loads(path.read_text(encoding="utf-8"))
    content["inputs"][part] = value
    content["key"] = fingerprint(content["inputs"])
    del content["digest"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(LetheError, match=words) as caught:
        read(path.parents[2])
    assert "\n" not in str(caught.value)


def test_a_plan_with_a_share_of_more_than_all_is_one_line(recorded: tuple[Path, Path]) -> None:
    plan = recorded[1].parents[1] / "plan.json"
    content = json.loads(plan.read_text(encoding="utf-8"))
    content["facts"]["share"] = 1e308
    del content["digest"]
    plan.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(LetheError, match=r"facts.share: .* less than 1"):
        read(plan.parents[1])


@pytest.mark.parametrize("gathered", [False, True])
def test_a_number_that_was_edited_by_hand_is_noticed(
    recorded: tuple[Path, Path], gathered: bool
) -> None:
    toml, path = recorded
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(sorted(content.items())), indent=2), encoding="utf-8")
    assert read_record(path).status == "ok", "the order and the layout are free"
    content["metrics"]["accuracy_test"]["value"] = 99.0
    path.write_text(json.dumps(content), encoding="utf-8")
    results = path.parents[2]
    if gathered:
        list(collect(results))
    for look in (
        lambda: Store(results).records("tiny"),
        lambda: finish(toml, folder=results),
        lambda: recorded_in(path),
    ):
        with pytest.raises(Sound, match=r"was edited by hand: put it back as it was, or delete it"):
            look()
    assert exists(path)


def test_a_plan_that_was_edited_by_hand_is_not_replaced(recorded: tuple[Path, Path]) -> None:
    toml, path = recorded
    plan = path.parents[1] / "plan.json"
    content = json.loads(plan.read_text(encoding="utf-8"))
    plan.write_text(json.dumps(content | {"seeds": [0, 7]}), encoding="utf-8")
    before = plan.read_bytes()
    with pytest.raises(Sound, match="was edited by hand"):
        finish(toml, folder=path.parents[2])
    assert plan.read_bytes() == before
    plan.write_text("{", encoding="utf-8")
    finish(toml, folder=path.parents[2])
    assert json.loads(plan.read_text(encoding="utf-8")) == content, "a damaged one is made again"


def test_records_share_the_texts_that_all_of_them_have(recorded: tuple[Path, Path]) -> None:
    _, path = recorded
    one, other = (read_record(path).metrics["attack_gap"] for _ in range(2))
    assert one.note is other.note
    assert not hasattr(one, "__dict__"), "a board holds half a million of these"


def test_a_record_without_a_digest_is_read(recorded: tuple[Path, Path]) -> None:
    _, path = recorded
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop("digest") == fingerprint(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_record(path).key == content["key"]


@pytest.mark.parametrize("name", ["plan.json", "nothing/seed-0.json"])
def test_what_a_newer_version_wrote_is_left_alone(recorded: tuple[Path, Path], name: str) -> None:
    toml, path = recorded
    newer = path.parents[1] / name
    newer.write_text(newer.read_text().replace('"schema_version": 3', '"schema_version": 9'))
    before = newer.read_bytes()
    for fresh in (False, True):
        with pytest.raises(Sound, match="has schema 9; this version reads 3: update Lethe"):
            finish(toml, folder=path.parents[2], fresh=fresh)
    assert newer.read_bytes() == before


def test_nothing_is_written_over_a_newer_file(tmp_path: Path) -> None:
    path = tmp_path / quality_record.path_of("tiny", "newton", 0)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema_version": 99}')
    record = quality_record.QualityRecord.model_construct(schema_version=1)
    with pytest.raises(Sound, match="update Lethe"):
        json_file.write(path, record)


# --- what is kept on disk -----------------------------------------------------------------------


def test_a_flipped_bit_in_a_stored_model_means_training_again(tmp_path: Path) -> None:
    toml, results = tiny_experiment.write(tmp_path), tmp_path / "runs"
    finish(toml, folder=results)
    record = Store(results).cell_path("tiny", "nothing", 0)
    then = json.loads(record.read_text())["metrics"]
    models = sorted((results / ".artifacts").glob("*.npz"))
    assert len(models) == 2
    for model in models:
        for place in (40, 0.5, 0.9):
            content = bytearray(model.read_bytes())
            content[place if place > 1 else int(place * len(content))] ^= 0x40
            model.write_bytes(content)
    record.unlink()
    assert finish(toml, folder=results).failed == []
    assert json.loads(record.read_text())["metrics"] == then


def test_a_mistyped_setting_of_either_kind_is_told_what_was_meant() -> None:
    """A union without tags is searched through all members, one with tags where the tag says."""

    class Ball(BaseModel, extra="forbid"):
        kind: Literal["ball"] = "ball"
        radius: float = 1.0

    class Cone(BaseModel, extra="forbid"):
        kind: Literal["cone"] = "cone"
        aperture: float = 1.0

    class Training(BaseModel):
        within: Ball | Cone = Ball()
        tagged: Annotated[Ball | Cone, Field(discriminator="kind")] = Ball()

    for said, meant in (
        ({"within": {"apertur": 2.0}}, "did you mean 'aperture'?"),
        ({"tagged": {"kind": "cone", "apertur": 2.0}}, "did you mean 'aperture'?"),
        ({"tagged": {"kind": "ball", "aperture": 2.0}}, "there is no such setting"),
    ):
        with pytest.raises(ValidationError) as error:
            Training.model_validate(said)
        told = str(explain(error.value, "study.toml", Training)).removesuffix(" (and 1 more)")
        assert told.endswith(meant)
