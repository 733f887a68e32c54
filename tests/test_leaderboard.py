"""The leaderboard, on records made up here."""

from __future__ import annotations

import csv
import io
import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy.stats import ttest_1samp

from benchmark import json_file
from benchmark.audit.published_noise import SUSPICIOUS
from benchmark.contract.claim import Algorithm, Claim, Distance, Target
from benchmark.contract.definition import verdict
from benchmark.contract.guarantee import Curve, Gaussian
from benchmark.contract.seeds import Seeds
from benchmark.contract.value import Value
from benchmark.errors import LetheError
from benchmark.facts import Facts
from benchmark.records import (
    DataInfo,
    Environment,
    Failure,
    MethodInfo,
    Plan,
    PlannedRow,
    Record,
    Store,
    Times,
    read_record,
)
from benchmark.studies.audit_record import AuditRecord, AuditStudy, Finding
from benchmark.theory.gaussian import m_for
from leaderboard.board import _place, build, check, terminal_tables
from leaderboard.board_readme import column_meanings
from leaderboard.charts import tables as plots
from leaderboard.experiments.problem import problem_page
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import arithmetic, geometric, measured, number, span
from leaderboard.model.ranking import entries, marks, yardsticks
from leaderboard.model.section import Chart, _drawing
from leaderboard.model.shown import erases_the_model, remarks
from leaderboard.model.table import by_data_set, data_set, load, short
from leaderboard.render import drawing
from leaderboard.render.pages import render_html, render_markdown
from leaderboard.render.tables import render_csv
from leaderboard.studies.audit import audit_grid

ROLES = {"retrain": "reference", "other-seed": "floor", "nothing": "ceiling"}
DIRECTIONS = {
    "accuracy_test": "higher",
    "accuracy_test_gap": "zero",
    "attack_gap": "lower",
    "distance": "lower",
    "slack": "lower",
    "control_accuracy_test_gap": "higher",
    "steps_taken": "lower",
    "further_steps": "lower",
    "noise_cost": "zero",
    "audited_epsilon": "none",
}
EVIL = "<script>alert('x')</script>"


def claim(
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    bound: float = 0.02,
    definition: str = "unlearn-on-retain",
    caveats: tuple[str, ...] = (),
    **changes: Any,
) -> Claim:
    """A Gaussian claim of a distance, with (epsilon, delta); `changes` are of its evidence."""
    m = m_for(epsilon, delta)
    fields = {"theorem": "thm5", "reached": bound, "trivial": 1.0} | changes
    return Claim(
        definition=definition,
        guarantee=Gaussian(m=m),
        epsilon=epsilon,
        delta=delta,
        evidence=Distance(bound=bound, sigma=bound / m, **fields),
        caveats=caveats,
    )


def inside(**changes: Any) -> Claim:
    """A claim of a method with noise inside."""
    evidence = Algorithm(theorem="clipped-gradients", sigma=0.1, steps=7)
    fields = {"definition": "reference", "epsilon": 1.0, "delta": 1e-5} | changes
    return Claim(guarantee=Gaussian(m=m_for(1.0, 1e-5)), evidence=evidence, **fields)


PROVED = claim()
CONDITIONAL = claim(caveats=("not checked",))
PAIR = claim(definition="this-pair")
VACUOUS = claim(bound=2.0)


def record(label: str, seed: int = 0, **changes: Any) -> Record:
    """A cell; `metrics` are plain numbers, `unlearn` the seconds it took."""
    numbers = {"accuracy_test_gap": 0.5, "attack_gap": 0.01} | changes.pop("metrics", {})
    claimed = changes.pop("claim", None)
    fields: dict[str, Any] = {
        "key": f"{label}-{seed}",
        "experiment": "toy",
        "status": "ok",
        "method": MethodInfo(
            name=label,
            label=label,
            title=label.title(),
            family="methods",
            role=ROLES.get(label, "entry"),
            certifies=claimed is not None,
            paper="Someone: Something (2024)",
            url="https://example.org/paper",
            params={"damping": 0.25},
        ),
        "seeds": Seeds.all(seed),
        "inputs": {},
        "data": DataInfo(
            name="digits",
            content_hash={"train": "ab" * 32},
            split_hash="",
            forget_hash="",
            train=100,
            negatives=10,
            test=50,
            forget=5,
        ),
        "metrics": {
            key: Value(value=value, direction=DIRECTIONS[key]) for key, value in numbers.items()
        },
        "claim": claimed,
        "verdict": verdict(claimed),
        "times": Times(
            unlearn=changes.pop("unlearn", 0.5),
            phases={"noise": 0.1},
            training=1,
            precomputation=changes.pop("precomputation", 0.0),
            retrain=2,
        ),
        "seconds": 1.0,
        "peak_memory": 2**20,
        "environment": Environment(
            versions={"torch": "2.11"},
            git_revision="0123456789abcdef",
            git_dirty=True,
            platform="Linux",
            cpu="CPU",
            gpu=None,
            device="cpu",
            threads=1,
            load_average=0.5,
        ),
        "finished": "2026-01-02T03:04:05+00:00",
    }
    return Record(**fields | changes)


def failed(label: str, seed: int = 0, message: str = "it broke") -> Record:
    return record(label, seed).model_copy(
        update={
            "status": "failed",
            "metrics": {},
            "times": None,
            "peak_memory": None,
            "failure": Failure(type="ValueError", message=message, where="methods/x.py:3"),
        }
    )


def on_gpu(cell: Record) -> Record:
    environment = cell.environment.model_copy(update={"device": "cuda", "gpu": "H200"})
    return cell.model_copy(update={"environment": environment})


def plan(*labels: str, seeds: tuple[int, ...] = (0, 1, 2)) -> Plan:
    return Plan(
        experiment="toy",
        title="Toy",
        description="A toy.",
        settings={"data": "digits"},
        rows=tuple(
            PlannedRow(
                label=label,
                name=label,
                title=label.title(),
                family="methods",
                role=ROLES.get(label, "entry"),
            )
            for label in labels
        ),
        seeds=seeds,
    )


