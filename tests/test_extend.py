"""`lethe new` and `lethe check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark import extend, plugins
from benchmark.errors import LetheError
from benchmark.templates import TEMPLATES
from tests.test_cli import Run, lethe, refused  # noqa: F401
from tests.test_own_models import nets  # noqa: F401


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_written_keeps_the_contract(
    lethe: Run,  # noqa: F811
    kind: str,
) -> None:
    code, out, error = lethe("new", kind, f"my-{kind}")
    assert code == 0, error
    assert f"To check it: lethe check my_{kind}.py" in out
    lines = extend.check(f"my_{kind}.py", 8, 3, "float64")
    assert lines
    assert not [line for line in lines if line.ok is False]


def test_a_name_that_cannot_be_one_is_refused(lethe: Run, tmp_path: Path) -> None:  # noqa: F811
    refused(lethe("new", "method", "../x"), "cannot be a name")
    refused(lethe("new", "method", "class"), "class.py cannot be imported")
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
    lethe: Run,  # noqa: F811
    nets: Path,  # noqa: F811
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


def test_what_cannot_be_checked_is_one_line(lethe: Run, tmp_path: Path) -> None:  # noqa: F811
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
