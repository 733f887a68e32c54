"""Retrain from scratch with another training seed."""

from benchmark.contract.claim import Claim
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request


class RetrainOtherSeed(Method):
    """Retrain against retrain: how far apart two perfect answers are, so the metrics' floor."""

    name = "retrain-other-seed"
    title = "Retrain, other seed"
    source = Source(
        paper="Cao, Yang: Towards Making Systems Forget with Machine Unlearning (IEEE S&P 2015)",
        url="https://doi.org/10.1109/SP.2015.35",
    )
    evidence = "construction"
    needs = frozenset({"retain"})
    role = "floor"

    def unlearn(self, request: Request) -> Release:
        generator = request.generator("training", self.name)
        with request.clock.phase("training"):
            weights = request.problem.fit(request.retain, generator)
        return request.release(weights, Claim.by_construction("retrained from scratch"))
