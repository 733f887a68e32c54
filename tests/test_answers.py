"""What the board answers, on records made up here."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import json_file
from benchmark.contract.claim import Claim
from benchmark.contract.value import Value
from benchmark.experiments.experiment import load as load_experiment
from benchmark.facts import Facts
from benchmark.records import Failure, Plan, PlannedRow, Record, Step, Store
from benchmark.studies.quality_record import QualityRecord, Score, read_all
from leaderboard.answers import (
    ablation,
    answers,
    attacks,
    biased,
    capacity,
    compute,
    nonconvergence,
    paper,
    proved,
    questions,
    scale,
    slack,
    speed,
    stream,
    told,
    utility,
)
from leaderboard.answers.answer import TARGETS, Answer, folded, guaranteed
from leaderboard.board import build, check
from leaderboard.charts import costs
from leaderboard.model.columns import BY_KEY
from leaderboard.model.ranking import Offer, front, offers
from leaderboard.model.section import Prose, Section, bullets, paragraph
from leaderboard.model.table import Evidence, Table, load
from leaderboard.studies.quality import quality_sections
from tests.test_leaderboard import (
    CONDITIONAL,
    PAIR,
    PROVED,
    VACUOUS,
    claim,
    facts,
    inside,
    record,
    store,
)

EXACT = Claim.by_construction("retrained from scratch")


def made(label: str, seed: int = 0, *, epsilon: float = 1.0, **changes: Any) -> Record:
    """A cell that was asked for (epsilon, 1e-5); see `record` for the rest.

    Settings of its experiment are `requests`, `count` and `radius`, of its method `params`.
    """
    inputs = {
        "target": {"epsilon": epsilon, "delta": 1e-5},
        "forget": {"requests": changes.pop("requests", 1), "count": changes.pop("count", 5)},
        "problem": {"training": {"radius": changes.pop("radius", 20.0)}},
    }
    params, name = changes.pop("params", {}), changes.pop("method_name", label)
    times = {key: changes.pop(key) for key in ("retrain", "tuning") if key in changes}
    extra = changes.pop("extra", {})
    cell = record(label, seed, inputs=inputs, **changes)
    numbers = {key: Value(value=value) for key, value in extra.items()}
    return cell.model_copy(
        update={
            "method": cell.method.model_copy(update={"params": params, "name": name}),
            "times": cell.times.model_copy(update=times),
            "metrics": cell.metrics | numbers,
        }
    )


def tables(folder: Path, *cells: Record, facts: dict[str, Facts] | None = None) -> list[Table]:
    """The tables of some cells; of experiments with facts there are plans."""
    for experiment, known in (facts or {}).items():
        of = [cell for cell in cells if cell.experiment == experiment]
        json_file.write(Store(folder).plan_path(experiment), planned(experiment, of, known))
    return load(store(folder, list(cells)))


def planned(experiment: str, cells: list[Record], known: Facts) -> Plan:
    """A plan of what there is, titled after the experiment."""
    rows = {cell.method.label: cell.method for cell in cells}
    return Plan(
        experiment=experiment,
        title=experiment,
        description="",
        settings={},
        facts=known,
        rows=tuple(
            PlannedRow(
                label=label,
                name=row.name,
                title=row.title,
                family=row.family,
                role=row.role,
                like=LIKE.get(label),
            )
            for label, row in rows.items()
        ),
        seeds=tuple(sorted({cell.seeds.split for cell in cells})) or (0,),
    )


#: Rows of the ablation, by the one that they are like but for a setting.
LIKE = {"damped": "newton", "more": "newton", "odd": "newton", "deep": "lissa"}
SMOKE = {"profile": "smoke", "trial": True}


def asked(evidence: Evidence) -> list[Answer]:
    """The answers to every question."""
    return [question.answer(evidence) for question in questions()]


def said(answer: Answer) -> str:
    """Prose of a section, folds included, as one text."""
    section = answer.section
    folds = [part for part in section.parts if isinstance(part, Section)]
    prose = [part for of in (section, *folds) for part in of.parts if isinstance(part, Prose)]
    return " ".join(item for part in prose for item in part.items)


def lines(answer: Answer) -> dict[str, dict[str, str]]:
    """A grid's texts by line and column; columns of one name are told apart by a number."""
    assert answer.grid
    names: list[str] = []
    for name in answer.grid.headings:
        names.append(name if name not in names else f"{name} {names.count(name) + 1}")
    return {
        line.title: dict(zip(names, [cell.text for cell in line.cells], strict=True))
        for line in answer.grid.lines
    }


# nothing to answer from


def test_without_a_record_every_question_says_so_and_which_command_makes_it(tmp_path):
    # a row that proves nothing answers none of the questions
    evidence = Evidence(tables(tmp_path, made("tune")))
    found = asked(evidence)
    assert len({answer.slug for answer in found}) == len(questions()) == 16
    assert [part.slug for part in answers(evidence).parts] == [answer.slug for answer in found]
    for answer in found:
        assert answer.missing, answer.question
        assert answer.command.startswith(("make ", "lethe run ")), answer.question
        assert answer.grid is None
        assert answer.charts == ()


def test_an_answer_begins_with_its_line_and_lists_what_is_long():
    """Bullets, notes and folds follow the line; a page shows the folds by their headings."""
    folds = folded("some-rows", "Some rows: 2", ["one", "two"])
    answer = Answer("some", "Which?", short="2.", points=("a", "b"), notes=("n",), folds=folds)
    first, points, note, fold = answer.section.parts
    assert (first, points) == (*paragraph("2."), *bullets(["a", "b"]))
    assert note == Prose(("n",), "quiet")
    assert fold == folds[0]
    assert fold.folded
    assert folded("none", "None: 0", []) == ()


def test_the_board_shows_the_answers_and_their_plots(tmp_path):
    cells = [made("newton", s, claim=PROVED) for s in range(2)]
    results = store(tmp_path / "results", [*cells, made("retrain", claim=EXACT)])
    build(results, tmp_path / "out")
    assert check(results, tmp_path / "out") == []
    assert (tmp_path / "out" / "site" / "plots" / "pareto.svg").is_file()
    markdown = (tmp_path / "out" / "README.md").read_text()
    page = (tmp_path / "out" / "site" / "answers.html").read_text()
    for text in (markdown, page):
        assert speed.QUESTION in text
    assert "plots/pareto.svg" in page
    short = speed.answer(Evidence(load(results))).short
    assert f"| {speed.QUESTION} | {short} |" in markdown
    assert "make nonconvergence RESULTS=leaderboard/results" in page
    assert f'<a href="#{speed.SLUG}">' in page


# which rows count


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"claim": PROVED}, True),
        ({"claim": EXACT}, True),
        ({"claim": claim(epsilon=1.0 + 1e-9)}, True),
        ({"claim": claim(epsilon=1.1)}, False),
        ({"claim": claim(delta=1e-4)}, False),
        ({"claim": CONDITIONAL}, False),
        ({"claim": PAIR}, False),
        ({"claim": VACUOUS}, False),
        ({"claim": PROVED, "metrics": {"slack": 0.5}}, False),
        ({"claim": PROVED, "epsilon": 8.0}, False),
        ({}, False),
    ],
)
def test_guaranteed_is_proved_within_the_target_that_was_asked_for(tmp_path, changes, counts):
    (table,) = tables(tmp_path, made("newton", **changes))
    assert guaranteed(table.rows[0], TARGETS[0]) is counts


def test_yardsticks_are_no_entries_and_a_weaker_seed_decides(tmp_path):
    cells = [made("retrain", claim=EXACT), made("newton", claim=PROVED)]
    cells.append(made("newton", 1, claim=CONDITIONAL))
    (table,) = tables(tmp_path, *cells)
    assert not any(guaranteed(row) for row in table.rows)


