"""The command line: lethe run | status | list | leaderboard | table | reproduce | doctor | ...

Each command imports what it needs, so that `lethe --help` waits for no numerical library.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from inspect import Parameter, Signature, signature
from pathlib import Path
from shlex import quote
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
from rich.table import Column, Table
from rich.text import Text
from typer.core import TyperGroup

from benchmark import cli_data, ends
from benchmark.console import console, marked, print_anything, show
from benchmark.errors import AssumptionBroken, LetheError, present
from benchmark.files import sweep

if TYPE_CHECKING:
    import torch

    from benchmark.experiments.experiment import Experiment
    from benchmark.records import Envelope
    from benchmark.study.executors.executor import Executor
    from benchmark.study.study import Study


class Commands(TyperGroup):
    """The commands; an interrupt leaves them as it came, for `ends.program`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise ends.Stopped(signal.SIGINT) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")
# Results go to standard output, progress and errors to standard error.
out = console()
err = console(stderr=True)


def _folder(text: str | Path) -> Path:
    if not str(text).strip():
        raise LetheError("the name of a folder is empty: name one, or leave out the option")
    return Path(text)


Results = Annotated[
    Path, typer.Option(help="Folder of the records.", parser=_folder, metavar="FOLDER")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Profile = Annotated[
    list[str] | None,
    typer.Option(help="Scale of the experiments; repeatable. cpu without a GPU, else paper."),
]
Threads = Annotated[int, typer.Option(help="Threads of one process; recorded with every cell.")]
Size = Annotated[
    Literal["smoke", "full"], typer.Option(help="Of the systems; smoke takes seconds.")
]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; fail if stale.")]
NoBoard = Annotated[bool, typer.Option("--no-board", help="Render no leaderboard at the end.")]


@dataclass(frozen=True)
class How:
    """How a study is run: the options that the commands of all studies share."""

    results: Results = Path("runs")
    jobs: Annotated[
        int, typer.Option(help="Units to run at a time, such as seeds, each in its own process.")
    ] = 1
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished units again.")] = False
    track: Annotated[
        Literal["off", "offline", "online"], typer.Option(help="Log to Weights & Biases as well.")
    ] = "off"
    on: Annotated[
        Path | None,
        typer.Option(metavar="CLUSTER.TOML", help="Submit to this Slurm cluster, one task a unit."),
    ] = None
    wait: Annotated[bool, typer.Option("--wait", help="With --on: wait for all tasks.")] = False
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Run share I of N; together they are all."),
    ] = "1/1"


def study_command(command: Callable[..., None]) -> Callable[..., None]:
    """The command of a study: its argument `how` becomes the options of `How`."""
    hints = get_type_hints(command, include_extras=True)
    own = [one for name, one in signature(command).parameters.items() if name != "how"]
    shared = get_type_hints(How, include_extras=True)
    options = [
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default) for one in fields(How)
    ]

    def call(**given: Any) -> None:
        how = How(**{name: given.pop(name) for name in shared})
        command(**given, how=how)

    types = {one.name: (hints | shared)[one.name] for one in (*own, *options)}
    every = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (*own, *options)]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = types
    wanted = Signature([one.replace(annotation=types[one.name]) for one in every])
    call.__signature__ = wanted  # type: ignore[attr-defined]  # what inspect.signature reads
    return call


