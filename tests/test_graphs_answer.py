"""What the board says of requests on graphs, on records made up here."""

from __future__ import annotations

from pathlib import Path

from benchmark.contract.claim import Alternative, Claim
from benchmark.facts import Facts
from benchmark.records import Record
from leaderboard import document_blocks as blocks
from leaderboard.answers import graphs
from leaderboard.charts import graphs as plot
from leaderboard.model.evidence import Evidence
from tests.test_answers import lines, made, tables
from tests.test_leaderboard import PROVED, claim, facts

GRAPH = {"graph": True, "data": "cora", "data_title": "Cora", "loss": "one_vs_rest"}


def step(data: float = 1.0, worst: float = 1e9) -> Claim:
    """A single step that is 0.01 off at most, beside the published bounds."""
    published = (
        Alternative(theorem="thm5", value=0.04, proved=True),
        Alternative(theorem="chien22-data", value=data, proved=False),
        Alternative(theorem="chien22-worst", value=worst, proved=False),
    )
    found = claim(bound=0.01, definition="this-pair", theorem="thm6")
    evidence = found.evidence.model_copy(update={"alternatives": published})
    return found.model_copy(update={"evidence": evidence})


def cells(name: str, distance: float = 0.008, **more: float) -> list[Record]:
    """Records of one experiment: a proved row, a single step and doing nothing."""
    of = {"experiment": name, "retrain": 2.0}
    reach = {"reach_rows": 40.0} | more
    proved = {"slack": 2.0, "accuracy_test_gap": -0.2}
    return [
        made("newton", claim=PROVED, unlearn=0.5, metrics=proved, extra=reach, **of),
        made("measured", claim=step(), extra=reach | {"distance": distance}, **of),
        made("nothing", unlearn=0.1, extra=reach | {"edge_gap": 0.002}, **of),
    ]


def board(folder: Path, **known: Facts) -> Evidence:
    found = [cell for name in known for cell in cells(name)]
    return Evidence(tables(folder, *found, facts=known))


def test_a_step_stands_between_the_truth_and_the_published_bounds(tmp_path: Path) -> None:
    one = facts(**GRAPH, scenario="nodes", forgotten=10)
    hundred = facts(**GRAPH, scenario="edges", forgotten=100, axis="edges", value=100)
    found = graphs.answer(board(tmp_path, one=one, hundred=hundred))
    shown = lines(found)
    name = next(title for title in shown if title.endswith(": 10 nodes"))
    assert shown[name] == {
        "rows lost or altered": "40.0",
        "fastest proved row": "Newton",
        "its test gap (points)": "−0.200",
        "its speed-up (×)": "4.00",
        "slack of one Newton step": "1.25",
        "published data-dependent bound / distance": "125",
        "published worst case / distance": "1.25×10¹¹",
        "edge gap of doing nothing": "0.00200",
        "seeds": "1 of 1",
    }
    assert any(title.endswith(": 100 edges") for title in shown)
    assert "2 kinds of requests" in found.text
    assert "never called proved" in found.text
    assert "cannot tell whether edges were forgotten" in found.text


def test_the_figure_has_a_panel_a_kind_and_is_the_same_twice(tmp_path: Path) -> None:
    known = {
        f"{scenario}-{count}": facts(**GRAPH, scenario=scenario, forgotten=count)
        for scenario in ("nodes", "edges", "features")
        for count in (1, 10)
    }
    (chart,) = graphs.answer(board(tmp_path, **known)).charts
    (points,) = chart.data
    assert {point.panel for point in points} == {"Cora, nodes", "Cora, edges", "Cora, features"}
    assert {point.removed for point in points} == {1, 10}
    assert set(points[0].distances) == set(plot.SERIES)
    assert chart.draw(points) == chart.draw(points)
    assert chart.path == "plots/graphs.svg"


def test_what_is_no_graph_a_trial_or_a_stream_makes_no_point(tmp_path: Path) -> None:
    rows, trial = facts(), facts(**GRAPH, scenario="nodes", trial=True)
    found = graphs.answer(board(tmp_path / "a", rows=rows, trial=trial))
    assert found.missing
    assert found.command.startswith("make graphs")
    stream = facts(**GRAPH, scenario="nodes", requests=10)
    assert graphs.answer(board(tmp_path / "b", stream=stream)).charts == ()


def test_a_row_that_loses_more_than_a_point_is_not_the_fastest(tmp_path: Path) -> None:
    lossy = made(
        "removal",
        experiment="one",
        claim=PROVED,
        unlearn=0.01,
        retrain=2.0,
        metrics={"slack": 2.0, "accuracy_test_gap": -7.0},
    )
    known = {"one": facts(**GRAPH, scenario="nodes", forgotten=10)}
    (table,) = tables(tmp_path, *cells("one"), lossy, facts=known)
    assert graphs.fastest(table).label == "newton"


def test_a_request_that_reaches_no_row_makes_no_ratio(tmp_path: Path) -> None:
    """What it leaves is round-off, and a bound over round-off is any number."""
    known = {"one": facts(**GRAPH, scenario="edges", forgotten=1)}
    found = cells("one", distance=1e-18, reach_rows=0.0)
    (table,) = tables(tmp_path, *found, facts=known)
    assert graphs.single_steps(table) == []
    found = graphs.answer(Evidence([table]))
    (shown,) = lines(found).values()
    assert shown["slack of one Newton step"] == "–"
    assert found.charts == ()


def test_requests_of_one_name_are_told_apart_by_their_profile(tmp_path: Path) -> None:
    of = {"scenario": "nodes", "forgotten": 10}
    plain, apart = facts(**GRAPH, **of), facts(**GRAPH, **of, profile="inductive")
    shown = lines(graphs.answer(board(tmp_path, plain=plain, apart=apart)))
    assert sorted(name.endswith(": 10 nodes (inductive)") for name in shown) == [False, True]


def test_other_titles_change_no_answer(tmp_path: Path) -> None:
    known = {"one": facts(**GRAPH, scenario="nodes", forgotten=10)}
    first = graphs.answer(board(tmp_path / "a", **known))
    second = graphs.answer(board(tmp_path / "b", **{"another": known["one"]}))
    assert first.text == second.text
    assert first.grid.lines[0].cells == second.grid.lines[0].cells


def line(label: str, verdict: str, data: str = "cora", **numbers: float) -> blocks.Line:
    known = facts(**GRAPH | {"data": data}, scenario="nodes", forgotten=100)
    cells = {"slack_mean": "", "accuracy_test_gap_mean": "", "speedup_geometric_mean": ""}
    cells |= {name: str(value) for name, value in numbers.items()}
    return blocks.Line("one", label, verdict, "complete", cells, known)


def test_the_docs_say_each_figure_to_reach_and_what_did_not_run() -> None:
    step = line("newton-measured", "pair", slack_mean=1.05, accuracy_test_gap_mean=-0.2)
    vacuous = line("newton", "vacuous", speedup_geometric_mean=9.0)
    board = blocks.Board((step, vacuous), Path())
    text = blocks.BLOCKS["graphs"](board)
    assert "| one Newton step on Cora: slack | 1.1 at most | 1.05 |" in text
    assert "| its accuracy off retraining's, points | 0.3 at most | 0.20 |" in text
    assert "| *Single-step Newton* on Cora: speed-up | 2.2 | not run |" in text
    photo = line("newton-chord", "proved", "amazon-photo", speedup_geometric_mean=5.5)
    text = blocks.BLOCKS["graphs"](blocks.Board((photo,), Path()))
    assert "| *Chord Newton* on Amazon Photo: speed-up | 5 | 5.5 |" in text
