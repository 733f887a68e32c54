"""The overview: tracks by facts, which rows count, ranks over shared problems, first answers."""

from __future__ import annotations

import pytest

from benchmark.contract.claim import Target
from benchmark.contract.value import Value
from benchmark.data import scenarios
from benchmark.facts import Facts
from benchmark.records import Record
from leaderboard import board
from leaderboard.model.numbers import request_in_words
from leaderboard.model.table import Row, Table
from leaderboard.overview.cells import cards
from leaderboard.overview.overview import Standing, overview, speedup, worst_gap
from leaderboard.overview.row import OverviewRow, is_problem, one_a_graph, track
from tests.test_answers import judged
from tests.test_leaderboard import CONDITIONAL, PAIR, PROVED, VACUOUS, claim, facts, record


def row(
    label: str = "newton",
    unlearn: tuple[float, ...] = (0.9, 1.0, 1.1),
    gap: float = 0.0,
    control: tuple[float, ...] | None = None,
    **changes,
) -> Row:
    """A row that is proved, with the seconds of each seed; retraining takes 2 s."""
    fields = {"claim": PROVED} | changes
    cells = {
        seed: record(label, seed, unlearn=unlearn[seed], **fields) for seed in range(len(unlearn))
    }
    cells = {s: metric(cell, "accuracy_test_gap", gap, "zero") for s, cell in cells.items()}
    if control is not None:
        cells = {
            s: metric(cell, "control_accuracy_test_gap", control[s], "higher")
            for s, cell in cells.items()
        }
    return Row(label, label.title(), "entry", cells)


def metric(cell: Record, name: str, value: float, direction: str) -> Record:
    known = cell.metrics | {name: Value(value=value, direction=direction)}
    return cell.model_copy(update={"metrics": known})


def table(*rows: Row, slug: str = "toy", of: Facts | None = None) -> Table:
    return Table(
        experiment=slug,
        title="A title that says nothing",
        description="",
        settings={},
        facts=facts() if of is None else of,
        device="cpu",
        planned=True,
        rows=rows,
        uncounted=(),
        slug=slug,
    )


def only(found: Row, of: Facts | None = None) -> OverviewRow:
    (one,) = overview([table(found, of=of)]).rows
    return one


def ranks(*tables: Table) -> dict[str, int | None]:
    return {standing.label: standing.rank for standing in overview(tables).standings}


def standing(label: str, *tables: Table) -> Standing:
    return next(s for s in overview(tables).standings if s.label == label)


def test_a_track_is_told_by_facts_and_not_by_a_title() -> None:
    net = {"linear": False, "model": "mlp"}
    found = [
        track(facts(**changes)).slug
        for changes in (
            {},
            {"loss": "squared"},
            net,
            net | {"requests": 10},
            {"scenario": "class"},
            {"target": Target(epsilon=8.0)},
            {"model": "tangent"},
        )
    ]
    assert found == [
        "linear-cross-entropy-random-1",
        "linear-squared-random-1",
        "net-random-1",
        "net-stream-1",
        "linear-cross-entropy-chosen-1",
        "linear-cross-entropy-random-8",
        "tangent-random-1",
    ]
    assert track(facts()).title.endswith("one request of random rows, ε = 1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "5 random rows"),
        ({"forgotten": 1}, "1 random row"),
        ({"forgotten": 1000, "requests": 10}, "10 × 1,000 random rows"),
        ({"forgotten": None, "scenario": "class"}, "a whole class"),
        ({"forgotten": 20, "scenario": "subpopulation"}, "20 rows of a sub-population"),
        ({"forgotten": 20, "scenario": "influential"}, "the 20 most influential rows"),
        ({"forgotten": None, "share": 0.05, "scenario": "own"}, "5.00 %, own rows"),
        ({"forgotten": 3, "scenario": "named"}, "3 named rows"),
        ({"graph": True, "scenario": "nodes", "forgotten": 10, "requests": 10}, "10 × 10 nodes"),
        ({"graph": True, "scenario": "edges", "forgotten": 1}, "1 edge"),
        ({"graph": True, "scenario": "features", "forgotten": 1}, "features of 1 node"),
        ({"graph": True, "scenario": "edges-planted", "forgotten": 100}, "100 planted edges"),
        ({"graph": True, "scenario": "nodes-class", "forgotten": None}, "the nodes of a class"),
    ],
)
def test_a_request_in_words(changes: dict, words: str) -> None:
    scenario = scenarios.discover().get(facts(**changes).scenario)
    title = scenario.title if scenario else None
    assert request_in_words(facts(scenario_title=title, **changes)) == words


