"""Forget quality: a table and a plot for each experiment that has records of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from benchmark.errors import present
from benchmark.metrics.statistics import tie_groups
from benchmark.records import Plan, PlannedRow, Store
from benchmark.studies.quality_record import (
    SHARES,
    Distribution,
    Part,
    QualityRecord,
    Scores,
    ceiling,
    floor,
    judge,
    known,
    own,
    told,
)
from leaderboard.charts import quality as plot
from leaderboard.model.numbers import arithmetic, measured
from leaderboard.model.ranking import YARDSTICKS
from leaderboard.model.section import Cell, Chart, Grid, Line, Section, bullets
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence, Table, distinct

ORDER = 10
HEADING = "Is it really forgotten?"

READING = (
    "Every row is run many times, each time with fresh training and noise, and compared with as "
    "many retrained models. Doing nothing is the ceiling of every column; its floor is what a "
    "second set of retrained models gives: perfect unlearning scores no better, on average. A "
    "method with noise is compared with retrained models under the same noise, as its claim is "
    "about them, and one with a training of its own with that training on the retained rows: "
    "both have a floor and a ceiling of their own. Where the noise hides doing nothing as well, "
    "it says little that it hides what the method left.",
    "KLoM is the divergence of the margins' distribution from that of retrained models, mean over "
    "forgotten rows. U-LiRA tells unlearned from retrained models, fitted on some and scored on "
    "others: 0.5 is chance, and TPR is the share it finds at that rate of false alarms. RMIA and "
    "the population attack tell forgotten rows from rows never trained on; shown is how far their "
    "AUC is from the one on retrained models. Best known is the largest gap of all attacks, also "
    "for the floor. JS and KL compare predictions with those of an independent retrained model. "
    "Relearn is the number of epochs until the forgotten rows are learnt again over the same for "
    "retrained models: below 1 something was left.",
    "Verdict: a permutation test of the models' margins against those of retrained models, and "
    "paired one-sided t tests over seeds of KLoM, best-known gap, JS, relearning and, where labels "
    "were wrong, restored accuracy, each against its floor; together they call retraining "
    "distinguishable in about 5 % of cases. Indistinguishable means that so many seeds and runs "
    "do not tell the row from retraining, not that nothing could. Where they do not tell the "
    "original either, the row is unresolved.",
)


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        key: of the score.
        group, name: what the table calls it.
        rank: the score that the best are found by; "" if none are.
    """

    key: str
    group: str
    name: str
    rank: str = ""

    @property
    def heading(self) -> str:
        return f"{self.group}: {self.name}" if self.group else self.name


METRICS = (
    Metric("klom", "", "KLoM, nats", "klom"),
    Metric("u-lira_auc", "U-LiRA", "AUC", "u-lira_gap"),
    Metric("u-lira_tpr_at_1_percent", "U-LiRA", "TPR at 1 %"),
    Metric("u-lira_tpr_at_0.1_percent", "U-LiRA", "TPR at 0.1 %"),
    Metric("rmia_gap", "Gap of attack", "RMIA", "rmia_gap"),
    Metric("population_gap", "Gap of attack", "population", "population_gap"),
    Metric("strongest_gap", "Gap of attack", "best known", "strongest_gap"),
    Metric("js_forget", "Divergence, nats", "JS", "js_forget"),
    Metric("kl_forget", "Divergence, nats", "KL", "kl_forget"),
    Metric("js_test", "Divergence, nats", "JS on test", "js_test"),
    Metric("relearn_ratio", "", "relearn", "relearn_gap"),
    Metric("restored_accuracy", "", "restored, %", "restored_accuracy"),
)

#: Attacks whose scores may be plotted, the first of those that most rows have.
PLOTTED = ("u-lira", "rmia")

_Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _Row:
    """A planned row and its records by seed."""

    plan: PlannedRow
    records: dict[int, QualityRecord]

    @property
    def scores(self) -> Scores:
        return {s: r.scores for s, r in sorted(self.records.items()) if r.status == "ok"}


def sections(evidence: Evidence) -> list[Section]:
    """A section with one for each experiment within; none without records."""
    found = quality_sections(evidence)
    if not found:
        return []
    return [Section("forgotten", HEADING, READING, tuple(found), _summary(evidence))]


