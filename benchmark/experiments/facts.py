"""From an experiment's settings to its facts."""

from __future__ import annotations

from benchmark.data import catalogue, features, graphs
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.data.graphs import GraphSpec
from benchmark.experiments.experiment import Experiment, ProblemSpec
from benchmark.facts import Facts


def facts_of(experiment: Experiment) -> Facts:
    """What the board reads of an experiment.

    Raises:
        LetheError: if there is no such data set.
    """
    problem, forget, place = experiment.problem, experiment.forget, experiment.place
    declared = problem.kept_property
    return Facts(
        data=catalogue.name(problem.data),
        data_title=_title(problem),
        features=features_in_words(problem),
        model=problem.model.kind,
        problem=_in_words(problem),
        linear=problem.model.linear,
        strongly_convex="strong_convexity" in problem.offers,
        loss=problem.objective.loss,
        ridge=problem.objective.ridge,
        train=problem.split.train,
        scenario=forget.scenario,
        forgotten=forget.count if forget.named is None else forget.named // forget.requests,
        share=forget.share,
        requests=forget.requests,
        target=experiment.target,
        study=place.study,
        profile=place.profile,
        axis=place.axis,
        value=place.value,
        group=experiment.group,
        trial=experiment.trial,
        graph=problem.graph is not None,
        kept_property=None if declared is None else declared.name,
        enforce=None if declared is None else declared.enforce,
        number=number_of(problem),
    )


def number_of(problem: ProblemSpec) -> str | None:
    """The name of a real target, read from the data; None where the target is of classes."""
    return catalogue.load(problem.data).target.name if problem.real_target else None


def _in_words(problem: ProblemSpec) -> str:
    """E.g. `CIFAR-10, MLP on HOG`."""
    losses = {"squared_loss": "squared loss", "one_vs_rest": "one-vs-rest logistic"}
    of_loss = next((losses[offer] for offer in losses if offer in problem.offers), None)
    text = f"{_title(problem)}, {of_loss or problem.model.title}"
    if problem.graph is not None:
        if not problem.model.linear:
            return text
        return f"{text} on {propagation_in_words(problem.graph)}"
    if isinstance(problem.features, PublicFeatures):
        return f"{text} on {problem.features.title}"
    feature = features.find(problem.features)
    kept = issubclass(feature, features.ImageFeature) and feature.version is not None
    return f"{text} on {feature.title}" if kept else text


def _title(problem: ProblemSpec) -> str:
    """What people call the data."""
    of = graphs if problem.graph is not None else catalogue
    return of.title(problem.data)


def propagation_in_words(graph: GraphSpec) -> str:
    """E.g. `SGC, 2 hops`."""
    name = graph.weights.upper() if isinstance(graph.weights, str) else "GPR"
    hops = f"{graph.hops} hop" if graph.hops == 1 else f"{graph.hops} hops"
    return f"{name}, {hops}" + (", symmetric" if graph.normalisation == "sym" else "")


def features_in_words(problem: ProblemSpec) -> str:
    """The features' name, e.g. `hog` or `public-patches`."""
    chosen = problem.features
    return chosen.name if isinstance(chosen, PublicFeatures) else chosen
