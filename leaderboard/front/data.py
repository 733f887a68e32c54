"""The rows of the overview as JSON, small enough to lie in a page."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Hashable
from typing import Any

from benchmark.contract.claim import VERDICTS
from benchmark.errors import present
from benchmark.files import as_bytes
from leaderboard.model.numbers import Estimate
from leaderboard.model.ranking import LOSS
from leaderboard.model.words import BADGES
from leaderboard.overview.cells import COLUMNS, FORGOTTEN, break_even
from leaderboard.overview.overview import Overview, Standing
from leaderboard.overview.row import OverviewRow, Track
from leaderboard.render.tables import entry

#: Significant digits that a page needs: it combines numbers, and rounds to three as this side does.
_DIGITS = 7
#: What the page shows at first: verdicts, and rows that are useful only.
VERDICTS_AT_FIRST = ("exact", "proved")


class _Pool:
    """Things that rows share, each once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def place(self, item: Any) -> int:
        """The number of an item, which joins the others if it is new."""
        key = json.dumps(item)
        if key not in self._places:
            self._places[key] = len(self.items)
            self.items.append(item)
        return self._places[key]


def payload(found: Overview, results: str) -> dict[str, Any]:
    """Everything that the page's table, plot and comparison need.

    Args:
        found: the overview.
        results: the folder of the records, for the commands that run them again.
    """
    names = (
        "tracks",
        "problems",
        "methods",
        "claims",
        "papers",
        "definitions",
        "constants",
        "seeds",
    )
    pools = {name: _Pool() for name in (*names, "meanings", "words")}
    rows = [_row(row, standing, pools) for standing in found.standings for row in standing.rows]
    return {name: pool.items for name, pool in pools.items()} | {
        "rows": rows,
        "columns": [
            {"key": c.key, "header": c.header, "unit": c.unit, "heading": c.heading}
            for c in COLUMNS
        ],
        "badges": BADGES,
        "verdicts": VERDICTS,
        "forgotten": FORGOTTEN,
        "atFirst": VERDICTS_AT_FIRST,
        "loss": LOSS,
        "results": results,
    }


def packed(content: Any) -> str:
    """JSON, deflated, in base64: a fifth of its size is a third of it in a page."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return b64encode(zlib.compress(as_bytes(text), 9)).decode()


def unpacked(text: str) -> Any:
    """What `packed` packed.

    Raises:
        ValueError: if it did not.
    """
    try:
        return json.loads(zlib.decompress(b64decode(text, validate=True)))
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _row(row: OverviewRow, standing: Standing, pools: dict[str, _Pool]) -> list[Any]:
    """A row as a list, in the order that page.js names its parts in."""
    gaps, speeds = row.gaps, row.values("speedup")
    seeds = sorted(gaps.keys() | speeds.keys())
    return [
        pools["problems"].place(_problem(row, pools["tracks"].place(_track(row.track)))),
        pools["methods"].place(_method(row, pools["papers"])),
        standing.rank or 0,
        VERDICTS.index(row.row.verdict),
        row.row.void,
        _flags(standing.tied, row.row.violations, row.erases, row.useful, row.ranked),
        pools["claims"].place(_claim(row, pools)) if row.claim else -1,
        _short(row.epsilon),
        _estimate(row.gap),
        _estimate(row.speedup),
        _mean(row.once),
        _short(break_even(row)),
        _mean(row.estimate("slack")),
        pools["words"].place(row.forgotten or ""),
        pools["words"].place(", ".join(row.told_by)),
        pools["seeds"].place(seeds),
        [_short(gaps.get(seed)) for seed in seeds],
        [_short(speeds.get(seed)) for seed in seeds],
        row.row.found[0].seeds.split if row.row.found else -1,
    ]


def _flags(*flags: object) -> int:
    """The sum of 1, 2, 4, ... of those that hold."""
    return sum(bool(flag) << place for place, flag in enumerate(flags))


def _track(track: Track) -> dict[str, Any]:
    return {
        "slug": track.slug,
        "title": track.title,
        "family": track.family.key,
        "request": track.request.name.lower(),
        "epsilon": track.epsilon,
    }


def _problem(row: OverviewRow, track: int) -> dict[str, Any]:
    return {
        "slug": row.table.slug,
        **({} if row.table.experiment == row.table.slug else {"experiment": row.table.experiment}),
        "name": row.problem,
        "request": row.request,
        "data": row.data,
        "model": model_of(row)[0],
        "track": track,
    }


def model_of(row: OverviewRow) -> tuple[str, str]:
    """What the filters call the row's model, by name and in words: a linear one by its loss."""
    family = row.track.family
    return (family.key, family.title) if family.linear else (row.table.known.model, row.model)


def _method(row: OverviewRow, papers: _Pool) -> dict[str, Any]:
    method = row.row.found[0].method if row.row.found else None
    # an entry point may come from anywhere: no address but a web page's becomes a link
    url = method.url if method and method.url.startswith(("https://", "http://")) else ""
    paper = None
    if method and method.paper:
        cited = entry(method.paper, url)
        paper = papers.place([method.paper, url, cited.key, cited.text])
    return {"label": row.row.label, "title": row.row.title, "paper": paper}


def _claim(row: OverviewRow, pools: dict[str, _Pool]) -> list[Any]:
    """A claim as a list, in the order that page.js names its parts in."""
    definition = present(row.definition)
    constants = [
        [c.name, _short(c.value), c.provenance, pools["meanings"].place(c.meaning)]
        for c in row.constants
    ]
    return [
        pools["definitions"].place([definition.title, definition.words]),
        pools["words"].place(row.mode),
        [pools["words"].place(need) for need in row.needs],
        pools["words"].place(row.theorem),
        _short(row.sigma),
        _short(row.delta),
        [pools["constants"].place(constant) for constant in constants],
    ]


def _estimate(found: Estimate | None) -> list[float | None] | int:
    """Mean and half-width or factor; 0 for none."""
    return 0 if found is None else [_short(found.mean), _short(found.spread)]


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else _short(found.mean)


def _short(value: float | None) -> float | int | None:
    if value is None:
        return None
    short = float(f"{value:.{_DIGITS - 1}e}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
