"""Nets of one's own, found and looked at before training; `lethe new` and `lethe check`."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from benchmark import extend, plugins
from benchmark.errors import LetheError
from benchmark.experiments.experiment import load
from benchmark.problem.model import Model
from benchmark.problem.models import spec
from benchmark.problem.models.factory import FactorySpec
from benchmark.records import read_record
from benchmark.runner.plans import plan_cells
from benchmark.templates import TEMPLATES
from tests import tiny_experiment
from tests.conftest import Run
from tests.test_cli import refused

# Nets of one's own: found by a factory, looked at before training, trained like any other.

NETS = """
import torch
from torch import nn

def small(inputs, classes, width=6):
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, classes)
    )

def kinked(inputs, classes):
    return nn.Sequential(nn.Linear(inputs, 4), nn.ReLU(), nn.Linear(4, classes))

def images(inputs, classes):
    channels, height, width = inputs
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, 2, 1), nn.GroupNorm(2, 4), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes),
    )

def normed(inputs, classes):
    return nn.Sequential(nn.Linear(inputs, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))

def dropped(inputs, classes):
    return nn.Sequential(nn.Linear(inputs, 4), nn.Dropout(), nn.Linear(4, classes))

def frozen(inputs, classes):
    net = small(inputs, classes)
    net[0].requires_grad_(False)
    return net

def wide(inputs, classes):
    return nn.Linear(inputs, classes + 1)

def nothing(inputs, classes):
    return None

def lazy(inputs, classes):
    return nn.LazyLinear(classes)

def failing(inputs, classes):
    raise ValueError("no such width")

def drawn(inputs, classes):
    net = nn.Linear(inputs, classes)
    import random
    with torch.no_grad():
        net.weight.add_(random.random())
    return net