# the numbers, by hand


def test_speed_with_and_without_what_is_computed_once(tmp_path):
    # per request 2 / 0.5 = 4 and 2 / 0.125 = 16, geometric mean 8; with 4 s beforehand 2 / 4.5
    # and 2 / 4.125; `plain` takes 1 s each time: 2 either way
    cells = [
        made("chord", s, claim=PROVED, unlearn=t, precomputation=4.0)
        for s, t in enumerate((0.5, 0.125))
    ]
    cells += [made("plain", s, claim=PROVED, unlearn=1.0) for s in range(2)]
    cells += [made("quick", s, claim=VACUOUS, unlearn=0.01) for s in range(2)]
    answer = speed.answer(Evidence(tables(tmp_path, *cells)))
    line = lines(answer)["toy"]
    assert line["fastest per request"] == "Chord"
    assert line["speed-up (×)"].startswith("8.00 ×÷")
    assert line["fastest, one-off work included"] == "Plain"
    assert line["speed-up of one request (×)"] == "2.00 ×÷ 1.00"
    # the interval of 4 and 16 reaches far below 1, that of 2 and 2 does not
    assert line["rows faster by their interval"] == "1 of 2"
    assert line["seeds"] == "2 of 2"
    assert "1 of 1 problem have a proved row that loses at most 1 point" in said(answer)
    assert "On 1 of these a row is faster than retraining" in said(answer)
    assert "The fastest rows are 2.00 times as fast" in said(answer)
    rows = {row.label: row for row in tables(tmp_path)[0].rows}
    expected = math.sqrt(2 / 4.5 * 2 / 4.125)
    assert speed.whole(rows["chord"]).mean == pytest.approx(expected)


def test_a_fast_row_that_erases_the_model_is_called_so(tmp_path):
    over = {"control_accuracy_test_gap": 0.0}
    cells = [made("noisy", s, claim=PROVED, unlearn=0.5, metrics=over) for s in range(2)]
    evidence = Evidence(tables(tmp_path, *cells))
    answer = speed.answer(evidence)
    assert lines(answer)["toy"]["fastest per request"] == "Noisy (erases the model)"
    assert "On 1 of these a row is faster" in said(answer)
    assert "Without them a row is faster on 0 problems." in said(answer)
    text = said(proved.answer(evidence))
    assert "1 of their 1 row are on the Pareto front" in text
    assert "The rows on the front are on 1 of 1 problem, and 1 of them erase the model." in text


def test_a_row_that_loses_accuracy_is_not_an_answer_however_fast(tmp_path):
    lost = {"accuracy_test_gap": -30.0}
    cells = [made("chance", claim=PROVED, unlearn=0.001, metrics=lost)]
    cells += [made("plain", claim=PROVED, unlearn=1.0)]
    line = lines(speed.answer(Evidence(tables(tmp_path, *cells))))["toy"]
    assert line["fastest per request"] == "Plain"
    assert line["rows faster by their interval"] == "0 of 1 (n = 1)"


def test_a_row_without_a_gap_is_not_taken_to_lose_nothing(tmp_path):
    cells = [made("unjudged", claim=PROVED, unlearn=0.001), made("plain", claim=PROVED)]
    cells[0].metrics.pop("accuracy_test_gap")
    line = lines(speed.answer(Evidence(tables(tmp_path, *cells))))["toy"]
    assert line["fastest per request"] == "Plain"
    assert line["rows faster by their interval"] == "0 of 1 (n = 1)"


def test_speed_is_about_problems_not_about_the_settings_a_study_varies(tmp_path):
    lossy = made("newton", claim=PROVED, unlearn=0.5, extra={"accuracy_test_gap": -30.0})
    varied = made("newton", claim=PROVED, unlearn=0.5)
    varied = varied.model_copy(update={"experiment": "digits-budget-epochs-5"})
    fine = made("newton", claim=PROVED, unlearn=0.5)
    fine = fine.model_copy(update={"experiment": "fine"})
    known = {"digits-budget-epochs-5": facts(group=("budget",))}
    answer = speed.answer(Evidence(tables(tmp_path, lossy, varied, fine, facts=known)))
    assert "1 of 2 problems have" in said(answer)
    assert "Every proved row loses more than 1 point on toy." in said(answer)
    assert answer.missing == ""


def test_speed_says_where_nothing_is_proved_and_where_nothing_is_faster(tmp_path):
    slow = made("newton", claim=PROVED, unlearn=4.0)
    other = made("tune").model_copy(update={"experiment": "unproved"})
    answer = speed.answer(Evidence(tables(tmp_path, slow, other)))
    assert "1 of 2 problems have" in said(answer)
    assert "On 0 of these a row is faster" in said(answer)
    assert "No row is faster on toy." in said(answer)
    assert "No row is proved on unproved." in answer.missing
    assert answer.command == utility.COMMAND


def timed(experiment: str, seconds: tuple[float, ...], **changes: Any) -> list[Record]:
    """A proved row; retraining takes 2 s."""
    cells = [made("row", s, claim=PROVED, unlearn=t, **changes) for s, t in enumerate(seconds)]
    return [cell.model_copy(update={"experiment": experiment}) for cell in cells]


def test_faster_is_what_an_interval_says_not_a_mean(tmp_path):
    cells = [
        *timed("clear", (1.0, 1.0)),
        *timed("wide", (0.125, 1.9)),
        *timed("alone", (0.125,)),
        *timed("slow", (4.0, 4.0)),
    ]
    text = said(speed.answer(Evidence(tables(tmp_path, *cells))))
    assert "4 of 4 problems have a proved row" in text
    assert "On 1 of these a row is faster than retraining" in text
    assert "The fastest rows are 2.00 times as fast" in text
    assert "On 1 more a row is faster with one seed, which has no interval: not settled." in text
    assert "On 1 more a row is faster on average, but the interval includes 1." in text
    assert "No row is faster on slow." in text
    assert "is still faster on 1 problem, by its interval: 2.00 times." in text


def test_rows_that_keep_the_model_are_said_to_be_linear_only_where_facts_tell(tmp_path):
    over, level = ({"control_accuracy_test_gap": gap} for gap in (5.0, 0.0))
    known = {name: facts(linear=name == "head") for name in ("head", "net", "deep")}
    cells = [
        *timed("head", (1.0, 1.0), metrics=over),
        *timed("net", (1.0, 1.0), metrics=level),
    ]
    text = said(speed.answer(Evidence(tables(tmp_path / "one", *cells, facts=known))))
    assert "On 2 of these a row is faster" in text
    assert "a row is faster on 1 problem, by 2.00 times, all with a linear head." in text
    unknown = said(speed.answer(Evidence(tables(tmp_path / "unknown", *cells))))
    assert "a row is faster on 1 problem, by 2.00 times." in unknown
    cells += timed("deep", (1.0, 1.0), metrics=over)
    text = said(speed.answer(Evidence(tables(tmp_path / "two", *cells, facts=known))))
    assert "a row is faster on 2 problems, by 2.00 times." in text


def test_a_stream_is_known_by_its_facts_or_by_its_records(tmp_path):
    cells = timed("many", (1.0, 1.0), requests=3)
    for folder, known in (("facts", {"many": facts(requests=3)}), ("records", {})):
        answer = speed.answer(Evidence(tables(tmp_path / folder, *cells, facts=known)))
        assert answer.missing == "No record answers this yet.", folder
    one = timed("stream of one", (1.0, 1.0))
    assert speed.answer(Evidence(tables(tmp_path / "one", *one))).grid, "its name says nothing"


