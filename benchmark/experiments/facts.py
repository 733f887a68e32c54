"""From an experiment's settings to its facts."""

from __future__ import annotations

from benchmark.data import catalogue
from benchmark.data.features import DESCRIPTORS
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.experiments.experiment import Experiment, ProblemSpec
from benchmark.facts import Facts


def facts_of(experiment: Experiment) -> Facts:
    """What the board reads of an experiment.

    Raises:
        LetheError: if there is no such data set.
    """
    problem, forget, place = experiment.problem, experiment.forget, experiment.place
    return Facts(
        data=problem.data,
        data_title=catalogue.title(problem.data),
        features=features_in_words(problem),
        model=problem.model.kind,
        problem=_in_words(problem),
        linear=problem.model.linear,
        strongly_convex="strong_convexity" in problem.offers,
        loss=problem.objective.loss,
        ridge=problem.objective.ridge,
        train=problem.split.train,
        scenario=forget.scenario,
        forgotten=forget.count,
        share=forget.share,
        requests=forget.requests,
        target=experiment.target,
        study=place.study,
        profile=place.profile,
        axis=place.axis,
        value=place.value,
        group=experiment.group,
        trial=experiment.trial,
    )


def _in_words(problem: ProblemSpec) -> str:
    """E.g. `CIFAR-10, MLP on HOG`."""
    losses = {"squared_loss": "squared loss", "one_vs_rest": "one-vs-rest logistic"}
    of_loss = next((losses[offer] for offer in losses if offer in problem.offers), None)
    text = f"{catalogue.title(problem.data)}, {of_loss or problem.model.title}"
    if isinstance(problem.features, PublicFeatures):
        return f"{text} on {problem.features.title}"
    descriptor = DESCRIPTORS.get(problem.features)
    return f"{text} on {descriptor.title}" if descriptor else text


def features_in_words(problem: ProblemSpec) -> str:
    """The features' name, e.g. `hog` or `public-patches`."""
    features = problem.features
    return features.name if isinstance(features, PublicFeatures) else features
