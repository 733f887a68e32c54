"""What a request names, in words."""

from __future__ import annotations

import re

from benchmark.data import scenarios
from benchmark.facts import Facts
from leaderboard.model.numbers import number

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
    """The scenario's title with the number of rows in it; a plug-in's may be gone by now."""
    scenario = scenarios.discover().get(facts.scenario)
    title = scenario.title if scenario else f"{facts.scenario} rows"
    if facts.share is not None:
        return f"{number(100 * facts.share)} %, {title}"
    if facts.forgotten is None:
        return title
    article = "the " if title.startswith("the ") else ""
    title = title.removeprefix("the ")
    if facts.forgotten == 1:
        title = re.sub(r"\brows\b", "row", title, count=1)
    return f"{article}{facts.forgotten:,} {title}"