@pytest.mark.parametrize(("error", "refused"), [("AssumptionBroken", True), ("OSError", False)])
def test_no_command_is_named_where_certificates_are_refused(tmp_path, error, refused):
    cell = made("newton", claim=PROVED)
    failure = Failure(type=error, message="no", where="")
    cell = cell.model_copy(
        update={"experiment": "batch", "status": "failed", "failure": failure, "claim": None}
    )
    answer = speed.answer(Evidence(tables(tmp_path, made("newton", claim=PROVED), cell)))
    assert ("Nothing is proved on batch: there every claim was refused" in said(answer)) is refused
    assert bool(answer.command) is not refused
    assert ("No row is proved on batch." in answer.missing) is not refused


def test_tuning_counts_against_the_speed_and_has_to_be_won_back():
    # 2 - 0.5 s saved a request, 4 s of tuning and 1 s beforehand: 5 / 1.5 requests
    cell = made("tune", unlearn=0.5, precomputation=1.0, tuning=4.0)
    assert BY_KEY["pays_after"].read(cell).value == 4
    assert BY_KEY["pays_after"].read(made("tune", unlearn=0.5, tuning=4.0)).value == 3
    assert BY_KEY["speedup"].read(cell).value == pytest.approx(2 / 4.5)


def test_utility_at_each_target_with_the_one_that_is_missing(tmp_path):
    gaps = {"near": (-0.2, -0.4), "far": (-3.0, -5.0)}
    cells = [
        made(label, s, claim=PROVED, metrics={"accuracy_test_gap": gap})
        for label, values in gaps.items()
        for s, gap in enumerate(values)
    ]
    answer = utility.answer(Evidence(tables(tmp_path / "one", *cells)))
    line = lines(answer)["toy"]
    assert (line["closest"], line["farthest"]) == ("Near", "Far")
    assert line["its gap"].startswith("−0.3 ±")
    assert line["its gap 2"].startswith("−4 ±")
    assert "1 of 2 proved rows stay within 1 point of retraining." in said(answer)
    assert line["cost of the noise (points)"] == "–"
    assert "No row was proved at (8, 1e-5)" in answer.missing
    eight = made("wide", epsilon=8.0, claim=claim(epsilon=8.0))
    both = utility.answer(Evidence(tables(tmp_path / "both", *cells, eight)))
    assert (both.missing, both.command) == ("", "")
    assert "At (8, 1e-5)" in said(both)
    noisy = made("near", claim=PROVED, metrics={"noise_cost": -0.25})
    priced = utility.answer(Evidence(tables(tmp_path / "noisy", noisy)))
    assert lines(priced)["toy"]["cost of the noise (points)"] == "−0.250"
    assert "noise is added to the weights at the end in 1 row. It costs −0.250" in said(priced)


def test_slack_by_verdict_and_what_has_no_distance(tmp_path):
    cells = [
        made("a", claim=PROVED, metrics={"slack": 1.0}),
        made("b", claim=claim(reached=0.005), metrics={"slack": 4.0}),
        made("c", claim=VACUOUS, metrics={"slack": 20.0}),
        made("d", claim=inside()),
        made("e", claim=PAIR, metrics={"slack": 1.5}),
    ]
    answer = slack.answer(Evidence(tables(tmp_path, *cells)))
    line = lines(answer)["toy"]
    assert line["slack, proved"] == "1.00 to 4.00"
    assert line["slack, vacuous"] == "20.0"
    assert line["slack, this pair only"] == "1.50"
    assert line["slack, conditional"] == "–"
    assert line["Δ₀ over the bound reached, proved"] == "1.00 to 4.00"
    assert (
        "verdict “proved” the bound is 1.00 to 4.00 times the measured distance, with a median of "
        "2.50"
    ) in said(answer)
    assert "2.50 times the measured distance in the median" in answer.short
    assert "the noise is made for 1.00 to 4.00 times that bound" in said(answer)
    assert "verdict “this pair only” the bound is 1.50 times" in said(answer)
    assert answer.missing.startswith("1 row with the noise inside")


def stepped(experiment: str, *steps: int, own: int = 1, **changes: Any) -> list[Record]:
    """Seeds of a row that took so many steps, `own` of them its own."""
    cells = [
        made(
            changes.get("label", "newton"),
            seed,
            claim=changes.get("claimed", PROVED),
            metrics={
                "steps_taken": count,
                "further_steps": max(0, count - own),
                "slack": 1.25,
                "noise_cost": -0.5,
            },
        )
        for seed, count in enumerate(steps)
    ]
    return [cell.model_copy(update={"experiment": experiment}) for cell in cells]


BIASED_FACTS = {
    "digits-softmax": facts(study="digits-softmax"),
    # the same but for what is asked for, or a point of a sweep: neither stands beside
    "digits-a-stream": facts(study="digits-softmax", requests=3),
    "digits-few": facts(study="digits-softmax", axis="forget", value=1.0),
    **{
        f"digits-softmax-biased{name}": facts(
            study="digits-softmax-biased",
            scenario="class",
            forgotten=None,
            group=("biased",),
            **more,
        )
        for name, more in {"": {}, "-class": {"profile": "class"}, "-smoke": SMOKE}.items()
    },
    "mnist-hog-biased": facts(study="mnist-hog-biased", data="mnist", group=("biased",)),
}


def test_biased_requests_are_set_beside_random_ones(tmp_path):
    study = "digits-softmax-biased"
    refused = made("refusing", claim=PROVED).model_copy(
        update={"experiment": study, "status": "failed", "claim": None}
    )
    cells = [
        *stepped("digits-softmax", 1, 1),
        *stepped("digits-a-stream", 7, 7),
        *stepped("digits-few", 8, 8),
        *stepped(study, 1, 3),
        *stepped(f"{study}-class", 2, 2),
        *stepped(f"{study}-smoke", 9, 9),
        *stepped(study, 5, 5, label="yardstick", claimed=PAIR),
        made("tune").model_copy(update={"experiment": study}),
        refused,
    ]
    evidence = Evidence(tables(tmp_path, *cells, facts=BIASED_FACTS))
    answer = biased.answer(evidence)
    found = lines(answer)
    assert set(found) == {
        f"{study}: Newton",
        f"{study}: Yardstick",
        f"{study}: Refusing",
        f"{study}-class: Newton",
    }
    line = found[f"{study}: Newton"]
    assert line["steps"].startswith("2 ± 13 (1.0 beyond its own)")
    assert line["steps, random rows"] == "1"
    assert line["seeds with steps beyond its own"] == "1 of 2"
    assert (line["slack"], line["noise cost (points)"]) == ("1.25 ± 0", "−0.500 ± 0")
    assert found[f"{study}: Yardstick"]["verdict"] == "this pair only"
    assert found[f"{study}: Refusing"]["verdict"] == "failed"
    assert "The requests are of 2 kinds, and none is of random rows." in said(answer)
    assert "The yardsticks (1 row) stop after their own step" in said(answer)
    assert "2 rows with a claim about unlearning take 2.00 steps" in said(answer)
    assert "3 of 4 cells go on beyond the method's own steps" in said(answer)
    assert f"Without an answer on at least one seed: {study}: Refusing." in said(answer)
    assert answer.missing == "No record of mnist-hog-biased."
    assert answer.command == "make biased RESULTS=leaderboard/results"
    problems = [table.experiment for table in evidence.problems]
    assert problems == ["digits-a-stream", "digits-few", "digits-softmax"]


