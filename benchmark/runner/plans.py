"""Planning an experiment: its cells, its rows, and its settings in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark import registry
from benchmark.contract.method import Method, Need
from benchmark.data import catalogue, graphs
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.data.forget import ForgetSpec
from benchmark.data.split import PublicIndex
from benchmark.errors import LetheError, present, unknown
from benchmark.experiments.experiment import Experiment, ProblemSpec, Row
from benchmark.experiments.facts import facts_of, features_in_words, number_of
from benchmark.graph.scenarios import WORDS
from benchmark.records import Plan, PlannedRow
from benchmark.runner.cell import Cell, describe


def plan_cells(
    experiment: Experiment,
    device: str,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Cell]:
    """Every cell of an experiment, seed by seed, checked before the first one runs.

    Raises:
        LetheError: for an unknown method, a wrong parameter or a negative seed.
    """
    found = registry.discover()
    for seed in seeds or []:
        if seed < 0:
            raise LetheError(f"a seed is 0 or more, not {seed}")
    for name in methods or []:
        if name not in found:
            raise unknown("method", name, found)
    rows = [row for row in rows_of(experiment) if methods is None or row.method in methods]
    return [
        Cell.of(experiment, row, found[row.method], seed, device)
        for seed in dict.fromkeys(seeds or experiment.seeds)
        for row in rows
    ]


def plan_of(experiment: Experiment) -> Plan:
    """The experiment's plan, for the board: its rows whatever part of them runs now."""
    found = registry.discover()
    rows = []
    for row in rows_of(experiment):
        registered = found[row.method]
        info = describe(registered.method.build(row.params), registered, row.label, row.title)
        rows.append(
            PlannedRow(
                label=info.label,
                name=info.name,
                title=info.title,
                family=info.family,
                role=info.role,
                like=row.like,
            )
        )
    return Plan(
        experiment=experiment.name,
        title=experiment.title,
        description=experiment.description,
        settings=settings(experiment),
        facts=facts_of(experiment),
        rows=tuple(rows),
        seeds=experiment.seeds,
    )


def settings(experiment: Experiment) -> dict[str, str]:
    """The experiment in words, for people."""
    problem, target = experiment.problem, experiment.target
    model = problem.model.in_words()
    training = problem.training.model_dump(exclude_none=True)
    tuning = experiment.tuning
    tried = f"{tuning} settings tried of each method with a search space"
    return (
        {
            "data": f"{catalogue.name(problem.data)}, {features_in_words(problem)}",
            "model": _words(model, "kind"),
            "objective": f"{problem.objective.loss}, ridge {problem.objective.ridge:g}",
            "training": _words(training, "algorithm"),
            "request": _stream(experiment.forget.requests) + _rows_in_words(experiment.forget),
            "target": f"epsilon {target.epsilon:g}, delta {target.delta:g}",
            "precision": problem.precision,
        }
        | _public(experiment)
        | _graph(problem)
        | _number(problem)
        | _property(problem)
        | ({} if tuning is None else {"tuning": tried})
    )


def _graph(problem: ProblemSpec) -> dict[str, str]:
    """Which nodes are for what, how features are propagated, and what to know of them."""
    if problem.graph is None:
        return {}
    rest = problem.graph.model_dump(exclude_none=True, exclude={"split", "inductive"})
    split = f"{problem.graph.split}{', inductive' if problem.graph.inductive else ''}"
    known = "; ".join(graphs.caveats(problem.graph_name))
    found = {"graph": _words({"kind": rest.pop("normalisation"), **rest}, "kind"), "split": split}
    return found | ({"caveats": known} if known else {})


def _number(problem: ProblemSpec) -> dict[str, str]:
    """The real number that is predicted, in whose units errors are told."""
    return {"predicted": f"{number_of(problem)}, a number"} if problem.real_target else {}


def _property(problem: ProblemSpec) -> dict[str, str]:
    """What is certified, as it was declared."""
    if problem.kept_property is None:
        return {}
    said = {k: v for k, v in problem.kept_property.model_dump().items() if v not in ((), {}, 0.0)}
    words = {k: ", ".join(v) if isinstance(v, tuple) else v for k, v in said.items()}
    return {"property": "; ".join(f"{k.replace('_', ' ')} {v}" for k, v in words.items())}


