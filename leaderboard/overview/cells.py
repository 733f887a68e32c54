"""Words of the overview in each column, and the answers that a reader wants first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from benchmark.errors import present
from leaderboard.model.numbers import measured, number, span
from leaderboard.model.ranking import LOSS
from leaderboard.model.shown import NOTHING
from leaderboard.model.words import BADGES
from leaderboard.overview.overview import Overview, Standing, speedup, weakest, worst_gap
from leaderboard.overview.row import NUMBER, OverviewRow, Request, Track, first_of

# What the overview's table has in each column, for one row or for all rows of a method.

NEVER, AT_ONCE = "never", "at once"
#: What forget quality says, the worst first.
FORGOTTEN = {
    "distinguishable": "told apart",
    "unresolved": "unresolved",
    "indistinguishable": "not told apart",
}


@dataclass(frozen=True)
class Text:
    """A cell: what stands in it, and what stands small behind that."""

    main: str
    aside: str = ""

    @property
    def line(self) -> str:
        if not self.aside:
            return self.main
        plain = self.aside.startswith(("±", "×÷", "to "))
        return f"{self.main} {self.aside}" if plain else f"{self.main} ({self.aside})"


@dataclass(frozen=True, eq=False)
class Line:
    """One line of the table: some rows of one method in one track.

    Attributes:
        standing: of the method.
        rows: those that the line sums up, one or more.
        problems: how many problems of the track the table is about.
    """

    standing: Standing
    rows: tuple[OverviewRow, ...]
    problems: int

    @cached_property
    def first(self) -> OverviewRow:
        """The row whose claim stands for all."""
        return first_of(self.rows)

    @property
    def single(self) -> OverviewRow | None:
        """The row, if the line is of one."""
        return self.rows[0] if len(self.rows) == 1 else None

    @property
    def erasing(self) -> int:
        """How many of the rows erase the model."""
        return sum(row.erases for row in self.rows)

    def means(self, key: str) -> list[float]:
        """The rows' means of a column of numbers."""
        found = (row.estimate(key) for row in self.rows)
        return [one.mean for one in found if one is not None]


