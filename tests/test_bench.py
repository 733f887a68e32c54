"""Solver timings: the baseline, the libraries, the studies, their records and their board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import linalg
from torch import Tensor

from benchmark import cli, json_file, records
from benchmark.bench import operators
from benchmark.bench.contender import (
    ROUNDS,
    Official,
    Ours,
    Recursion,
    Task,
    Unsolvable,
    contenders,
    double_backward,
    find_contender,
    peak_memory,
    rounds,
)
from benchmark.bench.operators import OPERATORS, flops, reference
from benchmark.bench.peers import (
    Worker,
    Workers,
    as_module,
    curvlinops_solver,
    dattri_solver,
    iterations,
)
from benchmark.bench.record import (
    CLOCK,
    TOLERANCES,
    DampingInfo,
    Outcome,
    ProductInfo,
    ProductRecord,
    SolverInfo,
    SolverRecord,
    SystemInfo,
    solver_path,
)
from benchmark.bench.systems import RULES, SPECS, Bench, Size, prepare, specs
from benchmark.data import catalogue
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.problem.model import AllCNNSpec, Model, ResNet18Spec
from benchmark.problem.problem import Problem
from benchmark.records import Environment
from benchmark.rows import Rows
from benchmark.runner.plans import plan_of
from benchmark.solvers.solver import SOLVERS, System
from benchmark.studies.solvers import SolverTimings, Solves
from benchmark.study.run import run as run_study
from benchmark.study.study import of_kind
from leaderboard.board import build, check
from leaderboard.charts import solvers as chart
from leaderboard.model.section import Page
from leaderboard.model.table import Evidence
from leaderboard.render.pages import render_markdown
from leaderboard.studies.solvers import (
    HEADING,
    MISSING,
    Record,
    device,
    read,
    sections,
    timing_tables,
)
from tests import problems, tiny_experiment

ROOT = Path(__file__).resolve().parents[1]
QUIET = tiny_experiment.QUIET


def small_system(damping: float = 0.05, rows: Rows | None = None) -> System:
    """Softmax regression in float64, at weights away from the optimum."""
    problem = problems.softmax()
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(problem.model.dimension, generator=generator, dtype=torch.float64)
    rows = problem.train if rows is None else rows
    return System(problem, weights, rows, damping, problem.gradient(weights, rows))


def dense(system: System) -> Tensor:
    """H + lambda I by brute force, (d, d)."""
    hessian = torch.autograd.functional.hessian(
        lambda w: system.problem.loss(w, system.rows), system.weights
    )
    return hessian + system.damping * torch.eye(len(system.b), dtype=hessian.dtype)


# --- the official recursion ---------------------------------------------------------------------


def test_a_double_backward_is_the_hessian_of_those_rows() -> None:
    system = small_system()
    part = system.rows.take(torch.arange(7))
    v = torch.linspace(-1, 1, len(system.b), dtype=torch.float64)
    brute = torch.autograd.functional.hessian(
        lambda w: system.problem.loss(w, part), system.weights
    )
    torch.testing.assert_close(double_backward(system, part, v), brute @ v)


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_on_rows_that_are_all_alike_the_recursion_is_a_geometric_series(depth: int) -> None:
    alike = problems.softmax().train.take(torch.zeros(9, dtype=torch.int64))
    system, scale = small_system(rows=alike), 3.0
    a = dense(system) / scale
    shrinking = torch.eye(len(a), dtype=a.dtype) - a
    terms = [torch.linalg.matrix_power(shrinking, k) @ system.b for k in range(depth + 1)]
    found = Recursion(chains=2, depth=depth, batch=3).solve(system, scale, torch.Generator())
    torch.testing.assert_close(found, sum(terms) / scale)


def test_the_recursion_nears_the_solution_and_more_chains_near_it_further() -> None:
    system = small_system(damping=1.0)
    exact = torch.linalg.solve(dense(system), system.b)

    def error(chains: int) -> float:
        recursion = Recursion(chains=chains, depth=150, batch=5)
        x = recursion.solve(system, 20.0, torch.Generator().manual_seed(0))
        return float((x - exact).norm() / exact.norm())

    assert error(12) < error(1) < 0.5


# --- peers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["zero", "b"])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6])
def test_the_least_iterations_are_those_of_an_independent_conjugate_gradients(
    start: str, tolerance: float
) -> None:
    system = small_system()
    a, b = dense(system).numpy(), system.b.numpy()
    x0 = np.zeros_like(b) if start == "zero" else b

    def residual(k: int) -> float:
        x, _ = linalg.cg(a, b, x0=x0.copy(), rtol=0, atol=0, maxiter=k) if k else (x0, 0)
        return float(np.linalg.norm(b - a @ x) / np.linalg.norm(b))

    k = iterations(system.operator, system.b, start=start, tolerance=tolerance, limit=100)
    assert k is not None
    assert residual(k) <= tolerance * (1 + 1e-6)
    assert k == 0 or residual(k - 1) > tolerance


def test_no_number_of_iterations_does_for_an_indefinite_system_or_a_small_limit() -> None:
    b = torch.tensor([1.0, 1.0, 1.0])
    indefinite = torch.diag(torch.tensor([1.0, 2.0, -4.0]))
    assert iterations(indefinite, b, start="zero", tolerance=1e-3, limit=9) is None
    spread = torch.diag(torch.tensor([1.0, 10.0, 100.0]))
    assert iterations(spread, b, start="zero", tolerance=1e-3, limit=1) is None
    assert iterations(spread, b, start="zero", tolerance=1e-3, limit=3) == 3


def test_a_module_is_the_model_at_the_systems_weights() -> None:
    problem = problems.mlp()
    weights = problem.model.initial_weights(torch.Generator().manual_seed(1)).float()
    system = System(problem, weights, problem.train, 1.0, weights)
    state = torch.get_rng_state()
    module = as_module(system)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(module(problem.train.x), problem.model(weights, problem.train.x))
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert not (weights == 0).any()  # a copy


@pytest.mark.parametrize(
    ("library", "open_solver"), [("curvlinops", curvlinops_solver), ("dattri", dattri_solver)]
)
def test_a_library_solves_the_same_system(library: str, open_solver: Callable) -> None:
    pytest.importorskip(library)
    system = small_system(damping=0.3)
    exact = torch.linalg.solve(dense(system), system.b)
    found = open_solver(system)(len(system.b))
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-8)


def test_an_environment_without_pydvl_is_one_line() -> None:
    worker = Worker(Path(sys.executable), small_system())
    try:
        with pytest.raises(LetheError, match="pyDVL") as caught:
            worker.solve(1.0, 2)
    finally:
        worker.close()
    assert "pydvl" in str(caught.value)
    assert "\n" not in str(caught.value)


STAND_IN = """
class HessianOperator:
    def __init__(self, model, loss, batches):
        ((x, y),) = batches
        self.loss = loss(model(x), y)

