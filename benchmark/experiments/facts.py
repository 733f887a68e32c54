"""Facts of experiments, from their settings, and the groups that they belong to."""

from __future__ import annotations

from benchmark.data import catalogue, features, graphs
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.data.graphs import GraphSpec
from benchmark.errors import LetheError, present, unknown
from benchmark.experiments.experiment import Experiment, ProblemSpec, every
from benchmark.experiments.profile import PAPER, SMALLER
from benchmark.facts import Facts

# From an experiment's settings to its facts.


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
        model=problem.model.name,
        problem=_in_words(problem),
        linear=problem.model.linear,
        strongly_convex="strong_convexity" in problem.offers,
        loss=problem.objective.loss,
        ridge=problem.objective.ridge,
        train=problem.split.train,
        scenario=forget.scenario,
        scenario_title=forget.title,
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
    return present(catalogue.load(problem.data).target).name if problem.real_target else None


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


# Groups: experiments that are run together, each saying what it belongs to.


def groups() -> list[str]:
    """The names of all groups, in order."""
    return sorted({group for one in every() for group in one.group})


def members(group: str, profile: str | None = None) -> list[tuple[str, str | None]]:
    """The experiments of a group, each as the name of its file and a profile.

    Without a profile, or at the scale `paper`, these are the files in the group as they stand, the
    points of sweeps that are in it and the profiles that name it themselves. At the scale `cpu` or
    `smoke` it is one of each file: at that scale, or where it has none as it stands. Any other
    profile is that of the files that have it. Linear models, which take the least, come first.

    Args:
        group: as `groups` lists it.
        profile: of all of them; None for what suits the machine.

    Returns:
        the pairs; their profile is None where a file has not the scale.

    Raises:
        LetheError: if there is no such group, or nothing in it has the profile.
    """
    inside = [one for one in every() if group in one.group]
    if not inside:
        raise unknown("group", group, groups())
    if profile in (None, PAPER):
        found = [(one, one.place.profile or profile) for one in inside if _takes_part(one)]
    else:
        found = [(one, profile) for one in inside if one.place.profile == profile]
    if profile in SMALLER:
        have = {one.path for one, _ in found}
        found += [(one, one.place.profile) for one in _whole(inside) if one.path not in have]
    if not found:
        raise LetheError(f"group {group} has no profile '{profile}': there is {_known(inside)}")
    found.sort(key=lambda pair: not pair[0].problem.model.linear)
    return [(present(one.path).stem, chosen) for one, chosen in found]


def _takes_part(one: Experiment) -> bool:
    """Whether it runs with its group where no scale is asked for."""
    place = one.place
    return place.profile is None or place.axis is not None or place.joins


def _whole(inside: list[Experiment]) -> list[Experiment]:
    """Each file as it stands; where only parts of it are in the group, these."""
    stands = {one.path for one in inside if one.place.profile is None}
    return [
        one
        for one in inside
        if one.place.profile is None or (one.path not in stands and _takes_part(one))
    ]


def _known(inside: list[Experiment]) -> str:
    """The profiles to choose from; a sweep's points and what joins its group are no scales."""
    scales = ", ".join(sorted((PAPER, *SMALLER)))
    others = {
        str(one.place.profile)
        for one in inside
        if not _takes_part(one) and one.place.profile not in SMALLER
    }
    return f"{scales}, and of some {', '.join(sorted(others))}" if others else scales
