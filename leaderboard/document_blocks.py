"""Blocks of the README and of docs/ that are written from the records, figure by figure.

A block stands between two comments, and nobody types in it:

    <!-- generated: found -->
    ...
    <!-- end -->
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmark.bench.record import (
    TOLERANCES,
    ProductRecord,
    SolverRecord,
    product_path,
    solver_path,
)
from benchmark.contract.guarantee import Gaussian, compose
from benchmark.errors import LetheError, present, unknown
from benchmark.facts import Facts
from benchmark.files import as_bytes, read_text, replace_file
from benchmark.records import Store
from benchmark.studies import audit_record
from benchmark.theory.gaussian import m_for
from leaderboard.model.ranking import LOSS

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One row of `board.csv`, with the facts of its experiment.

    Attributes:
        experiment, label, verdict, status: as the board has them.
        cells: the other columns, as text.
        facts: of the experiment's plan.
    """

    experiment: str
    label: str
    verdict: str
    status: str
    cells: dict[str, str]
    facts: Facts

    def known(self, column: str) -> float:
        """The number in a column that every row of its kind fills.

        Raises:
            LetheError: if the cell is empty, or the board has no such column.
        """
        found = self.number(column)
        if found is None:
            raise LetheError(f"{self.experiment}, {self.label}: nothing in '{column}' on the board")
        return found

    def number(self, column: str) -> float | None:
        """The number in a column; None where the cell is empty.

        Raises:
            LetheError: if the board has no such column.
        """
        if column not in self.cells:
            raise LetheError(f"board.csv has no column '{column}': run 'make leaderboard'")
        return float(self.cells[column]) if self.cells[column] else None

    @property
    def title(self) -> str:
        return self.cells["title"]


@dataclass(frozen=True)
class Board:
    """What blocks are written from.

    Attributes:
        lines: complete rows on one CPU thread, in the order of `board.csv`.
        store: of the records, for what is no row of an experiment.
    """

    lines: tuple[Line, ...]
    store: Store

    def where(self, keep: Callable[[Line], bool]) -> list[Line]:
        """The rows that `keep` keeps.

        Raises:
            LetheError: if there is none, so that a sentence has nothing to say.
        """
        found = [line for line in self.lines if keep(line)]
        if not found:
            raise LetheError("a generated block finds no row on the board: run its experiment")
        return found

    def rows(self, label: str, *verdicts: str, **facts: object) -> list[Line]:
        """Rows by label, verdict and facts of their experiment; see `where`."""
        return self.where(
            lambda line: (
                line.label == label
                and line.verdict in verdicts
                and all(getattr(line.facts, name) == value for name, value in facts.items())
            )
        )

    def row(self, experiment: str, label: str) -> Line | None:
        """The row of an experiment; None if it is not on the board."""
        found = (one for one in self.lines if (one.experiment, one.label) == (experiment, label))
        return next(found, None)

    def of(self, experiment: str, label: str) -> Line:
        """The row of an experiment; see `where`."""
        (found,) = self.where(lambda one: (one.experiment, one.label) == (experiment, label))
        return found


def load(results: Path, board: Path) -> Board:
    """The board beside its records.

    Args:
        results: a results folder, for the experiments' plans.
        board: the folder of `board.csv`.

    Raises:
        LetheError: if one of them is missing or damaged.
    """
    store = Store(results)
    facts = {plan.experiment: plan.facts for plan in store.plans() if plan.facts}
    table = csv.DictReader(read_text(board / "board.csv", "table").splitlines())
    lines = (
        Line(name, cells["label"], cells["verdict"], cells["status"], cells, facts[name])
        for cells in table
        if (name := cells["experiment"]) in facts and cells["device"] == "cpu"
    )
    return Board(tuple(line for line in lines if line.status == "complete"), store)


def build(root: Path, results: Path, board: Path) -> list[Path]:
    """Write every block anew; the files that changed.

    Args:
        root: the folder of `README.md` and `docs`.
        results: see `load`.
        board: likewise.

    Raises:
        LetheError: for a block that there is no writer for, or a record that is missing.
    """
    changed = list(_changed(root, load(results, board)))
    for path, text in changed:
        replace_file(path, as_bytes(text))
    return [path for path, _ in changed]


def check(root: Path, results: Path, board: Path) -> list[Path]:
    """The files that `build` would change."""
    return [path for path, _ in _changed(root, load(results, board))]


