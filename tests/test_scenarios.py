"""Forget scenarios: who is chosen, by what, and that no draw of the plain one has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from benchmark import plugins
from benchmark.contract.seeds import Seeds
from benchmark.data import catalogue
from benchmark.data.forget import ForgetSpec
from benchmark.data.scenarios import KIND, Context, Scenario, discover
from benchmark.errors import LetheError
from benchmark.experiments import experiment
from benchmark.experiments.experiment import Experiment
from benchmark.graph.scenarios import WORDS
from benchmark.problem import influence
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.records import Store, read_record
from benchmark.runner import plans
from benchmark.runner.plans import plan_cells
from benchmark.runner.workbench import Workbench
from benchmark.studies import experiments as runner
from tests import problems, tiny_experiment

N, CLASSES = 60, 4
SCENARIOS = discover()


def context(seed: int = 0, effect: Callable[[], Tensor] | None = None) -> Context:
    g = torch.Generator().manual_seed(seed)
    scores = torch.randn(N, generator=g)
    return Context(
        labels=torch.randint(CLASSES, (N,), generator=g),
        features=torch.randn(N, 2, 3, generator=g),
        leave_out_effect=effect or (lambda: scores),
        sizes=lambda: scores.abs(),
        most_influential=lambda rows, count: rows[scores[rows].argsort()[:count]],
        against_property=lambda rows: rows[scores[rows].argsort()[:3]],
    )


def spec(scenario: str, **size: Any) -> ForgetSpec:
    return ForgetSpec(scenario=scenario, **size)


def sized(scenario: str, count: int) -> dict[str, Any]:
    """The count, where an experiment says one."""
    return {"count": count} if SCENARIOS[scenario].sized else {}


class LastRow(Scenario):
    name = "last-row"
    title = "the last row of all"
    source = "a test"
    sized = False
    single = True

    @classmethod
    def draw(cls, trained: Tensor, *_: Any) -> tuple[Tensor, ...]:
        return (trained[-1:],)


def test_a_scenario_of_its_own_size_is_said_by_its_title_and_can_be_of_one_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def installed(kind: plugins.Kind) -> list[plugins.Found]:
        return [plugins.Found(LastRow, "outside")] if kind is KIND else []

    monkeypatch.setattr(plugins, "in_entry_points", installed)
    rows = ('scenario = "random"\ncount = 5', 'scenario = "last-row"')
    planned = experiment.load(str(tiny_experiment.write(tmp_path, rows)))
    assert plans.settings(planned)["request"] == "the last row of all"
    with pytest.raises(LetheError, match="is of one request"):
        spec("last-row", requests=2).draw(torch.arange(N), Seeds())
    plugins.find.cache_clear()


def test_the_spec_names_every_scenario_and_no_other() -> None:
    for scenario in SCENARIOS:
        size = sized(scenario, 2)
        assert spec(scenario, **size).draw(torch.arange(N), Seeds(), context())
    with pytest.raises(ValidationError):
        spec("everything", count=1)


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize(("count", "requests"), [(1, 1), (10, 1), (7, 3)])
def test_random_draws_are_what_they_always_were(seed: int, count: int, requests: int) -> None:
    """The records on the board name their forget sets by hash; this is the draw behind them."""
    trained = torch.arange(0, 3 * N, 3)
    order = torch.randperm(N, generator=Seeds.all(seed).generator("forget"))
    found = ForgetSpec(count=count, requests=requests).draw(trained, Seeds.all(seed))
    for number, rows in enumerate(found):
        part = order[number * count : (number + 1) * count]
        assert rows.tolist() == sorted((3 * part).tolist())
    assert len(found) == requests


def test_settings_of_earlier_records_are_written_as_before() -> None:
    """They are part of every record's key."""
    dumped = ForgetSpec(count=3).model_dump(mode="json")
    assert dumped == {"scenario": "random", "count": 3, "requests": 1}
    assert ForgetSpec.model_validate(dumped) == ForgetSpec(count=3)
    share = ForgetSpec(share=0.1, requests=2).model_dump(mode="json")
    assert share == {"scenario": "random", "share": 0.1, "requests": 2}