class CgOperator:
    def __init__(self, operator, *, regularization, maxiter, **_):
        self.factor = operator.loss * regularization * maxiter

    def apply(self, b):
        print("a library may print")
        return self.factor * b
"""


def test_the_worker_hands_over_the_system_and_brings_back_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pydvl" / "influence" / "torch"
    package.mkdir(parents=True)
    (package / "operator.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    system = small_system()
    loss = system.problem.data_loss(system.weights, system.rows)
    shift = 0.25 + system.problem.objective.ridge
    before = CLOCK.elsewhere
    workers = Workers()
    try:
        worker = workers.of(Path(sys.executable), system)
        for iterations_ in (2, 3):
            expected = loss * shift * iterations_ * system.b
            torch.testing.assert_close(worker.solve(0.25, iterations_), expected)
        assert workers.of(Path(sys.executable), system) is worker
    finally:
        workers.close()
    assert CLOCK.elsewhere > before  # its processor time counts


def test_the_worker_needs_no_layer_of_this_project() -> None:
    rows = problems.rows(6, 64, 10, 0, torch.float32)
    model = Model(AllCNNSpec(kind="allcnn", width=4), (8, 8, 1), 10)
    problem = replace(problems.mlp(), model=model, train=rows)
    weights = problem.model.initial_weights(torch.Generator().manual_seed(0))
    b = torch.ones_like(weights)
    worker = Worker(Path(sys.executable), System(problem, weights, problem.train, 1.0, b))
    try:
        handed_over = (Path(worker._folder.name) / "system.pt").read_bytes()
    finally:
        worker.close()
    assert b"benchmark" not in handed_over


def test_what_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    found = {one.name: one for one in contenders(tmp_path / "nowhere")}
    assert "make bench" in found["pydvl"].missing()
    assert found["cg"].missing() == found["official"].missing() == ""


def test_names_and_titles_are_distinct() -> None:
    everything = contenders(None)
    assert len({one.name for one in everything}) == len(everything)
    assert len({one.title for one in everything}) == len(everything)


def test_a_library_that_cannot_reach_the_tolerance_says_so() -> None:
    pytest.importorskip("dattri")
    system = small_system()
    dattri_cg = find_contender("dattri", None, brief=True)
    with (
        pytest.raises(Unsolvable, match="do not reach"),
        dattri_cg.ready(Task(system, 1.0, 1e-9, max_products=1)),
    ):
        pass


def test_a_solver_that_the_budget_allows_no_step_says_so() -> None:
    system = small_system()
    d = len(system.b)
    dense = find_contender("cholesky", None, brief=True)
    with (
        dense.ready(Task(system, 1.0, 1e-1, max_products=d - 1)) as run,
        pytest.raises(Unsolvable, match=f"a budget of {d - 1} products allows it no step"),
    ):
        run.solve()
    with dense.ready(Task(system, 1.0, 1e-6, max_products=d)) as run:
        assert system.residual(run.solve().x) <= 1e-5


# --- systems ------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The smoke size's softmax regression, prepared in an empty cache."""
    monkeypatch.setenv("LETHE_CACHE", str(tmp_path / "cache"))
    (spec,) = [s for s in SPECS["smoke"] if s.name == "digits-softmax"]
    return prepare(spec, torch.device("cpu"))


