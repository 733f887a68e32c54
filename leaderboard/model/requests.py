"""What a request names, in words."""

from __future__ import annotations

import re

from benchmark.facts import Facts
from leaderboard.model.numbers import number

#: What stands before and after the word "rows".
_SCENARIOS = {
    "random": ("random", ""),
    "memorised": ("memorised", ""),
    "mislabelled": ("mislabelled", ""),
    "influential": ("most influential", ""),
    "largest": ("", "with the largest images"),
    "subpopulation": ("", "of a sub-population"),
}
#: What a request on a graph names, where the number goes.
_ON_GRAPHS = {
    "nodes": "{} nodes",
    "nodes-any": "{} nodes, labelled or not",
    "nodes-high-degree": "{} nodes of high degree",
    "nodes-class": "the nodes of a class",
    "edges": "{} edges",
    "edges-of-node": "{} edges of a node",
    "edges-planted": "{} planted edges",
    "features": "features of {} nodes",
    "features-and-labels": "features and labels of {} nodes",
}


def request_in_words(facts: Facts) -> str:
    """What is asked for, e.g. `10 × 100 random rows` or `features of 10 nodes`."""
    what = _of_graph(facts) if facts.graph else _rows(facts)
    return f"{facts.requests} × {what}" if facts.requests > 1 else what


def _of_graph(facts: Facts) -> str:
    count = f"{100 * facts.share:g} % of the" if facts.share is not None else facts.forgotten or ""
    words = _ON_GRAPHS.get(facts.scenario, f"{{}} {facts.scenario}").format(count).strip()
    return re.sub(r"(?<=\b1 )(node|edge)s", r"\1", words)


def _rows(facts: Facts) -> str:
    if facts.scenario == "class":
        return "a whole class"
    before, after = _SCENARIOS.get(facts.scenario, (facts.scenario, ""))
    count = "" if facts.forgotten is None else f"{facts.forgotten:,}"
    if facts.share is not None:
        count = f"{number(100 * facts.share)} %,"
    noun = "row" if facts.forgotten == 1 else "rows"
    return " ".join(filter(None, [count, before, noun, after]))