def facts(**changes: Any) -> Facts:
    known = {
        "data": "digits",
        "data_title": "Digits",
        "features": "unit-pixels",
        "model": "softmax",
        "problem": "Digits, softmax",
        "linear": True,
        "strongly_convex": True,
        "loss": "cross_entropy",
        "ridge": 1e-2,
        "train": None,
        "scenario": "random",
        "forgotten": 5,
        "share": None,
        "requests": 1,
        "target": Target(),
        "study": "toy",
        "profile": None,
        "axis": None,
        "value": None,
        "group": (),
        "trial": False,
    }
    return Facts(**known | changes)


def store(folder: Path, cells: list[Record], planned: Plan | None = None) -> Path:
    place = Store(folder)
    if planned:
        json_file.write(place.plan_path(planned.experiment), planned)
    for cell in cells:
        path = place.cell_path(cell.experiment, cell.method.label, cell.seeds.split)
        json_file.write(path, cell)
    return folder


def seeds_of(label: str, gaps: list[float], **changes: Any) -> list[Record]:
    return [
        record(label, seed, metrics={"accuracy_test_gap": gap}, **changes)
        for seed, gap in enumerate(gaps)
    ]


def formats(results: Path) -> dict[str, str]:
    """The tables' pages in every format, without the plots, which take time."""
    tables = load(results)
    pages = [problem_page(table, [], "leaderboard/results") for table in tables]
    return {
        "markdown": "".join(render_markdown(page) for page in pages),
        "board.csv": render_csv(tables),
        "html": "".join(render_html(page, [], column_meanings()) for page in pages),
    }


def terminal(results: Path, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO())
    for table in terminal_tables(results):
        console.print(table)
    return console.file.getvalue()


# what is written, and that it is reproducible


def test_two_builds_are_equal_whatever_the_order_the_records_were_written_in(tmp_path, monkeypatch):
    cells = [c for x in ("newton", "tune", "retrain") for c in seeds_of(x, [0.1, -0.2, 0.3])]
    planned = plan("newton", "tune", "retrain")
    for place, written in (("a", cells), ("b", cells[::-1])):
        store(tmp_path / place / "runs", written, planned)
    # the page names the folder as it was given
    monkeypatch.chdir(tmp_path / "a")
    first = build(Path("runs"), tmp_path / "out-a")
    monkeypatch.chdir(tmp_path / "b")
    second = build(Path("runs"), tmp_path / "out-b")
    assert "lethe reproduce runs/toy/" in (tmp_path / "out-a" / "site" / "toy.html").read_text()
    assert [p.name for p in first] == [p.name for p in second]
    assert "toy-costs.svg" in {p.name for p in first}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_build_drops_plots_of_experiments_that_are_gone_and_nothing_else(tmp_path):
    board = tmp_path / "board"
    results = store(board / "results", [record("newton"), record("x", experiment="gone")])
    build(results, board)
    stale, kept = board / "site" / "plots" / "gone-costs.svg", board / "plots" / "mine.svg"
    assert stale.exists()
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    shutil.rmtree(results / "gone")
    assert {"site/gone.html", "site/plots/gone-costs.svg"} <= set(check(results, board))
    build(results, board)
    assert not stale.exists()
    assert kept.read_text() == "mine"
    assert check(results, board) == []


@pytest.mark.parametrize(
    "name", ["README.md", "index.html", "seeds.csv", "site/toy.html", "site/plots/toy-costs.svg"]
)
def test_build_never_replaces_what_a_board_did_not_write(tmp_path, name):
    results = store(tmp_path / "results", [record("newton")])
    mine = tmp_path / "project" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("# Mine")
    with pytest.raises(LetheError, match=f"{name} was not written by the board"):
        build(results, tmp_path / "project")
    assert mine.read_text() == "# Mine"
    assert [p for p in (tmp_path / "project").rglob("*") if p.is_file()] == [mine]


def test_a_board_without_its_list_as_in_a_clone_is_still_a_board(tmp_path):
    results, out = store(tmp_path / "results", [record("newton")]), tmp_path / "out"
    build(results, out)
    (out / ".board").unlink()
    mine = out / "site" / "plots" / "mine.svg"
    mine.write_text("<svg/>")
    assert check(results, out) == []
    store(tmp_path / "results", [record("tune")])
    build(results, out)
    assert check(results, out) == []
    assert mine.exists()


def test_rows_that_share_a_title_are_told_apart(tmp_path):
    rows = [record(label) for label in ("one", "two", "three")]
    same = [
        r.model_copy(update={"method": r.method.model_copy(update={"title": "Same"})})
        for r in rows[:2]
    ]
    (table,) = load(store(tmp_path, [*same, rows[2]]))
    assert {row.title for row in table.rows} == {"Same (one)", "Same (two)", "Three"}


def test_retraining_is_as_fast_as_retraining(tmp_path):
    cells = seeds_of("retrain", [0.0, 0.0], unlearn=0.7) + seeds_of("newton", [0.1, 0.2])
    (table,) = load(store(tmp_path, cells))
    (reference,) = yardsticks(table)
    assert reference.estimate(BY_KEY["speedup"]).mean == pytest.approx(1, abs=1e-12)


@pytest.mark.filterwarnings("error:Glyph")
def test_dollars_in_titles_are_no_mathematics(tmp_path):
    odd = record("newton")
    odd = odd.model_copy(update={"method": odd.method.model_copy(update={"title": "a $x_{$ 漢"})})
    titled = plan("newton").model_copy(update={"title": "T $y^{$ [/red]"})
    titled = titled.model_copy(
        update={"rows": (titled.rows[0].model_copy(update={"title": "a $x_{$ 漢"}),)}
    )
    build(store(tmp_path / "results", [odd], titled), tmp_path / "out")
    assert "a $x_{$ 漢" in (tmp_path / "out" / "site" / "toy.html").read_text("utf-8")
    assert "T $y^{$ [/red]" in terminal(tmp_path / "results")


def test_an_address_cannot_leave_its_row(tmp_path):
    odd = record("newton")
    url = 'https://example.org/"><script>|a b`(c)'
    odd = odd.model_copy(update={"method": odd.method.model_copy(update={"url": url})})
    text = formats(store(tmp_path, [odd]))["markdown"]
    (row,) = [line for line in text.splitlines() if "example.org" in line]
    assert "https://example.org/%22%3E%3Cscript%3E%7Ca%20b%60(c%29" in row


