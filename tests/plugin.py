"""A method as an outside package would bring it."""

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request

NOT_A_METHOD = 3


class Outside(Method):
    """Halve the weights."""

    name = "outside"
    title = "Outside"
    source = Source(paper="None", url="https://example.org")
    needs = frozenset()

    def unlearn(self, request: Request) -> Release:
        return request.release(request.original.weights / 2)
