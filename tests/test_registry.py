"""Methods register by existing; mistakes are one clear line."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import baselines
from benchmark import plugins, registry
from benchmark.errors import LetheError
from methods.newton import Newton

GOOD = """
from benchmark.contract.method import Method, Source
class Extra(Method):
    '''A dropped-in method.'''
    name = "{name}"
    title = "Extra"
    source = Source(paper="A paper", url="https://example.org")
    strength: float = 1.0
    def unlearn(self, request):
        return request.release(request.original.weights * self.strength)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second place where files of the package `baselines` are looked for."""
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    return tmp_path


def test_every_file_is_found() -> None:
    found = registry.discover()
    names = {"newton", "retrain", "retrain-other-seed", "fine-tune", "gradient-ascent", "sisa"}
    assert names | {"nothing"} <= set(found)
    assert found["newton"].family == "methods"
    assert found["sisa"].family == "baselines"


def test_a_new_file_is_there_without_an_edit(folder: Path) -> None:
    (folder / "extra_one.py").write_text(GOOD.format(name="extra-one"))
    assert registry.find("extra-one").method.model_fields["strength"].default == 1.0
    assert "extra-one" in registry.discover()


def test_two_methods_of_one_name_are_an_error(folder: Path) -> None:
    (folder / "extra_two.py").write_text(GOOD.format(name="newton"))
    with pytest.raises(LetheError, match=r"two methods are called 'newton'.*newton\.py.*extra_two"):
        registry.discover()


def test_a_broken_file_is_named(folder: Path) -> None:
    (folder / "extra_three.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(LetheError, match=r"baselines/extra_three\.py cannot be imported"):
        registry.discover()


def test_a_missing_declaration_is_named(folder: Path) -> None:
    text = GOOD.format(name="extra-four").replace("    title", "    # title")
    (folder / "extra_four.py").write_text(text)
    with pytest.raises(LetheError, match=r"extra_four\.py \(Extra\) declares no 'title'"):
        registry.discover()


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(LetheError, match=r"unknown method 'newtn': did you mean 'newton'\?"):
        registry.find("newtn")
    with pytest.raises(LetheError, match=r"'dampin': did you mean 'damping'\?"):
        Newton.build({"dampin": 1})
    with pytest.raises(LetheError, match="damping"):
        Newton.build({"damping": -1})


def test_an_entry_point_adds_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("outside", "tests.plugin:Outside", group)]

    monkeypatch.setattr(plugins, "entry_points", points)
    assert registry.find("outside").method.name == "outside"


def test_an_entry_point_that_is_no_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("outside", "tests.plugin:NOT_A_METHOD", group)]

    monkeypatch.setattr(plugins, "entry_points", points)
    with pytest.raises(LetheError, match=r"is not a Method class.*: repair it or uninstall it$"):
        registry.discover()


def test_a_broken_plug_in_names_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "lethe_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lethe-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lethe.methods]\nx = lethe_extra_broken:Extra\n")
    (tmp_path / "lethe_extra_broken.py").write_text("def (\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    words = r"'x' of lethe-extra cannot be loaded \(SyntaxError: .*lethe_extra_broken\.py"
    with pytest.raises(LetheError, match=words + ".*: repair it or uninstall lethe-extra$"):
        registry.discover()
    (tmp_path / "lethe_extra_broken.py").unlink()
    with pytest.raises(LetheError, match=r"ModuleNotFoundError: .*uninstall lethe-extra$"):
        registry.discover()
