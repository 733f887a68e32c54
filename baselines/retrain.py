"""Retrain from scratch."""

from benchmark.contract.claim import Claim
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request


class Retrain(Method):
    """A(D_r), with the original's training seed: what every other method is measured against."""

    name = "retrain"
    title = "Retrain"
    source = Source(
        paper="Cao, Yang: Towards Making Systems Forget with Machine Unlearning (IEEE S&P 2015)",
        url="https://doi.org/10.1109/SP.2015.35",
    )
    evidence = "construction"
    needs = frozenset({"retain"})
    role = "reference"

    def unlearn(self, request: Request) -> Release:
        with request.clock.phase("training"):
            weights = request.problem.fit(request.retain, request.seeds.generator("training"))
        return request.release(weights, Claim.by_construction("retrained from scratch"))
