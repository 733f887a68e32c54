"""One study at several scales, several seeds at a time, and the command line's start."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import collected, optimisers
from benchmark.contract.seeds import Seeds
from benchmark.data.features import compute
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.experiments.build import build
from benchmark.experiments.experiment import every, load, load_here, names
from benchmark.experiments.profile import merged
from benchmark.features.pixels import MEAN, STD
from benchmark.files import DiskError
from benchmark.records import Store, read_record
from benchmark.runner.cell import Inputs
from benchmark.runner.plans import plan_cells
from benchmark.studies import experiments as runner
from tests import tiny_experiment
from tests.conftest import Run
from tests.test_cli import refused

# One study at several scales, and the convolutional experiments' settings.

CPU = torch.device("cpu")
LARGE = ('description = "For tests."', 'description = "For tests."\ndevice = "cuda"')
PROFILES = """
[profiles.cpu]
device = "cpu"
seeds = [7]
problem.split.train = 90
[profiles.cpu.rows.loose]
method = "newton"
params = { tolerance = 0.1 }

[profiles.smoke]
title = "Tinier"
forget = { count = 2 }
"""


def write(folder: Path, *changes: tuple[str, str], more: str = PROFILES) -> str:
    path = tiny_experiment.write(folder, *changes)
    path.write_text(path.read_text() + more)
    return str(path)


def test_tables_are_merged_and_anything_else_replaced() -> None:
    settings = {"a": {"b": {"c": 1, "d": 2}}, "e": [1, 2], "f": {"g": 1}}
    found = merged(settings, {"a": {"b": {"c": 3}}, "e": [4], "f": 5, "h": {"i": 6}})
    assert found == {"a": {"b": {"c": 3, "d": 2}}, "e": [4], "f": 5, "h": {"i": 6}}
    assert settings["a"]["b"]["c"] == 1, "nothing is mutated"


def test_a_profile_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, LARGE)
    base, cpu, smoke = (load(path, profile) for profile in (None, "cpu", "smoke"))
    assert load(path, "paper") == base
    assert [one.name for one in (base, cpu, smoke)] == ["tiny", "tiny-cpu", "tiny-smoke"]
    assert [one.title for one in (base, cpu, smoke)] == ["Tiny", "Tiny (cpu)", "Tinier"]
    assert base.profiles == cpu.profiles == ("cpu", "smoke")
    assert (base.device, cpu.device, cpu.seeds) == ("cuda", "cpu", (7,))
    assert (base.problem.split.train, cpu.problem.split.train) == (120, 90)
    assert cpu.problem.split.test == base.problem.split.test == 60
    assert (base.forget.count, cpu.forget.count, smoke.forget.count) == (5, 5, 2)
    assert [row.label for row in cpu.rows] == ["loose"]
    assert smoke.problem == base.problem


def test_without_a_GPU_the_cpu_profile_is_the_default(tmp_path: Path) -> None:
    path = write(tmp_path, LARGE)
    assert load_here(path, None, gpu=False).name == "tiny-cpu"
    assert load_here(path, None, gpu=True).name == "tiny"
    plain = write(tmp_path, more="")
    assert load_here(plain, None, gpu=False).name == "tiny", "a file without profiles"


@pytest.mark.parametrize("profile", ["paper", "smoke"])
def test_a_profile_that_needs_a_GPU_names_one_that_does_not(tmp_path: Path, profile: str) -> None:
    with pytest.raises(LetheError, match=r"needs a GPU.*: use --profile cpu$"):
        load_here(write(tmp_path, LARGE), profile, gpu=False)
    with pytest.raises(LetheError, match="it has no smaller profile"):
        load_here(write(tmp_path, LARGE, more=""), None, gpu=False)


def test_only_smaller_scales_are_offered_where_a_GPU_is_needed() -> None:
    with pytest.raises(LetheError, match=r"needs a GPU.*: use --profile cpu or smoke$"):
        load_here("svhn-resnet18", "paper", gpu=False)


def test_a_file_without_those_scales_offers_what_it_has(tmp_path: Path) -> None:
    path = write(tmp_path, LARGE, more='[profiles.little]\ndevice = "cpu"\n')
    with pytest.raises(LetheError, match=r"needs a GPU.*: use --profile little$"):
        load_here(path, None, gpu=False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("profiles = 3", "a profile is a table"),
        ("profiles.cpu = 3", "a profile is a table"),
        ("[profiles.paper]\nseeds = [1]", "the file as it stands"),
        (
            "[profiles.cpu]\nseed = [1]",
            "profile cpu: seed: there is no such setting: did you mean 'seeds'",
        ),
    ],
)
def test_a_wrong_profile_is_one_line(tmp_path: Path, more: str, message: str) -> None:
    path = tiny_experiment.write(tmp_path)
    head = more if more.startswith("profiles") else ""
    path.write_text(f"{head}\n{path.read_text()}\n{'' if head else more}")
    with pytest.raises(LetheError, match=message) as caught:
        load(str(path), "cpu")
    assert "\n" not in str(caught.value)


def test_the_command_line_runs_several_scales_and_refuses_unknown_ones(
    lethe: Run,
    tmp_path: Path,
) -> None:
    path = write(tmp_path, LARGE)
    own = ("run", path, "--method", "newton")
    code, out, _ = lethe(*own, "--seed", "7", "--profile", "cpu")
    assert code == 0, out
    assert read_record(tmp_path / "runs" / "tiny-cpu" / "loose" / "seed-7.json").data.train == 90
    refused(lethe(*own, "--profile", "gpu"), "unknown profile of experiment tiny: 'gpu'", "cpu")
    if not torch.cuda.is_available():
        refused(lethe(*own, "--profile", "paper"), "needs a GPU", "--profile cpu")
    refused(lethe(*own, "--profile", "smoke", "--device", "cpu"), "--profile cpu")


def test_records_of_two_profiles_never_share_a_folder(tmp_path: Path) -> None:
    path, store = write(tmp_path), Store(tmp_path / "results")
    console = tiny_experiment.QUIET
    loaded = [load(path, profile) for profile in ("paper", "smoke")]
    runner.run(loaded, store, CPU, methods=["nothing"], seeds=[0], console=console)
    assert [plan.experiment for plan in store.plans()] == ["tiny", "tiny-smoke"]
    counts = [store.records(name)[0].data.forget for name in ("tiny", "tiny-smoke")]
    assert counts == [5, 2]


# --- the project's own --------------------------------------------------------------------------

SCALES = [(one.path.stem, one.place.profile) for one in every()]


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_every_scale_of_every_experiment_has_cells(name: str, scale: str | None) -> None:
    found = load(name, scale)
    assert plan_cells(found, "cpu", seeds=[0])
    assert found.title
    if found.device == "cuda":
        assert load_here(name, None, gpu=False).device == "cpu", "there is one for any machine"


@pytest.mark.parametrize("name", names())
def test_what_a_group_runs_at_the_smoke_scale_is_for_trying_out(name: str) -> None:
    """Experiments in no group too: `smoke` takes seconds wherever it is asked for."""
    smoke = load(name, "smoke")
    assert smoke.trial
    assert list(smoke.seeds) == [0]


def test_the_keys_of_committed_records_still_hold() -> None:
    results = Path(__file__).resolve().parents[1] / "leaderboard" / "results"
    paths = collected.paths(results, "*/*/seed-0.json")
    assert paths
    for path in paths:
        record = read_record(path)
        assert Inputs.read(record.inputs, str(path)).key == record.key, path


# --- images in experiments ----------------------------------------------------------------------


def test_pixels_are_normalised_by_fixed_constants_of_one_row() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 3), dtype=np.uint8)
    found = compute("pixels", images, 255)
    expected = (images / 255 - np.array(MEAN)) / np.array(STD)
    assert found.dtype == np.float32
    assert np.allclose(found, expected.reshape(5, -1), atol=1e-6)
    assert np.array_equal(found[2:3], compute("pixels", images[2:3], 255))
    with pytest.raises(LetheError, match="use 'centred-pixels'"):
        compute("pixels", images[..., 0], 255)


CONVOLUTIONAL = (
    ('"unit-pixels"', '"centred-pixels"'),
    ('{ kind = "softmax" }', '{ kind = "allcnn", width = 4 }'),
    ('{ algorithm = "newton-cg", tolerance = 1e-9 }', '{ algorithm = "adam", epochs = 2 }'),
)


def test_an_experiment_builds_a_net_for_the_images_of_its_data(tmp_path: Path) -> None:
    experiment = load(str(tiny_experiment.write(tmp_path, *CONVOLUTIONAL)))
    problem, _ = build(experiment.problem, Seeds(), CPU)
    assert problem.model.inputs == (8, 8, 1)
    weights = problem.model.initial_weights(torch.Generator())
    assert problem.model(weights, problem.test.x).shape == (60, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((*CONVOLUTIONAL[1:], ('"unit-pixels"', '"hog"')), "needs pixels"),
        ((CONVOLUTIONAL[2], ("epochs = 2", 'epochs = 2, augment = "crop"')), "convolutional nets"),
        ((*CONVOLUTIONAL, ("width = 4", "widths = 4")), "there is no such setting"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(LetheError, match=message) as caught:
        load(str(tiny_experiment.write(tmp_path, *changes)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ridge", "rigde", "objective.rigde: there is no such setting: did you mean 'ridge'"),
        ("tolerance", "tolerence", "tolerence: there is no such setting: did you mean 'tolerance'"),
        ("[forget]", "[froget]", "froget: there is no such setting: did you mean 'forget'"),
        ("seeds = [0, 1]", 'seeds = "zero"', "seeds: a list is wanted"),
        ('"newton-cg"', '"newtn"', "training: unknown 'algorithm' 'newtn': it is one of"),
        ('"Tiny"', r'"\u001b[31m"', r"title: '\\x1b' is a control character: take it out"),
        ('"digits"', "3", "problem.data: data is the name of a data set or a table, .* not 3"),
        ('"softmax"', '"mlp", hidden = [4, 0]', r"model.hidden.1: .* greater than or equal to 1"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tiny_experiment.write(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(LetheError, match=message) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_an_experiment_is_called_one(tmp_path: Path) -> None:
    folder = tmp_path / "study.toml"
    folder.mkdir()
    with pytest.raises(LetheError, match=r"study.toml is a folder$"):
        load(str(folder))


# Several seeds at a time give what one after the other gives.

METHODS = ["nothing", "newton"]


def run(toml: Path, folder: Path, **more: object) -> runner.Tally:
    return tiny_experiment.run(toml, folder=folder, methods=METHODS, **more)


def contents(folder: Path) -> dict[str, dict]:
    return {record.key: record.numbers() for record in Store(folder).records("tiny")}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tiny_experiment.write(tmp_path, ("seeds = [0, 1]", "seeds = [0, 1, 2]"))


def test_the_records_are_the_same(toml: Path, tmp_path: Path) -> None:
    alone = run(toml, tmp_path / "alone")
    both = run(toml, tmp_path / "both", jobs=2)
    assert (both.ran, both.kept, both.failed) == (alone.ran, 0, [])
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    again = run(toml, tmp_path / "both", jobs=2)
    assert (again.ran, again.kept) == (0, alone.ran)


def test_what_a_process_raises_is_raised_here(toml: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / ".artifacts").write_text("not a folder")
    with pytest.raises(DiskError):
        run(toml, results, jobs=2)


def test_a_process_that_dies_ends_the_run_with_a_line(toml: Path, tmp_path: Path) -> None:
    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not active_children() and time.monotonic() < deadline:
            time.sleep(0.01)
        active_children()[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(LetheError, match="a process of the run died"):
        run(toml, tmp_path / "results", jobs=2)
    killer.join()
    assert active_children() == [], "the others are stopped"
    run(toml, tmp_path / "results")
    assert len(contents(tmp_path / "results")) == 3 * len(METHODS)


@pytest.mark.parametrize(
    ("jobs", "device", "message"),
    [(0, "cpu", "jobs must be 1 or more, not 0"), (2, "cuda", "one GPU runs one job at a time")],
)
def test_settings_that_make_no_sense(
    toml: Path, tmp_path: Path, jobs: int, device: str, message: str
) -> None:
    loaded = [experiments.load(str(toml))]
    with pytest.raises(LetheError, match=message):
        runner.run(loaded, Store(tmp_path / "results"), torch.device(device), jobs=jobs)


# The command line starts without what a command does not use; make calls it with whole words.

ROOT = Path(__file__).resolve().parents[1]
#: What takes from half a second to three to import.
HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "datasets", "wandb"}
PROGRAM = """
import json, sys
from benchmark.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and every module that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, set(json.loads(done.stderr))


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",)])
def test_help_and_version_import_no_numerical_library(arguments: tuple[str, ...]) -> None:
    _, modules = loaded_by(*arguments)
    assert "benchmark.cli" in modules
    assert not modules & HEAVY