def test_a_system_is_at_the_ends_of_its_spectrum(bench: Bench) -> None:
    eigenvalues = torch.linalg.eigvalsh(dense(bench.system("1-norm")))
    damping = bench.damping("1-norm")
    assert damping.value == pytest.approx(bench.largest)
    assert float(eigenvalues[-1]) == pytest.approx(bench.largest + damping.value, rel=1e-6)
    assert damping.condition == pytest.approx(float(eigenvalues[-1] / eigenvalues[0]), rel=1e-2)
    assert bench.damping("0.1-norm").value == pytest.approx(0.1 * damping.value)
    assert bench.damping("1.5-lambda-min").value == pytest.approx(1.5 * bench.smallest)
    torch.testing.assert_close(bench.b, bench.problem.gradient(bench.weights, bench.rows))
    assert len(bench.rows) == bench.spec.rows


def test_a_system_that_was_prepared_is_read_from_disk_and_a_damaged_one_made_again(
    bench: Bench, tmp_path: Path
) -> None:
    (path,) = (tmp_path / "cache" / "bench").iterdir()
    again = prepare(bench.spec, torch.device("cpu"))
    assert torch.equal(again.weights, bench.weights)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1  # within the weights, which no format notices
    for damaged in (b"damaged", bytes(flipped)):
        path.write_bytes(damaged)
        anew = prepare(bench.spec, torch.device("cpu"))
        assert torch.equal(anew.weights, bench.weights)
        assert (anew.smallest, anew.largest) == (bench.smallest, bench.largest)


def test_a_gpu_solves_the_residual_net_as_well() -> None:
    def named(device: str) -> list[str]:
        return [spec.name for spec in specs("full", device)]

    assert named("cuda") == [*named("cpu"), "mnist-resnet18"]


@pytest.mark.parametrize("size", ["smoke", "full"])
def test_every_system_is_of_a_problem_that_there_is(size: Size) -> None:
    for spec in specs(size, "cuda"):
        known = experiments.names() if spec.net == "dense" else catalogue.discover()
        assert spec.source in known


def test_the_residual_net_is_prepared_like_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_CACHE", str(tmp_path))
    spec = specs("smoke", "cuda")[-1]
    bench = prepare(spec, torch.device("cpu"))
    assert isinstance(bench.problem.model.spec, ResNet18Spec)
    assert len(bench.rows) == spec.rows
    v = torch.linspace(-1, 1, len(bench.b))
    truth = reference(bench, v)
    product = bench.problem.hessian(bench.weights, bench.rows) @ v
    assert float((product - truth).norm()) <= 1e-4 * float(truth.norm())


def test_a_damping_below_the_negative_curvature_is_called_indefinite(bench: Bench) -> None:
    concave = Bench(
        bench.spec, bench.problem, bench.weights, bench.rows, bench.b, smallest=-3.0, largest=4.0
    )
    assert concave.damping("0.1-norm").condition is None
    assert concave.damping("1.5-lambda-min").condition == pytest.approx(8.5 / 1.5)


def test_operations_are_those_of_the_matrix_products(bench: Bench) -> None:
    n, inputs = bench.rows.x.shape
    classes = bench.problem.model.classes
    vector = torch.ones_like(bench.b)
    by_name = {one.name: flops(one.build(bench), vector) for one in OPERATORS}
    once = 2 * n * inputs * classes  # rows times a matrix of weights' size
    # forward and outer product, in place or not; building the graph adds those of the gradient
    assert by_name["own"] == by_name["kept-graph"] == by_name["gradient"] == 2 * once
    assert by_name["rebuilt"] == 4 * once
    assert by_name["official"] * n == by_name["rebuilt"] * 10


def test_the_reference_product_is_the_hessians(bench: Bench) -> None:
    v = torch.linspace(-1, 1, len(bench.b), dtype=torch.float64)
    system = bench.system("0.1-norm")
    expected = dense(system) @ v - system.damping * v
    torch.testing.assert_close(reference(bench, v), expected)


# --- measuring ----------------------------------------------------------------------------------