def test_the_projects_experiments_still_load() -> None:
    for one in experiment.every():
        known = SCENARIOS if one.problem.graph is None else WORDS
        assert one.forget.scenario in known


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "either count or share"),
        ({"count": 2, "share": 0.1}, "either count or share"),
        ({"share": 0}, "greater than 0"),
        ({"share": 1}, "less than 1"),
        ({"count": 0}, "greater than or equal to 1"),
        ({"scenario": "class", "count": 3}, "neither count nor share"),
        ({"scenario": "class", "share": 0.3}, "neither count nor share"),
        ({"scenario": "memorised"}, "either count or share"),
        ({"count": 1, "label": 3}, "Extra inputs"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ForgetSpec.model_validate(content)


@pytest.mark.parametrize(("share", "rows"), [(0.1, 6), (0.001, 1), (0.5, 30)])
def test_a_share_is_of_the_training_rows(share: float, rows: int) -> None:
    (drawn,) = ForgetSpec(share=share).draw(torch.arange(N), Seeds())
    assert len(drawn) == rows


@given(
    scenario=st.sampled_from(sorted(SCENARIOS)),
    count=st.integers(1, 8),
    requests=st.integers(1, 3),
    seed=st.integers(0, 50),
)
@settings(max_examples=150, deadline=None)
def test_any_stream_names_rows_that_were_trained_on_and_none_twice(
    scenario: str, count: int, requests: int, seed: int
) -> None:
    trained = torch.arange(0, N, 2)
    size = sized(scenario, count)
    if scenario == "against-property":
        requests = 1  # others are refused
    chosen = spec(scenario, requests=requests, **size)
    sets = chosen.draw(trained, Seeds(forget=seed), context(seed))
    again = chosen.draw(trained, Seeds(forget=seed), context(seed))
    assert len(sets) == requests
    assert all(torch.equal(a, b) for a, b in zip(sets, again, strict=True))
    assert all(rows.tolist() == sorted(rows.tolist()) for rows in sets)
    together = torch.cat(sets)
    assert len(together.unique()) == len(together)
    assert torch.isin(together, trained).all()
    if size:
        assert {len(rows) for rows in sets} == {count}


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"against-property"}))
def test_something_must_be_left_to_keep(scenario: str) -> None:
    size = {"requests": CLASSES} if scenario == "class" else {"count": N // 2, "requests": 2}
    with pytest.raises(LetheError, match="forget"):
        spec(scenario, **size).draw(torch.arange(N), Seeds(), context())


@pytest.mark.parametrize(
    "scenario",
    ["class", "subpopulation", "largest", "memorised", "influential", "against-property"],
)
def test_a_scenario_says_what_it_lacks(scenario: str) -> None:
    size = sized(scenario, 2)
    with pytest.raises(LetheError, match=f"'{scenario}' needs"):
        spec(scenario, **size).draw(torch.arange(N), Seeds())


def test_a_class_is_forgotten_whole() -> None:
    given, trained = context(), torch.arange(10, N)
    seen = set()
    for seed in range(20):
        (rows,) = spec("class").draw(trained, Seeds(forget=seed), given)
        (label,) = given.labels[rows].unique().tolist()
        assert rows.tolist() == [r for r in trained.tolist() if given.labels[r] == label]
        seen.add(label)
    assert seen == set(range(CLASSES)), "which class depends on the seed"


def test_a_subpopulation_is_a_row_and_its_nearest() -> None:
    given, trained = context(), torch.arange(5, N)
    flat = given.features.flatten(1).double()
    distances = torch.cdist(flat, flat[trained])
    centres = set()
    for seed in range(8):
        (rows,) = spec("subpopulation", count=6).draw(trained, Seeds(forget=seed), given)
        nearest = {c: trained[distances[c].argsort()[:6]].tolist() for c in rows.tolist()}
        matching = [c for c, near in nearest.items() if sorted(near) == rows.tolist()]
        assert matching, "some member has exactly the others as its nearest rows"
        centres.update(matching)
    assert len(centres) > 1


def test_a_later_subpopulation_takes_from_what_is_left() -> None:
    features = torch.tensor([0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0]).unsqueeze(1)
    given = Context(labels=torch.zeros(7, dtype=torch.int64), features=features)
    chosen = spec("subpopulation", count=2, requests=3)
    for seed in range(10):
        for rows in chosen.draw(torch.arange(7), Seeds(forget=seed), given):
            assert len(rows) == 2
    (alone,) = spec("subpopulation", count=2).draw(torch.arange(6), Seeds(), given)
    assert tuple(alone.tolist()) in {(0, 1), (2, 3), (4, 5)}


def test_a_row_with_a_twin_is_in_its_own_subpopulation() -> None:
    given = Context(labels=torch.zeros(6, dtype=torch.int64), features=torch.zeros(6, 2))
    drawn = {
        tuple(
            spec("subpopulation", count=1).draw(torch.arange(6), Seeds(forget=s), given)[0].tolist()
        )
        for s in range(40)
    }
    assert len(drawn) == 6, "the row that was drawn, not the first of its equals"


def test_the_most_memorised_come_first() -> None:
    effect = torch.linspace(0, 1, N)[torch.randperm(N, generator=torch.Generator().manual_seed(5))]
    trained = torch.arange(0, N, 2)
    first, second = spec("memorised", count=3, requests=2).draw(
        trained, Seeds(), context(effect=lambda: effect)
    )
    ranked = sorted(trained.tolist(), key=lambda r: -float(effect[r]))
    assert first.tolist() == sorted(ranked[:3])
    assert second.tolist() == sorted(ranked[3:6])


@pytest.mark.parametrize(
    ("asking", "field"),
    [
        ("memorised", "leave_out_effect"),
        ("largest", "sizes"),
        ("influential", "most_influential"),
    ],
)
def test_only_the_scenario_that_needs_it_asks_for_what_takes_time(asking: str, field: str) -> None:
    def costly(*_: Any) -> Tensor:
        raise AssertionError("not needed")

    given = replace(context(), **{field: costly})
    for scenario in sorted(SCENARIOS):
        size = sized(scenario, 2)
        if scenario != asking:
            spec(scenario, **size).draw(torch.arange(N), Seeds(), given)
    with pytest.raises(AssertionError, match="not needed"):
        spec(asking, count=2).draw(torch.arange(N), Seeds(), given)


def test_mislabelled_rows_are_those_that_are_forgotten() -> None:
    labels = torch.arange(3000) % CLASSES
    chosen = spec("mislabelled", count=450, requests=2)
    wrong = chosen.training_labels(labels, CLASSES, Seeds())
    forgotten = torch.cat(chosen.draw(torch.arange(3000), Seeds())).sort().values
    assert (wrong != labels).nonzero().flatten().tolist() == forgotten.tolist()
    shift = (wrong - labels)[forgotten] % CLASSES
    counts = torch.bincount(shift, minlength=CLASSES)
    assert counts[0] == 0
    assert (counts[1:] - 300).abs().max() < 4 * (900 * 2 / 9) ** 0.5, "any other label, alike"
    assert torch.equal(wrong, chosen.training_labels(labels, CLASSES, Seeds()))
    assert not torch.equal(wrong, chosen.training_labels(labels, CLASSES, Seeds(forget=1)))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A study in which two requests of three rows each are corrections."""
    text = tiny_experiment.TOML.replace('"random"\ncount = 5', '"rectify"\ncount = 3\nrequests = 2')
    study = tmp_path_factory.mktemp("rectify") / "tiny.toml"
    study.write_text(text, encoding="utf-8")
    return experiment.load(str(study))


def test_a_correction_alters_rows_and_loses_none(corrected: Experiment) -> None:
    (cell,) = plan_cells(corrected, "cpu", ["newton"], [0])
    bench = Workbench(cell.inputs, torch.device("cpu"), None)
    assert [len(rows) for rows in (*bench.requests, *bench.altered)] == [0, 0, 3, 3]
    assert torch.equal(bench.retain, bench.rows)
    before, between, after = (problem.train for problem in bench.problems)
    right = bench.problems[-1].train
    assert torch.equal(before.y, right.y)
    for rows, old, new in zip(bench.altered, (before, between), (between, after), strict=True):
        others = bench.rows[~torch.isin(bench.rows, rows)]
        assert torch.equal(old.x[others], new.x[others])
        assert torch.equal(new.x[rows], right.x[rows])
        assert not torch.equal(old.x[rows], new.x[rows])
        # wrong inputs are those of another row, so that every bound on a row holds for them
        assert all((right.x == wrong).all(dim=1).any() for wrong in before.x[rows])
    assert (
        len(bench.predict(Predictor(bench.problem.model, bench.reference[0])).losses["forget"]) == 6
    )
    request = bench.request(0, bench.original[0])
    assert torch.equal(request.forget_rows.x, before.x[bench.altered[0]])
    assert torch.equal(request.altered_rows.x, right.x[bench.altered[0]])


def test_corrections_are_certified_or_refused_by_name(
    corrected: Experiment, tmp_path: Path
) -> None:
    names = ["nothing", "newton", "newton-chord", "sekhari", "recollection", "retrain"]
    runner.run(
        [corrected],
        Store(tmp_path),
        torch.device("cpu"),
        methods=names,
        seeds=[0],
        console=tiny_experiment.QUIET,
    )
    store = Store(tmp_path)
    found = {name: read_record(store.cell_path(corrected.name, name, 0)) for name in names}
    assert found["recollection"].failure.type == "AssumptionBroken"
    assert "this request alters 3 that stay" in found["recollection"].failure.message
    for name in ("newton", "newton-chord", "sekhari"):
        assert found[name].metrics["slack"].value >= 1, name
        assert found[name].verdict in ("proved", "conditional")
    assert found["newton"].metrics["distance"].value < 1e-3
    assert found["nothing"].metrics["distance"].value > 1e-3
    assert found["retrain"].data.forget == 6


def test_other_scenarios_leave_the_labels_alone() -> None:
    labels = torch.arange(N) % CLASSES
    for scenario in set(SCENARIOS) - {"mislabelled"}:
        size = sized(scenario, 2)
        assert torch.equal(spec(scenario, **size).training_labels(labels, CLASSES, Seeds()), labels)


# --- biased requests ----------------------------------------------------------------------------


def test_the_largest_images_come_first() -> None:
    sizes = torch.rand(N, generator=torch.Generator().manual_seed(5))
    trained = torch.arange(0, N, 2)
    given = replace(context(), sizes=lambda: sizes)
    sets = spec("largest", count=3, requests=2).draw(trained, Seeds(), given)
    ranked = sorted(trained.tolist(), key=lambda r: -float(sizes[r]))
    assert [rows.tolist() for rows in sets] == [sorted(ranked[:3]), sorted(ranked[3:6])]


def trained_on(problem: Problem, index: Tensor) -> Tensor:
    return problem.fit(index, torch.Generator().manual_seed(0))


def shift(problem: Problem, weights: Tensor, rows: Tensor) -> float:
    """The norm of H^-1 sum g_i, H formed whole and the gradients one by one."""
    train, d = problem.train, len(weights)
    operator = problem.hessian(weights, train)
    hessian = torch.stack([operator @ e for e in torch.eye(d, dtype=weights.dtype)])
    ridge = problem.objective.ridge * weights
    total = sum(problem.gradient(weights, train.take(row.view(1))) - ridge for row in rows)
    return float(torch.linalg.solve(hessian, total).norm())


LOSSES = pytest.mark.parametrize("loss", ["cross_entropy", "squared"])


@LOSSES
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_influential_rows_move_the_model_more_than_any_random_ones(
    loss: str, seed: int
) -> None:
    problem = problems.softmax(seed, n=150, loss=loss)
    trained = torch.arange(10, 150)
    weights = trained_on(problem, trained)

    def moved(rows: Tensor) -> float:
        return float((trained_on(problem, trained[~torch.isin(trained, rows)]) - weights).norm())

    chosen = influence.most_influential(problem, weights, trained, 8)
    assert len(chosen.unique()) == 8
    assert torch.isin(chosen, trained).all()
    generator = torch.Generator().manual_seed(seed)
    others = [trained[torch.randperm(140, generator=generator)[:8]] for _ in range(50)]
    assert moved(chosen) > max(moved(rows) for rows in others)


@LOSSES
@pytest.mark.parametrize("seed", range(5))
def test_no_round_of_the_ascent_moves_the_model_less(loss: str, seed: int) -> None:
    problem = problems.softmax(seed, n=200, inputs=8, loss=loss, ridge=0.01)
    index = problems.every_row(problem)
    weights = trained_on(problem, index)
    sets = list(influence.ascent(problem, weights, index, 12))
    shifts = [shift(problem, weights, rows) for rows in sets]
    assert shifts == sorted(shifts)


def test_gradients_are_those_of_each_row_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.softmax(n=30)
    index = torch.arange(3, 30)
    weights = trained_on(problem, index)
    whole = influence.most_influential(problem, weights, index, 27)
    monkeypatch.setattr(influence, "CHUNK", 4)
    assert torch.equal(influence.most_influential(problem, weights, index, 27), whole)


def test_rows_are_ranked_by_influence_where_the_problem_is_strongly_convex_only() -> None:
    problem = problems.mlp()
    index = problems.every_row(problem)
    weights = problem.model.initial_weights(torch.Generator()).float()
    with pytest.raises(LetheError, match="a ridge above 0") as caught:
        influence.most_influential(problem, weights, index, 3)
    assert "\n" not in str(caught.value)


def workbench(folder: Path, forget: str, *changes: tuple[str, str]) -> Workbench:
    old = 'scenario = "random"\ncount = 5'
    toml = tiny_experiment.write(folder, (old, forget), *changes)
    (cell,) = plan_cells(experiment.load(str(toml)), "cpu", ["nothing"], [0])
    return Workbench(cell.inputs, torch.device("cpu"), folder)


def test_images_are_measured_as_they_were_before_features(tmp_path: Path) -> None:
    bench = workbench(tmp_path, 'scenario = "largest"\ncount = 7\nrequests = 2')
    images = catalogue.load("digits").train.images[bench.split.train.numpy()]
    norms = torch.from_numpy(images).double().flatten(1).norm(dim=1)
    first, second = (norms[rows] for rows in bench.requests)
    assert first.min() >= second.max()
    assert second.min() >= norms[bench.retain].max()
    assert len(bench.forget) == 14


def test_a_stream_takes_the_influential_rows_from_the_top_down(tmp_path: Path) -> None:
    bench = workbench(tmp_path, 'scenario = "influential"\ncount = 4\nrequests = 3')
    weights = bench.original[0].weights
    ranked = influence.most_influential(bench.problem, weights, bench.rows, 12)
    assert [rows.tolist() for rows in bench.requests] == [
        part.sort().values.tolist() for part in ranked.split(4)
    ]
    assert len(bench.forget.unique()) == 12
    moved = float((bench.reference[0] - weights).norm())
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        kept = bench.rows[torch.randperm(120, generator=generator)[12:]]
        assert moved > float((trained_on(bench.problem, kept) - weights).norm())


def test_influential_rows_of_a_net_are_refused_before_it_is_trained(tmp_path: Path) -> None:
    net = ('{ kind = "softmax" }', '{ kind = "mlp", hidden = [4], activation = "tanh" }')
    adam = (
        '{ algorithm = "newton-cg", tolerance = 1e-9 }',
        '{ algorithm = "adam", epochs = 2, batch = 16, learning_rate = 1e-2 }',
    )
    with pytest.raises(LetheError, match="'influential' needs a strongly convex") as caught:
        workbench(tmp_path, 'scenario = "influential"\ncount = 4', net, adam)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.npz"))