@dataclass(frozen=True)
class Column:
    """A column of the overview.

    Attributes:
        key: its name in addresses and options.
        header, unit: its heading.
        meaning: what it says, in a sentence.
        text: of a line.
        value: what a line is sorted by, and what programs read; None where there is nothing.
    """

    key: str
    header: str
    unit: str
    meaning: str
    text: Callable[[Line], Text]
    value: Callable[[Line], float | str | None]

    @property
    def heading(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header


def tidy(value: float) -> str:
    """To two digits, e.g. `1` or `0.95`."""
    return number(value, 2).removesuffix(".0")


def points(value: float) -> str:
    """A difference of accuracies with its sign, e.g. `−0.05`."""
    text = f"{value:+.2f}" if abs(value) < 10 else f"{value:+.1f}"
    return text.replace("-", "−") if float(text) else "0"


def whole(values: Sequence[float]) -> str:
    """The range of some counts, e.g. `2 to 1,000`."""
    low, high = (f"{round(end(values)):,}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _rank(line: Line) -> Text:
    rank = line.standing.rank
    return Text(NOTHING if rank is None else f"{rank}{'=' if line.standing.tied else ''}")


def _method(line: Line) -> Text:
    return Text(line.first.row.title)


def _problem(line: Line) -> Text:
    one = line.single
    return Text(one.problem, one.request) if one else Text(line.standing.track.title)


def _verdict(line: Line) -> Text:
    void = {row.row.void for row in line.rows}
    if "" not in void:
        return Text(sorted(void)[0])
    text = BADGES[weakest(line.rows)]
    text += ", violated" if any(row.row.violations for row in line.rows) else ""
    return Text(text, "erases the model" if line.erasing else "")


def _guarantee(line: Line) -> Text:
    row = line.first
    return Text(row.definition.title, row.mode) if row.definition else Text(NOTHING)


def _epsilon_value(line: Line) -> float | None:
    return max((row.epsilon for row in line.rows if row.epsilon is not None), default=None)


def _epsilon(line: Line) -> Text:
    value = _epsilon_value(line)
    return Text(NOTHING if value is None else tidy(value))


def _gap(line: Line) -> Text:
    gaps = [row.gap.mean for row in line.rows if row.gap is not None]
    if not gaps:
        return Text(NOTHING)
    if line.single:
        found = present(line.single.gap)
        mean, spread = measured(found.mean, found.spread, signed=True)
        return Text(mean, f"± {spread}" if spread else "")
    low, high = points(min(gaps)), points(max(gaps))
    return Text(low, "" if low == high else f"to {high}")


def _speedup(line: Line) -> Text:
    found = speedup(line.rows)
    if found is None:
        return Text(NOTHING)
    if line.single:
        return Text(number(found.mean), f"×÷ {number(found.spread)}" if found.spread else "")
    ratios = line.means("speedup")
    return Text(number(found.mean), span(ratios) if len(ratios) > 1 else "")


def _speedup_value(line: Line) -> float | None:
    found = speedup(line.rows)
    return found.mean if found else None


def _once(line: Line) -> Text:
    costs = line.means("precomputation")
    return Text(span(costs, 2) if costs else NOTHING)


def break_even(row: OverviewRow) -> float | None:
    """Requests after which a row has won its one-off cost back: 0 at once; None if never."""
    ratio, after = row.speedup, row.estimate("pays_after")
    if ratio is None or ratio.mean <= 1:
        return None
    return after.mean if after else 0.0


def _pays(line: Line) -> Text:
    timed = [row for row in line.rows if row.speedup is not None]
    if not timed:
        return Text(NOTHING)
    known = [value for row in timed if (value := break_even(row)) is not None]
    if not known:
        return Text(NEVER)
    text = AT_ONCE if max(known) == 0 else whole(known)
    lost = len(timed) - len(known)
    return Text(text, f"{NEVER} on {lost}" if lost else "")


def _pays_value(line: Line) -> float | None:
    known = [value for row in line.rows if (value := break_even(row)) is not None]
    return max(known, default=None)


def _slack(line: Line) -> Text:
    slacks = line.means("slack")
    return Text(span(slacks, 2) if slacks else NOTHING)


def _mean(key: str) -> Callable[[Line], float | None]:
    return lambda line: fmean(found) if (found := line.means(key)) else None


def forgotten(rows: Sequence[OverviewRow]) -> str:
    """The worst verdict of forget quality on some rows; "" if none was attacked."""
    known = [row.forgotten for row in rows if row.forgotten]
    return min(known, key=list(FORGOTTEN).index, default="")


def _forgotten(line: Line) -> Text:
    worst = forgotten(line.rows)
    tested = sum(row.forgotten is not None for row in line.rows)
    part = f"{tested} of {len(line.rows)} tested" if 0 < tested < len(line.rows) else ""
    return Text(FORGOTTEN[worst] if worst else NOTHING, part)


def _problems(line: Line) -> Text:
    return Text(f"{len(line.rows)} of {line.problems}")


COLUMNS = (
    Column(
        "rank",
        "Rank",
        "",
        "Place in the track, 1 for the fastest; = marks methods that no interval tells apart.",
        _rank,
        lambda line: line.standing.rank,
    ),
    Column("method", "Method", "", "What answers the request.", _method, lambda x: _method(x).main),
    Column(
        "problem",
        "Problem",
        "",
        "Data, model and features, and what is asked to be forgotten.",
        _problem,
        lambda line: _problem(line).main,
    ),
    Column(
        "verdict",
        "Verdict",
        "",
        "How far to believe the claim, the weakest over problems and seeds. A row that erases the "
        "model is no better than the same algorithm with the same noise from zero weights.",
        _verdict,
        lambda line: _verdict(line).main,
    ),
    Column(
        "guarantee",
        "Guarantee",
        "",
        "What the release cannot be told from, and how that comes about.",
        _guarantee,
        lambda line: _guarantee(line).main,
    ),
    Column(
        "epsilon",
        "ε",
        "",
        "The certified ε: 0 is exact, and a smaller one is stronger. For a stream it is that of "
        "all releases together. Shown is the largest over problems and seeds.",
        _epsilon,
        _epsilon_value,
    ),
    Column(
        "gap",
        "Test gap",
        "points",
        "Test accuracy, or R², minus that of the retrained model of the same seed: the means of "
        "the worst and of the best problem; for one problem with the 95 % interval over seeds.",
        _gap,
        lambda line: worst_gap(line.rows),
    ),
    Column(
        "speedup",
        "Speed-up",
        "×",
        "Time to retrain divided by time per request: the geometric mean over problems, with their "
        "range; for one problem with the 95 % interval over seeds, as a factor.",
        _speedup,
        _speedup_value,
    ),
    Column(
        "once",
        "One-off cost",
        "s",
        "Seconds of work after training that serves every later request; not part of the speed-up.",
        _once,
        _mean("precomputation"),
    ),
    Column(
        "pays",
        "Break-even",
        "requests",
        "Number of requests after which the one-off cost is won back, compared with retraining.",
        _pays,
        _pays_value,
    ),
    Column(
        "slack",
        "Slack",
        "",
        "Proved bound over measured distance; 1 is tight.",
        _slack,
        _mean("slack"),
    ),
    Column(
        "forgotten",
        "Forgotten?",
        "",
        "Whether attacks and tests on many models tell the release from retraining; the worst "
        "over problems. An ε above 0 permits that, so it refutes no claim.",
        _forgotten,
        lambda line: forgotten(line.rows) or None,
    ),
    Column(
        "problems",
        "Problems",
        "k of n",
        "The line rests on k of the n problems of the track.",
        _problems,
        lambda line: len(line.rows),
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}


# The answers that a reader wants first: what to use for a kind of model.

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
        standing: estimate.mean
        for standing in standings
        if standing.rank is not None and 2 * standing.coverage >= standing.problems
        if (estimate := speedup(standing.ranked, alone=alone)) is not None
    }
    best = max(offers, key=lambda standing: offers[standing], default=None)
    return best if best is not None and offers[best] > 1 else None


def _card(track: Track, case: str, standing: Standing, alone: bool) -> Card:
    rows = standing.ranked
    worth = "R²" if track.family.key == NUMBER else "accuracy"
    times = [one.mean for row in rows if (one := row.alone if alone else row.speedup)]
    return Card(
        slug=f"{track.family.key}-{case.split()[0]}",
        case=f"{track.family.title}: {case}",
        answer=standing.title,
        figure=f"{number(present(speedup(rows, alone=alone)).mean)} ×",
        text=f"{_verb(rows)}. {span(times)} times as fast as retraining{_one_off(rows, alone)}. "
        f"Test {worth} changes by {_gaps(rows)} points. Ranked on {standing.coverage} of "
        f"{standing.problems} problems.",
        track=track,
        standing=standing,
    )


def _verb(rows: Sequence[OverviewRow]) -> str:
    if all(row.row.verdict == "exact" for row in rows):
        return "Exact by construction"
    epsilon = max(present(row.epsilon) for row in rows)
    delta = max(present(row.delta) for row in rows)
    return f"Proved at ε = {tidy(epsilon)}, δ = {number(delta, 1).removeprefix('1×')}"


def _one_off(rows: Sequence[OverviewRow], alone: bool) -> str:
    costs = [row.once.mean for row in rows if row.once and row.once.mean]
    if not costs:
        return ""
    spent = f"one-off work of {span(costs, 2)} s"
    return f", {spent} included" if alone else f", after {spent}"


def _gaps(rows: Sequence[OverviewRow]) -> str:
    gaps = [present(row.gap).mean for row in rows]
    low, high = points(min(gaps)), points(max(gaps))
    return low if low == high else f"{low} to {high}"


def _none(found: Overview, track: Track) -> Card:
    """Text for a track where nothing proved is useful and faster on half of the problems."""
    standings = found.of_track(track)
    ranked = [standing for standing in standings if standing.rank is not None]
    text = (
        f"No proved method is faster than retraining, loses at most {LOSS:g} point and beats its "
        "control on half of the problems."
    )
    if ranked:
        best = ranked[0]
        times = number(present(speedup(best.ranked)).mean)
        text += (
            f" The nearest is {best.title}, {best.verdict}, at {times} "
            f"times the speed of retraining on {best.coverage} of {best.problems} problems."
        )
    gaps = [g for s in standings if s.rank is None if (g := _proved_gap(s)) is not None]
    if min(gaps, default=0.0) < 0:
        text += f" Proved rows of the others lose up to {number(-min(gaps), 2)} points."
    return Card(track.family.key, track.family.title, "Retrain", "", text, track, None)


def _proved_gap(standing: Standing) -> float | None:
    return worst_gap([row for row in standing.rows if row.guaranteed])
