"""Rows by label, sweeps and groups: what a file says once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmark.errors import LetheError
from benchmark.experiments import facts, profile
from benchmark.experiments.experiment import Experiment, every, load, load_here, names
from benchmark.experiments.facts import facts_of, groups, members
from benchmark.experiments.profile import PAPER, SMALLER, at
from benchmark.records import Store
from benchmark.runner.plans import plan_of, rows_of
from tests import tiny_experiment
from tests.conftest import Run
from tests.test_cli import refused

ROOT = Path(__file__).resolve().parents[1]
ROWS = """
[rows.newton]
params = { damping = 0.5, tolerance = 0.1 }
[rows.loose]
like = "newton"
title = "Loose"
params.tolerance = 0.2
[rows.plain]
method = "newton"
"""
SWEEPS = """
[sweep.forget]
setting = "forget.count"
values = [2, 1000]
title = "Tiny, {value} forgotten"
only_rows = ["loose"]
each.seeds = [[0], [0, 1, 2]]
each.rows.newton.params.damping = [0.1, 0.2]
[sweep.ridge]
setting = ["problem.objective.ridge", "rows.newton.params.damping"]
values = [1.0, 1e-3]
name = "small-{value}"
group = "other"
[sweep.scenario]
setting = "forget.scenario"
values = ["largest"]
"""


def write(folder: Path, more: str = ROWS + SWEEPS, head: str = "") -> str:
    path = tiny_experiment.write(folder)
    path.write_text(f"{head}\n{path.read_text()}\n{more}")
    return str(path)


def damping(one: Experiment) -> dict[str, float | None]:
    return {row.label: row.params.get("damping") for row in one.rows}


def test_a_row_is_its_label_unless_it_says_otherwise(tmp_path: Path) -> None:
    newton, loose, plain = load(write(tmp_path)).rows
    assert (newton.method, newton.label, newton.title) == ("newton", "newton", None)
    assert (loose.method, loose.label, loose.title) == ("newton", "loose", "Loose")
    assert (plain.method, plain.params) == ("newton", {})
    assert loose.params == {"damping": 0.5, "tolerance": 0.2}
    plan = plan_of(load(write(tmp_path)))
    assert {row.label: row.like for row in plan.rows if row.name == "newton"} == {
        "newton": None,
        "loose": "newton",
        "plain": None,
    }


def test_a_profile_changes_one_parameter_of_a_row_and_of_those_like_it(tmp_path: Path) -> None:
    more = "[profiles.p]\nrows.newton.params.damping = 0.7\n"
    found = load(write(tmp_path, ROWS + more), "p")
    assert damping(found) == {"newton": 0.7, "loose": 0.7, "plain": None}
    assert found.rows[0].params["tolerance"] == 0.1


def test_a_method_whose_rows_are_left_out_does_not_come_back(tmp_path: Path) -> None:
    rows = ROWS + "[rows.fine-tune]\nparams = { epochs = 2 }\n"
    path = write(tmp_path, rows + "[profiles.p]\nonly_rows = ['loose']\n")
    labels = {row.label for row in rows_of(load(path, "p"))}
    assert "loose" in labels
    assert "retrain" in labels
    assert not {"newton", "plain", "fine-tune"} & labels
    # a study's settings travel to a cluster as JSON
    sent = Experiment.model_validate_json(load(path, "p").model_dump_json())
    assert {row.label for row in rows_of(sent)} == labels
    path = write(tmp_path, rows + "[profiles.p]\nonly_rows = ['plain']\nmethods = ['fine-tune']\n")
    listed = {row.label: row.params for row in rows_of(load(path, "p"))}
    assert listed == {"plain": {}, "fine-tune": {}}
    with pytest.raises(LetheError, match="'dropped' is not set by a file"):
        load(write(tmp_path, head="dropped = ['newton']"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[[rows]]\nmethod = 'newton'\nlabel = 'a'", "a row is a table \\[rows.<label>\\]"),
        ("[rows.a]\nlabel = 'b'\nmethod = 'newton'", "row 'a': its label is the table's name"),
        (
            "[rows.a]\nmethod = 'newton'\nparms = {}",
            "row 'a': parms: there is no such setting: .* 'params'",
        ),
        ("[rows.a]\nlike = ['b']", "row 'a': like is the label of one other row"),
        ("[rows.a]\nlike = 'a'", "row 'a': it is like itself: name another row"),
        ("[rows.a]\nlike = 'b'", "unknown row that .* row 'a' is like: 'b'"),
        (
            "[rows.a]\nmethod = 'newton'\n[rows.b]\nlike = 'a'\n[rows.c]\nlike = 'b'",
            "b is itself like another row",
        ),
        ("[profiles.p]\nonly_rows = ['a']", "unknown row in only_rows of .*: 'a'"),
        ("[profiles.p]\nonly_rows = 'a'", "only_rows is a list of labels"),
        ("[profiles.p]\nonly_rows = [['a']]", "only_rows is a list of labels"),
    ],
)
def test_a_wrong_row_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(LetheError, match=message) as caught:
        load(write(tmp_path, more), "p" if "profiles" in more else None)
    assert "\n" not in str(caught.value)


def test_a_sweep_is_a_profile_for_each_value(tmp_path: Path) -> None:
    path = write(tmp_path)
    base = load(path)
    points = ("forget-2", "forget-1000", "ridge-1", "ridge-0.001", "largest")
    assert base.profiles == points
    few, many, *_, largest = (load(path, point) for point in points)
    assert (few.name, many.name) == ("tiny-forget-2", "tiny-forget-1000")
    assert (few.title, many.title) == ("Tiny, 2 forgotten", "Tiny, 1,000 forgotten")
    assert (few.forget.count, many.forget.count) == (2, 1000)
    assert (few.seeds, many.seeds) == ((0,), (0, 1, 2))
    assert (damping(few), damping(many)) == ({"loose": 0.1}, {"loose": 0.2})
    assert few.problem == base.problem
    assert (largest.name, largest.title) == ("tiny-largest", "Tiny (largest)")
    small = load(path, "ridge-0.001")
    assert (small.name, small.problem.objective.ridge) == ("small-0.001", 1e-3)
    assert damping(small) == {"newton": 1e-3, "loose": 1e-3, "plain": None}
    assert base.place.value is None
    assert (small.place.study, small.place.axis, small.place.value) == ("tiny", "ridge", 1e-3)


def test_settings_at_other_values_are_those_of_a_sweep(tmp_path: Path) -> None:
    path = write(tmp_path)
    changes = {"problem.objective.ridge": 1e-3, "rows.newton.params.damping": 1e-3}
    changed, point = load(path, changes=changes), load(path, "ridge-0.001")
    assert (changed.name, changed.group, point.group) == ("tiny", (), ("other",))
    assert (changed.problem, changed.rows) == (point.problem, point.rows)
    # what a text cannot say: nothing, and a row that the file does not set up
    found = load("digits-mlp", changes={"problem.training.gradient_tolerance": None})
    assert found.problem.training.gradient_tolerance is None
    row = load("digits-budget", changes={"rows.fine-tune.params.epochs": 2}).rows[-1]
    assert (row.method, row.params) == ("fine-tune", {"epochs": 2})


@pytest.mark.parametrize("setting", ["", "a b", "problem.", "a = 1\nb"])
def test_what_is_no_path_is_refused(setting: str) -> None:
    with pytest.raises(LetheError, match="is no path of a setting"):
        at(setting, 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sweep = 3", "a sweep is a table"),
        ("sweep.a = 3", "a sweep is a table"),
        ("[sweep.a]\nsetting = 'seeds'", "sweep a: set values"),
        ("[sweep.a]\nsetting = 'seeds'\nvalues = []", "sweep a: set values"),
        ("[sweep.a]\nsetting = 'seeds'\nvalues = [true]", "sweep a: set values"),
        ("[sweep.a]\nvalues = [1]", "sweep a: set setting, the path"),
        ("[sweep.a]\nvalues = [1]\nsetting = 3", "sweep a: set setting, the path"),
        ("[sweep.a]\nvalues = [1]\nsetting = 'a b'", "'a b' is no path"),
        ("[sweep.a]\nvalues = [1, 2]\neach.forget.count = [1]", "sweep a: each.forget.count: a "),
        ("[sweep.a]\nvalues = [1]\neach.seeds = 1", "sweep a: each.seeds: a list"),
        ("[sweep.a]\nvalues = [1, 1]\nsetting = 'tuning'", "two profiles are called 'a-1'"),
        (
            "[sweep.a]\nvalues = [3, 4]\nsetting = 'tuning'\nname = 'same'",
            "a-3 and a-4 are both called 'same': set another name",
        ),
        (
            "[sweep.a]\nvalues = [3]\nsetting = 'tuning'\nname = 'tiny'",
            "paper and a-3 are both called 'tiny'",
        ),
        (
            "[sweep.a]\nvalues = [3]\nsetting = 'tuning'\nname = 'Tiny'",
            "the names 'Tiny' and 'tiny' differ in upper and lower case",
        ),
        ("[sweep.a]\nvalues = ['paper']\nsetting = 'title'", "two profiles are called 'paper'"),
        ("[sweep.a]\nvalues = ['a/b']\nsetting = 'title'", "cannot be a profile's name"),
    ],
)
def test_a_wrong_sweep_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    head = more if more.startswith("sweep") else ""
    with pytest.raises(LetheError, match=message) as caught:
        load(write(tmp_path, "" if head else more, head))
    assert "experiment tiny" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_does_not_fit_is_named_by_its_profile(tmp_path: Path) -> None:
    more = "[sweep.a]\nvalues = [-1]\nsetting = 'forget.count'"
    with pytest.raises(LetheError, match=r"profile a--1: forget.count: Input should be"):
        load(write(tmp_path, more), "a--1")


@pytest.mark.parametrize("group", ["'a/b'", "['a', '']", "3"])
def test_a_group_is_a_name_or_several(tmp_path: Path, group: str) -> None:
    with pytest.raises(LetheError, match=r"experiment file tiny.toml: group") as caught:
        load(write(tmp_path, head=f"group = {group}"))
    assert "\n" not in str(caught.value)
    assert load(write(tmp_path, head="group = 'a'")).group == ("a",)


def test_numbers_are_written_as_people_write_them() -> None:
    table = {"setting": "tuning", "values": [1e-4, 20.0, 5000], "title": "{value}"}
    found = {point.name: point.changes["title"] for point in profile.points("x", table)}
    assert found == {"x-0.0001": "0.0001", "x-20": "20", "x-5000": "5,000"}


# --- the project's own --------------------------------------------------------------------------


def test_every_experiment_has_a_name_of_its_own_and_is_found_by_it() -> None:
    everything = list(every())
    assert len({one.name for one in everything}) == len(everything)
    for one in everything:
        found = load(one.name)
        assert (found.model_dump(), found.place) == (one.model_dump(), one.place)
    with pytest.raises(LetheError, match="mnist-hog-1 is a profile of mnist-hog: name that one"):
        load("mnist-hog-1", "cuda")
    assert load_here("mnist-hog-1", None, gpu=False).name == "mnist-hog-1"


def test_facts_are_those_of_the_settings() -> None:
    found = facts_of(load("mnist-hog-10"))
    assert (found.data, found.data_title) == ("mnist", "MNIST")
    assert found.problem == "MNIST, softmax on HOG"
    assert (found.study, found.profile, found.axis, found.value) == (
        "mnist-hog",
        "forget-10",
        "forget",
        10,
    )
    assert (found.forgotten, found.requests, found.group) == (10, 1, ("heads",))
    assert found.linear
    assert found.strongly_convex
    assert found.same_problem(facts_of(load("mnist-hog")))
    assert not found.same_problem(facts_of(load("mnist-scattering")))
    net = facts_of(load("mnist-sequential", "smoke"))
    assert (net.problem, net.linear, net.requests, net.trial) == ("MNIST, MLP", False, 3, True)
    assert {facts_of(one).data_title for one in every()} == {
        "Digits",
        "MNIST",
        "MNIST, shifted",
        "CIFAR-10",
        "SVHN (part, not the official split)",
        "Adult",
        "Breast cancer",
        "COMPAS",
        "Diabetes",
        "Diabetes, progression",
        "Digits, nearest neighbours",
        "Cora",
        "Citeseer",
        "Amazon Photo",
        "Coauthor CS",
    }


def test_what_is_for_trying_out_says_so() -> None:
    trials = {one.place.profile for one in every() if one.trial}
    assert trials == {"smoke", "smoke-10"}
    assert all(one.trial for one in every() if one.place.profile == "smoke")


def test_a_group_is_its_files_and_the_points_of_its_sweeps() -> None:
    assert members("heads") == [
        ("cifar10-hog", None),
        ("mnist-hog", None),
        *(("mnist-hog", f"forget-{count}") for count in (1, 10, 1000)),
        ("mnist-scattering", None),
        ("svhn-hog", None),
    ]
    assert [name for name, _ in members("sequential")] == ["mnist-stream", "mnist-sequential"]
    assert members("sequential", PAPER) == [("mnist-stream", PAPER), ("mnist-sequential", PAPER)]
    assert members("cifar10", "smoke") == [("cifar10-allcnn", "smoke")]
    assert members("squared") == [
        ("digits-squared", None),
        ("digits-squared", "stream"),
        ("mnist-hog-squared", None),
        ("mnist-hog-squared", "stream"),
        *(("mnist-hog-squared", f"forget-{count}") for count in (1, 10, 1000)),
    ]
    assert ("digits-softmax", "epsilon-8") not in members("demo"), "it says otherwise"
    others = r"there is cpu, paper, smoke, and of some batchnorm, paper-batchnorm$"
    with pytest.raises(LetheError, match=f"group svhn has no profile 'huge': {others}"):
        members("svhn", "huge")
    with pytest.raises(LetheError, match=r"no profile 'huge': there is cpu, paper, smoke$"):
        members("ablation", "huge")
    with pytest.raises(LetheError, match="unknown group 'xyz': there is: ablation, biased, "):
        members("xyz")


def test_a_file_without_the_scale_that_is_asked_for_is_as_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = list(every())
    monkeypatch.setattr(facts, "every", lambda: everything)  # read once for all the groups
    mnist = ("mnist-pooled", "mnist-softmax", "mnist-mlp")
    assert members("mnist", "cpu") == [(name, None) for name in mnist]
    assert members("mnist", "smoke") == [(name, "smoke") for name in mnist]
    assert members("svhn", "batchnorm") == [("svhn-resnet18", "batchnorm")]
    for group in groups():
        for scale in SMALLER:
            found = members(group, scale)
            assert {name for name, _ in found} == {name for name, _ in members(group)}
            assert len(set(found)) == len(found)


def test_committed_plans_are_what_the_files_say() -> None:
    plans = Store(ROOT / "leaderboard" / "results").plans()
    known = {one.name: one for one in every()}
    assert plans
    for plan in plans:
        made = plan_of(known[plan.experiment])
        if plan.facts is None:  # an earlier version wrote it
            rows = tuple(row.model_copy(update={"like": None}) for row in made.rows)
            made = made.model_copy(update={"facts": None, "rows": rows})
        assert plan == made


def test_every_group_is_a_target_of_make_which_names_no_experiment() -> None:
    text = (ROOT / "Makefile").read_text()
    (listed,) = re.findall(r"^GROUPS\s*:= (.*)$", text, re.MULTILINE)
    assert sorted(listed.split()) == groups()
    described = dict(re.findall(r"^([a-z0-9-]+):.*## (.+)$", text, re.MULTILINE))
    assert set(groups()) <= set(described), "make help lists them"
    code = re.sub("#.*", "", text)
    everything = list(every())
    profiles = {one.place.profile for one in everything if one.place.profile}
    for name in {*names(), *(one.name for one in everything), *profiles}:
        assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", code), name


def test_the_command_line_runs_a_group(
    lethe: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmark.experiments import experiment

    write(tmp_path, ROWS + SWEEPS, head='group = ["mine", "too"]')
    monkeypatch.setattr(experiment, "FOLDER", tmp_path)
    own = ("--method", "nothing", "--only", "--seed", "0", "--no-board")
    refused(lethe("run", *own), "name an experiment, or a group", "there is mine, other, too")
    refused(lethe("run", "--group", "mime", *own), "unknown group 'mime'", "did you mean 'mine'")
    refused(lethe("run", "--group", "mine", "--profile", "x", *own), "no profile 'x'")
    code, _, error = lethe("run", "--group", "mine", "--profile", "smoke", *own)
    assert code == 0, error
    assert "without a profile 'smoke', so run as they stand: tiny\n" in error
    code, out, _ = lethe("run", "tiny", "--group", "other", *own, "--fresh")
    assert code == 0, out
    assert "3 cells run" in out, "the file, and what its sweep puts into the other group"
    there = {path.parents[1].name for path in (tmp_path / "runs").rglob("seed-0.json")}
    assert there == {"tiny", "small-1", "small-0.001"}
    assert "mine, too" in " ".join(lethe("list")[1].split())


def test_the_example_of_the_docs_is_an_experiment(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "experiments.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    base = load(str(path))
    dumped: Mapping = {one: load(str(path), one) for one in base.profiles}
    assert list(dumped) == ["smoke", "epochs-1", "epochs-5", "epochs-20"]
    assert dumped["epochs-5"].title == "Digits, a budget of 5 epochs"
    epochs = {row.label: row.params["epochs"] for row in dumped["epochs-5"].rows}
    assert epochs == {"retrain-briefly": 5, "noisy-fine-tune": 6, "fewer-steps": 6}
    assert [row.label for row in dumped["smoke"].rows] == ["retrain-briefly"]
    assert plan_of(base).facts.group == ("budget",)