def test_what_takes_long_gets_fewer_rounds_but_one() -> None:
    assert rounds(1e-4, 10) == ROUNDS >= 5
    assert rounds(4.0, 10) == 2
    assert rounds(1e4, 10) == 1


def test_peak_memory_is_that_of_another_process(bench: Bench) -> None:
    task = Task(bench.system("0.1-norm"), bench.largest, 1e-2, 50)
    found = peak_memory(partial(find_contender, "cg", None, brief=True), task)
    assert found is None or 0 <= found < 2**30


def test_the_recursion_says_beforehand_how_long_it_takes() -> None:
    official = Official(Recursion(chains=2, depth=10))
    with official.ready(Task(small_system(), 1.0, 1e-1, 100)) as run:
        assert run.estimate is not None
        assert run.estimate > 0
        answer = run.solve()
    assert answer.products == pytest.approx(2 * 10 * 10 / 60)


@pytest.mark.parametrize("products", [120, 10_000])
def test_lissa_says_beforehand_how_long_it_takes(
    products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that counts the rows multiplied, as those of a full run are counted."""
    system, multiplied = small_system(), 0
    hessians = Problem.minibatch_hessians

    def counting(problem: Problem, weights: torch.Tensor) -> Callable:
        product = hessians(problem, weights)

        def one(x: torch.Tensor, y: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
            nonlocal multiplied
            multiplied += y.numel()
            return product(x, y, u)

        return one

    monkeypatch.setattr(Problem, "minibatch_hessians", counting)
    monkeypatch.setattr("benchmark.bench.contender.CLOCK", lambda: multiplied)
    task = Task(system, 1.0, 1e-1, products)
    with Ours(SOLVERS["lissa"]).ready(task) as run:
        before = multiplied
        run.solve()
        assert run.estimate == pytest.approx(multiplied - before)
    with Ours(SOLVERS["cg"]).ready(task) as run:
        assert run.estimate is None


# --- records ------------------------------------------------------------------------------------

ENVIRONMENT = Environment(
    versions={"torch": "2.0"},
    git_revision="0" * 40,
    git_dirty=False,
    platform="Linux x",
    cpu="A processor",
    gpu=None,
    device="cpu",
    threads=1,
    load_average=0.5,
)
SYSTEM = SystemInfo(
    name="toy",
    title="Toy | net",
    size="smoke",
    rows=100,
    dimension=7,
    precision="float32",
    smallest=-0.1,
    largest=10.0,
)


def reached(tolerance: float, *seconds: float, residual: float | None = None) -> Outcome:
    return Outcome(
        tolerance=tolerance,
        state="reached",
        seconds=seconds,
        residual=residual or 0.9 * tolerance,
        products=5,
    )


def missed(tolerance: float, seconds: float, residual: float) -> Outcome:
    return Outcome(tolerance=tolerance, state="missed", seconds=(seconds,), residual=residual)


def solver(
    name: str, *outcomes: Outcome, family: str = "ours", rule: str = "0.1-norm"
) -> SolverRecord:
    return SolverRecord(
        **known(name, rule),
        damping=DampingInfo(rule=rule, value=1.0, condition=12.2),
        solver=SolverInfo(name=name, title=name.title(), family=family, source="Somebody 1952"),
        outcomes=outcomes,
        peak_memory=3 * 2**20,
    )


def one_pass(name: str, role: str, *seconds: float, **more: object) -> ProductRecord:
    return ProductRecord(
        **known(name, "operator"),
        product=ProductInfo(name=name, title=name.title(), role=role, rows=more.pop("rows", 100)),
        setup=0.0,
        rounds=seconds,
        flops=more.pop("flops", 10**6),
        bytes=more.pop("bytes", 10**6),
        peak_flops=1e10,
        bandwidth=1e9,
        **more,
    )


def known(name: str, what: str) -> dict[str, object]:
    """What records of both kinds say."""
    inputs = {"what": what, "name": name}
    return {
        "key": records.fingerprint(inputs),
        "inputs": inputs,
        "status": "ok",
        "seconds": 1.0,
        "system": SYSTEM,
        "clock": "wall",
        "environment": ENVIRONMENT,
        "finished": "2026-01-01T00:00:00+00:00",
    }


RECORDS = (
    solver("fast", reached(1e-1, 1, 2, 9), reached(1e-2, 3, 3, 3, 3, 3), reached(1e-3, 4)),
    solver("slow", reached(1e-1, 1, 1), reached(1e-2, 30), missed(1e-3, 60, 5e-3)),
    solver("library", reached(1e-1, 5), family="peer"),
    solver(
        "official", *(missed(t, 90.0, 0.14) for t in TOLERANCES), family="official"
    ),
    one_pass("gradient", "gradient", 0.1, 0.2, 0.3),
    one_pass("product", "product", 0.4, flops=10**9, bytes=10**8, error=1e-7),
    one_pass("small", "minibatch", 0.01, rows=10),
)  # fmt: skip


def keep(results: Path, found: tuple[Record, ...] = RECORDS, planned: bool = False) -> None:
    """Write the records, and what they are of, as a run of the studies does."""
    store, titles = records.Store(results), {"solver": "solvers", "product": "products"}
    for kind, study in titles.items():
        paths = {one.path: one.title for one in found if one.kind == kind}
        extra = PLANNED if planned and kind == "solver" else {}
        store.keep_contents(study, paths | extra)
    for one in found:
        store.put(one.path, one)


def not_run(tolerance: float, estimate: float | None) -> Outcome:
    return Outcome(tolerance=tolerance, state="not run", remark="long", estimate=estimate)


def planned(
    kind: str = "cpu", systems: tuple[str, ...] = ("toy", "zoo")
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Three solvers at every damping on the toy system and on one that has no record."""
    names = ("fast", "unmeasured", "official")
    return {(kind, system): [(rule, n) for rule in RULES for n in names] for system in systems}


#: The same as a table of contents says it.
PLANNED = {
    solver_path(kind, system, rule, name): f"{system}, {name}"
    for (kind, system), solves in planned().items()
    for rule, name in solves
}


def test_records_come_back_as_they_went(tmp_path: Path) -> None:
    found = (*RECORDS, solver("left", not_run(1e-1, 900.5), not_run(1e-2, None)))
    keep(tmp_path, found, planned=True)
    again, lacking = read(tmp_path)
    assert sorted(again, key=str) == sorted(found, key=str)
    there = {one.path for one in found}
    assert lacking == {
        where: [
            (rule, name) for rule, name in solves if solver_path(*where, rule, name) not in there
        ]
        for where, solves in planned().items()
    }


def test_the_boards_own_records_have_the_keys_of_their_systems() -> None:
    found, _ = read(ROOT / "leaderboard" / "results")
    assert {device(one).partition(" ")[0] for one in found} == {"cpu", "cuda"}
    for one in found:
        piece, remarks = of_kind(one.kind).again(one, one.environment.device)
        assert remarks == []
        assert piece.inputs | {"cpu": one.environment.cpu} == one.inputs
        assert piece.path == one.path


def test_a_solver_that_misses_a_tolerance_has_no_time_to_it() -> None:
    assert reached(1e-1, 3, 1, 2).median == 2
    assert missed(1e-1, 3, 0.2).median is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "is damaged"),
        ({"schema_version": 3}, "update"),
        ({"schema_version": 1}, "run again"),
        ({"outcomes": 3}, "does not fit the schema"),
        ({"kind": "slack"}, "does not fit the schema"),
    ],
)
def test_a_damaged_record_is_one_line(
    tmp_path: Path,
    change: dict[str, object] | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = with_plan(tmp_path)
    keep(results)
    path = results / RECORDS[0].path
    content = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps(content | change))
    where = ("--results", str(results), "--to", str(tmp_path / "board"))
    monkeypatch.setattr(sys, "argv", ["lethe", "leaderboard", *where])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert error.startswith("error: record ")
    assert words in error
    assert error.count("\n") == 1