def _summary(evidence: Evidence) -> str:
    rows = {(r.experiment, r.method.label) for r in evidence.quality if r.status == "ok"}
    problems = {experiment for experiment, _ in rows}
    return (
        f"{len(rows)} rows on {len(problems)} problems were attacked through many models each, "
        "and compared with as many retrained models."
    )


def quality_sections(evidence: Evidence) -> list[Section]:
    """One for each experiment and device with records.

    The tables of the cells tell what was attacked under parameters that are gone.

    Raises:
        LetheError: for a damaged file.
    """
    plans = {plan.experiment: plan for plan in Store(present(evidence.results)).plans()}
    found: dict[tuple[str, str], list[QualityRecord]] = defaultdict(list)
    for record in evidence.quality:
        found[record.experiment, record.environment.device].append(record)
    return [
        _section(
            plans.get(experiment), of, device, _parameters(evidence.tables, experiment, device)
        )
        for (experiment, device), of in sorted(found.items())
    ]


def _parameters(tables: Sequence[Table], experiment: str, device: str) -> _Parameters:
    """What the rows of an experiment's cells ran with."""
    return {
        row.label: row.found[0].method.params
        for table in tables
        if table.experiment == experiment and table.device.split(" ")[0] == device
        for row in table.rows
        if row.found
    }


def _section(
    plan: Plan | None, records: list[QualityRecord], device: str, now: _Parameters
) -> Section:
    first = records[0]
    rows = _rows(plan, records)
    seeds = sorted(plan.seeds if plan else {r.seeds.split for r in records})
    slug = f"{first.experiment}-{plot.NAME}" + ("" if device == "cpu" else f"-{device}")
    title = plan.title if plan else first.experiment
    runs = sorted({record.runs for row in rows for record in row.records.values()})
    facts = f"{_counted(len(seeds), 'seed')}, {' or '.join(map(str, runs))} models a side"
    notes = (*_stale(rows, now), *_notes(rows, seeds))
    return Section(
        slug=slug,
        heading=title,
        aside=device,
        parts=(_grid(rows, seeds, facts), *bullets(notes, "quiet"), *_charts(slug, title, rows)),
        summary=f"{_counted(len(rows), 'row')}, {_told_apart(rows)} told apart from retraining",
        folded=True,
    )


def _told_apart(rows: list[_Row]) -> int:
    """Number of entries that are distinguishable."""
    scores = [row.scores for row in rows if row.plan.role == "entry"]
    return sum(bool(found) and judge(found, own)[0] == "distinguishable" for found in scores)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _rows(plan: Plan | None, records: list[QualityRecord]) -> list[_Row]:
    """Yardsticks first, then entries, in the order of the plan."""
    planned = {row.label: row for row in plan.rows} if plan else {}
    if plan is None:
        for r in records:
            known = PlannedRow.model_fields.keys() & type(r.method).model_fields.keys()
            planned[r.method.label] = PlannedRow(
                **{name: getattr(r.method, name) for name in known}
            )
    seeds = set(plan.seeds) if plan else {r.seeds.split for r in records}
    by_label: dict[str, dict[int, QualityRecord]] = defaultdict(dict)
    for record in records:
        if record.seeds.split in seeds:
            by_label[record.method.label][record.seeds.split] = record
    titles = distinct({label: row.title for label, row in planned.items()})
    planned = {
        label: row.model_copy(update={"title": titles[label]}) for label, row in planned.items()
    }
    order = (*YARDSTICKS, "entry")
    rows = [_Row(row, by_label[label]) for label, row in planned.items()]
    return sorted(rows, key=lambda row: order.index(row.plan.role))


# --- the table ---------------------------------------------------------------------------------


