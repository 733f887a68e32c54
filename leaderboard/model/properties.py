"""Findings about a property on one experiment: before, after, and by what margin."""

from __future__ import annotations

from statistics import fmean

from benchmark.properties.finding import Finding, Kept, Pair
from leaderboard.model.numbers import number
from leaderboard.model.ranking import in_order
from leaderboard.model.section import Cell, Line, Part, Section, bullets, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Row, Table

#: What is declared is a choice: no board knows which signs are right.
READING = (
    "Which inputs have which sign was declared for the experiment. It is a choice, no finding of "
    "the benchmark. No data set here is endorsed for judging people.",
    "Rows are not ranked by margins. The retrained model has a property of its own to lose.",
)
#: Verdicts of a model that has the property.
HAS = ("held", "constructed")
_COLUMNS = (
    "before",
    "after",
    "retrained",
    "least margin",
    "counterexample",
    "certified again in (s)",
    "kept under the noise, predicted",
    "measured",
)


def kept(row: Row) -> dict[int, Kept]:
    """Findings about the property, by seed."""
    return {seed: record.kept for seed, record in row.done.items() if record.kept is not None}


def sections(table: Table) -> tuple[Section, ...]:
    """The table of an experiment that declares a property, and its counterexamples, folded."""
    rows = [row for row in in_order(table) if kept(row)]
    if not rows:
        return ()
    witnesses = [text for row in rows for text in _witnesses(row)]
    shown: tuple[Part, ...] = (grid(_COLUMNS, [_line(row) for row in rows], "Method"),)
    if witnesses:
        pairs = Section(
            "counterexamples",
            f"Counterexamples: {len(witnesses)}",
            ("Two inputs in original units, and the outputs of the released model.",),
            bullets(witnesses),
            folded=True,
        )
        shown = (*shown, pairs)
    return (Section("property", "Property", READING, shown),)


def verdicts(findings: list[Finding]) -> str:
    """E.g. `held`, or `violated 2, held 1` where seeds differ; of rows' properties their share."""
    shares_of = [one.share for one in findings if one.share is not None]
    if shares_of:
        return f"{100 * fmean(shares_of):.1f} % of rows"
    names = [one.verdict for one in findings]
    order = ("violated", "unknown", "held", "constructed")
    found = {name: names.count(name) for name in order if name in names}
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{name} {count}" for name, count in found.items())


def shares(values: list[float]) -> str:
    """Some probabilities to three digits, as a range where they differ; a dash for none."""
    texts = [f"{value:.3f}" for value in (min(values), max(values))] if values else [NOTHING]
    return texts[0] if texts[0] == texts[-1] else " to ".join(texts)


def contradicted(row: Row) -> bool:
    """Whether a property was enforced and a release violates it all the same."""
    return any(
        one.enforce != "never" and one.after.verdict == "violated" for one in kept(row).values()
    )


def _line(row: Row) -> Line:
    found = list(kept(row).values())
    margins = [one.after.margin for one in found if one.after.margin is not None]
    first = next((one.after.witness for one in found if one.after.witness), None)
    predicted = [one.survival for one in found if one.survival is not None]
    survived = [one.survived for one in found if one.survived is not None]
    return Line(
        row.title,
        "",
        (
            Cell(verdicts([one.before for one in found]), aside=_never_had(kept(row))),
            Cell(verdicts([one.after for one in found]), aside=_lost(found)),
            Cell(verdicts([one.retrained for one in found])),
            Cell(number(min(margins)) if margins else NOTHING),
            Cell(_short(first) if first else NOTHING),
            Cell(number(fmean(one.after.seconds for one in found))),
            Cell(shares(predicted)),
            Cell(shares(survived)),
        ),
        alarm=contradicted(row),
    )


def _never_had(found: dict[int, Kept]) -> str:
    """Seeds on which the original violates it before any request, where on others it does not."""
    without = [
        seed
        for seed, one in found.items()
        if one.before.verdict == "violated" and one.before.share is None
    ]
    if not without or len(without) == len(found):
        return ""
    seeds = "seed" if len(without) == 1 else "seeds"
    return f"violated before any request on {seeds} {', '.join(map(str, without))}"


def _lost(found: list[Kept]) -> str:
    """Mean over seeds of the test rows that have it when retrained and not in the release."""
    lost = [one.lost for one in found if one.lost is not None]
    return f"{fmean(lost):.3g} lost" if lost else ""


def _short(pair: Pair) -> str:
    """The column that differs, or that all of a row does."""
    if not pair.feature:
        return f"output {pair.value:.4g} → {pair.other_value:.4g}"
    low, high = pair.units[pair.feature]
    return f"{pair.feature} {low:.4g} → {high:.4g}: {pair.value:.4g} → {pair.other_value:.4g}"


def _witnesses(row: Row) -> list[str]:
    """Each seed's pair in full."""
    found = []
    for seed, one in kept(row).items():
        if (pair := one.after.witness) is not None and pair.units:
            same = ", ".join(
                f"{name} {low:.6g}" for name, (low, _) in pair.units.items() if name != pair.feature
            )
            found.append(f"{row.title}, seed {seed}: {_short(pair)}, at {same}.")
    return found