def contest(
    experiment: str, epochs: int, theirs: list[float], rows: dict[str, tuple[list, list]]
) -> list[Record]:
    """Retraining for some epochs and rows, each with its accuracies and leads over its control."""
    cells = []
    for seed, accuracy in enumerate(theirs):
        cell = made(
            "briefly",
            seed,
            claim=EXACT,
            unlearn=0.5,
            params={"epochs": epochs},
            extra={"accuracy_test": accuracy},
        )
        cells.append(
            cell.model_copy(update={"method": cell.method.model_copy(update={"role": "floor"})})
        )
    for label, (accuracies, overs) in rows.items():
        for seed, (accuracy, over) in enumerate(zip(accuracies, overs, strict=True)):
            numbers = {"accuracy_test": accuracy, "control_accuracy_test": accuracy - over}
            cells.append(
                made(
                    label,
                    seed,
                    claim=inside(),
                    unlearn=0.75,
                    # one more than the budget, to leave room for the noisy steps
                    params={"epochs": epochs + 1},
                    metrics={"control_accuracy_test_gap": over},
                    extra=numbers,
                )
            )
    return [cell.model_copy(update={"experiment": experiment}) for cell in cells]


def budget(study: str, problem: str, profile: str | None = None, **more: Any) -> Facts:
    known = {"study": study, "problem": problem, "profile": profile, "group": ("budget",)}
    return facts(**known | more)


BUDGET_FACTS = {
    "mnist-budget": budget("mnist-budget", "MNIST, MLP"),
    "mnist-budget-epochs-2": budget("mnist-budget", "MNIST, MLP", "epochs-2"),
    "mnist-budget-smoke": budget("mnist-budget", "MNIST, MLP", **SMOKE),
    "digits-budget": budget("digits-budget", "Digits, MLP"),
    "digits-budget-epochs-20": budget("digits-budget", "Digits, MLP", "epochs-20"),
    "cifar10-budget": budget("cifar10-budget", "CIFAR-10, MLP on HOG", features="hog"),
}


SHAPES = {
    "winner": ([72.0, 82.0], [1.0, 1.1]),
    "eraser": ([72.0, 82.0], [0.0, 0.0]),
    "chancy": ([78.0, 80.5], [1.0, 1.1]),
    "worse": ([69.0, 79.5], [3.0, 3.1]),
}


def test_compute_wants_a_lead_over_as_long_a_retraining_and_over_the_control(tmp_path):
    # seed by seed: winner and eraser lead by 2 and 2, chancy by 8 and 0.5, worse by -1 and -0.5
    cells = contest("mnist-budget", 10, [70.0, 80.0], SHAPES)
    answer = compute.answer(Evidence(tables(tmp_path, *cells, facts=BUDGET_FACTS)))
    found = {name.removeprefix("mnist-budget: "): line for name, line in lines(answer).items()}
    beaten = {name: line["beats retraining"] for name, line in found.items()}
    survives = {name: line["survives the control"] for name, line in found.items()}
    assert beaten == {"Winner": "yes", "Eraser": "yes", "Chancy": "no", "Worse": "no"}
    assert survives == {"Winner": "yes", "Eraser": "no", "Chancy": "yes", "Worse": "yes"}
    assert found["Winner"]["gain over retraining as long (points)"] == "+2.00 ± 0"
    # t of 0.975 with one degree of freedom is 12.706; half the difference of two is its factor
    assert found["Chancy"]["gain over retraining as long (points)"].startswith("+4 ± 48")
    assert found["Worse"]["time over that of retraining (×)"] == "1.50"
    assert "4 comparisons of a certified row" in said(answer)
    assert "less that of retraining is −0.750 to 4.25 points" in said(answer)
    assert "2 beat retraining (mnist-budget: " in said(answer)
    assert "3 beat the same algorithm started from zero weights" in said(answer)
    assert said(answer).endswith("Rows that beat both: mnist-budget: Winner.")


def test_compute_goes_through_budgets_and_says_which_problems_are_missing(tmp_path):
    shape = {"noisy": ([71.0], [0.5])}
    cells = [
        *contest("mnist-budget", 10, [70.0], shape),
        *contest("mnist-budget-epochs-2", 2, [70.0], shape),
        *contest("mnist-budget-smoke", 1, [70.0], shape),
        *contest("digits-budget", 10, [70.0], shape),
        *contest("elsewhere", 5, [70.0], shape),
    ]
    answer = compute.answer(Evidence(tables(tmp_path, *cells, facts=BUDGET_FACTS)))
    order = ["digits-budget: Noisy", "mnist-budget-epochs-2: Noisy", "mnist-budget: Noisy"]
    assert list(lines(answer)) == order
    assert {line["beats retraining"] for line in lines(answer).values()} == {"no"}
    assert "0 beat retraining. 0 beat" in said(answer)
    assert said(answer).endswith("Rows that beat both: none.")
    assert answer.missing.startswith("No record of CIFAR-10, MLP on HOG. With one seed")
    assert answer.command == "make budget RESULTS=leaderboard/results"


def test_compute_leads_are_paired_by_seed(tmp_path):
    # retraining lacks seed 1: what the row has there is compared with nothing
    cells = contest("digits-budget", 5, [70.0, 90.0, 80.0], {"noisy": ([71.0, 0.0, 83.0], [0] * 3)})
    cells = [c for c in cells if (c.method.label, c.seeds.split) != ("briefly", 1)]
    (found,) = compute.contests(tables(tmp_path, *cells, facts=BUDGET_FACTS))
    assert (found.lead.mean, found.lead.n) == (2.0, 2)
    assert not compute.clear(found.lead), "1 and 3 are no clear lead"


def test_compute_draws_rows_controls_and_retraining_under_every_budget(tmp_path):
    cells = [
        *contest("digits-budget", 5, [70.0, 80.0], SHAPES),
        *contest("digits-budget-epochs-20", 20, [75.0, 85.0], SHAPES),
        *contest("cifar10-budget", 49, [56.0], {"winner": ([57.0], [0.0])}),
    ]
    evidence = Evidence(tables(tmp_path, *cells, facts=BUDGET_FACTS))
    (chart,) = compute.answer(evidence).charts
    assert chart.path == "plots/budget.svg"
    assert compute.answer(evidence).charts[0].svg == chart.svg, "the same bytes twice"
    digits = [t for t in evidence.tables if t.facts.study == "digits-budget"]
    points = [point for table in digits for point in compute.points(table)]
    assert len(points) == 2 * (2 + 4 * 2)
    assert {p.epochs for p in points} == {5, 20}
    winner = [(p.accuracy, p.control, p.lead) for p in points if p.series == "Winner"]
    assert winner[0] == (72.0, 71.0, 2.0)
    assert {(p.control, p.lead) for p in points if p.series == ""} == {(None, 0.0)}


def releases(*composed: float | None, measured: float | None = None) -> tuple[Step, ...]:
    return tuple(
        Step(
            epsilon=1.0,
            composed_epsilon=together,
            measured_epsilon=measured,
            m=0.25,
            sigma=0.1,
            bound=0.02,
            reached=0.01,
            steps=2,
            seconds=0.1,
        )
        for together in composed
    )


def test_stream_says_what_releases_prove_together_and_that_some_do_not_compose(tmp_path):
    shared = {"claim": PROVED, "requests": 2}
    cells = [
        made("newton", stream=releases(1.0, 1.5, measured=1.125), **shared),
        made("shared-noise", stream=releases(1.0, None), **shared),
        made("tune", requests=2),
        made("single", claim=PROVED),
    ]
    evidence = Evidence(tables(tmp_path, *cells))
    answer = stream.answer(evidence)
    found = lines(answer)
    assert set(found) == {"toy: Newton", "toy: Shared-Noise"}
    assert found["toy: Newton"]["ε of all together, worst case"] == "1.50"
    assert found["toy: Newton"]["ε of all together, measured"] == "1.12"
    assert found["toy: Newton"]["releases"] == "2"
    assert found["toy: Shared-Noise"]["ε of all together, worst case"] == "do not compose"
    assert "each release alone has ε = 1.00." in said(answer)
    assert "All 2 releases together have ε = 1.50, whatever the requests are" in said(answer)
    assert "for these requests, they have ε = 1.12. This is a measurement" in said(answer)
    assert "The releases of 1 row do not compose." in said(answer)
    assert "the test gap is, by verdict: proved, 0.500 points (2 rows)." in said(answer)
    # what a stream proves is not (1, 1e-5) any more
    assert set(lines(proved.answer(evidence))) == {"toy: Single"}