def test_a_number_that_cannot_be_averaged_is_refused(tmp_path):
    results = store(tmp_path, [record("newton")])
    path = Store(results).cell_path("toy", "newton", 0)
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 1e308'))
    with pytest.raises(LetheError, match=r"1e\+308 is too large to compute with"):
        load(results)


def test_check_names_what_differs_is_missing_or_is_too_much(tmp_path):
    results, out = store(tmp_path / "results", [record("newton")]), tmp_path / "out"
    build(results, out)
    assert check(results, out) == []
    page = (out / "site" / "toy.html").read_bytes()
    (out / "site" / "toy.html").write_bytes(page.replace(b"Newton", b"Newtom", 1))
    (out / "board.csv").unlink()
    (out / "plots").mkdir(exist_ok=True)
    (out / "plots" / "mine.svg").write_text("")
    (out / ".board").write_text((out / ".board").read_text() + "plots/extra.svg\n")
    (out / "plots" / "extra.svg").write_text("")
    assert check(results, out) == ["board.csv", "plots/extra.svg", "site/toy.html"]
    assert not (out / "board.csv").exists()


def test_a_plot_is_compared_and_drawn_anew_by_its_data(tmp_path):
    results, out = (
        store(tmp_path / "results", [record("newton"), record("retrain")]),
        tmp_path / "o",
    )
    build(results, out)
    plots = {path.name: path for path in (out / "site" / "plots").glob("*.svg")}
    assert "toy-costs.svg" in plots
    for path in plots.values():  # as another version of matplotlib would draw it
        path.write_bytes(path.read_bytes().replace(b"<svg", b"<svg ", 1))
    other = {name: path.read_bytes() for name, path in plots.items()}
    assert check(results, out) == []
    path = Store(results).cell_path("toy", "newton", 0)
    cell = read_record(path)
    load_average = cell.environment.model_copy(update={"load_average": 99.0})
    json_file.write(path, cell.model_copy(update={"environment": load_average}))
    assert not {name for name in check(results, out) if name.endswith(".svg")}
    times = cell.times.model_copy(update={"unlearn": 2 * cell.times.unlearn})
    json_file.write(path, cell.model_copy(update={"times": times}))
    changed = {Path(name).name for name in check(results, out) if name.endswith(".svg")}
    assert "toy-costs.svg" in changed
    build(results, out)
    assert check(results, out) == []
    drawn = {name for name, path in plots.items() if path.read_bytes() != other[name]}
    assert drawn == changed & set(plots)


def test_a_look_at_a_board_whose_plots_are_out_of_date_draws_none(tmp_path, monkeypatch):
    results, out = store(tmp_path / "results", [record("newton"), record("retrain")]), tmp_path
    build(results, out)
    plot = out / "site" / "plots" / "toy-costs.svg"
    plot.write_bytes(b"<svg/>")

    def draw(chart: Chart) -> bytes:
        raise AssertionError(chart.path)

    monkeypatch.setattr(Chart, "svg", property(draw))
    assert check(results, out) == ["site/plots/toy-costs.svg"]


@pytest.mark.parametrize("dies", [False, True])
def test_plots_that_processes_draw_are_those_of_one(tmp_path, monkeypatch, dies):
    cells = [record("newton"), record("retrain"), record("newton", experiment="other")]
    results = store(tmp_path / "results", cells)
    build(results, tmp_path / "one")
    monkeypatch.setattr(drawing, "_SHARE", 1)
    monkeypatch.setattr(drawing, "_cores", lambda: 2)
    monkeypatch.setattr(drawing, "_can_fork", lambda: True)  # whatever threads other tests left
    ours, draw = os.getpid(), Chart.svg.func

    def drawn(chart: Chart) -> bytes:
        if dies and os.getpid() != ours:
            os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / f"by-{os.getpid()}").touch()
        while not dies and len(list(tmp_path.glob("by-*"))) < 2:  # each has a turn
            time.sleep(0.01)
        return draw(chart)

    monkeypatch.setattr(Chart, "svg", property(drawn))
    build(results, tmp_path / "many")
    assert len(list(tmp_path.glob("by-*"))) == (1 if dies else 2)
    one, many = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("one", "many")
    )
    assert one == many
    assert sum(name.endswith(".svg") for name in one) == 2


def test_a_process_with_other_threads_is_not_forked():
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert not drawing._can_fork()
    over.set()
    thread.join()


@pytest.mark.parametrize("there", [False, True])
def test_a_helper_draws_while_its_board_is_there(tmp_path, there):
    chart = Chart("plots/x.svg", "x", lambda: b"<svg/>", ())
    board = os.getpid() if there else os.getppid()
    with drawing._Turns([(tmp_path / "x.svg", chart)]) as turns:
        fork = multiprocessing.get_context("fork")
        helper = fork.Process(target=drawing._help, args=(turns, board))
        helper.start()
        helper.join()
    assert (tmp_path / "x.svg").exists() == there


def test_a_plot_rests_on_the_code_that_orders_and_names_what_it_shows():
    modules = _drawing("leaderboard.charts.tables")
    for name in ("ranking", "columns", "numbers", "words", "table"):
        assert f"leaderboard.model.{name}" in modules
    assert {"leaderboard.charts.tables", "leaderboard.charts.style"} <= set(modules)


def test_a_plot_of_something_whose_content_is_not_known_is_no_plot():
    with pytest.raises(TypeError, match="no plot is drawn from a object"):
        _ = Chart("plots/x.svg", "x", plots.draw_costs, (object(),)).digest