def test_the_list_imports_only_what_methods_are_written_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text, modules = loaded_by("list")
    assert "digits-softmax-biased  biased" in text, "names are whole"
    assert "newton-lissa" in text
    assert not modules & (HEAVY - {"torch", "numpy", "scipy"} | {"scipy.stats", "opacus"})


def run_alone(code: str) -> None:
    """Run code in a process of its own; what exits with anything but 0 is an error."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)


def test_a_board_is_made_without_torch(tmp_path: Path) -> None:
    """It takes half a gigabyte, and reading records needs none of it."""
    results = tmp_path / "results"
    results.mkdir()
    for name in ("cora-gcn", "audit.study"):
        shutil.copy(ROOT / "leaderboard" / "results" / f"{name}.jsonl", results)
    code = (
        "import sys; from pathlib import Path; from leaderboard.board import build, check; "
        f"results, out = Path({str(results)!r}), Path({str(tmp_path / 'board')!r}); "
        "build(results, out); assert check(results, out) == []; sys.exit('torch' in sys.modules)"
    )
    run_alone(code)


def test_a_run_starts_without_torchs_compiler() -> None:
    """Its import takes seconds, and nothing is compiled."""
    code = (
        "import sys; from benchmark.runner.device import prepare; "
        "prepare('cpu', threads=1); sys.exit('torch._dynamo' in sys.modules)"
    )
    run_alone(code)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_an_optimiser_that_is_not_compiled_does_what_torchs_does(name: str) -> None:
    def descended(kind: type[torch.optim.Optimizer]) -> torch.Tensor:
        weights = torch.ones(3, requires_grad=True)
        optimiser = kind([weights], lr=0.1, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=5)
        for _ in range(5):
            optimiser.zero_grad()
            (weights - torch.arange(3.0)).pow(4).sum().backward()
            optimiser.step()
            schedule.step()
        return weights

    ours, theirs = getattr(optimisers, name), getattr(torch.optim, name)
    assert descended(ours).equal(descended(theirs))


def test_the_version_is_that_of_the_package() -> None:
    assert loaded_by("--version")[0] == f"lethe {version('lethe')}\n"


def test_what_a_method_needs_is_found_in_the_package() -> None:
    import benchmark
    from benchmark.contract.method import Method

    assert benchmark.Method is Method
    assert all(isinstance(getattr(benchmark, name), type) for name in benchmark.__all__)
    assert not hasattr(benchmark, "Methods")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("name", ["my runs", "it's", 'a "b"', "$(touch x)", "-rf", "a;b"])
@pytest.mark.parametrize("target", ["clean", "slack", "bench", "mnist"])
def test_make_takes_the_folder_of_the_results_as_one_word(target: str, name: str) -> None:
    given = f"RESULTS={name.replace('$', '$$')}"
    command = ["make", "--dry-run", "--no-print-directory", target, given]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shlex.split(printed.replace("\\\n", " "))
    assert name in words
    if target == "clean":
        assert words[:3] == ["rm", "-rf", "--"]