def test_capacity_is_said_for_the_worst_case_and_as_measured(tmp_path):
    shared = {"requests": 2, "stream": releases(1.0, 1.5)}
    cells = [
        made(
            label,
            s,
            claim=claimed,
            extra={"deletion_capacity": 50 + 10 * s, "uniform_capacity": 4},
            **shared,
        )
        for label, claimed in (("fixed", PROVED), ("empty", VACUOUS), ("yardstick", PAIR))
        for s in (0, 1)
    ]
    cells += [made("newton", s, claim=PROVED, **shared) for s in (0, 1)]
    answer = capacity.answer(Evidence(tables(tmp_path, *cells)))
    assert list(lines(answer)) == ["toy: Fixed"]
    assert lines(answer)["toy: Fixed"]["capacity, worst case (requests)"] == "4"
    assert "over 4 requests, and this is what is proved." in said(answer)
    assert "By the bounds for the requests that came it is 55 requests" in said(answer)


def test_gaps_after_a_stream_are_told_apart_by_verdict(tmp_path):
    shared = {"requests": 2, "stream": releases(1.0, 1.5)}
    cells = [
        made("a", claim=PROVED, metrics={"accuracy_test_gap": -1.0}, **shared),
        made("b", claim=PROVED, metrics={"accuracy_test_gap": -2.0}, **shared),
        made("c", claim=VACUOUS, metrics={"accuracy_test_gap": -80.0}, **shared),
    ]
    text = said(stream.answer(Evidence(tables(tmp_path, *cells))))
    assert "proved, −2.00 to −1.00 points (2 rows); vacuous, −80.0 points (1 row)." in text


# the Pareto front


def offer(verdict: str, definition: str, numbers: tuple, competes: bool) -> Offer:
    epsilon, lost, time = numbers
    row = SimpleNamespace(verdict=verdict, label="")
    return Offer(row, definition, epsilon, 1e-5, lost, time, competes)


OFFERS = st.builds(
    offer,
    st.sampled_from(("exact", "proved", "conditional")),
    st.sampled_from(("reference", "unlearn-on-retain")),
    st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(1, 3)),
    st.booleans(),
)


@given(st.lists(OFFERS, max_size=8))
def test_the_front_is_what_brute_force_finds(found):
    ranks = {"exact": 0, "proved": 1, "conditional": 2}

    def costs(o: Offer) -> tuple:
        """All that counts, the less the better; what is exact is as strong as can be."""
        strength = (0, 0, 0)
        if o.row.verdict != "exact":
            strength = (ranks[o.row.verdict], o.epsilon, o.delta)
        return (*strength, o.lost, o.time)

    def beats(a: Offer, b: Offer) -> bool:
        comparable = a.row.verdict == "exact" or a.definition == b.definition
        pairs = list(zip(costs(a), costs(b), strict=True))
        return comparable and all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    competing = [o for o in found if o.competes]
    expected = [o for o in competing if not any(beats(other, o) for other in competing)]
    assert [id(o) for o in front(found)] == [id(o) for o in expected]


def on_front(folder: Path, *cells: Record) -> set[str]:
    (table,) = tables(folder, *cells)
    return {offer.row.label for offer in front(offers(table))}


def test_vacuous_violated_and_incomplete_rows_are_never_on_the_front(tmp_path):
    fast = {"unlearn": 0.001, "metrics": {"accuracy_test_gap": 9.0}}
    cells = [
        *(made("newton", s, claim=PROVED) for s in range(2)),
        *(made("empty", s, claim=VACUOUS, **fast) for s in range(2)),
        *(made("yardstick", s, claim=PAIR, **fast) for s in range(2)),
        *(made("wrong", s, claim=PROVED, **fast | {"metrics": {"slack": 0.5}}) for s in range(2)),
        made("lacking", claim=PROVED, **fast),
        made("tune", **fast),
    ]
    assert on_front(tmp_path, *cells) == {"newton"}


def test_retraining_beats_what_is_slower_and_no_more_accurate(tmp_path):
    def cells(gap: float) -> list[Record]:
        slow = made("noisy", claim=PROVED, unlearn=3.0, metrics={"accuracy_test_gap": gap})
        ours = {"unlearn": 2.0, "metrics": {"accuracy_test_gap": 0.0}}
        return [slow, made("retrain", claim=EXACT, **ours)]

    assert on_front(tmp_path / "worse", *cells(-0.1)) == {"retrain"}
    assert on_front(tmp_path / "better", *cells(0.1)) == {"retrain", "noisy"}


def test_guarantees_of_other_definitions_are_not_compared_and_verdicts_rank(tmp_path):
    def fast(**changes: Any) -> Record:
        return made("fast", claim=claim(**changes), unlearn=0.1)

    slow = made("slow", claim=PROVED, unlearn=1.0)
    assert on_front(tmp_path / "a", fast(definition="reference"), slow) == {"fast", "slow"}
    assert on_front(tmp_path / "b", fast(caveats=("unchecked",)), slow) == {"fast", "slow"}
    assert on_front(tmp_path / "c", fast(), slow) == {"fast"}
    assert on_front(tmp_path / "d", fast(epsilon=2.0), slow) == {"fast", "slow"}
    assert on_front(tmp_path / "e", fast(definition="this-pair"), slow) == {"slow"}


def test_round_off_in_a_gap_puts_nothing_on_the_front(tmp_path):
    cells = [
        made("slow", claim=PROVED, unlearn=1.0, metrics={"accuracy_test_gap": 1e-14}),
        made("fast", claim=PROVED, unlearn=0.1, metrics={"accuracy_test_gap": -1e-14}),
    ]
    assert on_front(tmp_path, *cells) == {"fast"}


def test_a_stream_stands_by_what_its_releases_prove_together(tmp_path):
    cell = made("newton", claim=PROVED, requests=2, stream=releases(1.0, 1.5))
    (table,) = tables(tmp_path / "composed", cell)
    assert [found.epsilon for found in offers(table)] == [1.5]
    cell = made("newton", claim=PROVED, requests=2, stream=releases(1.0, None))
    (table,) = tables(tmp_path / "apart", cell)
    assert offers(table) == []


def test_proved_lists_rows_with_definition_time_and_front(tmp_path):
    cells = [
        made("fast", claim=PROVED, unlearn=0.25),
        made("slow", claim=PROVED, unlearn=1.0),
        made("guess", claim=CONDITIONAL),
        made("yardstick", claim=PAIR, unlearn=0.01),
    ]
    answer = proved.answer(Evidence(tables(tmp_path, *cells)))
    found = lines(answer)
    assert set(found) == {"toy: Fast", "toy: Slow"}
    assert found["toy: Fast"]["definition"] == "against retraining and an empty request"
    assert "Not listed: 1 row about one pair of Gaussians only." in said(answer)
    assert found["toy: Fast"]["time (s)"] == "0.250"
    assert found["toy: Fast"]["Pareto front"] == "yes"
    assert found["toy: Slow"]["Pareto front"] == "no"
    assert "(8, 1e-5)" in answer.missing
    assert "1 of their 2 rows are on the Pareto front" in said(answer)
    assert "The rows on the front are on 1 of 1 problem" in said(answer)
    assert [chart.path for chart in answer.charts] == ["plots/pareto.svg"]