def test_variations_and_untyped_tables_are_no_problems() -> None:
    assert is_problem(table())
    assert not is_problem(table(of=facts(group=("ablation",))))
    bare = Table("old", "Old", "", {}, None, "cpu", True, (row(),), (), "old")
    assert overview([bare]).rows == ()


GRAPH = {"graph": True, "data": "cora", "scenario": "nodes"}


def test_graphs_are_a_family_of_their_own() -> None:
    changes = ({}, {"loss": "one_vs_rest"}, {"scenario": "nodes-class"}, {"requests": 10})
    found = [track(facts(**GRAPH | change)) for change in changes]
    assert [one.slug for one in found] == [
        "graph-random-1",
        "graph-random-1",
        "graph-chosen-1",
        "graph-stream-1",
    ]
    assert found[0].title == "Head on a graph: one request, ε = 1"
    assert found[2].title == "Head on a graph: one request of chosen nodes or edges, ε = 1"


def test_the_overview_has_a_graphs_nodes_and_no_sweep_over_it() -> None:
    nodes = table(row(), slug="nodes", of=facts(**GRAPH))
    edges = table(row(), slug="edges", of=facts(**GRAPH | {"scenario": "edges"}))
    hundred = table(row(), slug="hundred", of=facts(**GRAPH, axis="count", value=100))
    other = table(row(), slug="other", of=facts(**GRAPH | {"scenario": "edges", "data": "mine"}))
    found = overview([nodes, edges, hundred, other])
    assert {one.table.slug for one in found.rows} == {"nodes", "other"}, "all there is of mine"
    assert one_a_graph([edges, table()]) == [edges, table()], "rows are no graph"


def test_trials_are_shown_where_there_is_nothing_else() -> None:
    trial = table(row(), slug="trial", of=facts(trial=True))
    assert [one.table.slug for one in overview([trial]).rows] == ["trial"]
    assert [one.table.slug for one in overview([trial, table(row())]).rows] == ["toy"]


def test_problems_of_one_name_are_told_apart_by_a_fact() -> None:
    def names(*of: Facts) -> list[str]:
        tables = [table(row(), slug=f"t{i}", of=one) for i, one in enumerate(of)]
        return sorted({one.problem for one in overview(tables).rows})

    assert names(facts(), facts(forgotten=6)) == ["Digits, softmax"]
    assert names(facts(), facts(features="pooled-pixels")) == [
        "Digits, softmax (pooled pixels)",
        "Digits, softmax (unit pixels)",
    ]
    assert names(facts(), facts(profile="cpu")) == [
        "Digits, softmax (cpu)",
        "Digits, softmax (toy)",
    ]


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"claim": CONDITIONAL}, False),
        ({"claim": PAIR}, False),
        ({"claim": VACUOUS}, False),
        ({"claim": None}, False),
        ({"claim": claim(epsilon=2.0)}, False),
        ({"gap": -1.0}, True),
        ({"gap": -1.1}, False),
        ({"gap": 3.0}, True),
        ({"control": (1.0, 1.1, 0.9)}, True),
        ({"control": (1.0, -1.1, 0.1)}, False),
    ],
)
def test_a_row_counts_if_it_is_proved_as_asked_accurate_and_over_its_control(
    changes: dict, counts: bool
) -> None:
    assert only(row(**changes)).ranked is counts


def test_a_row_that_lacks_a_seed_or_is_refuted_does_not_count() -> None:
    lacking = row()
    lacking.cells[3] = None
    assert not only(lacking).ranked
    refuted = row()
    refuted.cells[0] = metric(refuted.cells[0], "slack", 0.5, "lower")
    assert not only(refuted).ranked


@pytest.mark.parametrize("lead", [2.0, -0.1])
def test_a_row_must_beat_what_public_rows_give_alone(lead: float) -> None:
    found = row()
    for seed, cell in found.cells.items():
        found.cells[seed] = metric(cell, "public_accuracy_test_gap", lead, "higher")
    assert only(found).ranked is (lead > 0)


def test_a_control_of_one_seed_tells_nothing() -> None:
    one = only(row(unlearn=(1.0,), control=(50.0,)))
    assert not one.over_control
    assert not one.erases


def test_a_method_is_ranked_over_the_problems_that_it_shares() -> None:
    """`narrow` is slower than `wide` where both ran, and faster on average."""
    wide = table(row("wide", (0.1, 0.11, 0.12)), row("narrow", (0.2, 0.21, 0.22)), slug="one")
    slow = table(row("wide", (1.9, 1.8, 1.7)), slug="two")
    assert ranks(wide, slow) == {"wide": 1, "narrow": 2}
    found = standing("narrow", wide, slow)
    assert (found.coverage, found.problems, found.tied) == (1, 2, False)
    assert speedup(standing("wide", wide, slow).ranked).mean < speedup(found.ranked).mean