@pytest.mark.parametrize("make", [True, False])
def test_no_results_says_what_to_do(tmp_path, make):
    results = tmp_path / "results"
    if make:
        results.mkdir()
    with pytest.raises(LetheError, match="make demo"):
        build(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_record_is_an_error(tmp_path):
    results = store(tmp_path, [record("newton")])
    Store(results).cell_path("toy", "newton", 0).write_text("{")
    with pytest.raises(LetheError, match="damaged"):
        check(results, tmp_path / "out")


def test_two_records_of_one_cell_are_an_error_not_an_average(tmp_path):
    results = store(tmp_path, [record("newton")])
    shutil.copytree(results / "toy" / "newton", results / "toy" / "copy")
    with pytest.raises(LetheError, match="two records claim"):
        load(results)


# seeds that are not there


def test_missing_and_failed_cells_show_in_every_format(tmp_path):
    cells = [record("newton", 0), record("newton", 1), failed("tune", 0), failed("tune", 1)]
    cells += [record("ascent", 0), failed("ascent", 1, "no | good")]
    results = store(tmp_path / "results", cells, plan("newton", "tune", "ascent", "absent"))
    files = formats(results)
    for name in ("markdown", "html"):
        assert "2/3 seeds, 1 missing" in files[name]
        assert "1/3 seeds, 1 failed, 1 missing" in files[name]
        assert "0/3 seeds, 3 missing" in files[name]
        assert "ValueError: it broke (methods/x.py:3)" in files[name]
        assert "n = 2" in files[name]
    assert "no \\| good" in files["markdown"]
    assert "no | good" in files["html"]
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(files["board.csv"]))}
    status = {label: line["status"] for label, line in lines.items()}
    assert status == {
        "newton": "incomplete",
        "ascent": "incomplete",
        "tune": "failed",
        "absent": "missing",
    }
    assert lines["newton"]["seeds_missing"] == "1"
    assert lines["ascent"]["seeds_failed"] == "1"
    assert lines["newton"]["accuracy_test_gap_n"] == "2"
    assert lines["tune"]["accuracy_test_gap_mean"] == ""
    assert "1/3, 1 failed, 1 missing" in terminal(results)


def test_an_experiment_without_a_plan_is_listed(tmp_path):
    results = store(tmp_path / "results", [record("newton")])
    files = formats(results)
    assert "no plan" in files["markdown"]
    assert "no plan" in files["html"]
    assert "toy,cpu,entry,newton" in files["board.csv"]


def test_seeds_outside_the_plan_are_left_out_aloud(tmp_path):
    stray = record("newton", 7, metrics={"accuracy_test_gap": 90.0})
    cells = [*seeds_of("newton", [0.0, 0.0, 0.0]), stray]
    results = store(tmp_path / "results", cells, plan("newton"))
    (table,) = load(results)
    assert table.rows[0].estimate(BY_KEY["accuracy_test_gap"]).mean == 0
    assert "seeds that the plan does not have (7)" in formats(results)["markdown"]


def test_rows_of_different_settings_are_pointed_out(tmp_path):
    cells = [record("newton", s, inputs={"problem": {"n": s}, "params": s}) for s in (0, 1)]
    results = store(tmp_path / "results", cells)
    text = formats(results)["html"]
    assert "different settings of the experiment" in text
    assert "Newton: its seeds ran with different parameters or source" in text


def test_an_experiment_that_mixes_processors_is_pointed_out(tmp_path):
    cells = seeds_of("newton", [0.0, 0.0, 0.0])
    assert "processors" not in "".join(remarks(*load(store(tmp_path / "one", cells))))
    slower = cells[0].environment.model_copy(update={"cpu": "Abacus", "node": "n2"})
    cells[0] = cells[0].model_copy(update={"environment": slower})
    said = "different processors, which differ in speed: Abacus, 1 of 3 records; "
    files = formats(store(tmp_path / "two", cells))
    assert said in files["html"]
    assert said in files["markdown"]


def test_devices_never_share_a_table(tmp_path):
    cells = [record("newton", 0), on_gpu(record("tune", 0))]
    results = store(tmp_path / "results", cells, plan("newton", "tune", seeds=(0,)))
    cpu, gpu = load(results)
    assert (cpu.device, gpu.device) == ("cpu", "cuda · H200")
    assert {row.label: row.void for row in cpu.rows} == {"newton": "", "tune": "missing"}
    assert {row.label: row.void for row in gpu.rows} == {"newton": "missing", "tune": ""}
    assert cpu.slug != gpu.slug


# intervals, order and best


def test_interval_is_that_of_the_t_test():
    values = [0.3, -0.1, 0.45, 0.2, 0.05]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    estimate = arithmetic(values)
    assert estimate.mean - estimate.spread == pytest.approx(low)
    assert estimate.mean + estimate.spread == pytest.approx(high)
    assert estimate.n == 5
    assert arithmetic([0.3]).spread is None


def test_geometric_mean_and_its_factor():
    estimate = geometric([1.0, 100.0])
    low, high = ttest_1samp([0, math.log(100)], 0).confidence_interval(0.95)
    assert estimate.mean == pytest.approx(10)
    assert estimate.mean * estimate.spread == pytest.approx(math.exp(high))
    assert estimate.mean / estimate.spread == pytest.approx(math.exp(low))


def test_speedup_is_the_geometric_mean_of_ratios(tmp_path):
    cells = [record("newton", 0, unlearn=2.0), record("newton", 1, unlearn=0.02)]
    (table,) = load(store(tmp_path, cells))
    assert table.rows[0].estimate(BY_KEY["speedup"]).mean == pytest.approx(10)


def test_order_is_yardsticks_then_verdict_then_gap_then_label(tmp_path):
    cells = [
        *seeds_of("vacuous", [0.0], claim=VACUOUS),
        *seeds_of("pair", [0.0], claim=PAIR),
        *seeds_of("wide", [3.0, -3.0], claim=PROVED),
        *seeds_of("narrow", [1.0, 1.0], claim=PROVED),
        *seeds_of("a-twin", [1.0, -1.0], claim=PROVED),
        record("weaker", 0, claim=PROVED),
        record("weaker", 1, claim=CONDITIONAL),
        *seeds_of("plain", [0.0]),
        failed("broken"),
        *[record(label) for label in ("nothing", "other-seed", "retrain")],
    ]
    (table,) = load(store(tmp_path, cells))
    assert [row.label for row in yardsticks(table)] == ["retrain", "other-seed", "nothing"]
    order = ["a-twin", "narrow", "wide", "weaker", "pair", "vacuous", "plain", "broken"]
    assert [row.label for row in entries(table)] == order
    assert {row.label: row.verdict for row in table.rows}["weaker"] == "conditional"