def _grid(rows: list[_Row], seeds: list[int], facts: str) -> Grid:
    columns = [metric for metric in METRICS if _filled(rows, metric)]
    best = {metric.key: _best(rows, metric, len(seeds)) for metric in columns}
    shared = _shared(rows)
    lines = []
    if shared:
        lines.append(_line("Retrain, other seed", "floor", shared, columns, floor))
        lines.append(_line("Do nothing", "ceiling", shared, columns, ceiling))
    for row in rows:
        if row.plan.role in ("floor", "ceiling"):
            continue  # they are the first two lines
        scores = row.scores
        role = "" if row.plan.role == "entry" else row.plan.role
        count = "" if len(scores) == len(seeds) else f"{len(scores)}/{len(seeds)} seeds"
        remark = ", ".join(filter(None, [role, count]))
        winners = {key for key, labels in best.items() if row.plan.label in labels}
        lines.append(_line(row.plan.title, remark, scores, columns, own, winners))
        if _own_yardsticks(scores, shared):
            lines.append(_line("its floor", "", scores, columns, floor))
            lines.append(_line("its ceiling", "", scores, columns, ceiling))
    groups = [
        (group, tuple(metric.name for metric in members))
        for group, members in groupby(columns, key=lambda metric: metric.group)
    ]
    caption = (
        f"Mean ± half-width of the 95 % interval over {facts}. Bold: the best entry and what "
        "cannot be told from it."
    )
    return Grid((("", ("verdict",)), *groups), tuple(lines), "Row", caption)


def _filled(rows: list[_Row], metric: Metric) -> bool:
    """Whether some row has a number; why there is none is said below the table."""
    scores = (of.get(metric.key) for row in rows for of in row.scores.values())
    return any(score is not None and score.value is not None for score in scores)


def _line(
    title: str,
    remark: str,
    scores: Scores,
    columns: list[Metric],
    part: Part,
    winners: frozenset[str] | set[str] = frozenset(),
) -> Line:
    cells = [
        Cell(
            _text(scores, metric, part), metric.key in winners, aside=_attacks(scores, metric, part)
        )
        for metric in columns
    ]
    return Line(title, remark, (Cell(_verdict(scores, part)), *cells))


def _text(scores: Scores, metric: Metric, part: Part) -> str:
    entries = [of_seed[metric.key] for of_seed in scores.values() if metric.key in of_seed]
    entries = [entry for entry in entries if part(entry) is not None]
    if not entries:
        return NOTHING
    estimate = arithmetic([present(part(entry)) for entry in entries])
    mean, spread = measured(estimate.mean, estimate.spread)
    text = f"{mean} ± {spread}" if spread else mean
    if part is own:
        text = f"≥ {text}" if any(entry.censored for entry in entries) else text
    return text if len(entries) == len(scores) else f"{text} (n = {len(entries)})"


def _attacks(scores: Scores, metric: Metric, part: Part) -> str:
    """The attacks with the largest gap, where that is the metric."""
    if metric.key != "strongest_gap" or part is not own:
        return ""
    found = (of_seed[metric.key] for of_seed in scores.values() if metric.key in of_seed)
    return ", ".join(sorted({entry.note for entry in found if part(entry) is not None}))


def _verdict(scores: Scores, part: Part) -> str:
    if part is floor or not scores:
        return NOTHING
    kind, told = judge(scores, part)
    runs = next(iter(scores.values()))["p_value"].n
    size = f"{len(scores)} × {runs} runs"
    return {
        "distinguishable": f"told apart by {', '.join(told)}",
        "indistinguishable": f"indistinguishable from retrain at {size}",
        "unresolved": f"unresolved at {size}",
    }[kind]


def _yardsticks(scores: Scores) -> dict[int, tuple]:
    """By seed, floors and ceilings that tell what models a row was held against."""
    return {
        seed: tuple((of_seed[key].floor, of_seed[key].ceiling) for key in ("klom", "js_test"))
        for seed, of_seed in scores.items()
    }


def _own_yardsticks(scores: Scores, shared: Scores) -> bool:
    ours, theirs = _yardsticks(scores), _yardsticks(shared)
    return any(ours[seed] != theirs[seed] for seed in ours.keys() & theirs.keys())


def _shared(rows: list[_Row]) -> Scores:
    """Scores with the floors and ceilings that most rows have."""
    found = [row.scores for row in rows if row.scores]
    kinds = [str(_yardsticks(scores)) for scores in found]
    whole = max(map(len, found), default=0)
    return max(
        (scores for scores in found if len(scores) == whole),
        key=lambda scores: (kinds.count(str(_yardsticks(scores))), _count(scores)),
        default={},
    )


