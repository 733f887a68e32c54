"""A definition of unlearning."""

from __future__ import annotations

from lethe import Definition, Method, Release, Request


class OutsideDefinition(Definition):
    """The other side answers the empty request."""

    name = "outside-definition"
    title = "Outside definition"
    source = "a test"
    words = "The method compared with itself where the rows never were."

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        return method.answer(without)