def test_best_of_a_gap_is_nearest_to_zero_seed_by_seed(tmp_path):
    cells = seeds_of("swings", [-9.0, 9.0, 9.1]) + seeds_of("steady", [1.0, 1.1, 1.0])
    cells += seeds_of("low", [-30.0, -30.0, -31.0])
    (table,) = load(store(tmp_path, cells))
    found = marks(table)
    assert found["accuracy_test_gap", "steady"] == "best"
    assert ("accuracy_test_gap", "swings") not in found
    assert ("accuracy_test_gap", "low") not in found


def test_ties_follow_the_paired_interval_by_hand(tmp_path):
    # |gap| less the best's: (0, 0.1, 0.2), mean 0.1, sd 0.1; half-width 4.303 * 0.1 / sqrt 3 =
    # 0.248 holds 0. For `far`: (0.9, 1.0, 1.1), mean 1, the same half-width, does not.
    cells = seeds_of("best", [0.1, 0.1, 0.1]) + seeds_of("close", [0.1, -0.2, 0.3])
    cells += seeds_of("far", [1.0, -1.1, 1.2])
    (table,) = load(store(tmp_path, cells))
    found = marks(table)
    assert found["accuracy_test_gap", "best"] == "best"
    assert found["accuracy_test_gap", "close"] == "tied"
    assert ("accuracy_test_gap", "far") not in found


def test_with_one_seed_only_equals_tie(tmp_path):
    cells = [c for x, g in (("a", 0.1), ("b", -0.1), ("c", 0.2)) for c in seeds_of(x, [g])]
    found = marks(load(store(tmp_path, cells))[0])
    gaps = {label: mark for (key, label), mark in found.items() if key == "accuracy_test_gap"}
    assert gaps == {"a": "best", "b": "tied"}


def test_a_row_lacking_seeds_or_a_yardstick_is_never_best(tmp_path):
    cells = seeds_of("lacking", [0.0, 0.0]) + seeds_of("retrain", [0.0, 0.0, 0.0])
    cells += seeds_of("whole", [1.0, 1.0, 1.1]) + seeds_of("worse", [5.0, 5.0, 5.1])
    found = marks(load(store(tmp_path, cells, plan("lacking", "whole", "worse", "retrain")))[0])
    gaps = {label: mark for (key, label), mark in found.items() if key == "accuracy_test_gap"}
    assert gaps == {"whole": "best"}


def test_rows_that_claim_nothing_of_unlearning_never_win_on_slack(tmp_path):
    claims = {
        "empty": VACUOUS,
        "yardstick": PAIR,
        "wrong": PROVED,
        "sound": PROVED,
        "loose": PROVED,
    }
    slacks = {"empty": 1.1, "yardstick": 1.05, "wrong": 0.5, "sound": 3.0, "loose": 9.0}
    cells = [
        record(label, claim=claims[label], metrics={"slack": slack})
        for label, slack in slacks.items()
    ]
    found = marks(load(store(tmp_path, cells))[0])
    assert {label: m for (key, label), m in found.items() if key == "slack"} == {"sound": "best"}


def test_a_claim_about_one_pair_has_a_badge_of_its_own_in_every_format(tmp_path):
    cells = seeds_of("newton", [0.1, 0.2], claim=PAIR)
    results = store(tmp_path / "results", cells)
    files = formats(results)
    assert '<span class="badge pair">this pair only</span>' in files["html"]
    assert "| this pair only |" in files["markdown"]
    for text in (files["html"], files["markdown"]):
        assert "this pair of Gaussians only" in text
    assert "this pair only" in terminal(results, 160)
    (line,) = csv.DictReader(io.StringIO(files["board.csv"]))
    assert (line["verdict"], line["definition"]) == ("pair", "this-pair")
    assert (line["guarantee"], line["evidence"]) == ("gaussian", "distance")


RESULTS = Path(__file__).resolve().parents[1] / "leaderboard" / "results"


def test_nothing_on_the_board_is_both_proved_and_about_one_pair():
    tables = load(RESULTS)
    for cell in (cell for table in tables for cell in table.records):
        place = f"{cell.experiment}, {cell.method.label}, seed {cell.seeds.split}"
        if cell.claim is not None and cell.claim.definition == "this-pair":
            assert cell.verdict in ("pair", "vacuous"), place
        if cell.status == "ok" and not cell.stream:
            assert cell.verdict == verdict(cell.claim), place
    for line in csv.DictReader(io.StringIO(render_csv(tables))):
        if "this-pair" in line["definition"]:
            assert line["verdict"] in ("pair", "vacuous"), (line["experiment"], line["label"])


def test_violation_is_said_in_every_format(tmp_path):
    # the mean slack is above 1: one seed below it is enough
    cells = [
        record("newton", s, claim=PROVED, metrics={"slack": slack, "distance": 0.02 / slack})
        for s, slack in enumerate((5.0, 0.8, 5.0))
    ]
    cells += seeds_of("tune", [0.0, 0.0, 0.0])
    results = store(tmp_path / "results", cells, plan("newton", "tune"))
    files = formats(results)
    assert 'class="violated"' in files["html"]
    said = "the slack is 0.800, below 1; the distance is 0.0250, beyond the bound 0.0200"
    assert f"Violated on seed 1: {said}." in files["html"]
    assert "| 🔴 [Newton](" in files["markdown"]
    assert "| proved **violated** |" in files["markdown"]
    assert f"Newton, seed 1: violated, {said}." in files["markdown"]
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(files["board.csv"]))}
    assert lines["newton"]["violated"] == said
    assert lines["newton"]["verdict"] == "proved"
    assert lines["tune"]["violated"] == ""
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(*terminal_tables(results))
    (line,) = [x for x in console.file.getvalue().splitlines() if "Newton" in x]
    assert "violated" in line
    assert "\x1b[31m" in line
    fine = store(tmp_path / "fine", seeds_of("tune", [0.0]))
    assert 'class="violated"' not in formats(fine)["html"]