def _count(scores: Scores) -> int:
    return sum(map(len, scores.values()))


def _best(rows: list[_Row], metric: Metric, seeds: int) -> set[str]:
    """Labels of the best entries: those that cannot be told from the best one."""
    if not metric.rank:
        return set()
    scored = {
        row.plan.label: [of_seed.get(metric.rank) for of_seed in row.scores.values()]
        for row in rows
        # what hides doing nothing as well is no way to forget
        if row.plan.role == "entry" and len(row.scores) == seeds and told(row.scores, ceiling)
    }
    entries = {
        label: [score for score in scores if score is not None]
        for label, scores in scored.items()
        if all(known(score, own) for score in scores)
    }
    if len(entries) < 2:  # the best of one is no finding
        return set()
    floors = [[present(score.floor) for score in scores] for scores in entries.values()]
    direction = next(iter(entries.values()))[0].direction
    assert direction != "none"
    groups = tie_groups(
        {label: np.array([s.value for s in scores]) for label, scores in entries.items()},
        np.median(floors, axis=0),
        direction,
    )
    return set(groups[0]) if len(groups) > 1 else set()


# --- what has no number ------------------------------------------------------------------------


def _stale(rows: list[_Row], now: _Parameters) -> Iterator[str]:
    """The rows that were attacked under other parameters than their cells ran with."""
    stale = [
        row.plan.title
        for row in rows
        for record in row.records.values()
        if record.method.params != now.get(row.plan.label, record.method.params)
    ]
    if stale:
        yield (
            f"Attacked before their parameters changed, run them again: "
            f"{'; '.join(dict.fromkeys(stale))}."
        )


def _notes(rows: list[_Row], seeds: list[int]) -> Iterator[str]:
    if len({record.runs for row in rows for record in row.records.values()}) > 1:
        yield "The records come from different numbers of runs: make them again."
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    done = [row for row in rows if row.scores]
    for row in done:
        for metric in METRICS:
            entries = (of_seed.get(metric.key) for of_seed in row.scores.values())
            for note in sorted({e.note for e in entries if e is not None and e.value is None}):
                reasons[metric.heading, note].append(row.plan.title)
    for (name, note), titles in reasons.items():
        everyone = len(titles) == len(done)
        start = f"No row has {name}" if everyone else f"{', '.join(titles)}: no {name}"
        yield f"{start}: {note}."
    for row in rows:
        for seed, record in sorted(row.records.items()):
            if record.failure is not None:
                failure = record.failure
                where = f" ({failure.where})" if failure.where else ""
                text = " ".join(f"{failure.type}: {failure.message}{where}".split())
                yield f"{row.plan.title}, seed {seed}: failed, {text}"
        if missing := [str(seed) for seed in seeds if seed not in row.records]:
            yield f"{row.plan.title}: missing, seeds {', '.join(missing)}."


# --- the plot ----------------------------------------------------------------------------------


def _charts(slug: str, title: str, rows: list[_Row]) -> Iterator[Chart]:
    """One, by the attack that most rows have scores of."""
    found = {
        attack: [(row, scores) for row in rows if (scores := _distributions(row, attack))]
        for attack in PLOTTED
    }
    attack = max(PLOTTED, key=lambda attack: len(found[attack]))
    if not found[attack]:
        return
    pairs = [
        plot.Pair(
            row.plan.title,
            tuple(np.mean([d.unlearned for d in distributions], axis=0)),
            tuple(np.mean([d.retrained for d in distributions], axis=0)),
        )
        for row, distributions in found[attack]
    ]
    caption = plot.CAPTION.format(attack=found[attack][0][1][0].title)
    yield Chart(f"plots/{slug}.svg", f"{title}: {caption}", plot.draw, (pairs, SHARES))


def _distributions(row: _Row, attack: str) -> list[Distribution]:
    records = (record for _, record in sorted(row.records.items()))
    return [r.distributions[attack] for r in records if attack in r.distributions]