# --- the studies --------------------------------------------------------------------------------


def timings(**settings: object) -> SolverTimings:
    """One solve of the smoke size's softmax regression."""
    names = {"systems": ("digits-softmax",), "dampings": ("1-norm",), "solvers": ("cg",)}
    return SolverTimings(size="smoke", **names | settings)


def test_a_plan_holds_all_of_a_size_beside_those_of_other_devices(tmp_path: Path) -> None:
    store, study = records.Store(tmp_path), timings()
    study.begin(store, study.units("cuda"))
    gpu = store.contents("solvers").pieces
    study.begin(store, study.units("cpu"))
    both = store.contents("solvers").pieces
    assert set(gpu) < set(both)
    own = {piece.path for piece in study.planned("cpu")}
    assert set(both) == set(gpu) | own
    assert len(own) == len(SPECS["smoke"]) * len(RULES) * len(contenders(None))
    retired = solver_path("cpu", "digits-softmax", "1-norm", "retired")
    store.keep_contents("solvers", both | {retired: "retired"})
    study.begin(store, study.units("cpu"))
    assert store.contents("solvers").pieces == both


def test_what_takes_too_long_is_left_out_with_its_time(bench: Bench) -> None:
    ((piece,),) = (unit.pieces for unit in timings(limit=1e-9).units("cpu"))
    record = Solves(torch.device("cpu")).run(piece, lambda _: None)
    assert {one.state for one in record.outcomes} == {"not run"}
    (estimate,) = {one.estimate for one in record.outcomes}
    assert estimate > 1e-9
    assert record.numbers() == {"status": "ok", "condition": record.damping.condition}