def _public(experiment: Experiment) -> dict[str, str]:
    """What is public, and what is fitted on it."""
    public, features = experiment.problem.split.public, experiment.problem.features
    if public is None:
        return {}
    if isinstance(public, PublicIndex):
        text = f"{len(public.rows)} rows named"
    else:
        text = f"{public} rows" if isinstance(public, int) else f"{100 * public:g} % of the rows"
    if not isinstance(features, PublicFeatures):
        return {"public": text}
    parts = {"patches": features.patches, "net": features.net}
    fitted = [
        _words({"kind": kind, **part.model_dump()}, "kind") for kind, part in parts.items() if part
    ]
    return {"public": text} | {"features": "; ".join(fitted)}


def rows_of(experiment: Experiment) -> list[Row]:
    """Its rows: every method that can run on its problem, and whatever its file sets up.

    Raises:
        LetheError: if there is none.
    """
    found = registry.discover()
    set_up = {row.method for row in experiment.rows}
    asked = experiment.rows_for(list(found))
    rows = [
        row
        for row in asked
        if row.method in set_up or not unfit(found[row.method].method, experiment.problem)
    ]
    if not rows:
        raise LetheError(
            f"experiment {experiment.name}: none of its methods goes with its problem "
            f"({', '.join(row.label for row in asked)}): list others"
        )
    return rows


#: What the needs of a method ask of a problem, in words.
_NEEDED: dict[Need, str] = {
    "classes": "a target of classes",
    "strong_convexity": "a linear model with a ridge",
    "squared_loss": "a linear model with squared loss and a ridge",
    "exact_sums": "direct training on features in fixed point, as problem.fixed_point = "
    "{ clip = 2.0, bits = 16 } makes them",
    "one_vs_rest": "a linear model with the loss one_vs_rest and a ridge",
    "tangent": "a model of the kind tangent",
    "constraint": "training within the convex set of a property",
    "cone": "a softmax head that is trained within the convex set of a property",
}


def unfit(method: type[Method], problem: ProblemSpec) -> str:
    """Why a method takes no part in an experiment that does not set it up; "" where it does."""
    if problem.model.hops is not None and method.evidence in ("distance", "algorithm"):
        return "it certifies models of single rows, and this one passes messages between them"
    if method.ignores_constraint(problem.constrained):
        return "its bounds are not of training within the set of a property"
    needed = [text for need, text in _NEEDED.items() if need in method.demands() - problem.offers]
    if needed:
        return f"it needs {' and '.join(needed)}"
    if problem.graph is not None and not method.can_alter():
        return "it forgets whole rows, and a request to a graph alters others"
    return ""


def with_yardsticks(experiments: Iterable[Experiment], methods: Iterable[str]) -> list[str]:
    """Some methods, and beside them what they are measured by: retraining and doing nothing.

    Those yardsticks that the experiments have.
    """
    found = registry.discover()
    there = {row.method: found[row.method].method for one in experiments for row in rows_of(one)}
    beside = [name for name, cls in there.items() if cls.role in ("reference", "ceiling")]
    return list(dict.fromkeys((*methods, *beside)))


def _stream(requests: int) -> str:
    return "" if requests == 1 else f"a stream of {requests} × "


def _rows_in_words(forget: ForgetSpec) -> str:
    if forget.scenario == "nodes-class":
        return WORDS[forget.scenario]
    if forget.scenario == "class":
        chosen = forget.class_number
        return "all rows of one class" if chosen is None else f"all rows of class {chosen}"
    if forget.named is not None:
        rows = f"{forget.named} named rows" if forget.named > 1 else "one named row"
        return rows if forget.requests == 1 else f"together {rows}"
    if not forget.sized:
        return present(forget.title)
    count = forget.count if forget.share is None else f"{100 * forget.share:g} %"
    if forget.of_graph:
        return f"{count} {WORDS[forget.scenario]}"
    return f"{count} {forget.scenario} rows"


def _words(content: dict, head: str) -> str:
    rest = {key: value for key, value in content.items() if key != head}
    return ", ".join([content[head], *(f"{k.replace('_', ' ')} {v}" for k, v in rest.items())])