def test_methods_that_no_interval_tells_apart_share_a_rank() -> None:
    rows = row("one", (1.0, 1.2, 0.8)), row("two", (1.1, 0.9, 1.0)), row("slow", (5.0, 5.1, 4.9))
    assert ranks(table(*rows)) == {"one": 1, "two": 1, "slow": 3}
    assert standing("one", table(*rows)).tied
    assert not standing("slow", table(*rows)).tied


def test_what_does_not_count_stands_last_by_verdict() -> None:
    rows = (
        row("none", claim=None),
        row("lossy", gap=-50.0),
        row("slow", (9.0, 9.1, 8.9)),
        row("vacuous", claim=VACUOUS),
    )
    assert ranks(table(*rows)) == {"slow": 1, "lossy": None, "vacuous": None, "none": None}


def test_a_method_is_as_sure_and_as_accurate_as_on_its_worst_problem() -> None:
    found = standing(
        "newton", table(row(gap=-0.2), slug="a"), table(row(gap=-5.0, claim=VACUOUS), slug="b")
    )
    assert found.verdict == "vacuous"
    assert worst_gap(found.rows) == pytest.approx(-5.0)
    assert worst_gap(found.ranked) == pytest.approx(-0.2)


def test_a_single_request_bears_what_was_done_once() -> None:
    quick = row("quick", (0.01, 0.01, 0.01), precomputation=10.0)
    plain = row("plain", (1.0, 1.0, 1.0))
    found = cards(overview([table(quick, plain)]))
    assert [(card.case, card.answer, card.figure) for card in found] == [
        ("Linear head, cross-entropy: many requests", "Quick", "200 ×"),
        ("Linear head, cross-entropy: one request", "Plain", "2.00 ×"),
    ]
    assert "after one-off work of 10 s" in found[0].text


def test_a_family_without_a_useful_method_is_told_to_retrain() -> None:
    net = facts(linear=False, model="mlp")
    (card,) = cards(overview([table(row("slow", (4.0, 4.1, 4.2)), row(gap=-40.0), of=net)]))
    assert (card.case, card.answer, card.standing) == ("Net", "Retrain", None)
    assert "The nearest is Slow" in card.text
    assert "lose up to 40 points" in card.text


def test_what_a_claim_needs_is_read_from_its_constants() -> None:
    constants = (
        {"name": "strong_convexity", "value": 0.1, "provenance": "exact", "meaning": "mu"},
        {"name": "capacity", "value": 3, "provenance": "exact", "meaning": "n_u"},
    )
    found = only(row(claim=claim(constants=constants), precomputation=1.0))
    assert found.needs == [
        "a strongly convex objective",
        "a limit, set beforehand, on how many rows are forgotten",
        "work done once after training",
    ]
    assert found.mode == "noise on the weights, fixed beforehand"
    assert found.theorem == "gradient residual (thm5)"
    assert found.command("runs") == "lethe reproduce runs/toy/newton/seed-0.json"


def test_forget_quality_of_other_parameters_says_nothing_of_a_row() -> None:
    method = record("sly").method
    attacked = [
        judged("sly", seed, 0.30 + 0.01 * seed, 0.30).model_copy(update={"method": method})
        for seed in range(3)
    ]
    (found,) = overview([table(row("sly"))], attacked).rows
    assert found.forgotten == "distinguishable"
    assert found.told_by == ("KLoM",)
    other = method.model_copy(update={"params": {"damping": 1.0}})
    stale = [record.model_copy(update={"method": other}) for record in attacked]
    (found,) = overview([table(row("sly"))], stale).rows
    assert found.forgotten is None


def test_a_terminal_says_of_many_problems_what_to_use(tmp_path, monkeypatch) -> None:
    found = [table(row("quick"), slug=f"toy-{place}") for place in range(7)]
    for count in (6, 7):
        monkeypatch.setattr(board, "load", lambda _, few=found[:count]: few)
        shown = board.terminal_tables(tmp_path)
        assert [str(one.title) for one in shown] == (
            ["What to use"] if count == 7 else ["A title that says nothing (cpu)"] * 6
        )
    assert "lethe table EXPERIMENT" in str(shown[0].caption)
    (asked,) = board.terminal_tables(tmp_path, {"toy-0": {"quick"}})
    assert asked.columns[0].header == "Method"
