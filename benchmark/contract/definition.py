"""Definitions of unlearning: which two sides a claim compares. One file each, found by being there.

A definition is a class in `benchmark/definitions/`, or in the entry-point group
`lethe.definitions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from benchmark import plugins
from benchmark.contract.claim import Claim, Construction, Verdict

if TYPE_CHECKING:
    from benchmark.contract.method import Method
    from benchmark.contract.request import Release, Request


class Definition(ABC):
    """What one side of a claim is compared with.

    Attributes:
        name: as claims and records name it.
        title: in a few words.
        source: the paper.
        words: the statement in full; U is the method, A training.
        proves: whether a claim in its sense may be called proved.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    words: ClassVar[str]
    proves: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        """Run the other side through the same code.

        Args:
            method: that answered.
            without: the empty request on A(D_r), in the world in which D_u never was.
            claimed: the answer on the first side; only a yardstick may look at it.

        Raises:
            LetheError: if the method does not do what the definition takes it to do.
        """


KIND = plugins.Kind[Definition](
    word="definition",
    wanted="a Definition class",
    accepts=lambda cls: issubclass(cls, Definition),
    packages=("benchmark.definitions",),
    group="lethe.definitions",
)


#: Every definition by name.
discover = cache(KIND.classes)
#: The definition of a name; a LetheError if there is none.
find = KIND.find


def verdict(claim: Claim | None) -> Verdict:
    """How far to believe a row, computed from its definition, bound, constants and caveats.

    Raises:
        LetheError: if the claim names no definition that there is.

    >>> verdict(Claim.by_construction("it retrains")), verdict(None)
    ('exact', 'none')
    """
    if claim is None:
        return "none"
    definition = find(claim.definition)
    if isinstance(claim.evidence, Construction):
        return "conditional" if claim.caveats else "exact"
    if claim.vacuous:
        return "vacuous"
    if not definition.proves:
        return "pair"
    return "conditional" if claim.caveats or claim.open_constants else "proved"