# syntax


class Balance(HTMLParser):
    """Fails on a tag that is closed out of turn; collects ids, links and texts."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.targets += [named[name] for name in ("href", "src") if name in named]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


@pytest.fixture
def evil(tmp_path) -> Path:
    bad = record("evil", 0, claim=CONDITIONAL)
    method = bad.method.model_copy(
        update={"title": EVIL, "paper": EVIL, "url": "javascript:alert(1)", "params": {"a": EVIL}}
    )
    cells = [
        bad.model_copy(update={"method": method}),
        failed("evil", 1, EVIL).model_copy(update={"method": method}),
        record("evil", 2).model_copy(update={"method": method}),
        record("newton", 0, claim=PROVED, metrics={"distance": 0.01, "slack": 2.0}),
    ]
    return store(tmp_path / "results", cells)


def test_page_is_well_formed_and_whole(evil, tmp_path):
    build(evil, tmp_path / "out")
    pages = [tmp_path / "out" / "index.html", *(tmp_path / "out" / "site").glob("*.html")]
    assert {"toy.html", "answers.html", "problems.html", "words.html"} <= {p.name for p in pages}
    for page in pages:
        parser = Balance()
        parser.feed(page.read_text())
        parser.close()
        assert parser.open == []
        assert len(parser.ids) == len(set(parser.ids)), page.name
        for target in parser.targets:
            if target.startswith("#"):
                assert target[1:] in parser.ids
            elif not target.startswith(("https://", "data:")):
                assert (page.parent / target.partition("#")[0]).is_file(), target


def test_texts_of_others_are_escaped(evil):
    files = formats(evil)
    parser = Balance()
    parser.feed(files["html"])
    assert parser.scripts == 0
    assert "&lt;script&gt;" in files["html"]
    assert "javascript:" not in files["html"]
    assert "<script" not in files["markdown"]
    assert "javascript:" not in files["markdown"]
    assert "<script>" in terminal(evil, 200)


def test_page_shows_a_claim_in_two_parts_with_its_constants_and_ranges(tmp_path):
    def constant(name: str, provenance: str) -> dict[str, Any]:
        return {"name": name, "value": 4.25, "provenance": provenance, "meaning": f"of {name}"}

    claims = [
        claim(
            bound=0.02,
            constants=[constant("curvature", "assumed")],
            measured=[constant("steps_taken", "measured")],
            alternatives=[{"theorem": "thm4", "value": 0.75, "proved": False}],
            caveats=("not convex",),
        ),
        claim(bound=0.04),
    ]
    cells = [record("newton", s, claim=claimed) for s, claimed in enumerate(claims)]
    page = formats(store(tmp_path / "results", cells))["html"]
    published, rest = page.split("What is published<")[1].split("What only the reader")
    for text in ("curvature", "4.25", "assumed", "of curvature", "not convex", "0.268"):
        assert text in published
    assert "arXiv 2510.13094" in published
    assert "the retrained model, put through the same method with nothing to forget" in published
    assert "Some of it depends on the forgotten rows" in published
    assert "over seeds, the bound is 0.0200 to 0.0400" in published
    for text in ("gradient residual (thm5)", "step residual (thm4)", "steps_taken", "0.750"):
        assert text in rest
        assert text not in published
    assert "This part is not part of the release" in rest
    assert ".venv/bin/lethe reproduce leaderboard/results/toy/newton/seed-0.json" in page
    assert "2.00 s to retrain, 0.500 s to unlearn" in page


def test_of_a_curve_m_is_of_a_gaussian_that_is_no_better(tmp_path):
    curve = Curve(points=((1.0, 1e-5),), m=0.5)
    cells = [
        record("newton", claim=PROVED),
        record("private", claim=inside().model_copy(update={"guarantee": curve})),
        record("retrain", claim=Claim.by_construction("retrained from scratch")),
    ]
    files = formats(store(tmp_path / "results", cells))
    for text in (files["markdown"], files["html"]):
        assert "m\xa0=\xa00.268" in text
        assert "m\xa0≤\xa00.500" in text
        assert "no better anywhere" in text
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(files["board.csv"]))}
    assert float(lines["newton"]["m_mean"]) == pytest.approx(0.268, abs=1e-3)
    assert float(lines["newton"]["bound_mean"]) == 0.02
    assert float(lines["newton"]["reached_mean"]) == 0.02
    assert (lines["private"]["bound_mean"], lines["private"]["sigma_mean"]) == ("", "0.1")
    assert (lines["private"]["guarantee"], lines["private"]["evidence"]) == ("curve", "algorithm")
    assert (lines["retrain"]["evidence"], lines["retrain"]["m_mean"]) == ("construction", "0")


def test_the_committed_records_are_named_from_the_repositorys_root(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[1]
    monkeypatch.chdir(root / "tests")
    for given in (Path("../leaderboard/results"), root / "leaderboard" / "results"):
        assert _place(given) == "leaderboard/results"
    assert _place(tmp_path) == str(tmp_path)


def test_page_says_that_the_working_tree_was_dirty(tmp_path):
    page = formats(store(tmp_path / "results", [record("newton")]))["html"]
    assert "yes, in 1 of 1 records" in page
    assert "0123456789ab<" in page


def test_csv_holds_raw_numbers(tmp_path):
    cells = seeds_of("newton", [0.1, 0.2, 0.4], claim=PROVED)
    text = formats(store(tmp_path / "results", cells))["board.csv"]
    (line,) = csv.DictReader(io.StringIO(text))
    expected = arithmetic([0.1, 0.2, 0.4])
    assert float(line["accuracy_test_gap_mean"]) == pytest.approx(expected.mean)
    assert float(line["accuracy_test_gap_half_width"]) == pytest.approx(expected.spread)
    assert line["accuracy_test_gap_n"] == "3"
    assert float(line["epsilon_mean"]) == 1
    assert float(line["speedup_geometric_mean"]) == pytest.approx(4)


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_shows_every_row_within_the_width(tmp_path, width):
    cells = [c for x in ("retrain", "newton") for c in seeds_of(x, [0.1, -0.25, 0.3])]
    cells += seeds_of("tune", [0.1, 0.2])
    text = terminal(store(tmp_path, cells, plan("retrain", "newton", "tune")), width)
    for title in ("Retrain", "Newton", "Tune", "3/3", "Seeds", "Toy (cpu)"):
        assert title in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (8.04e8, 2, "8.0×10⁸"),
        (1e-5, 2, "1.0×10⁻⁵"),
        (0.0025, 3, "0.00250"),
        (88.9168, 3, "88.9"),
        (-0.25, 2, "−0.25"),
        (12345.6, 3, "12346"),
        (0.9996, 3, "1.00"),
        (99999.6, 3, "1.00×10⁵"),
        (5e-324, 2, "4.9×10⁻³²⁴"),
        (-1e308, 2, "−1.0×10³⁰⁸"),
        (-math.inf, 2, "−∞"),
    ],
)
def test_number(value, digits, text):
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("mean", "half_width", "texts"),
    [
        (88.91687, 2.2345, ("88.9", "2.2")),
        (-85.8, 4.54, ("−85.8", "4.5")),
        (0.0812, 0.4612, ("0.08", "0.46")),
        (-0.0004, 0.31, ("0.00", "0.31")),
        (2.2e-4, 1.3e-5, ("2.20×10⁻⁴", "0.13×10⁻⁴")),
        (3.1153e6, 2.6e6, ("3.1×10⁶", "2.6×10⁶")),
        (88.91687, 1e-6, ("88.92", "1.0×10⁻⁶")),
        (1.5, None, ("1.50", "")),
        (1.5, 0.0, ("1.50", "0")),
        (0.0, 0.0, ("0", "0")),
        (1e308, math.inf, ("1.00×10³⁰⁸", "∞")),
        (5e-324, 5e-324, ("4.9×10⁻³²⁴", "4.9×10⁻³²⁴")),
    ],
)
def test_measured(mean, half_width, texts):
    assert measured(mean, half_width) == texts


def test_a_gap_carries_its_sign_and_a_span_its_ends():
    assert measured(0.42, 0.1, signed=True) == ("+0.42", "0.10")
    assert measured(0.0, 0.1, signed=True)[0] == "0.00"
    assert span([0.02, 0.04]) == "0.0200 to 0.0400"
    assert span([0.02, 0.020000001]) == "0.0200"


def test_page_shows_every_release_of_a_stream(tmp_path):
    steps = [
        {
            "epsilon": 1.0,
            "composed_epsilon": composed,
            "measured_epsilon": measured_epsilon,
            "m": 0.25,
            "sigma": 0.5,
            "bound": 0.25,
            "reached": 0.0625,
            "steps": 3,
            "seconds": 0.125,
        }
        for composed, measured_epsilon in ((1.0, 0.375), (1.4375, None))
    ]
    plain = record("newton", claim=claim(bound=0.25))
    streamed = Record.model_validate(plain.model_dump(mode="json") | {"stream": steps})
    files = formats(store(tmp_path / "results", [streamed]))
    assert "Releases, one after the other" in files["html"]
    for text in ("1.44", "0.0625", "0.375", '<span class="mean">3</span>'):
        assert text in files["html"]
    assert "ε 1.4 composed" in files["markdown"]


def test_time_spent_once_is_won_back_after_some_requests():
    once = BY_KEY["pays_after"].read
    assert once(record("newton")) is None, "nothing is spent beforehand"
    assert once(record("newton", precomputation=4.0, unlearn=0.5)).value == 3  # 2 - 0.5 s saved
    assert once(record("newton", precomputation=4.0, unlearn=2.5)) is None, "never"


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({"audited_epsilon": 0.9, "slack": 1.0, "distance": 0.02, "noise_p": SUSPICIOUS}, ""),
        ({"audited_epsilon": 1.1}, "ε is at least 1.10, above the certified 1.00"),
        ({"slack": 0.5}, "the slack is 0.500, below 1"),
        ({"distance": 0.04}, "the distance is 0.0400, beyond the bound 0.0200"),
        ({"noise_p": 1e-5}, "published noise: half of it is missing"),
    ],
)
def test_what_a_claim_rules_out_is_a_violation_and_named(tmp_path, metrics, text):
    plain = record("newton", claim=PROVED)
    content = plain.model_dump(mode="json")
    content["metrics"] |= {
        name: {"value": value, "note": "half of it is missing"} for name, value in metrics.items()
    }
    files = formats(store(tmp_path, [Record.model_validate(content)]))
    assert ("| proved **violated** |" in files["markdown"]) == bool(text)
    if text:
        assert f"Newton, seed 0: violated, {text}." in files["markdown"]
        assert f"Violated on seed 0: {text}." in files["html"]


def test_whole_runs_say_what_refutes_a_claim_and_what_hardly_could_be():
    def finding(title: str, outcome: str, **changes: Any) -> AuditRecord:
        fields = {"epsilon": 1.0, "lower": 0.5, "resolution": 2.0, "reason": ""} | changes
        found = Finding(
            definition="this-pair",
            delta=1e-5,
            verdict="pair",
            score="projection",
            runs=32,
            confidence=0.95,
            outcome=outcome,
            **fields,
        )
        info = MethodInfo.model_construct(title=title)
        return AuditRecord.model_construct(experiment="toy", method=info, finding=found)

    findings = (
        finding("Wrong", "refuted", lower=1.5, reason="epsilon is at least 1.5"),
        finding("Close", "not refuted", resolution=1.02),
        finding("Far", "not refuted"),
        finding("Beyond", "not falsifiable", resolution=0.9),
    )
    study = AuditStudy(findings, {"toy, Silent": "no"}, ("toy · Absent",))
    grid = audit_grid(study)
    outcomes = {line.title: line.cells[-1].text for line in grid.lines}
    assert outcomes == {
        "toy: Wrong": "🔴 refuted: epsilon is at least 1.5",
        "toy: Close": "not refuted (hardly could be)",
        "toy: Far": "not refuted",
        "toy: Beyond": "not falsifiable at 32",
        "toy, Silent": "no answer",
        "toy · Absent": "missing",
    }
    assert {len(line.cells) for line in grid.lines} == {len(grid.headings)}
    assert grid.lines[0].remark == "this pair only, this pair of Gaussians only"


def test_steps_are_shown_with_those_beyond_the_methods_own(tmp_path):
    cells = [
        record("newton", s, claim=PROVED, metrics={"steps_taken": 1 + more, "further_steps": more})
        for s, more in enumerate((0, 1, 2))
    ]
    cells += [
        record("chord", s, claim=PROVED, metrics={"steps_taken": 2, "further_steps": 0})
        for s in range(3)
    ]
    files = formats(store(tmp_path, cells))
    assert "| 2.0 ± 2.5 (1.0 beyond its own) ≈ |" in files["markdown"]
    assert "| **2** |" in files["markdown"]
    assert '<span class="spread">± 2.5 (1.0 beyond its own)</span>' in files["html"]


def test_why_published_noise_has_no_size_is_said_once_for_all_rows(tmp_path):
    content = [record(label, claim=inside()).model_dump(mode="json") for label in ("a", "b")]
    for cell in content:
        cell["metrics"]["noise_p"] = {"value": None, "note": "drawn while training"}
    sized = record("newton", claim=PROVED).model_dump(mode="json")
    sized["metrics"] |= {
        "noise_p": {"value": 0.5, "note": "noise passes"},
        "noise_scale": {"value": 1.0},
    }
    files = formats(store(tmp_path, list(map(Record.model_validate, [*content, sized]))))
    for text in (files["markdown"], files["html"]):
        assert text.count("No published noise for 2 rows (A; B): drawn while training.") == 1
        assert "Published noise" in text
    assert "noise passes" in files["html"]


def test_a_row_no_better_than_its_noise_only_control_erases_the_model(tmp_path):
    # half-width 4.303 * 1 / sqrt 3 = 2.48: the first interval holds 0, the second does not
    gaps = {"blank": (1.0, 2.0, 3.0), "better": (2.0, 3.0, 4.0), "worse": (-3.0, -3.1, -3.2)}
    cells = [
        record(label, s, claim=inside(), metrics={"control_accuracy_test_gap": gap})
        for label, values in gaps.items()
        for s, gap in enumerate(values)
    ]
    cells += seeds_of("newton", [0.0, 0.0, 0.0])
    files = formats(store(tmp_path, cells))
    for text in (files["markdown"], files["html"]):
        assert "Gain over control" in text
        assert "Erases the model: 2 rows (Blank; Worse)." in text
        assert "One seed has no interval" not in text
    assert "0.100 at each of 7 noisy steps" in files["html"]
    lines = {line["label"]: line for line in csv.DictReader(io.StringIO(files["board.csv"]))}
    assert float(lines["better"]["control_accuracy_test_gap_mean"]) == pytest.approx(3.0)
    assert lines["newton"]["control_accuracy_test_gap_mean"] == ""


def test_one_seed_says_nothing_of_a_row_and_its_noise_only_control(tmp_path):
    over = {"control_accuracy_test_gap": -3.0}
    (table,) = load(store(tmp_path, [record("noisy", metrics=over), record("newton")]))
    assert not any(map(erases_the_model, table.rows))
    assert remarks(table)[-1] == (
        "Not compared with its noise-only control: Noisy. One seed has no interval."
    )


def test_tables_are_listed_by_data_set_and_counted_as_people_count(tmp_path):
    titles = (
        "MNIST, 10 of 55,000",
        "MNIST, 5,000 of 55,000",
        "MNIST, 9 of 55,000",
        "SVHN (part, our own), MLP",
        "SVHN (part, our own)",
    )
    sets = ["MNIST"] * 3 + ["SVHN (part, our own)"] * 2
    for i, (title, data) in enumerate(zip(titles, sets, strict=True)):
        known = facts(data_title=data)
        changes = {"title": title, "experiment": f"toy-{i}", "facts": known}
        named = plan("newton").model_copy(update=changes)
        json_file.write(Store(tmp_path).plan_path(f"toy-{i}"), named)
    tables = load(tmp_path)
    found = by_data_set(tables)
    assert {name: [table.title for table in members] for name, members in found.items()} == {
        "MNIST": [titles[2], titles[0], titles[1]],
        "SVHN (part, our own)": [titles[4], titles[3]],
    }
    assert [short(table) for table in found["SVHN (part, our own)"]] == [
        f"{titles[4]} (not run yet)",
        "MLP (not run yet)",
    ]
    build(tmp_path, tmp_path / "out")
    text = (tmp_path / "out" / "site" / "problems.html").read_text()
    places = [
        text.index(f">{count}") for count in ("9 of 55,000", "10 of 55,000", "5,000 of 55,000")
    ]
    assert places == sorted(places)
    page = (tmp_path / "out" / "README.md").read_text()
    assert "of 0 problems. The other 5 have none" in page


def test_a_plan_of_an_earlier_version_is_shown_with_what_its_records_know(tmp_path):
    titled = {"title": "MNIST, by its title"}
    old = plan("newton").model_copy(update=titled)
    other = plan("newton").model_copy(update=titled | {"experiment": "unknown"})
    json_file.write(Store(tmp_path).plan_path("unknown"), other)
    results = store(tmp_path, [record("newton")], old)
    assert '"facts"' not in Store(results).plan_path("toy").read_text()
    known, unknown = load(results)
    assert known.facts is None
    assert data_set(known) == record("newton").data.name, "never the title's first words"
    assert data_set(unknown) == "Other"
    files = formats(results)
    assert "MNIST, by its title" in files["markdown"]


def test_columns_that_no_row_fills_are_left_out(tmp_path):
    """Also where the first group has none, whose heading spans the certified pair."""
    bare = {"accuracy_test_gap": 0.5}
    files = formats(store(tmp_path / "results", [record("tune", metrics=bare)]))
    page, markdown = files["html"], files["markdown"]
    heading = '<th scope="col" class="number first">'
    assert "Guarantee" in page
    assert "Capacity" not in page
    assert heading in page
    assert "Slack |" not in markdown
    assert "Test gap (points) |" in markdown