def _changed(root: Path, board: Board) -> Iterator[tuple[Path, str]]:
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        text = read_text(path, "page")
        written = _BLOCK.sub(partial(_written, board), text)
        if written != text:
            yield path, written


def _written(board: Board, block: re.Match[str]) -> str:
    head, name, end = block.groups()
    if name not in BLOCKS:
        raise unknown("generated block", name, BLOCKS)
    return f"{head}{BLOCKS[name](board)}\n{end}"


# --- figures ---------------------------------------------------------------------------------


def _span(values: Iterable[float], digits: int = 2) -> str:
    """The least to the largest of some numbers, to so many significant digits."""
    numbers = sorted(values)
    low, high = (_short(number, digits) for number in (numbers[0], numbers[-1]))
    return low if low == high else f"{low} to {high}"


def _short(value: float, digits: int = 2) -> str:
    """A number to so many significant digits; all of them before the point."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e" in text or abs(value) >= 10**digits else text


def _factors(lines: Iterable[Line]) -> str:
    """The speed-ups over retraining."""
    return _span(found for line in lines if (found := line.number("speedup_geometric_mean")))


def _lost(lines: Iterable[Line], column: str) -> float:
    """The largest loss in a column that counts what is gained."""
    return max(-line.known(column) for line in lines)


def _points(most: float) -> str:
    """A loss in points of test accuracy, which may round to nothing."""
    return f"at most {most:.2f} points" if most >= 0.005 else "less than 0.01 points"


def _percent(line: Line) -> str:
    return f"{line.known('accuracy_test_mean'):.2f} %"


# --- blocks ----------------------------------------------------------------------------------


def _found(board: Board) -> str:
    """What the records say, a sentence or more for each topic."""
    parts = (_exact, _kept, _softmax, _biased, _slack, _nets, _streams, _solvers)
    return "\n".join(f"* {part(board)}" for part in parts)


def _exact(board: Board) -> str:
    asked = {"loss": "squared", "data": "mnist", "features": "hog", "requests": 1}
    exact = board.rows("downdate", "exact", **asked)
    fast = board.rows("downdate-fast", "proved", **asked)
    squared, softmax = (board.of(name, "retrain") for name in ("mnist-hog-squared", "mnist-hog"))
    public = board.of("cifar10-public", "downdate")
    return (
        "**Squared loss.** On HOG features of MNIST, *Downdate* answers a request "
        f"{_factors(exact)} times faster than retraining, and its weights are the retrained ones "
        f"to the last bit, whatever machine solves for them. *Downdate, fast*, which is proved and "
        f"adds noise, is {_factors(fast)} times faster. Such a head reaches {_percent(squared)} "
        f"test accuracy; a softmax head reaches {_percent(softmax)}. On features that public rows "
        f"of CIFAR-10 made, *Downdate* is {_factors([public])} times faster, at "
        f"{_percent(public)}."
    )


def _kept(board: Board) -> str:
    asked = {"features": "hog", "requests": 1}
    kept, figure = (
        board.rows("newton-kept", "proved", data=data, **asked)
        for data in ("mnist", "mnist-shifted")
    )
    lost = [_points(_lost(lines, "accuracy_test_gap_mean")) for lines in (kept, figure)]
    return (
        "**One-vs-rest heads.** On the same features *Newton, kept* is proved at (1, 1e-5) and "
        f"{_factors(kept)} times faster than retraining. It reads the rows that stay only where "
        f"a request is too large for its bound without them. It loses {lost[0]} of test accuracy, "
        f"and {lost[1]} at the larger ridge of the figure below."
    )


def _softmax(board: Board) -> str:
    asked = {"loss": "cross_entropy", "scenario": "random", "requests": 1}
    at = {"model": "softmax", "strongly_convex": True} | asked
    chord, newton = (
        [one for one in board.rows(label, "proved", **at) if one.facts.target.epsilon == 1]
        for label in ("newton-chord", "newton")
    )
    cost = _lost([*chord, *newton], "noise_cost_mean")
    return (
        "**Softmax heads.** *Chord Newton* is proved at (1, 1e-5) and faster than retraining: "
        f"{_factors(chord)} times per request, after a one-off factorisation. *Single-step "
        f"Newton* prepares nothing and is {_factors(newton)} times faster. The noise costs "
        f"{_points(cost)} of test accuracy."
    )


def _biased(board: Board) -> str:
    def hard(line: Line) -> bool:
        return line.experiment.startswith("mnist-hog") and line.facts.scenario in (
            "class",
            "influential",
        )

    fitted = board.where(lambda line: hard(line) and line.label == "newton-measured")
    proved = board.where(lambda line: hard(line) and line.verdict == "proved")
    (count,) = {line.facts.forgotten for line in fitted if line.facts.scenario == "influential"}
    lost = _span(-line.known("noise_cost_mean") for line in fitted)
    return (
        f"**Requests that are not random.** To forget a whole class of MNIST, or the {count} most "
        "influential rows, moves a model far. Noise that is fitted to one Newton step then costs "
        f"{lost} points of test accuracy. Proved rows take more steps under the same public "
        f"noise, which costs them {_points(_lost(proved, 'noise_cost_mean'))}."
    )


def _slack(board: Board) -> str:
    lines = board.where(
        lambda line: (
            line.verdict == "proved"
            and line.facts.loss == "cross_entropy"
            and line.facts.model == "softmax"
            and line.number("slack_mean") is not None
        )
    )
    middle = median(line.known("slack_mean") for line in lines)
    return (
        f"**Bounds.** On softmax heads the proved bound is {_short(middle)} times the measured "
        f"distance to the retrained weights (median of {len(lines)} rows)."
    )


def _nets(board: Board) -> str:
    rows = board.where(
        lambda line: (
            line.verdict == "proved"
            and not line.facts.linear
            and line.number("control_accuracy_test_gap_mean") is not None
        )
    )
    gain, around = (f"control_accuracy_test_gap_{word}" for word in ("mean", "half_width"))
    better = sum(line.known(gain) > (line.number(around) or 0.0) for line in rows)
    tangent, net = board.row("mnist-tangent", "tangent-newton"), _percent_of(board)
    so = (
        f" A net linearised at weights that 500 public rows trained is proved on MNIST. It "
        f"reaches {_percent(tangent)} test accuracy and is {_factors([tangent])} times faster than "
        f"retraining{net}."
        if tangent is not None and tangent.verdict == "proved"
        else ""
    )
    return (
        f"**Nets.** Of the {len(rows)} proved rows on nets, {better or 'none'} "
        f"{'are' if better > 1 else 'is'} more accurate than the same algorithm started from zero "
        f"weights by more than the interval over seeds.{so}"
    )


def _percent_of(board: Board) -> str:
    """What the ordinary net reaches, in a half sentence; nothing where it did not run."""
    net = board.row("mnist-tangent-net", "retrain")
    return f"; the net itself reaches {_percent(net)}" if net is not None else ""


def _streams(board: Board) -> str:
    together = compose([Gaussian(m=m_for(1.0, 1e-5))] * 10).epsilon(1e-5)
    chord = board.row("mnist-stream", "newton-chord")
    capacity = chord and chord.number("deletion_capacity_mean")
    measured = (
        f" By the bounds proved for the requests of a stream, *Chord Newton* keeps (1, 1e-5) for "
        f"about {capacity:.0f} requests on MNIST."
        if capacity
        else ""
    )
    return f"**Streams.** Ten releases at ε = 1 compose to ε = {together:.2f}.{measured}"


def _solvers(board: Board) -> str:
    def seconds(device: str) -> tuple[float, float, float, float]:
        records = board.store.read_all(
            solver_path(device, "mnist-mlp", "0.1-norm", "*"), SolverRecord
        )
        fastest = {
            family: min(
                found.median
                for record in records
                if record.solver.family == family
                and (found := record.outcome(1e-2)) is not None
                and found.median is not None
            )
            for family in ("ours", "peer")
        }
        (official,) = [
            record.outcomes[0] for record in records if record.solver.family == "official"
        ]
        left = present(official.residual)
        return fastest["ours"], fastest["peer"], left, median(official.seconds)

    cpu, gpu = seconds("cpu"), seconds("cuda")
    return (
        "**Inverse Hessian.** On the MNIST MLP one thread solves (H + 0.1 ‖H‖) x = g to a residual "
        f"of 0.01 in {cpu[0]:.2f} s. The fastest library takes {cpu[1]:.2f} s. The recursion of "
        f"Zhang et al. (2024) ends at a residual of {cpu[2]:.2f} after {cpu[3]:.1f} s. On an H100 "
        f"the three take {1e3 * gpu[0]:.0f} ms, {1e3 * gpu[1]:.0f} ms and {gpu[3]:.0f} s."
    )


#: Experiment, label and what the model is, in the order of the README's table.
_SHOWN = (
    ("mnist-hog-squared", "squared loss on HOG", ("downdate", "downdate-fast")),
    ("mnist-hog-ovr", "one-vs-rest logistic on HOG", ("newton-kept",)),
    ("mnist-hog", "softmax on HOG", ("newton-chord", "newton")),
    ("mnist-tangent", "tangent of an MLP", ("tangent-newton",)),
    ("mnist-mlp", "MLP on pixels", ("sisa", "noisy-fine-tune")),
)


def _results(board: Board) -> str:
    """The rows of the README's table: MNIST, one request."""
    head = (
        "| model | rows to forget | method | verdict | test accuracy | retrained | "
        "speed-up per request | break-even |",
        "|---|--:|---|---|--:|--:|--:|--:|",
    )
    body = (
        _result(model, line, board.row(experiment, "retrain"))
        for experiment, model, labels in _SHOWN
        for label in labels
        if (line := board.row(experiment, label)) is not None
    )
    return "\n".join((*head, *body))