def test_the_front_is_counted_over_the_rows_and_problems_that_the_table_has(tmp_path):
    stream_of = made("newton", claim=PROVED, requests=2, stream=releases(1.0, 1.5))
    cells = [
        made("fast", claim=PROVED, unlearn=0.25),
        stream_of.model_copy(update={"experiment": "stream"}),
        made("guess", claim=CONDITIONAL).model_copy(update={"experiment": "guessed"}),
    ]
    answer = proved.answer(Evidence(tables(tmp_path, *cells)))
    assert set(lines(answer)) == {"toy: Fast"}
    assert "1 of their 1 row are on the Pareto front" in said(answer)
    assert "The rows on the front are on 1 of 1 problem, and 0 of them erase the model" in said(
        answer
    )


# studies


def general(bound: float, **constants: float) -> dict[str, Any]:
    """A claim by the norm constraint, with the bound that needs no convexity beside it."""
    return {
        "bound": 40.0,
        "trivial": 40.0,
        "theorem": "2C",
        "alternatives": [{"theorem": "thm4", "value": bound, "proved": False}],
        "measured": [
            {"name": name, "value": value, "provenance": "assumed", "meaning": ""}
            for name, value in constants.items()
        ],
    }


def test_nonconvergence_goes_from_the_largest_gradient_to_the_least(tmp_path):
    def at(profile: str, gradient: float, gap: float) -> list[Record]:
        claimed = claim(**general(100 * gradient, retrain_gradient=gradient))
        cells = [
            made(
                "newton",
                seed,
                claim=claimed,
                metrics={"accuracy_test_gap": gap + seed, "distance": 0.5},
            )
            for seed in range(2)
        ]
        experiment = "mnist-nonconvergence" + profile
        return [cell.model_copy(update={"experiment": experiment}) for cell in cells]

    profiles = {"": {}, "-epochs-1": {}, "-epochs-2": {}, "-smoke": SMOKE}
    known = {
        f"mnist-nonconvergence{name}": facts(group=("nonconvergence",), **more)
        for name, more in profiles.items()
    }
    cells = [*at("", 0.5, -1.0), *at("-epochs-1", 3.0, -9.0), *at("-smoke", 9.0, -50.0)]
    # more in between than at either end, and one claim that is less than 2C
    tight = general(50.0, retrain_gradient=0.5) | {"bound": 4.0}
    rising = [*cells, *at("-epochs-2", 2.0, -4.0)]
    rising[-1] = rising[-1].model_copy(
        update={"claim": claim(**general(900.0, retrain_gradient=2.0))}
    )
    rising[0] = made("newton", claim=claim(**tight), radius=20.0).model_copy(
        update={"experiment": "mnist-nonconvergence"}
    )
    text = said(nonconvergence.answer(Evidence(tables(tmp_path / "rising", *rising, facts=known))))
    assert (
        "step residual (thm4), is 50.0 to 550. The bound that is claimed is 4.00 to 40.0. The "
        "test gap is"
    ) in text
    answer = nonconvergence.answer(Evidence(tables(tmp_path, *cells, facts=known)))
    found = lines(answer)
    assert [line["G"] for line in found.values()] == ["3.00", "0.500"]
    assert [line["bound: step residual (thm4)"] for line in found.values()] == ["300", "50.0"]
    assert [line["verdict"] for line in found.values()] == ["vacuous", "vacuous"]
    assert "convexity, step residual (thm4), is 50.0 to 300." in said(answer)
    assert "The bound that is claimed is 2C = 40.0, whatever G is." in said(answer)
    assert "The test gap is −8.50 to −0.500 points" in said(answer)
    assert [chart.path for chart in answer.charts] == ["plots/nonconvergence.svg"]


def ablated(folder: Path) -> list[Table]:
    """Newton with three dampings and two radii, LiSSA with two depths, and one odd row."""

    def cell(label: str, profile: str = "", **changes: Any) -> list[Record]:
        proof = changes.pop("proof", general(50.0, damping=2.0, residual=0.25))
        name = changes.pop("method_name", "newton")
        made_of = [
            made(label, seed, claim=claim(**proof), method_name=name, **changes)
            for seed in range(2)
        ]
        return [c.model_copy(update={"experiment": f"mnist-ablation{profile}"}) for c in made_of]

    newton = {"damping": None, "sigma": 0.1}
    lissa = {**newton, "depth": 100, "chains": 10}
    cells = [
        *cell("newton", params=newton),
        *cell("damped", params=newton | {"damping": 10.0}, proof=general(20.0, residual=0.5)),
        *cell("more", params=newton | {"damping": 100.0}, proof=general(10.0, residual=0.125)),
        *cell("odd", params=newton | {"damping": 10.0, "sigma": 0.2}),
        *cell("newton", "-radius-5", params=newton, radius=5.0),
        *cell("lissa", params=lissa, method_name="newton-lissa"),
        *cell("deep", params=lissa | {"depth": 1000}, method_name="newton-lissa"),
    ]
    return tables(folder, *cells, facts=ABLATED_FACTS)


ABLATED_FACTS = {
    "mnist-ablation": facts(study="mnist-ablation", group=("ablation",)),
    "mnist-ablation-radius-5": facts(
        study="mnist-ablation", group=("ablation",), profile="radius-5", axis="radius", value=5.0
    ),
}


def test_ablation_takes_the_rows_that_differ_in_one_setting(tmp_path):
    found = ablation.panels(ablated(tmp_path))
    values = {name: sorted({p.setting for p in points}) for name, points in found.items()}
    # where the method chose the damping itself, its claim has it
    assert values == {"damping": [2.0, 10.0, 100.0], "radius": [5.0, 20.0], "depth": [100, 1000]}
    assert {len(points) for points in found.values()} == {6, 4}
    bounds = {p.setting: p.bounds["thm4"] for p in found["damping"]}
    assert bounds == {2.0: 50.0, 10.0: 20.0, 100.0: 10.0}


def test_ablation_says_how_numbers_change_and_what_was_not_varied(tmp_path):
    answer = ablation.answer(Evidence(ablated(tmp_path)))
    line = lines(answer)["damping λ"]
    assert line["from → to"] == "2.00 → 100"
    assert line["seeds"] == "2"
    assert "Numbers are means over seeds." in said(answer)
    assert line["bound: step residual (thm4)"] == "50.0 → 10.0"
    assert line["residual"] == "0.250 → 0.125"
    assert answer.missing == "Not varied: noise σ, LiSSA, chains s₁, rows forgotten."
    assert answer.command == ablation.COMMAND
    assert [chart.path for chart in answer.charts] == ["plots/ablation.svg"]


def test_ablation_with_one_seed_says_so_and_names_the_table_of_what_failed(tmp_path):
    whole = [cell for table in ablated(tmp_path / "two") for cell in table.records]
    cells = [cell for cell in whole if cell.seeds.split == 0]
    label = cells[0].method.model_copy(update={"label": "broken", "title": "Broken"})
    cells.append(cells[0].model_copy(update={"method": label, "status": "failed"}))
    answer = ablation.answer(Evidence(tables(tmp_path / "one", *cells, facts=ABLATED_FACTS)))
    assert {line["seeds"] for line in lines(answer).values()} == {"1"}
    assert "to the largest. Numbers are of one seed each, without an interval." in said(answer)
    title = cells[0].experiment
    assert f"Without an answer: Broken (the table of “{title}” says why)." in said(answer)


def test_study_plots_are_the_same_bytes_twice(tmp_path):
    evidence = Evidence(ablated(tmp_path))
    first, second = (ablation.answer(evidence).charts[0].svg for _ in range(2))
    assert first == second


# attacks


