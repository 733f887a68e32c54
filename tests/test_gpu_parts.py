"""Measuring on a GPU: the order of the parts, their ends, and what is left of one cut short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.errors import LetheError
from benchmark.gpu import PARTS, Part, chosen, measure

ROOT = Path(__file__).resolve().parents[1]
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'done').write_text('x')"
#: Writes the number of its process, then waits for longer than any test does.
WAIT = (
    "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], 'id').write_text(str(os.getpid())); "
    "time.sleep(600)"
)


def part(name: str, code: str, most: float = 60.0) -> Part:
    return Part(name, name.title(), ("-c", code, "{results}"), most)


def test_parts_run_in_order_and_a_failure_does_not_end_them(tmp_path: Path) -> None:
    told: list[str] = []
    parts = [part("fails", "raise SystemExit(3)"), part("works", WRITE)]
    assert measure(parts, tmp_path, 120, told.append) == {"fails": "failed", "works": "done"}
    assert (tmp_path / "done").exists()
    assert [line.split(":")[0] for line in told] == ["fails", "fails", "works", "works"]


def test_a_part_over_its_time_is_stopped_and_the_next_begins(tmp_path: Path) -> None:
    slow = part("slow", WAIT, most=20.0)
    found = measure([slow, part("works", WRITE)], tmp_path, 120, lambda line: None)
    assert found == {"slow": "out of time", "works": "done"}
    number = int((tmp_path / "id").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_no_part_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    assert measure([part("works", WRITE)], tmp_path, 1.0, lambda line: None) == {}
    assert not (tmp_path / "done").exists()


def test_parts_are_chosen_by_name_and_keep_their_order() -> None:
    names = [one.name for one in PARTS]
    assert len(set(names)) == len(names)
    assert chosen(None) == PARTS
    assert [one.name for one in chosen([names[3], names[1]])] == [names[1], names[3]]
    with pytest.raises(LetheError, match=f"no part is called 'x': they are {names[0]}, "):
        chosen(["x"])


def test_every_file_that_a_part_names_exists() -> None:
    for one in PARTS:
        for argument in one.command:
            if argument.endswith(".py"):
                assert (ROOT / argument).is_file(), argument