def _print_version(asked: bool) -> None:
    if not asked:
        return
    try:
        typer.echo(f"lethe {version_of('lethe')}")
    except PackageNotFoundError:  # run from a copy of the files
        typer.echo("lethe, not installed")
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Lethe, the benchmark of certified machine unlearning."""


@app.command()
@study_command
def run(
    experiment: Annotated[
        list[str] | None, typer.Argument(help="Names, or paths of .toml files.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Every experiment of a group of `lethe list`; repeatable."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Only this method, beside the yardsticks; repeatable."),
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="With --method: without retraining and doing nothing.")
    ] = False,
    seed: Annotated[
        list[int] | None, typer.Option(help="Only this seed, the file's or another; repeatable.")
    ] = None,
    profile: Profile = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1, mps; by default what the experiments need."),
    ] = None,
    threads: Threads = 1,
    no_board: NoBoard = False,
    *,
    how: How,
) -> None:
    """Run experiments, keep finished cells, and render the leaderboard."""
    from benchmark.experiments.experiment import with_seeds
    from benchmark.runner.device import refuse_precision
    from benchmark.runner.plans import with_yardsticks
    from benchmark.studies.experiments import Experiments, given, left_out

    if only and not method:
        raise LetheError("--only is for --method: name what is to run without the yardsticks")
    loaded, device = _load(_asked(experiment or [], group or [], profile), device, _gpus(how))
    refuse_precision(device, (one.problem.precision for one in loaded))
    loaded = [with_seeds(one, seed or ()) for one in loaded]
    method = method if only or method is None else with_yardsticks(loaded, method)
    study = Experiments(experiments=tuple(loaded), methods=given(method), seeds=given(seed))
    for line in left_out(loaded):
        err.print(marked("yellow", "note", line))
    done = _carried_out(study, how, device, threads)
    if done is None:
        return
    if not no_board:
        _render_asked(how.results, loaded, method, seed)
    # a theorem whose hypothesis fails is an answer: recorded, shown, and no fault of the run
    refused = [r for r in done.failed if r.failure and r.failure.type == AssumptionBroken.__name__]
    failed = len(done.failed) - len(refused)
    refusals = f", {len(refused)} refused by their theorem" if refused else ""
    out.print(f"{done.ran} cells run, {done.kept} kept, {failed} failed{refusals}")
    if not no_board:
        out.print(f"The page: {how.results / 'leaderboard' / 'index.html'}", soft_wrap=True)
    _end(failed > 0, done)


@app.command()
def status(results: Results = Path("runs")) -> None:
    """Show which seeds and parts of studies are done, running, waiting, failed or gone."""
    from benchmark.records import Store
    from benchmark.study.executors.submission import STATES, counts, progress

    found = progress(Store(results))
    if not found:
        raise LetheError(f"no experiment was run or submitted with --results {results}")
    seen = [state for state in STATES if state == "done" or any(p.state == state for p in found)]
    table = Table("experiment or study", *seen, box=None, pad_edge=False)
    for name, counted in counts(found).items():
        table.add_row(name, *(str(counted[state]) for state in seen))
    show(out, table)
    for one in found:
        where = f"{one.group}, {one.part}"
        if one.failures:
            out.print(f"{one.failures} of {one.pieces} failed: {where}")
        if one.reason and one.state != "unknown":
            job = one.place and one.place.job
            text = f"{one.state}: {where}" + (f", job {job}" if job else "") + f": {one.reason}"
            out.print(text + (f" ({one.log})" if one.log else ""), soft_wrap=True)
    for reason in {one.reason for one in found if one.state == "unknown"}:
        out.print(f"unknown: {reason}", soft_wrap=True)
    if any(one.state in ("failed", "gone") for one in found):
        raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """List experiments, data sets, and methods with their parameters."""
    from benchmark import plugins, registry
    from benchmark.data import catalogue
    from benchmark.experiments import experiment as experiments

    # what is broken is said before anything is printed
    methods, sets = registry.discover(), catalogue.discover()
    whole = (Column(heading, no_wrap=True) for heading in ("experiment", "group"))
    table = Table(*whole, "profiles", "title", box=None, pad_edge=False)
    for name in experiments.names():
        found = experiments.load(name)
        lists = (found.group, found.profiles)
        table.add_row(name, *(", ".join(words) or "-" for words in lists), found.title)
    show(out, table)
    out.print()
    table = Table("data set", "title", "source", box=None, pad_edge=False)
    for name, one in sets.items():
        table.add_row(name, one.title, one.source)
    show(out, table)
    out.print()
    table = Table("method", "family", "certifies", "parameters", "source", box=None, pad_edge=False)
    for name, registered in methods.items():
        cls = registered.method
        params = ", ".join(f"{k}={field.default}" for k, field in cls.model_fields.items())
        certifies = "yes" if cls.evidence else "no"
        table.add_row(name, registered.family, certifies, params or "-", cls.source.paper)
    show(out, table)
    others = plugins.installed()
    if not others:
        return
    out.print()
    table = Table("plug-in", "kind", "title", "from", box=None, pad_edge=False)
    for kind, other in others:
        table.add_row(other.cls.name, kind, other.cls.title, other.origin)
    show(out, table)


#: See `benchmark.templates`, which is not imported for a list of names.
NewKind = Literal[
    "method",
    "attack",
    "model",
    "data",
    "feature",
    "scenario",
    "loss",
    "metric",
    "solver",
    "definition",
    "executor",
    "property",
]


@app.command()
def new(
    kind: Annotated[NewKind, typer.Argument(help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name in experiments.")],
    to: Annotated[
        Path | None,
        typer.Option(help="Folder of the file; by default the project's, else this one."),
    ] = None,
) -> None:
    """Write the file of a method or another plug-in of your own, and say how to check it."""
    from benchmark.extend import write

    path = write(kind, name, to)
    out.print(f"Written: {path}", soft_wrap=True)
    out.print(f"To check it: lethe check {quote(str(path))}", soft_wrap=True)


@app.command()
def check(
    what: Annotated[
        str,
        typer.Argument(help="A name, a .py file, or a class or factory: my_package.nets:small."),
    ],
    inputs: Annotated[
        str, typer.Option(help="For a model: features of a row, or an image as 8x8x1.")
    ] = "20",
    classes: Annotated[int, typer.Option(min=2, help="For a model: number of labels.")] = 3,
    precision: Annotated[
        Literal["float32", "float64"], typer.Option(help="For a model: precision of its rows.")
    ] = "float64",
) -> None:
    """Check a method or another plug-in, built in or yours, against its contract."""
    from benchmark.extend import check as hold
    from benchmark.extend import sizes
    from benchmark.runner.device import prepare

    prepare("cpu", threads=1)
    lines = hold(what, sizes(inputs), classes, precision)
    marks = {
        True: marked("green", "ok"),
        False: marked("red", "broken"),
        None: marked("yellow", "note"),
    }
    table = Table("", "what", "found", box=None, pad_edge=False, show_header=False)
    for line in lines:
        table.add_row(marks[line.ok], line.what, line.text)
    show(out, table)
    broken = sum(line.ok is False for line in lines)
    out.print(f"{len(lines) - broken} of {len(lines)} kept" if broken else "The contract is kept.")
    if broken:
        raise typer.Exit(1)


@app.command()
def leaderboard(
    results: Results = Path("leaderboard/results"),
    to: Annotated[
        Path, typer.Option(help="Folder to write to.", parser=_folder, metavar="FOLDER")
    ] = Path("leaderboard"),
    check: Check = False,
) -> None:
    """Regenerate the leaderboard from the records, or check that it is current."""
    from leaderboard.board import check as stale_files

    if check:
        if stale := stale_files(results, to):
            more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
            raise LetheError(
                f"the leaderboard is not what its records give ({', '.join(stale[:3])}{more}): "
                "run 'make leaderboard' and commit"
            )
        out.print("The leaderboard is current.")
        return
    _render(results, to)
    out.print(f"The page: {to / 'index.html'}", soft_wrap=True)


@app.command()
def readme(
    results: Results = Path("leaderboard/results"),
    board: Annotated[
        Path, typer.Option(help="Folder of board.csv.", parser=_folder, metavar="FOLDER")
    ] = Path("leaderboard"),
    check: Check = False,
) -> None:
    """Write the figures in README.md and docs/ from the records, or check that they are current."""
    from leaderboard import document_blocks

    if check:
        if stale := document_blocks.check(Path(), results, board):
            named = ", ".join(map(str, stale))
            raise LetheError(
                f"figures of {named} are not what the records give: run 'make leaderboard' and "
                "commit"
            )
        out.print("The figures in README.md and docs/ are current.")
        return
    for path in document_blocks.build(Path(), results, board):
        out.print(f"Written: {path}", soft_wrap=True)


@app.command()
def table(
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILTER",
            help="An experiment, NAME=VALUE[,VALUE] with data, model, request, verdict, method, "
            "family or track, or a word to search for; all must fit.",
        ),
    ] = None,
    results: Results = Path("leaderboard/results"),
    form: Annotated[
        str, typer.Option("--format", help="markdown, latex (with booktabs), csv or json.")
    ] = "markdown",
    columns: Annotated[
        str | None, typer.Option(help="Columns with commas, such as method,problem,speedup.")
    ] = None,
    by: Annotated[str, typer.Option(help="A line for each row, method or seed.")] = "row",
    useful: Annotated[
        bool,
        typer.Option("--useful", help="Only rows that lose at most 1 point and beat controls."),
    ] = False,
    cite: Annotated[
        bool, typer.Option("--bibtex", help="BibTeX of the rows' papers instead of the table.")
    ] = False,
) -> None:
    """Print any part of the leaderboard as a table for a paper or a program."""
    from leaderboard.export import View, bibtex, export, read

    view = View(filters or (), useful, by, columns.split(",") if columns else None)
    found = read(results)
    typer.echo(bibtex(found, view) if cite else export(found, view, form), nl=False)


@app.command()
def collect(
    folder: Annotated[
        list[str] | None,
        typer.Argument(help="Results folders, such as runs; else leaderboard/results."),
    ] = None,
) -> None:
    """Gather records, a file a cell, into a file an experiment and its sweeps, a cell a line."""
    from benchmark.collected import collect as gather
    from benchmark.records import Store

    for one in map(_folder, folder or ["leaderboard/results"]):
        if not one.is_dir():
            raise LetheError(f"{one} is no folder of records: name one")
        facts = {plan.experiment: plan.facts for plan in Store(one).plans()}
        together = {name: known.study for name, known in facts.items() if known}
        gathered = gather(one, together)
        for lines, files in gathered:
            out.print(f"{lines}: {files} files", soft_wrap=True)
        if not gathered:
            out.print(f"{one}: nothing to gather", soft_wrap=True)


@app.command()
def reproduce(
    record: Annotated[
        Path, typer.Argument(help="A record's file, or its line: mnist-hog.jsonl:12.")
    ],
    rtol: Annotated[
        float, typer.Option(min=0, help="Relative difference that still counts as the same.")
    ] = 1e-5,  # what another processor's single precision may make, which heads are factorised in
    device: Annotated[str | None, typer.Option(help="cpu or cuda; as recorded by default.")] = None,
    threads: Annotated[int | None, typer.Option(help="As recorded by default.")] = None,
) -> None:
    """Run one recorded row again and compare every number."""
    from benchmark.runner.device import prepare
    from benchmark.study.reproduce import compare, recorded_in
    from benchmark.study.reproduce import reproduce as run_again

    recorded = recorded_in(record)
    environment = recorded.environment
    prepared = prepare(
        environment.device if device is None else device,
        environment.threads if threads is None else threads,
    )
    row = f"{recorded.group} · {recorded.title}"
    with err.status(Text(f"running {row} again")) as status:
        again, remarks = run_again(recorded, prepared, lambda phase: status.update(Text(phase)))
    rows = compare(recorded, again, rtol)
    table = Table("number", "recorded", "again", "", box=None, pad_edge=False)
    for one in rows:
        mark = marked("green", "same") if one.agrees else marked("red", "DIFFERS")
        if one.agrees and one.recorded != one.again:
            mark = marked("green", f"within {rtol:g}")
        table.add_row(one.name, str(one.recorded), str(one.again), mark)
    show(out, table)
    for remark in remarks:
        out.print(marked("yellow", "note", remark))
    differing = sum(not row.agrees for row in rows)
    if again.failure is not None:
        out.print(marked("red", "failed", again.failure.message))
    out.print(f"{len(rows) - differing} of {len(rows)} numbers agree")
    if differing:
        raise typer.Exit(1)


@app.command()
@study_command
def soundness(
    count: Annotated[int, typer.Option(min=0, help="How many random problems.")] = 2000,
    streams: Annotated[int, typer.Option(min=0, help="How many streams of ten requests.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; the others follow it.")] = 0,
    *,
    how: How,
) -> None:
    """Compare every proved bound with the true distance on random problems."""
    from benchmark.records import Store
    from benchmark.studies.soundness import GOAL, PROBES, Soundness
    from benchmark.studies.soundness_record import SoundnessRecord, added

    study = Soundness(count=count, streams=streams, seed=seed)
    done = _carried_out(study, how)
    if done is None:
        return
    store, plan = Store(how.results), {"count": "problems", "streams": "streams"}
    kept = [
        store.kept(p.path, SoundnessRecord, p.key) for u in study.units("cpu") for p in u.pieces
    ]
    found = {
        option: added([r for r in kept if r is not None and r.title.startswith(word)])
        for option, word in plan.items()
    }
    for option, tally in found.items():
        if not tally.asked and not tally.untrained:
            continue
        out.print(f"{'random problems' if option == 'count' else 'streams of requests'}:")
        show(out, tally.table())
        if by_method := tally.reached("thm6"):
            by_method["all"] = [slack for slacks in by_method.values() for slack in slacks]
            told = (f"{name} {median(s):.3g} (of {len(s)})" for name, s in by_method.items())
            out.print(
                "bound over distance in the median, where Theorem 6 is what stopped: "
                f"{', '.join(told)}; the goal is below {GOAL:g}",
                soft_wrap=True,
            )
        out.print(f"{len(tally.untrained)} were not trained to their tolerance")
        for (method, reason), refused in tally.refused.items():
            remark = f"{method}, {refused} of {tally.asked[method]}: {reason}"
            out.print(marked("yellow", "refused", remark), soft_wrap=True)
    out.print(
        "min, median and max are of bound over distance; of a block of problems a sub-sample is "
        f"the first {PROBES}"
    )
    violations = [(option, check) for option, tally in found.items() for check in tally.violations]
    for option, check in violations:
        again = " ".join(f"--{name} {int(name == option)}" for name in plan)
        text = (
            f"{check.method}, {check.bound}: {check.value:.6g} is below the distance "
            f"{check.distance:.6g}: lethe soundness {again} --seed {check.seed}"
        )
        out.print(marked("red", "VIOLATED", text), soft_wrap=True)
    lacking = sum(record is None for record in kept)
    if not violations and not lacking:
        out.print("no bound is violated")
    elif lacking:
        out.print(f"{lacking} of {len(kept)} blocks of problems are not examined yet")
    _end(bool(violations), done)


@app.command()
@study_command
def slack(*, how: How) -> None:
    """Measure how slack the certificates are as one setting at a time is varied."""
    from benchmark.studies.slack import Slack

    done = _carried_out(Slack(), how)
    if done is None:
        return
    out.print(f"{done.ran} points run, {done.kept} kept, {len(done.failed)} failed")
    where, to = quote(str(how.results)), quote(str(how.results / "leaderboard"))
    out.print(f"To plot it: lethe leaderboard --results {where} --to {to}", soft_wrap=True)
    _end(bool(done.failed), done)


@app.command()
@study_command
def inverse_hessian(*, how: How) -> None:
    """Time efficient inverse-Hessian solvers against the exact inverse, and compare answers."""
    from benchmark.studies.inverse_hessian import InverseHessian
    from benchmark.studies.inverse_hessian_record import read

    done = _carried_out(InverseHessian(), how)
    if done is None:
        return
    study = present(read(how.results))
    table = Table("system", "solver", "seconds", "faster", "residual", "error", box=None)
    for panel in study.records:
        for answer in (panel.exact, *panel.answers):
            numbers = (answer.residual, answer.error)
            table.add_row(
                panel.heading,
                answer.title,
                f"{answer.seconds:.3g}" + ("" if answer.measured else " (extrapolated)"),
                f"{panel.gain(answer):.3g}x",
                *("-" if value is None else f"{value:.2g}" for value in numbers),
            )
    show(out, table)
    for where in study.missing:
        out.print(f"missing: {where}")
    out.print(f"{done.ran} systems run, {done.kept} kept")
    _end(False, done)


@app.command()
@study_command
def solvers(
    system: Annotated[list[str] | None, typer.Option(help="Only this system; repeatable.")] = None,
    damping: Annotated[
        list[str] | None, typer.Option(help="Only this rule, such as 0.1-norm; repeatable.")
    ] = None,
    solver: Annotated[list[str] | None, typer.Option(help="Only this solver; repeatable.")] = None,
    size: Size = "full",
    pydvl: Annotated[
        Path | None, typer.Option(help="Python of pyDVL's environment, as `make bench` makes it.")
    ] = None,
    budget: Annotated[float, typer.Option(help="Seconds for the rounds of a measurement.")] = 30.0,
    limit: Annotated[float, typer.Option(help="Seconds; longer solves are left out.")] = 600.0,
    device: Device = "cpu",
    threads: Threads = 1,
    *,
    how: How,
) -> None:
    """Time every inverse-Hessian solver and library to a residual of 0.1, 0.01 and 0.001."""
    from benchmark.bench.record import TOLERANCES, SolverRecord
    from benchmark.records import Store
    from benchmark.studies.experiments import given
    from benchmark.studies.solvers import SolverTimings

    study = SolverTimings(
        size=size,
        systems=given(system),
        dampings=given(damping),
        solvers=given(solver),
        pydvl=pydvl,
        threads=threads,
        budget=budget,
        limit=limit,
    )
    done = _carried_out(study, how, device, threads)
    if done is None:
        return
    store, columns = Store(how.results), [f"s to {tolerance:g}" for tolerance in TOLERANCES]
    table = Table("system", "damping", "solver", *columns, box=None)
    for unit in study.units(device.partition(":")[0]):
        for piece in unit.pieces:
            if found := store.kept(piece.path, SolverRecord, piece.key):
                shown = [
                    one.state if one.median is None else f"{one.median:.3g}"
                    for one in found.outcomes
                ]
                names = (found.system.name, found.damping.rule, found.solver.title)
                table.add_row(*names, *shown)
    show(out, table)
    for title, reason in study.lacking.items():
        out.print(f"not timed: {title}: {reason}", soft_wrap=True, markup=False)
    out.print(f"{done.ran} solvers run, {done.kept} kept")
    _end(False, done)


@app.command()
@study_command
def products(
    system: Annotated[list[str] | None, typer.Option(help="Only this system; repeatable.")] = None,
    size: Size = "full",
    device: Device = "cpu",
    threads: Threads = 1,
    *,
    how: How,
) -> None:
    """Time one pass over the rows: a gradient, Hessian products, a step of the recursion."""
    from benchmark.bench.record import ProductRecord
    from benchmark.records import Store
    from benchmark.studies.experiments import given
    from benchmark.studies.products import ProductTimings

    study = ProductTimings(size=size, systems=given(system), threads=threads)
    done = _carried_out(study, how, device, threads)
    if done is None:
        return
    store, table = Store(how.results), Table("system", "pass", "ms", "error", box=None)
    for unit in study.units(device.partition(":")[0]):
        for piece in unit.pieces:
            if found := store.kept(piece.path, ProductRecord, piece.key):
                error = "-" if found.error is None else f"{found.error:.2g}"
                ms = f"{1e3 * found.median:.3g}"
                table.add_row(found.system.name, found.product.title, ms, error)
    show(out, table)
    out.print(f"{done.ran} passes run, {done.kept} kept")
    _end(False, done)


@app.command()
@study_command
def audit(*, how: How) -> None:
    """Try to refute every certificate with whole runs on digits."""
    from benchmark.studies.audit import Audit
    from benchmark.studies.audit_record import read

    done = _carried_out(Audit(), how)
    if done is None:
        return
    study = present(read(how.results))
    table = Table("experiment", "row", "claimed ε", "proved ε", "judge", "outcome", box=None)
    for record in study.findings:
        found = present(record.finding)
        table.add_row(
            record.experiment,
            record.method.title,
            f"{found.epsilon:.3g}",
            f"{found.lower:.3g} of {found.resolution:.3g}",
            f"{found.runs} runs, {found.score}",
            Text(found.text, style="red" if found.outcome == "refuted" else ""),
        )
    show(out, table)
    for row, reason in study.failures.items():
        out.print(marked("yellow", "no answer", f"{row}: {reason}"))
    missing = f", {len(study.missing)} missing" if study.missing else ""
    out.print(f"{done.ran} rows run, {done.kept} kept{missing}")
    _end(any(present(record.finding).outcome == "refuted" for record in study.findings), done)


@app.command()
@study_command
def forget_quality(
    experiment: Annotated[
        list[str] | None, typer.Argument(help="Names, or paths of .toml files.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this method; repeatable.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; repeatable.")] = None,
    runs: Annotated[int, typer.Option(help="Models a side.")] = 10,
    shadows: Annotated[int, typer.Option(help="Shadow models that an attack may use; even.")] = 64,
    profile: Profile = None,
    device: Device = "cpu",
    threads: Threads = 1,
    no_board: NoBoard = False,
    *,
    how: How,
) -> None:
    """Attack many models of every row: is it really forgotten?"""
    from benchmark.studies.experiments import given
    from benchmark.studies.forget_quality import EXPERIMENTS, ForgetQuality

    asked = _asked(list(experiment or EXPERIMENTS), [], profile)
    loaded, _ = _load(asked, device, _gpus(how))
    _check_seeds(loaded, seed)
    study = ForgetQuality(
        experiments=tuple(loaded),
        runs=runs,
        shadows=shadows,
        methods=given(method),
        seeds=given(seed),
    )
    done = _carried_out(study, how, device, threads)
    if done is None:
        return
    if not no_board:
        _render_asked(how.results, loaded, method, seed)
    out.print(f"{done.ran} rows run, {done.kept} kept, {len(done.failed)} failed")
    if not no_board:
        page = how.results / "leaderboard" / "index.html"
        out.print(f"The page: {page}#forgotten", soft_wrap=True)
    _end(bool(done.failed), done)


@app.command()
def false_alarms(
    experiment: Annotated[str, typer.Argument(help="Name, or a .toml file.")] = "digits-mlp",
    seeds: Annotated[int, typer.Option(help="How many.")] = 100,
    group: Annotated[int, typer.Option(help="Seeds of one verdict, as on the board.")] = 3,
    runs: Annotated[int, typer.Option(help="Models a side.")] = 8,
    shadows: Annotated[int, typer.Option(help="Shadow models that an attack may use; even.")] = 64,
    results: Results = Path("runs"),
) -> None:
    """Count wrong verdicts of forget quality on retraining and on doing nothing."""
    from benchmark.experiments.experiment import load
    from benchmark.runner.device import prepare
    from benchmark.studies.false_alarms import false_alarms as study

    found = study(
        load(experiment),
        _writable(results),
        prepare("cpu", threads=1),
        seeds=seeds,
        group=group,
        runs=runs,
        shadows=shadows,
        console=err,
    )
    table = Table("seeds of a verdict", "retrain told apart", "doing nothing told apart", box=None)
    for alarms in found:
        low, high = (100 * end for end in alarms.interval)
        rate = f"{alarms.retrain} of {alarms.verdicts} ({low:.1f} to {high:.1f} %)"
        table.add_row(str(alarms.seeds), rate, f"{alarms.nothing} of {alarms.verdicts}")
    show(out, table)
    out.print(
        "nominal: retrain in 5 % of verdicts or less; doing nothing, where not, is unresolved"
    )
    if not all(alarms.sound for alarms in found):
        raise typer.Exit(1)


@app.command()
def gpu(
    results: Results = Path("runs"),
    minutes: Annotated[float, typer.Option(help="For all parts together.")] = 8.0,
    part: Annotated[list[str] | None, typer.Option(help="Only this part; repeatable.")] = None,
) -> None:
    """Measure on a GPU, the most important first. Run it again to go on where it stopped."""
    import torch

    from benchmark.gpu import chosen, measure

    parts = chosen(part)
    if not torch.cuda.is_available():
        raise LetheError("torch sees no GPU here: run this on a machine that has one")
    if not minutes > 0:
        raise LetheError(f"--minutes must be above 0, not {minutes:g}")
    ended = measure(parts, _writable(results), 60 * minutes, err.print)
    table = Table("part", "what", "end", box=None)
    for one in parts:
        table.add_row(one.name, one.title, ended.get(one.name, "not begun"))
    show(out, table)
    if any(end == "failed" for end in ended.values()):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Show versions, devices, and data sets that were found and verified."""
    from benchmark.doctor import examine

    marks: dict[bool | None, Text | str] = {
        True: marked("green", "ok"),
        False: marked("red", "bad"),
        None: "-",
    }
    table = Table("", "what", "found", box=None, pad_edge=False, show_header=False)
    findings = examine()
    for finding in findings:
        table.add_row(marks[finding.ok], finding.subject, finding.text)
    show(out, table)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


