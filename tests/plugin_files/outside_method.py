"""A method."""

from __future__ import annotations

from lethe import Method, Release, Request, Source


class OutsideMethod(Method):
    """Halve the weights."""

    name = "outside-method"
    title = "Outside method"
    source = Source(paper="None", url="https://example.org")
    needs = frozenset()

    def unlearn(self, request: Request) -> Release:
        return request.release(request.original.weights / 2)
