"""Do nothing."""

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request


class Nothing(Method):
    """Publish the original model unchanged: the ceiling of every forgetting metric."""

    name = "nothing"
    title = "Do nothing"
    source = Source(paper="The original model", url="https://arxiv.org/abs/2408.00920")
    needs = frozenset()
    role = "ceiling"
    does_nothing = True

    def unlearn(self, request: Request) -> Release:
        return request.release(request.original.weights)