def _result(model: str, line: Line, retrained: Line | None) -> str:
    factor, pays = (line.number(k) for k in ("speedup_geometric_mean", "pays_after_mean"))
    shown = "–" if factor is None else _short(factor, 2)
    there = "–" if retrained is None else _percent(retrained)
    count = max(1, round(pays)) if pays else 0
    after = f"{count} request{'s' if count > 1 else ''}" if count else "–"
    asked = f"{line.facts.forgotten:,}"
    cells = (model, asked, line.title, line.verdict, _percent(line), there, shown, after)
    return f"| {' | '.join(cells)} |"


def _useful(board: Board) -> str:
    """Where each method that proves something is useful, and how fast it is there."""
    head = (
        "| method | problems where it is exact or proved | of these useful | "
        "their speed-up per request |",
        "|---|--:|--:|--:|",
    )
    return "\n".join((*head, *_uses(board)))


def _uses(board: Board) -> Iterator[str]:
    held = [
        line
        for line in board.lines
        if line.verdict in ("exact", "proved")
        and line.cells["role"] == "entry"
        and line.facts.requests == 1
    ]
    labels = {line.label: line.title for line in held}
    found = []
    for label, title in labels.items():
        lines = [line for line in held if line.label == label]
        useful = [line for line in lines if _is_useful(line)]
        best = max((line.number("speedup_geometric_mean") or 0.0 for line in useful), default=0.0)
        speed = _factors(useful) if useful else "–"
        found.append((-best, f"| {title} | {len(lines)} | {len(useful)} | {speed} |"))
    yield from (text for _, text in sorted(found))