class Base(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.layer = nn.Linear(inputs, classes)

class Buffered(Base):
    def __init__(self, inputs, classes):
        super().__init__(inputs, classes)
        self.register_buffer("centre", torch.zeros(inputs))
    def forward(self, x):
        return self.layer(x - self.centre)

class Noisy(Base):
    def forward(self, x):
        return self.layer(x) + torch.rand(len(x), 1, dtype=x.dtype)

class Noisy32(Base):
    def forward(self, x):
        return self.layer(x.float())

class Squeezed(Base):
    def forward(self, x):
        return self.layer(x).squeeze()

class Centred(Base):
    def forward(self, x):
        return self.layer(x - x.mean(0))

class InPlace(Base):
    def forward(self, x):
        return self.layer(x.mul_(2))

class Rounded(Base):
    def forward(self, x):
        return self.layer(x).detach()
"""
REFUSED = {
    "normed": "BatchNorm \\(1\\) keeps statistics.*GroupNorm",
    "dropped": "Dropout \\(1\\) draws at random",
    "frozen": "frozen weights \\(0.weight, 0.bias\\) would be trained",
    "wide": "give \\(4, 4\\), not logits of shape \\(4, 3\\)",
    "nothing": "returns NoneType, not a torch.nn.Module",
    "lazy": "lazy layers .* have no shape yet",
    "failing": "the factory raises ValueError: no such width",
    "drawn": "two starts from one seed differ",
    "Buffered": "buffers \\(centre\\) lie outside the weights",
    "Noisy": "two passes over the same rows differ",
    "Noisy32": "leave their precision as it is, or set problem.precision = 'float32'",
    "Squeezed": "a batch of one row gives shape",
    "Centred": "depend on the other rows of its batch",
    "InPlace": "changes its input in place",
    "Rounded": "there is no gradient",
}
OWN = ('model = { kind = "softmax" }', 'model = { factory = "own_nets:small" }')
ADAM = (
    'training = { algorithm = "newton-cg", tolerance = 1e-9 }',
    'training = { algorithm = "adam", epochs = 2, radius = 10.0 }',
)


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the nets, whose module is forgotten afterwards."""
    (tmp_path / "own_nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_nets", None)


def named(name: str, **settings: object) -> FactorySpec:
    return FactorySpec(factory=f"own_nets:{name}", **settings)


@pytest.mark.parametrize("name", REFUSED)
def test_what_nothing_can_certify_is_refused_in_a_line(nets: Path, name: str) -> None:
    with pytest.raises(LetheError, match=f"own_nets:{name}: .*{REFUSED[name]}") as caught:
        named(name).check(5, 3, torch.float64)
    assert "\n" not in str(caught.value)


def test_what_is_only_worth_knowing_is_no_refusal(nets: Path) -> None:
    assert named("small").findings(5, 3, torch.float64) == []
    (found,) = named("kinked").findings(5, 3, torch.float64)
    assert not found.refused
    assert "no second derivative" in found.text
    named("kinked").check(5, 3, torch.float64)


def test_looking_leaves_the_generator_alone(nets: Path) -> None:
    before = torch.get_rng_state()
    for name in ("small", "Noisy", "drawn"):
        named(name).findings(5, 3, torch.float64)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_starts_where_the_module_does(nets: Path) -> None:
    model = Model(named("small", args={"width": 3}), 5, 3)
    first, again, other = (
        model.initial_weights(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float64
    assert len(first) == model.dimension == 5 * 3 + 3 + 6 + 3 * 3 + 3
    scale = model.named(first)["1.weight"] if hasattr(model, "named") else first[18:21]
    assert torch.equal(scale.flatten(), torch.ones(3, dtype=torch.float64))


def test_images_come_as_torch_has_them(nets: Path) -> None:
    model = Model(named("images", images=True), (8, 8, 1), 3)
    weights = model.initial_weights(torch.Generator().manual_seed(0))
    x = torch.rand(4, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert model(weights, x).shape == (4, 3)
    assert model.chunk == 250
    assert Model(named("small"), 5, 3).chunk is None


def test_an_experiment_runs_on_a_net_beside_its_file(nets: Path, tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, OWN, ADAM)
    names = ["retrain", "newton", "fine-tune"]
    done = tiny_experiment.run(toml, folder=tmp_path / "runs", methods=names, seeds=[0])
    assert (done.ran, done.failed) == (3, [])
    record = read_record(tmp_path / "runs" / "tiny" / "newton" / "seed-0.json")
    assert record.inputs["problem"]["model"]["factory"] == "own_nets:small"
    again = tiny_experiment.run(toml, folder=tmp_path / "runs", methods=names, seeds=[0])
    assert again.kept == 3


def test_the_code_of_the_net_is_part_of_the_key(nets: Path, tmp_path: Path) -> None:
    toml = tiny_experiment.write(tmp_path, OWN, ADAM)

    def key() -> str:
        sys.modules.pop("own_nets", None)
        return plan_cells(load(str(toml)), "cpu", ["nothing"], [0])[0].key

    before, recorded = key(), load(str(toml)).problem.model.model_dump()
    path = nets / "own_nets.py"
    path.write_text("# a comment\n" + NETS, encoding="utf-8")
    assert key() == before
    path.write_text(NETS.replace("width=6", "width=7"), encoding="utf-8")
    assert key() != before
    with pytest.raises(ValueError, match="own_nets:small has changed since this was recorded"):
        FactorySpec.model_validate(recorded)


def test_another_module_of_that_name_is_refused(nets: Path, tmp_path: Path) -> None:
    named("small")
    other = tmp_path / "other"
    other.mkdir()
    (other / "own_nets.py").write_text(NETS, encoding="utf-8")
    toml = tiny_experiment.write(other, OWN, ADAM)
    with pytest.raises(LetheError, match="not the module own_nets that Python finds first"):
        load(str(toml))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ('{ factory = "no_such:net" }', "there is no module no_such: put its file beside"),
        ('{ factory = "own_nets:absent" }', "module own_nets has no function 'absent'"),
        ('{ factory = "own_nets" }', "a module and a function in it"),
        ('{ factory = "own_nets:small", arg = 1 }', "there is no such setting"),
        ('{ kind = "sofmax" }', "unknown model 'sofmax': did you mean 'softmax'"),
        ("{ width = 3 }", "set kind, e.g. model = { kind = 'softmax' }"),
    ],
)
def test_a_wrong_model_is_one_line(nets: Path, tmp_path: Path, model: str, words: str) -> None:
    toml = tiny_experiment.write(tmp_path, (OWN[0], f"model = {model}"), ADAM)
    with pytest.raises(LetheError, match=words) as caught:
        load(str(toml))
    assert "\n" not in str(caught.value)


def test_a_kind_of_an_installed_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        there = [EntryPoint("outside", "tests.plugin:OutsideNet", group)]
        return there if group == "lethe.models" else []

    monkeypatch.setattr(plugins, "entry_points", points)
    model = spec.read({"kind": "outside-net", "width": 3})
    assert Model(model, 5, 2).dimension == 5 * 3 + 3 + 3 * 2 + 2
    assert "outside-net" in spec.discover()


def test_a_plug_in_that_calls_itself_linear_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        there = [EntryPoint("outside", "tests.plugin:LinearNet", group)]
        return there if group == "lethe.models" else []

    monkeypatch.setattr(plugins, "entry_points", points)
    with pytest.raises(ValueError, match="says whether it is linear"):
        spec.read({"kind": "linear-net"})


# `lethe new` and `lethe check`.


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_written_keeps_the_contract(
    lethe: Run,
    kind: str,
) -> None:
    code, out, error = lethe("new", kind, f"my-{kind}")
    assert code == 0, error
    assert f"To check it: lethe check my_{kind}.py" in out
    lines = extend.check(f"my_{kind}.py", 8, 3, "float64")
    assert lines
    assert not [line for line in lines if line.ok is False]


def test_a_name_that_cannot_be_one_is_refused(lethe: Run, tmp_path: Path) -> None:
    refused(lethe("new", "method", "../x"), "cannot be a name")
    refused(lethe("new", "method", "class"), "class.py cannot be imported")
    refused(lethe("new", "method", "retrain"), "there is a plug-in or method 'retrain': choose")
    refused(lethe("new", "method", "mine", "--to", "absent"), "there is no folder absent")
    (tmp_path / "mine.py").write_text("")
    refused(lethe("new", "method", "mine"), "mine.py is there already")


def test_in_the_project_a_file_lies_with_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("methods", "baselines"):
        (tmp_path / folder).mkdir()
    assert extend.write("method", "mine", None) == Path("baselines/mine.py")
    assert extend.write("attack", "mine", None) == Path("mine.py")


def test_what_is_broken_is_named_and_shows_in_the_exit_code(
    lethe: Run,
    nets: Path,
    tmp_path: Path,
) -> None:
    code, out, _ = lethe("check", "own_nets:dropped", "--inputs", "5")
    assert code == 1
    assert "Dropout (1) draws at random" in out
    code, out, _ = lethe("check", "own_nets:images", "--inputs", "8x8x1")
    assert code == 0
    assert "The contract is kept." in out
    lethe("new", "method", "mine")
    path = tmp_path / "mine.py"
    bad = path.read_text().replace("request.original.weights,", "request.original.weights.mul_(2),")
    path.write_text(bad)
    code, out, _ = lethe("check", "mine.py")
    assert code == 1
    assert "it changed the original's weights in place" in out


def test_what_cannot_be_checked_is_one_line(lethe: Run, tmp_path: Path) -> None:
    refused(lethe("check", "newtn"), "unknown method or plug-in", "did you mean 'newton'")
    refused(lethe("check", "absent.py"), "there is no file absent.py")
    refused(lethe("check", "no_such:thing"), "there is no module no_such")
    refused(lethe("check", "mlp", "--inputs", "8x"), "a number of features, or an image as 8x8x1")
    (tmp_path / "empty.py").write_text("")
    refused(lethe("check", "empty.py"), "defines no method and no plug-in")
    (tmp_path / "wrong.py").write_text("def (\n")
    refused(lethe("check", "wrong.py"), "wrong.py cannot be imported: SyntaxError")


EVERY = [
    name
    for word, kind in plugins.kinds().items()
    for name in plugins.discover(kind)
    if word not in ("data set", "study", "model") or name in ("softmax", "mlp", "digits")
]


@pytest.mark.parametrize("name", EVERY)
def test_ours_keep_it_too(name: str) -> None:
    assert not [line for line in extend.check(name, 8, 3, "float64") if line.ok is False]


def test_a_scenario_that_names_a_row_twice_is_told(tmp_path: Path) -> None:
    text = TEMPLATES["scenario"].format(name="mine", cls="Mine", title="Mine")
    path = tmp_path / "mine.py"
    path.write_text(
        text.replace("trained[: requests * count].split(count)", "(trained[:count],) * 2")
    )
    broken = [line.what for line in extend.check(str(path), 8, 3, "float64") if line.ok is False]
    assert broken == ["mine: no row twice"]


def test_a_class_is_named_by_its_module() -> None:
    lines = extend.check("tests.plugin:OutsideNet", 8, 3, "float64")
    assert [line.ok for line in lines] == [True]
    with pytest.raises(LetheError, match="has no function 'Absent'"):
        extend.check("tests.plugin:Absent", 8, 3, "float64")


def test_a_property_that_lacks_what_it_states_is_told(tmp_path: Path) -> None:
    text = TEMPLATES["property"].format(name="mine", cls="Mine", title="Mine")
    path = tmp_path / "mine.py"
    refuted = """
    def attack(self, predictor, problem, generator):
        return predictor
"""
    path.write_text(text + refuted)
    broken = [line.what for line in extend.check(str(path), 8, 3, "float64") if line.ok is False]
    assert broken == ["mine: no pair contradicts what holds"]