def judged(label: str, seed: int, population: float, ulira: float) -> QualityRecord:
    """An uncertified row; second retrainings have gaps of about 0.02 in both attacks."""
    cell = made(label, seed)
    floor = 0.02 + 0.001 * seed

    def score(value: float, floor: float) -> Score:
        return Score(value=value, floor=floor, ceiling=0.3, direction="lower")

    return QualityRecord(
        key="",
        experiment="toy",
        status="ok",
        method=cell.method,
        seeds=cell.seeds,
        runs=8,
        inputs={},
        scores={
            "population_gap": score(population, floor),
            "u-lira_gap": score(ulira, floor),
            "u-lira_auc": score(0.5 + ulira, 0.5 + floor),
            "p_value": Score(value=0.5, floor=0.5, ceiling=0.01, direction="none", n=8),
            "klom": score(0.5, 0.4),
            "js_test": score(0.1, 0.1),
        },
        seconds=1,
        environment=cell.environment,
        finished=cell.finished,
    )


def test_attacks_finds_who_is_told_apart_by_the_one_and_not_the_other():
    gaps = {
        "sly": ((0.019, 0.022, 0.021), (0.30, 0.31, 0.32)),
        "plain": ((0.30, 0.31, 0.32), (0.30, 0.31, 0.32)),
        "good": ((0.019, 0.022, 0.021), (0.019, 0.022, 0.021)),
    }
    records = [
        judged(label, seed, population, ulira)
        for label, pair in gaps.items()
        for seed, (population, ulira) in enumerate(zip(*pair, strict=True))
    ]
    answer = attacks.answer(Evidence([], records))
    found = {name: (line["population"], line["U-LiRA"]) for name, line in lines(answer).items()}
    assert found == {
        "toy: Sly": ("not shown", "told apart"),
        "toy: Plain": ("told apart", "told apart"),
        "toy: Good": ("not shown", "not shown"),
    }
    assert "U-LiRA tells 2 of 3 uncertified rows apart" in said(answer)
    assert "the population attack misses 1 of these." in said(answer)
    assert {fold.heading: fold.parts for fold in answer.folds} == {
        "Told apart by U-LiRA, missed by the population attack: 1 row": bullets(["toy (Sly)"]),
        "Not told apart by U-LiRA: 1 row": bullets(["toy (Good)"]),
    }
    # 5 % of three
    assert "about 0.150 of the 3 apart" in said(answer)
    assert answer.missing == ""
    mean = fmean(gaps["sly"][1]) + 0.5
    assert lines(answer)["toy: Sly"]["U-LiRA AUC"].startswith(f"{mean:.3f}")


def test_attacks_with_one_seed_are_undecided(tmp_path):
    alone = judged("sly", 0, 0.02, 0.3)
    answer = attacks.answer(Evidence([], [alone]))
    assert lines(answer)["toy: Sly"]["U-LiRA"] == "undecided"
    assert "One seed decides nothing" in answer.missing
    assert answer.command == attacks.COMMAND
    # through a results folder, as the board has it
    results = store(tmp_path, [made("sly")])
    json_file.write(results / alone.path, alone)
    build(results, tmp_path / "out")
    assert "undecided" in (tmp_path / "out" / "site" / "answers.html").read_text()


def test_rows_that_u_lira_has_no_number_for_are_left_out_with_the_reason_and_no_command():
    gaps = ((0.019, 0.30), (0.022, 0.31), (0.021, 0.32))
    records = [judged("sly", seed, *pair) for seed, pair in enumerate(gaps)]
    none = Score(value=None, floor=None, ceiling=None, direction="lower", note="margins are fixed")
    for seed in range(3):
        record = judged("rigid", seed, 0.3, 0.3)
        scores = record.scores | {"u-lira_gap": none, "u-lira_auc": none}
        records.append(record.model_copy(update={"scores": scores}))
    answer = attacks.answer(Evidence([], records))
    assert "U-LiRA tells 1 of 1 uncertified row apart" in said(answer)
    assert answer.missing == "Left out, toy (Rigid): margins are fixed."
    assert answer.command == ""


def attacked(label: str, excess: float, floor: float = 0.02) -> list[QualityRecord]:
    """A certified row whose best-known gap is so far above its floor, which varies by seed."""
    records = []
    for seed in range(3):
        record = judged(label, seed, 0.02, 0.02)
        low = floor * (1 + seed)
        # a little apart by seed, so that there is a spread
        gap = low + excess + 0.001 * seed
        score = Score(value=gap, floor=low, ceiling=0.3, direction="lower", note="U-LiRA")
        method = record.method.model_copy(update={"certifies": True})
        scores = {"strongest_gap": score, "p_value": record.scores["p_value"]}
        records.append(record.model_copy(update={"method": method, "scores": scores}))
    return records


def test_proved_rows_that_an_attack_tells_apart_are_named_with_what_they_share(tmp_path):
    cells = [
        made(label, seed, claim=claimed)
        for label, claimed in (
            ("first", PROVED),
            ("twin", PROVED),
            ("other", PROVED),
            ("quiet", PROVED),
            ("empty", VACUOUS),
        )
        for seed in range(3)
    ]
    evidence = Evidence(
        tables(tmp_path, *cells),
        [
            *attacked("first", 0.05),
            *attacked("twin", 0.04),
            *attacked("other", 0.05, floor=0.04),
            *attacked("quiet", -0.01),
            *attacked("empty", 0.05),
        ],
    )
    answer = told.answer(evidence)
    found = {name: line["told apart by"] for name, line in lines(answer).items()}
    assert found == {
        "toy: First": "attack",
        "toy: Twin": "attack",
        "toy: Other": "attack",
        "toy: Quiet": "none",
    }
    assert "tells 3 of 4 proved or exact rows apart from retraining" in said(answer)
    assert "toy: First, by attack (best-known gap 0.091 ± 0.052, floor 0.040 ± 0.050)" in said(
        answer
    )
    assert "about 0.200" in said(answer)
    assert "A claim with ε = 1.00 permits some separation" in said(answer)
    assert "2 of them ran with the same seeds and have floors within 10 %" in said(answer)


def test_a_row_that_was_attacked_under_other_parameters_is_not_judged(tmp_path):
    cells = [made("first", seed, claim=PROVED, params={"noise": "uniform"}) for seed in range(3)]
    evidence = Evidence(tables(tmp_path, *cells), attacked("first", 0.05))
    assert told.answer(evidence).missing == "No record answers this yet."
    json_file.write(tmp_path / "toy" / "first" / "quality-0.json", judged("first", 0, 0.05, 0.05))
    whole = Evidence(evidence.tables, read_all(tmp_path), tmp_path)
    (section,) = quality_sections(whole)
    notes = next(part for part in section.parts if isinstance(part, Prose))
    assert notes.items[0] == "Attacked before their parameters changed, run them again: First."


# what things are called


def test_other_titles_and_names_change_no_answer(tmp_path):
    """Everything is called otherwise, in the same order: only the names differ in the answers."""
    cells = [
        *stepped("digits-softmax", 1, 1),
        *stepped("digits-softmax-biased", 1, 3),
        *contest("mnist-budget", 10, [70.0, 80.0], SHAPES),
        *contest("cifar10-budget", 49, [56.0], {"winner": ([57.0], [0.0])}),
        *timed("plain", (1.0, 1.0)),
        *timed("many", (1.0, 1.0), requests=3),
        *[cell for table in ablated(tmp_path / "ablated") for cell in table.records],
    ]
    known = {cell.experiment: facts(study=cell.experiment) for cell in cells}
    known |= {"many": facts(requests=3)} | ABLATED_FACTS
    known |= {name: BUDGET_FACTS[name] for name in ("mnist-budget", "cifar10-budget")}
    known |= {"digits-softmax-biased": BIASED_FACTS["digits-softmax-biased"]}
    called = {
        other(cell.experiment): known[cell.experiment].model_copy(
            update={"study": other(known[cell.experiment].study)}
        )
        for cell in cells
    }
    moved = [cell.model_copy(update={"experiment": other(cell.experiment)}) for cell in cells]
    before = asked(Evidence(tables(tmp_path / "before", *cells, facts=known)))
    after = asked(Evidence(tables(tmp_path / "after", *moved, facts=called)))
    assert [words(answer).replace(other(""), "") for answer in after] == list(map(words, before))
    answered = {answer.slug for answer in before if answer.grid}
    assert answered >= {m.SLUG for m in (speed, proved, biased, compute, ablation)}