def _is_useful(line: Line) -> bool:
    """Whether a row keeps its accuracy, or R² of a number, and owes it to the original model."""
    kind = "accuracy" if line.facts.number is None else "r2"
    gap = line.number(f"{kind}_test_gap_mean")
    gain = line.number(f"control_{kind}_test_gap_mean")
    around = line.number(f"control_{kind}_test_gap_half_width")
    over = gain is None or (around is not None and gain > around)  # one seed shows nothing
    return gap is not None and gap >= -LOSS and over


def _squared(board: Board) -> str:
    """What a request costs by kept sums."""
    return _by_forgotten(board, "squared", {"downdate": "exact", "downdate-fast": "proved"})


def _one_vs_rest(board: Board) -> str:
    """What a request costs by kept derivatives, beside one that passes over the rows."""
    return _by_forgotten(
        board,
        "one_vs_rest",
        {"newton-kept": "proved", "newton-chord": "proved"},
        {"bound / distance": "slack_mean"},
    )


def _by_forgotten(
    board: Board, loss: str, verdicts: dict[str, str], more: dict[str, str] | None = None
) -> str:
    """A table of MNIST HOG by the number of rows that a request forgets.

    Args:
        board: with the rows.
        loss: of the experiments.
        verdicts: of the methods that have a line in the table, by their labels.
        more: columns of the board besides time and speed-up, by what they are called.
    """
    columns = {"ms": "unlearn_mean", "×": "speedup_geometric_mean"} | (more or {})
    asked = {"loss": loss, "data": "mnist", "features": "hog", "requests": 1}
    lines = {
        label: sorted(board.rows(label, verdict, **asked), key=_forgotten)
        for label, verdict in verdicts.items()
    }
    counts = {tuple(map(_forgotten, found)) for found in lines.values()}
    if len(counts) > 1:
        raise LetheError(
            "methods of one table forget different numbers of rows: run all its experiments"
        )
    rows = [
        "| rows forgotten | " + " | ".join(f"{n:,}" for n in next(iter(counts))) + " |",
        "|---|" + "--:|" * len(next(iter(counts))),
    ]
    for unit, column in columns.items():
        scale = 1e3 if unit == "ms" else 1.0
        for label, found in lines.items():
            numbers = [line.number(column) for line in found]
            cells = ["–" if one is None else _short(scale * one) for one in numbers]
            rows.append(f"| `{label}`, {unit} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _forgotten(line: Line) -> int:
    """Number of rows that its request names."""
    return present(line.facts.forgotten)


def _tangents(board: Board) -> str:
    """Rows of the linearised MLP on MNIST, and what public rows alone give."""
    rows = {label: board.of("mnist-tangent", label) for label in _TANGENTS}
    entry = rows["tangent-newton"]
    facts, test = entry.facts, entry.known("accuracy_test_mean")
    head = (
        f"| MNIST, {facts.forgotten:,} rows forgotten, mean of {entry.cells['seeds_ok']} seeds | "
        "verdict | test accuracy | seconds a request | times retraining's speed |",
        "|---|---|--:|--:|--:|",
    )
    body = [
        f"| {line.title} | {line.verdict} | {_percent(line)} | "
        f"{_short(line.known('unlearn_mean'))} | "
        f"{_short(line.known('speedup_geometric_mean'))} |"
        for line in rows.values()
    ]
    alone = {
        "the tangent trained on the public rows alone": "public",
        "the public net alone": "public_net",
    }
    public = [
        f"| {what} | – | {test - entry.known(f'{name}_accuracy_test_gap_mean'):.2f} % | – | – |"
        for what, name in alone.items()
    ]
    return "\n".join((*head, *body, *public))


_TANGENTS = ("retrain", "retrain-own", "retrain-kept", "newton-iterated", "tangent-newton")


def _uniform(board: Board) -> str:
    """What the default public distance costs on a head, and how fast it is reached."""
    chord, retrained = (board.of("mnist-hog", label) for label in ("newton-chord", "retrain"))
    seconds, factor = chord.known("unlearn_mean"), chord.known("speedup_geometric_mean")
    return (
        f"On HOG features of MNIST, {chord.facts.forgotten:,} rows forgotten, *Chord Newton* "
        f"reaches {_percent(chord)} test accuracy with the noise of $\\Delta_0 = 10^{{-3}}$; "
        f"retraining without noise reaches {_percent(retrained)}. A request takes {seconds:.2f} s, "
        f"which is {_short(factor)} times faster than retraining (mean of "
        f"{chord.cells['seeds_ok']} seeds)."
    )


def _gpu_solvers(board: Board) -> str:
    """Times to each tolerance of the fastest solver of ours and of a library, with their cards."""
    head = (
        "| system | ours to 0.1, 0.01, 0.001 | best library | official recursion | "
        "a product, in gradients |",
        "|---|---|---|---|--:|",
    )
    solvers = board.store.read_all(solver_path("cuda", "*", "0.1-norm", "*"), SolverRecord)
    passes = board.store.read_all(product_path("cuda", "*", "*"), ProductRecord)
    body = []
    for title in sorted({record.system.title for record in solvers}):
        here = [record for record in solvers if record.system.title == title]
        times = {one.product.name: one.median for one in passes if one.system.title == title}
        both = {"own", "gradient"} <= times.keys()
        cells = (
            title,
            _fastest(here, "ours"),
            _fastest(here, "peer"),
            next((_recursion(one) for one in here if one.solver.family == "official"), "–"),
            _short(times["own"] / times["gradient"]) if both else "–",
        )
        body.append(f"| {' | '.join(cells)} |")
    return "\n".join((*head, *body))


def _fastest(records: list[SolverRecord], family: str) -> str:
    """The least times of a family, on the card where the first of them is the least."""
    cards: dict[str, list[float]] = {}
    for card in {_card(record) for record in records}:
        mine = [r for r in records if r.solver.family == family and _card(r) == card]
        least = [_least(mine, tolerance) for tolerance in TOLERANCES]
        cards[card] = [seconds for seconds in least if seconds is not None]
    found = [(seconds, card) for card, seconds in cards.items() if seconds]
    if not found:
        return "–"
    seconds, card = min(found)
    return f"{', '.join(map(_duration, seconds))} ({card})"


def _least(records: list[SolverRecord], tolerance: float) -> float | None:
    """The least time to a tolerance; None if nobody reaches it."""
    outcomes = filter(None, (record.outcome(tolerance) for record in records))
    times = [outcome.median for outcome in outcomes if outcome.median is not None]
    return min(times, default=None)


def _recursion(record: SolverRecord) -> str:
    """How long the official recursion takes, and how far it comes."""
    outcome = record.outcomes[0]
    if outcome.residual is None:
        return f"not run: about {_short(outcome.estimate or 0.0)} s ({_card(record)})"
    took = _duration(median(outcome.seconds))
    return f"{took}, ends at {_short(outcome.residual)} ({_card(record)})"


def _card(record: SolverRecord) -> str:
    """The GPU as people call it: H100 for NVIDIA H100 80GB HBM3."""
    name = record.environment.gpu or "GPU"
    found = re.search(r"\b[A-Z]+\d{2,}\w*", name)
    return found[0] if found else name


def _duration(seconds: float) -> str:
    return f"{_short(1e3 * seconds)} ms" if seconds < 1 else f"{_short(seconds)} s"


def _graphs(board: Board) -> str:
    """The figures that graphs are held to, and what the records say; what did not run says so."""

    def found(label: str, verdict: str, data: str) -> list[Line]:
        """Rows of single requests for a hundred at most, on a linear head."""
        return [
            line
            for line in board.lines
            if (line.label, line.verdict, line.facts.data) == (label, verdict, data)
            if line.facts.graph and line.facts.linear and line.facts.requests == 1
            if line.facts.forgotten is not None and line.facts.forgotten <= 100
        ]

    step = found("newton-measured", "pair", "cora")
    slacks = [slack for line in step if (slack := line.number("slack_mean")) is not None]
    # a request that reaches no training row leaves round-off, which no bound compares with
    slacks = [slack for slack in slacks if slack < 1e6]
    gaps = [abs(line.known("accuracy_test_gap_mean")) for line in step]
    newton = found("newton", "proved", "cora")
    chord = found("newton-chord", "proved", "amazon-photo")
    lines = (
        ("one Newton step on Cora: slack", "1.1 at most", slacks and _span(slacks, 3)),
        ("its accuracy off retraining's, points", "0.3 at most", gaps and f"{max(gaps):.2f}"),
        ("*Single-step Newton* on Cora: speed-up", "2.2", newton and _factors(newton)),
        ("*Chord Newton* on Amazon Photo: speed-up", "5", chord and _factors(chord)),
    )
    rows = "\n".join(f"| {name} | {goal} | {said or 'not run'} |" for name, goal, said in lines)
    return f"| figure | to reach | on the board |\n|---|---|---|\n{rows}"


def _tight_audit(board: Board) -> str:
    """Sentence on what whole runs prove of the claims that are tight."""
    study = audit_record.read(board.store.folder)
    found = [one for one in study.findings if one.variant == "tight"] if study else []
    if not found:
        raise LetheError("a generated block finds no tight audit: run 'lethe audit'")
    findings = [present(one.finding) for one in found]
    names = " and ".join(f"*{one.method.title.partition(',')[0]}*" for one in found)
    claimed = {f"{finding.epsilon:.3g}" for finding in findings}
    return (
        f"For {names} the committed runs prove $\\varepsilon \\ge$ "
        f"{_span(finding.lower for finding in findings)}, where {' and '.join(claimed)} is claimed."
    )


#: Writers by the names that blocks have.
BLOCKS: dict[str, Callable[[Board], str]] = {
    "found": _found,
    "gpu-solvers": _gpu_solvers,
    "graphs": _graphs,
    "one-vs-rest": _one_vs_rest,
    "results": _results,
    "squared": _squared,
    "tangents": _tangents,
    "tight-audit": _tight_audit,
    "uniform": _uniform,
    "useful": _useful,
}
