"""Carry records over to keys that hash what a method's code says, not the bytes of its file.

    python -m tools.rekey leaderboard/results --revision <the one at which they are current>

Until then a key held the sha256 of the one file of a method's class. A record whose hash is that
of the file at one of the revisions gets the hash of the code at that revision, and its key; the
slack and audit studies likewise. Any other record stays as it is, and so stays out of date. Run
once more it changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from benchmark import registry
from benchmark.contract.method import Method
from benchmark.files import replace_file
from benchmark.runner import cell as cells
from benchmark.runner.cell import fingerprint
from benchmark.runner.source import files_of, hash_of
from benchmark.studies import audit_record, audit_study, slack, slack_record

ROOT = Path(__file__).resolve().parents[1]
Hash = Callable[[type[Method]], str]


def file_hash(revision: str) -> Hash:
    """What keys held: the sha256 of the file of the class, as it was at a revision."""
    return lambda method: hashlib.sha256(at(revision, Path(inspect.getfile(method)))).hexdigest()


def code_hash(revision: str) -> Hash:
    """What keys hold: `source_hash` of the code at a revision."""
    return lambda method: hash_of([at(revision, path) for path in files_of(method)])


@cache
def at(revision: str, path: Path) -> bytes:
    """The content of a file at a revision; none if it was not there."""
    name = path.resolve().relative_to(ROOT).as_posix()
    command = ["git", "-C", str(ROOT), "show", f"{revision}:{name}"]
    return subprocess.run(command, capture_output=True, check=False).stdout


def renewed(old: Hash, new: Hash) -> dict[tuple[str, str], str]:
    """The new hash of each method's name and old hash."""
    found = (registered.method for registered in registry.discover().values())
    return {(method.name, old(method)): new(method) for method in found}


def carry_record(path: Path, hashes: dict[tuple[str, str], str]) -> bool:
    """Give the record of a row the new hash and key, if its hash is an old one of `hashes`."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    inputs = content["inputs"]
    cell = inputs.get("cell", inputs)  # forget quality keeps a cell's inputs inside its own
    before, key = cell["method_source"], content["key"]
    if (cell["method"], before) not in hashes or fingerprint(inputs) != key:
        return False
    cell["method_source"] = after = hashes[cell["method"], before]
    changed = text.replace(f'"{before}"', f'"{after}"').replace(
        f'"{key}"', f'"{fingerprint(inputs)}"'
    )
    replace_file(path, changed.encode())
    return True


def carry_slack(results: Path, old: Hash, new: Hash) -> bool:
    """Give the slack study its new key, if its key is that of the old hashes."""
    before, after = (_with(hashing, slack.study_key) for hashing in (old, new))
    return _replaced(slack_record.path_in(results), {before: after}) > 0


def carry_audit(results: Path, old: Hash, new: Hash) -> int:
    """Give each row of the audits its new key, if its key is that of the old hashes."""
    before, after = (_with(hashing, audit_study.row_keys) for hashing in (old, new))
    keys = {before[name]: after[name] for name in before}
    return _replaced(audit_record.path_in(results), keys)


def _replaced(path: Path, keys: dict[str, str]) -> int:
    """Replace the keys in a file; how many there were."""
    if not path.exists():
        return 0
    text, count = path.read_text(encoding="utf-8"), 0
    for before, after in keys.items():
        count += text.count(f'"key": "{before}"')
        text = text.replace(f'"key": "{before}"', f'"key": "{after}"')
    if count:
        replace_file(path, text.encode())
    return count


def _with(hashing: Hash, work: Callable[[], Any]) -> Any:
    with _hashing(hashing):
        return work()


@contextmanager
def _hashing(hashing: Hash) -> Iterator[None]:
    """Inside, cells are planned with another hash of the source."""
    usual, cells.source_hash = cells.source_hash, hashing
    try:
        yield
    finally:
        cells.source_hash = usual


def carry(results: Path, revision: str) -> Counter[str]:
    """Carry over what is current at a revision; how many files, and rows of the audits, were."""
    old, new = file_hash(revision), code_hash(revision)
    hashes, carried = renewed(old, new), Counter()
    for pattern in ("seed-*.json", "quality-*.json"):
        for path in sorted(results.glob(f"*/*/{pattern}")):
            carried[pattern] += carry_record(path, hashes)
    carried["slack"] += carry_slack(results, old, new)
    carried["audits"] += carry_audit(results, old, new)
    return carried


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--revision", required=True, nargs="+")
    asked = parser.parse_args()
    for revision in asked.revision:
        for what, count in carry(asked.results, revision).items():
            print(f"{revision}: {what}: {count} carried over")


if __name__ == "__main__":
    main()