def test_what_a_solver_raises_is_its_outcome(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Ours, task: Task) -> None:
        raise RuntimeError("no such product\nand more")

    monkeypatch.setattr(Ours, "ready", broken)
    ((piece,),) = (unit.pieces for unit in timings().units("cpu"))
    record = Solves(torch.device("cpu")).run(piece, lambda _: None)
    assert {one.state for one in record.outcomes} == {"failed"}
    assert record.outcomes[0].remark == "RuntimeError: no such product"


def test_pytest_benchmark_times_the_same_work_and_goes_on_where_it_stopped(
    bench: Bench, tmp_path: Path
) -> None:
    out, device = tmp_path / "out", torch.device("cpu")
    run_study(timings(), records.Store(out), device, console=QUIET)
    (kept,) = read(out)[0]
    selection = "digits-softmax and (1-norm-cg or 1-norm-official or one_pass) and not 0.1-norm"
    options = ("--results", str(out), "--budget", "0.2", "-k", selection, "-p", "no:cacheprovider")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "benches", "-q", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # pytest-benchmark measures nothing where it finds itself in a process of pytest-xdist
        env={
            **{name: value for name, value in os.environ.items() if "XDIST" not in name},
            "OMP_NUM_THREADS": "1",
            "LETHE_CACHE": str(tmp_path / "cache"),
        },
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found, lacking = read(out)
    planned_paths = {piece.path for piece in timings().planned("cpu")}
    assert len(lacking["cpu", "digits-mlp"]) == len(RULES) * len(contenders(None))
    assert {one.path for one in found if isinstance(one, SolverRecord)} < planned_paths
    solvers = {one.solver.name: one for one in found if isinstance(one, SolverRecord)}
    assert set(solvers) == {"cg", "cg-nystroem", "official"}
    assert solvers["cg"] == kept  # not measured again
    for outcome in solvers["cg-nystroem"].outcomes:
        assert outcome.state == "reached"
        assert 0 < outcome.residual <= 1.01 * outcome.tolerance
        assert all(second > 0 for second in outcome.seconds)
    assert solvers["cg-nystroem"].seconds > 0
    # one run of the recursion is its answer to every tolerance
    official = solvers["official"].outcomes
    assert [one.tolerance for one in official] == list(TOLERANCES)
    assert len({(o.seconds, o.residual) for o in official}) == 1
    products = [r for r in found if isinstance(r, ProductRecord) and r.product.role == "product"]
    assert products
    for product in products:
        assert product.error < 1e-10
        assert len(product.rounds) >= 5


def test_a_product_over_processes_is_that_of_one(bench: Bench) -> None:
    vector = torch.linspace(-1, 1, len(bench.b), dtype=torch.float64)
    with operators.products(2, bench.spec, vector) as (whole, setup):
        product = whole()
    assert setup > 0
    torch.testing.assert_close(product, bench.problem.hessian(bench.weights, bench.rows) @ vector)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"budget": 0.0}, "--budget must be above 0"),
        ({"limit": -1.0}, "--limit must be above 0"),
        ({"pydvl": Path("nowhere")}, "does not exist"),
        ({"systems": ("digits-softmin",)}, "did you mean 'digits-softmax'"),
        ({"dampings": ("2-norm",)}, "unknown damping '2-norm'"),
        ({"solvers": ("cgg",)}, "unknown solver 'cgg'"),
        ({"solvers": ("pydvl",)}, "pyDVL's environment is missing"),
    ],
)
def test_bad_options_are_one_line(option: dict[str, object], words: str) -> None:
    with pytest.raises(LetheError, match=words) as caught:
        timings(**option).units("cpu")
    assert "\n" not in str(caught.value)


# --- the board ----------------------------------------------------------------------------------


def with_plan(tmp_path: Path) -> Path:
    """A results folder that the board can be built from."""
    results = tmp_path / "results"
    experiment = experiments.load(str(tiny_experiment.write(tmp_path)))
    json_file.write(records.Store(results).plan_path("tiny"), plan_of(experiment))
    return results


def test_the_table_gives_medians_bests_misses_and_ratios() -> None:
    (table,) = timing_tables(RECORDS)
    rows = {line.title: line.cells for line in table.solvers.lines}
    assert list(rows) == ["Fast", "Slow", "Library", "Official"]
    headings = table.solvers.headings
    fast, slow, official = (
        dict(zip(headings, rows[name], strict=True)) for name in ("Fast", "Slow", "Official")
    )
    group = "λ = 0.1 ‖H‖, s to: "
    assert fast[group + "0.1"].text == "2.00 (3)"  # of 1, 2 and 9 in three rounds
    assert slow[group + "0.1"].best
    assert not fast[group + "0.1"].best
    assert fast[group + "0.01"].text == "3.00"
    assert fast[group + "0.01"].best
    assert slow[group + "0.001"].text == "ends at 0.0050"
    assert official[group + "0.1"].text == "ends at 0.14"
    # the recursion reached 0.14 in 90 s; 0.1 is the first tolerance that is no worse
    assert fast["× official"].text == "45"
    assert slow["× official"].text == "90"
    assert official["× official"].text == "–"
    assert fast["peak MB"].text == "3.00"


