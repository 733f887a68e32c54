"""The answers that a reader wants first: what to use for a kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import LOSS
from leaderboard.overview.cells import points, tidy
from leaderboard.overview.overview import Overview
from leaderboard.overview.ranking import Standing, speedup, worst_gap
from leaderboard.overview.row import OverviewRow
from leaderboard.overview.track import Request, Track

MANY, ONE = "many requests", "one request"


@dataclass(frozen=True)
class Card:
    """One answer.

    Attributes:
        slug: its name in addresses.
        case: whose answer it is, e.g. `Linear head, cross-entropy: many requests`.
        answer: in a few words, the method where there is one.
        figure: the number to remember; "" where there is none.
        text: the answer in a sentence or two.
        track: whose table shows it.
        standing: of the method that is named.
    """

    slug: str
    case: str
    answer: str
    figure: str
    text: str
    track: Track
    standing: Standing | None


def cards(found: Overview) -> list[Card]:
    """Each family's answer, for many requests and, where another method is faster, for one."""
    return [
        card
        for track in found.tracks
        if track.request is Request.RANDOM and track.epsilon == _usual(found, track)
        for card in _of_track(found, track)
    ]


def _usual(found: Overview, track: Track) -> float:
    """The epsilon that most problems of the family are asked for."""
    rivals = [t for t in found.tracks if (t.family, t.request) == (track.family, track.request)]
    return max(rivals, key=lambda t: len(found.problems(t))).epsilon


def _of_track(found: Overview, track: Track) -> list[Card]:
    many, one = (fastest(found.of_track(track), alone=alone) for alone in (False, True))
    if many is None:
        return [_none(found, track)]
    cases = [(MANY, many, False)]
    if one is not None and one is not many:
        cases.append((ONE, one, True))
    return [_card(track, *case) for case in cases]


def fastest(standings: Sequence[Standing], *, alone: bool = False) -> Standing | None:
    """The method that is fastest on average, of those ranked on half of the problems or more.

    Args:
        standings: of one track.
        alone: for a single request, which bears all that was done once before it.

    Returns:
        None if none is faster than retraining.
    """
    offers = {
        standing: speedup(standing.ranked, alone=alone).mean
        for standing in standings
        if standing.rank is not None and 2 * standing.coverage >= standing.problems
    }
    best = max(offers, key=offers.get, default=None)
    return best if best is not None and offers[best] > 1 else None


def _card(track: Track, case: str, standing: Standing, alone: bool) -> Card:
    rows = standing.ranked
    times = [one.mean for row in rows if (one := row.alone if alone else row.speedup)]
    return Card(
        slug=f"{track.family.key}-{case.split()[0]}",
        case=f"{track.family.title}: {case}",
        answer=standing.title,
        figure=f"{number(speedup(rows, alone=alone).mean)} ×",
        text=f"{_verb(rows)}. {span(times)} times as fast as retraining{_one_off(rows, alone)}. "
        f"{_measure(rows)} changes by {_gaps(rows)} points. Ranked on {standing.coverage} of "
        f"{standing.problems} problems.",
        track=track,
        standing=standing,
    )


def _measure(rows: Sequence[OverviewRow]) -> str:
    """What makes the rows useful."""
    found = {"R²" if row.table.facts.number else "accuracy" for row in rows}
    return f"Test {' or '.join(sorted(found, reverse=True))}"


def _verb(rows: Sequence[OverviewRow]) -> str:
    if all(row.row.verdict == "exact" for row in rows):
        return "Exact by construction"
    pair = max(row.epsilon for row in rows), max(row.delta for row in rows)
    return f"Proved at ε = {tidy(pair[0])}, δ = {number(pair[1], 1).removeprefix('1×')}"


def _one_off(rows: Sequence[OverviewRow], alone: bool) -> str:
    costs = [row.once.mean for row in rows if row.once and row.once.mean]
    if not costs:
        return ""
    spent = f"one-off work of {span(costs, 2)} s"
    return f", {spent} included" if alone else f", after {spent}"


def _gaps(rows: Sequence[OverviewRow]) -> str:
    gaps = [row.gap.mean for row in rows]
    low, high = points(min(gaps)), points(max(gaps))
    return low if low == high else f"{low} to {high}"


def _none(found: Overview, track: Track) -> Card:
    """What to say where nothing proved is faster than retraining without losing accuracy."""
    standings = found.of_track(track)
    ranked = [standing for standing in standings if standing.rank is not None]
    text = (
        f"No proved method is faster than retraining, loses at most {LOSS:g} point and beats the "
        "same algorithm from zero weights."
    )
    if ranked:
        best = ranked[0]
        text += (
            f" The nearest is {best.title}, {best.verdict}, at {number(speedup(best.ranked).mean)} "
            f"times the speed of retraining on {best.coverage} of {best.problems} problems."
        )
    lost = [g for s in standings if s.rank is None if (g := _proved_gap(s)) is not None]
    if lost:
        text += f" Proved rows of the others lose up to {number(-min(lost), 2)} points."
    return Card(track.family.key, track.family.title, "Retrain", "", text, track, None)


def _proved_gap(standing: Standing) -> float | None:
    return worst_gap([row for row in standing.rows if row.guaranteed])
