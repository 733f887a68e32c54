"""EU-k: exact unlearning of the last k layers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.variants import last_layers, restricted


class ExactLastLayers(Method):
    """Initialise the last k layers anew and train them on the retained rows, as the original was.

    The layers before them stay, and with them what they know of the forgotten rows: exact for the
    last k alone, and nothing is certified. With all layers it is retraining, with its seed.
    """

    name = "eu-k"
    title = "Exact unlearning, last k layers"
    source = Source(
        paper="Goel, Prabhu, Sanyal, Lim, Torr, Kumaraguru: Towards Adversarial Evaluations for "
        "Inexact Machine Unlearning (2022)",
        url="https://arxiv.org/abs/2201.06640",
    )
    needs = frozenset({"retain"})
    search: ClassVar = {"layers": (1, 2)}

    #: k.
    layers: int = Field(1, ge=1)

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        generator = request.seeds.generator("training")
        fresh = problem.model.initial_weights(generator).to(weights)
        free = last_layers(problem.model, self.layers).to(weights.device)
        part = restricted(problem, weights, free)
        with request.clock.phase("training"):
            learned = part.fit(request.retain, generator, start=fresh[free])
        return request.release(part.model.whole(learned))