@app.command()
def calibrate(
    experiment: Annotated[str, typer.Argument(help="Name, or a .toml file.")],
    profile: Annotated[str | None, typer.Option(help="Scale; cpu without a GPU.")] = None,
    budget: Annotated[float, typer.Option(min=0, help="Seconds to measure for, about.")] = 2.0,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default what the experiment needs.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Time the products with an experiment's Hessian on this machine."""
    from benchmark.calibration import calibrate as measure
    from benchmark.contract.seeds import Seeds
    from benchmark.experiments.build import build
    from benchmark.runner.device import prepare

    (loaded,), device = _load([(experiment, profile)], device)
    seeds = Seeds.all(0)
    problem, _ = build(loaded.problem, seeds, prepare(device, threads))
    start = problem.model.initial_weights(seeds.generator("training"))
    weights = start.to(problem.device, problem.dtype)
    found = measure(problem, weights, problem.train, budget=budget)
    table = Table("product", "chunk", "seconds", "from", "to", "gradients", "set-up", "memory")
    table.box, table.pad_edge = None, False
    for one in found.measured:
        table.add_row(
            one.product,
            f"{one.chunk:,}",
            *(f"{s:.3g}" for s in (one.median, min(one.seconds), max(one.seconds))),
            f"{one.median / found.gradient:.2f}",
            f"{one.setup:.3g}",
            "-" if one.memory is None else f"{one.memory / 1e6:,.0f} MB",
        )
    show(out, table)
    for line in found.remarks():
        out.print(line, soft_wrap=True)


def _carried_out(study: Study, how: How, device: str = "cpu", threads: int = 1) -> Done | None:
    """Run a study as it was asked for; None where its tasks were handed over and nobody waits.

    Raises:
        LetheError: for options that do not go together, and whatever the run raises.
    """
    from benchmark.records import Store
    from benchmark.study.run import Shard
    from benchmark.study.run import run as run_study
    from benchmark.tracking import tracker

    share, there = Shard.parse(how.shard), _elsewhere(how, device, threads)
    store = Store(_writable(how.results))
    tally = run_study(
        study,
        store,
        _device(device, threads, elsewhere=there is not None),
        fresh=how.fresh,
        jobs=how.jobs,
        executor=there,
        shard=share,
        tracker=None if there else tracker(how.track, how.results / "wandb"),
        console=err,
    )
    if there is not None and not there.waits:
        where = quote(str(how.results))
        out.print(f"What became of them: lethe status --results {where}", soft_wrap=True)
        return None
    return Done(tally.ran, tally.kept, tally.failed, there.unfinished if there else 0, how.results)


@dataclass(frozen=True)
class Done:
    """What became of a study that was run or waited for."""

    ran: int
    kept: int
    failed: list[Envelope]
    unfinished: int
    results: Path


def _end(failed: bool, done: Done) -> None:
    """Say what a cluster has not done, and end with the exit code."""
    if count := done.unfinished:
        what = "1 task is" if count == 1 else f"{count} tasks are"
        out.print(
            f"{what} not done: lethe status --results {quote(str(done.results))} says why, the "
            "same command submits again",
            soft_wrap=True,
        )
    if failed or done.unfinished:
        raise typer.Exit(1)


def _device(name: str, threads: int, *, elsewhere: bool) -> torch.device:
    """The device, prepared unless it is another machine's."""
    from benchmark.runner.device import named, prepare

    return named(name) if elsewhere else prepare(name, threads)


def _elsewhere(how: How, device: str, threads: int) -> Executor | None:
    """The executor that the file of `--on` describes, by default a Slurm cluster; None without it.

    Raises:
        LetheError: if the file is not valid, or for options that do not go with it or without it.
    """
    if how.on is None:
        if how.wait:
            raise LetheError("--wait is for tasks on a cluster: name its file with --on")
        return None
    from benchmark.study.executors import slurm
    from benchmark.study.executors.executor import KIND, Asked

    if how.jobs != 1:
        raise LetheError("--jobs is for runs here: with --on every unit is a task of its own")
    settings = slurm.read(how.on)
    kind = KIND.find(str(settings.pop("executor", "slurm")))
    return kind.of(Asked(how.on, settings, device, threads, how.track, how.wait, out.print))


def _gpus(how: How) -> bool | None:
    """Whether the cluster that `--on` names has GPUs; None without it."""
    if how.on is None:
        return None
    from benchmark.study.executors import slurm

    return bool(slurm.read(how.on).get("gpus"))


def _asked(
    names: list[str], groups: list[str], profiles: list[str] | None
) -> list[tuple[str, str | None]]:
    """The experiments of a command, each with every profile asked for, and none twice.

    Raises:
        LetheError: if there are none, or a group is unknown or has no such profile.
    """
    from benchmark.experiments.facts import groups as known
    from benchmark.experiments.facts import members
    from benchmark.experiments.profile import SMALLER

    if not names and not groups:
        raise LetheError(
            f"name an experiment, or a group with --group: there is {', '.join(known())}"
        )
    scales: list[str | None] = list(profiles) if profiles else [None]
    found = [(name, scale) for name in names for scale in scales]
    for group in groups:
        for scale in scales:
            inside = members(group, scale)
            whole = [name for name, own in inside if own != scale and scale in SMALLER]
            if whole:
                its = ", ".join(dict.fromkeys(whole))
                text = f"without a profile '{scale}', so run as they stand: {its}"
                err.print(text, soft_wrap=True, markup=False)
            found += inside
    return list(dict.fromkeys(found))


def _load(
    asked: list[tuple[str, str | None]], device: str | None, gpus: bool | None = None
) -> tuple[list[Experiment], str]:
    """The experiments, each at a profile, and the device to run them on.

    `gpus` says whether there is a GPU where they will run; None asks this machine.
    """
    import torch

    from benchmark.experiments.experiment import load_here

    gpu = device != "cpu" and (torch.cuda.is_available() if gpus is None else gpus)
    loaded = [load_here(name, profile, gpu=gpu) for name, profile in asked]
    needed = "cuda" if any(one.device == "cuda" for one in loaded) else "cpu"
    return loaded, needed if device is None else device


def _check_seeds(loaded: list[Experiment], seeds: list[int] | None) -> None:
    """Refuse a seed that an experiment does not have: the board would leave its records out."""
    for one in loaded:
        if extra := set(seeds or ()) - set(one.seeds):
            raise LetheError(
                f"experiment {one.name} has no seed {min(extra)}: "
                f"its seeds are {', '.join(map(str, one.seeds))}"
            )


def _writable(results: Path) -> Path:
    """Make the folder of the results and try it, before anything is computed for it.

    Raises:
        LetheError: if it is a file or cannot be written.
    """
    if results.is_file():
        raise LetheError(f"--results {results} is a file: name a folder")
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
        sweep(results)
        return results
    except OSError as error:
        raise LetheError(
            f"--results {results} cannot be written ({error.strerror}): name another folder"
        ) from error


def _render(results: Path, to: Path, only: dict[str, set[str]] | None = None) -> None:
    """Write the board and print its tables, of `only` these rows by experiment."""
    from leaderboard.board import build, terminal_tables

    build(results, to)
    for table in terminal_tables(results, only):
        show(out, table)


def _render_asked(
    results: Path,
    loaded: list[Experiment],
    methods: list[str] | None,
    seeds: list[int] | None,
) -> None:
    """Write the board and print what was asked for; of the rest say how much is not run."""
    from benchmark.collected import exists
    from benchmark.records import Store

    board = results / "leaderboard"
    if methods is None and seeds is None:
        _render(results, board)
        return
    store, names = Store(results), {one.name for one in loaded}
    plans = [plan for plan in store.plans() if plan.experiment in names]
    only = {
        plan.experiment: {r.label for r in plan.rows if methods is None or r.name in methods}
        for plan in plans
    }
    _render(results, board, only)
    every = f"lethe leaderboard --results {quote(str(results))} --to {quote(str(board))}"
    for plan in plans:
        cells = [(row.label, seed) for row in plan.rows for seed in plan.seeds]
        there = sum(exists(store.cell_path(plan.experiment, *cell)) for cell in cells)
        out.print(
            f"{plan.experiment}: {len(cells) - there} of its {len(cells)} cells are not run; "
            f"every row: {every}",
            soft_wrap=True,
        )


def main() -> None:
    """Run the command line; what the user can mend is one line and exit code 2."""
    print_anything()
    with ends.program():
        try:
            try:
                app()
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except LetheError as error:
            err.print(marked("red", "error:", str(error)), soft_wrap=True)
            sys.exit(2)
        except OSError as error:
            text = (
                f"{error.filename} cannot be used ({error.strerror}): check its name and the folder"
            )
            if error.filename is None:
                _give_up_output()
                text = f"the output cannot be written: {error.strerror}"
            err.print(marked("red", "error:", text), soft_wrap=True)
            sys.exit(2)


def _give_up_output() -> None:
    """Throw away what could not be printed, or it would be tried again when Python ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