def test_what_took_too_long_is_not_called_a_miss() -> None:
    found = solver("slow", not_run(1e-1, 913.4), not_run(1e-2, None))
    (table,) = timing_tables([found])
    texts = [(cell.text, cell.aside) for cell in table.solvers.lines[0].cells[:3]]
    assert texts == [("not run", "≈ 913 s"), ("not run", ""), ("–", "")]


def test_the_table_says_why_a_cell_has_no_number() -> None:
    failed = [
        Outcome(tolerance=tolerance, state="failed", remark="TypeError: no\n such product")
        for tolerance in (1e-1, 1e-2)
    ]
    lost = Outcome(tolerance=1e-1, state="missed", remark="ran out of memory")
    near = Outcome(tolerance=1e-1, state="missed", residual=0.5, remark="ended at 0.5")
    found = (
        solver("a", *failed),
        solver("b", lost),
        solver("c", near),
        solver("d", not_run(1e-1, 9.0)),
    )
    (table,) = timing_tables(found)
    assert table.notes == ("A: TypeError: no such product", "B: ran out of memory")
    assert timing_tables(RECORDS)[0].notes == ()


def test_what_is_planned_and_not_there_is_missing() -> None:
    part = solver("fast", reached(1e-1, 1), rule="1-norm")
    retired = solver("retired", reached(1e-1, 3))
    official = solver("official", reached(1e-1, 3), family="official")
    elsewhere = official.model_copy(
        update={"system": SYSTEM.model_copy(update={"name": "zoo", "title": "Zoo | net"})}
    )
    found = (part, retired, one_pass("gradient", "gradient", 0.1))
    lacking = planned(systems=("toy", "jungle"))
    lacking["cpu", "toy"].remove(("1-norm", "fast"))
    jungle, toy, _ = timing_tables((*found, elsewhere), lacking)
    assert (toy.title, jungle.title) == ("Toy | net", "jungle")
    assert [name for name, _ in toy.solvers.groups[:-1]] == [
        "λ = ‖H‖, s to",
        "λ = 0.1 ‖H‖, s to",
        "λ = 1.5 |λmin|, s to",
    ]
    rows = {line.title: line for line in toy.solvers.lines}
    assert list(rows) == ["Fast", "Retired", "unmeasured", "Official"]
    times = {title: [cell.text for cell in line.cells[:9]] for title, line in rows.items()}
    assert times["Fast"] == ["1.00 (1)", "–", "–"] + ["missing"] * 6
    assert times["unmeasured"] == times["Official"] == ["missing"] * 9
    assert times["Retired"] == ["–"] * 3 + ["3.00 (1)"] + ["–"] * 5  # no longer planned
    assert rows["Official"].remark == "Somebody 1952"  # known from another system
    assert {cell.text for cell in rows["unmeasured"].cells[9:]} == {"–"}
    for line in rows.values():
        assert [cell.missing for cell in line.cells] == [c.text == "missing" for c in line.cells]
    # a system without a record of a solver has no table, but its place
    assert toy.command == ""
    assert (jungle.solvers, jungle.operators, jungle.facts) == (None, None, ())
    assert jungle.device == "cpu"
    assert jungle.command.startswith("lethe solvers --system jungle")
    (passes, _) = sorted(timing_tables(found[2:], planned()), key=lambda table: table.slug)
    assert passes.solvers is None
    assert passes.operators is not None
    assert passes.command.startswith("lethe solvers --system toy")


def test_what_is_planned_for_another_device_has_tables_of_its_own() -> None:
    alone = timing_tables(RECORDS)
    assert timing_tables(RECORDS, planned("cuda"))[: len(alone)] == alone
    gpu = timing_tables(RECORDS, planned("cuda"))[len(alone) :]
    assert [(table.slug, table.device) for table in gpu] == [
        ("bench-cuda-toy", "cuda"),
        ("bench-cuda-zoo", "cuda"),
    ]
    assert all("--device cuda" in table.command for table in gpu)
    card = ENVIRONMENT.model_copy(update={"device": "cuda", "gpu": "Card"})
    on_card = solver("fast", reached(1e-1, 1)).model_copy(update={"environment": card})
    found = {table.slug: table for table in timing_tables([on_card], planned("cuda"))}
    assert list(found) == ["bench-cuda-toy", "bench-cuda-zoo"]
    assert {table.device for table in found.values()} == {"cuda · Card"}
    assert len(found["bench-cuda-toy"].solvers.lines) == 3