def other(name: str) -> str:
    """Another name, whose place among the others is the same; also of data, stream and study."""
    return f"CIFAR-10, a stream (cpu) {name}"


def words(answer: Answer) -> str:
    table = lines(answer) if answer.grid else {}
    return f"{answer.slug} {said(answer)} {answer.missing} {answer.command} {table}"


def of_size(rows: int, **times: tuple[float, float]) -> list[Record]:
    """Two seeds of exact and proved rows that took so long, retraining `times["retrain"]`."""
    retrain = times.pop("retrain")
    return [
        made(label, seed, claim=PROVED, unlearn=seconds[seed], retrain=retrain[seed]).model_copy(
            update={"experiment": f"scale-{rows}"}
        )
        for label, seconds in times.items()
        for seed in (0, 1)
    ]


SIZES = {
    f"scale-{rows}": facts(group=("scale",), train=rows, study="scale") for rows in (1000, 100_000)
}


def test_scale_tells_a_time_that_stays_from_one_that_grows_with_the_rows(tmp_path):
    cells = [
        *of_size(1000, kept=(0.1, 0.2), chord=(0.1, 0.2), retrain=(1.0, 2.0)),
        *of_size(100_000, kept=(0.15, 0.3), chord=(10.0, 20.0), retrain=(100.0, 200.0)),
    ]
    answer = scale.answer(Evidence(tables(tmp_path, *cells, facts=SIZES)))
    assert "from 1,000 to 100,000" in said(answer)
    assert "at most doubles for 1 row: it is 1.50 times what it was" in said(answer)
    assert "1.50 times what it was" in said(answer)
    assert "they are 667 times faster" in said(answer)
    assert "It grows 100 times for Chord" in said(answer)
    assert "and retraining beside it 100 times" in said(answer)
    assert answer.short == (
        "No for Kept: a request takes 1.50 times as long at 100 times the training rows. "
        "For Chord it takes 100 times as long."
    )
    assert [line.cells[0].text for line in answer.grid.lines] == ["1,000", "100,000"] * 2
    (chart,) = answer.charts
    series = {
        (p.series, p.rows): p.seconds for p in chart.data[0] if p.seconds in (1.0, 10.0, 0.15)
    }
    assert series == {
        (costs.RETRAINING, 1000): 1.0,
        ("Chord", 100_000): 10.0,
        ("Kept", 100_000): 0.15,
    }
    assert chart.svg == scale.answer(Evidence(tables(tmp_path, *cells, facts=SIZES))).charts[0].svg


def test_scale_calls_no_row_flat_that_grows_on_another_problem(tmp_path):
    cells = [
        *of_size(1000, chord=(0.1, 0.1), kept=(0.1, 0.1), retrain=(1.0, 1.0)),
        *of_size(100_000, chord=(0.1, 0.1), kept=(0.1, 0.1), retrain=(30.0, 30.0)),
        *of_size(2000, chord=(0.1, 0.1), retrain=(1.0, 1.0)),
        *of_size(200_000, chord=(5.0, 5.0), retrain=(40.0, 40.0)),
    ]
    more = {
        f"scale-{rows}": facts(group=("scale",), train=rows, study="scale", problem="another")
        for rows in (2000, 200_000)
    }
    answer = scale.answer(Evidence(tables(tmp_path, *cells, facts=SIZES | more)))
    assert answer.short.startswith("No for Kept: a request takes 1.00 times as long at 100 times")
    assert answer.short.endswith("For Chord it takes 1.00 to 50.0 times as long.")
    assert "It grows 50.0 times for Chord (another, 2,000 to 200,000 rows)" in said(answer)
    assert "retraining beside it 40.0 times" in said(answer)


def test_scale_says_nothing_about_growth_where_rows_hardly_grow(tmp_path):
    cells = [
        *of_size(1000, kept=(0.1, 0.2), retrain=(1.0, 2.0)),
        *of_size(2000, kept=(0.1, 0.2), retrain=(2.0, 4.0)),
    ]
    known = {
        f"scale-{rows}": facts(group=("scale",), train=rows, study="scale") for rows in (1000, 2000)
    }
    answer = scale.answer(Evidence(tables(tmp_path, *cells, facts=known)))
    assert "nothing is said about growth" in answer.short
    assert (answer.points, answer.folds) == ((), ())


def test_scale_says_nothing_about_growth_where_one_size_ran(tmp_path):
    cells = of_size(1000, kept=(0.1, 0.2), retrain=(1.0, 2.0))
    answer = scale.answer(Evidence(tables(tmp_path, *cells, facts=SIZES)))
    assert said(answer).startswith("Only one number of training rows")
    vacuous = made("kept", claim=VACUOUS).model_copy(update={"experiment": "scale-1000"})
    answer = scale.answer(Evidence(tables(tmp_path / "b", vacuous, facts=SIZES)))
    assert answer.missing == "No record answers this yet."


def test_the_papers_scores_stand_beside_ours_and_what_did_not_run_says_so(tmp_path):
    scores = {"accuracy_forget": 97.0, "accuracy_retain": 98.0, "accuracy_test": 96.5}
    how = {"method_name": "newton", "params": {"sigma": 1e-3}, "claim": VACUOUS, "extra": scores}
    ours = [made("paper", seed, **how) for seed in (0, 1)]
    cells = [c.model_copy(update={"experiment": "own"}) for c in (*ours, made("retrain", 0))]
    known = {"own": facts(group=("paper",), data="mnist", model="mlp")}
    answer = paper.answer(Evidence(tables(tmp_path, *cells, facts=known)))
    found = lines(answer)
    assert found["MNIST, MLP: forgotten"]["reported (%)"] == "97.60"
    assert found["MNIST, MLP: forgotten"]["less what is reported (points)"] == "−0.600"
    assert found["MNIST, MLP: test"]["this board (%)"] == "96.5 ± 0"
    assert set(found["SVHN, ResNet-18: test"].values()) == {"92.94", "not run"}
    assert answer.missing.startswith("Not run here: CIFAR-10, AllCNN; SVHN, ResNet-18.")
    small = {"own": facts(group=("paper",), data="mnist", model="mlp", profile="cpu")}
    answer = paper.answer(Evidence(tables(tmp_path / "b", *cells, facts=small)))
    assert answer.missing.startswith("No record answers"), "another scale is no answer"


@pytest.mark.parametrize("name", ["mnist-paper", "cifar10-allcnn", "svhn-resnet18"])
def test_what_differs_from_the_paper_is_what_the_experiment_says(name):
    problem = load_experiment(name).problem
    (one,) = (r for r in paper.REPORTED if (r.data, r.model) == (problem.data, problem.model.kind))
    rows = problem.split.train or problem.split.negatives
    assert f"{rows:,} of the" in one.differs
    assert ("GroupNorm and SiLU" in one.differs) == (problem.model.kind != "mlp")
    assert ("has a schedule" in one.differs) == (problem.training.schedule is not None)
    assert ("are augmented" in one.differs) == (problem.training.augment is not None)


@pytest.mark.parametrize(("name", "sigma"), [("newton", 1e-2), ("noisy-fine-tune", 1e-3)])
def test_another_noise_or_method_is_not_the_papers(tmp_path, name, sigma):
    cell = made("paper", method_name=name, params={"sigma": sigma}, claim=VACUOUS)
    cell = cell.model_copy(update={"experiment": "own"})
    known = {"own": facts(group=("paper",), data="mnist", model="mlp")}
    answer = paper.answer(Evidence(tables(tmp_path, cell, facts=known)))
    assert answer.missing.startswith("No record answers")
