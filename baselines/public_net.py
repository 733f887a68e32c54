"""The public net alone."""

import torch

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.errors import AssumptionBroken
from benchmark.problem.tangent import Tangent


class PublicNet(Method):
    """Publish the net that public rows trained: what owes nothing to any row that may ask.

    A control. A tangent model that is no better has learnt nothing from its training rows.
    """

    name = "public-net"
    title = "Public net alone"
    source = Source(
        paper="Golatkar, Achille, Ravichandran, Polito, Soatto: Mixed-Privacy Forgetting in Deep "
        "Networks (CVPR 2021)",
        url="https://arxiv.org/abs/2012.13431",
    )
    needs = frozenset({"strong_convexity", "tangent"})

    def unlearn(self, request: Request) -> Release:
        if not isinstance(request.problem.model, Tangent):
            raise AssumptionBroken(
                "public-net is for nets linearised at public weights: take model.kind = 'tangent'"
            )
        return request.release(torch.zeros_like(request.original.weights))