def test_two_cards_have_a_table_each_and_what_neither_timed_has_one_place() -> None:
    timed = solver("fast", reached(1e-1, 1))
    cards = [
        timed.model_copy(
            update={"environment": ENVIRONMENT.model_copy(update={"device": "cuda", "gpu": gpu})}
        )
        for gpu in ("Card 9", "Card 10")
    ]
    assert [(t.slug, t.device) for t in timing_tables(cards, planned("cuda"))] == [
        ("bench-cuda-card-10-toy", "cuda · Card 10"),
        ("bench-cuda-card-10-zoo", "cuda · Card 10"),
        ("bench-cuda-card-9-toy", "cuda · Card 9"),
    ]


def test_the_operators_are_held_against_gradient_and_machine() -> None:
    (table,) = timing_tables(RECORDS)
    lines = {line.title: line.cells for line in table.operators.lines}
    product = dict(zip(table.operators.headings, lines["Product"], strict=True))
    assert product["ms"].text == "400"
    assert product["× gradient"].text == "2.00"
    assert product["GFLOP/s"].text == "2.50"  # 1e9 in 0.4 s
    assert product["of matmul peak"].text == "25 %"
    assert product["of bandwidth"].text == "25 %"  # 1e8 in 0.4 s of 1e9 a second
    small = dict(zip(table.operators.headings, lines["Small"], strict=True))
    assert small["µs a row"].text == "1000"
    assert small["× gradient"].text == "–"  # another number of rows


def test_a_product_over_processes_is_held_against_as_many_peaks() -> None:
    (alone,) = (r for r in RECORDS if isinstance(r, ProductRecord) and r.product.title == "Product")
    info = alone.product.model_copy(update={"name": "two", "title": "Two", "processes": 2})
    two = alone.model_copy(update={"product": info, "clock": "wall"})
    assert "processes" not in alone.model_dump_json()
    assert ProductRecord.model_validate_json(two.model_dump_json()) == two
    (table,) = timing_tables([*RECORDS, two])
    lines = {line.title: line.cells for line in table.operators.lines}
    shown = dict(zip(table.operators.headings, lines["Two"], strict=True))
    assert shown["GFLOP/s"].text == "2.50"
    assert shown["of matmul peak"].text == "12 %"


def test_no_two_solvers_look_alike() -> None:
    names = [one.name for one in contenders(None)]
    families = {one.name: one.family for one in contenders(None)}
    found = [solver(name, reached(1e-1, 1), family=families[name]) for name in names]
    looks = chart._looks(found)
    assert set(looks) == set(names)
    assert len({look[1:] for look in looks.values()}) == len(names)
    assert len({(colour, line) for _, colour, _, line in looks.values()}) == len(names)


def test_the_board_shows_the_timings_and_check_covers_them(tmp_path: Path) -> None:
    results = with_plan(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    keep(results)
    names = [path.relative_to(first) for path in build(results, first)]
    build(results, second)
    assert Path("plots/solvers-cpu.svg") in names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    page, text = ((first / name).read_text() for name in ("site/study-solvers.html", "README.md"))
    assert HEADING in page
    assert "Toy | net" in page
    assert "](plots/solvers-cpu.svg)" in text
    assert check(results, first) == []
    (results / RECORDS[1].path).unlink()
    assert {"site/study-solvers.html", "plots/solvers-cpu.svg"} <= set(check(results, first))


def test_the_board_says_what_is_missing_from_the_timings(tmp_path: Path) -> None:
    results, board = with_plan(tmp_path), tmp_path / "board"
    keep(results, (), planned=True)
    build(results, board)  # before the first record
    text = (board / "site" / "study-solvers.html").read_text()
    assert HEADING in text
    assert text.count(MISSING) == 2
    assert "lethe solvers --system zoo" in text
    keep(results, planned=True)
    assert "site/study-solvers.html" in check(results, board)
    build(results, board)
    page = (board / "site" / "study-solvers.html").read_text()
    assert page.count(MISSING) == 1
    (section,) = sections(Evidence([], results=results))
    text = render_markdown(Page("solvers", HEADING, "", (section,)))
    assert text.count(MISSING) == 1
    unmeasured = next(line for line in text.splitlines() if line.startswith("| unmeasured"))
    assert unmeasured.count("missing") == 9
    assert 'class="value missing"' in page


def test_without_records_there_is_no_section(tmp_path: Path) -> None:
    results = with_plan(tmp_path)
    build(results, tmp_path / "board")
    assert not list((tmp_path / "board").glob("**/*solvers*"))
    for name in ("index.html", "README.md"):
        assert HEADING not in (tmp_path / "board" / name).read_text()
