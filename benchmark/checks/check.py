"""All rules of the contract over one method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmark import registry, settings
from benchmark.checks import rules
from benchmark.checks.asking import head, kinds
from benchmark.contract.method import Method
from benchmark.errors import AssumptionBroken, LetheError, present

#: Random problems on which a bound is held against the truth.
SEEDS = 5
ON_EVERY_PROBLEM = (
    rules.weights_are_sound,
    rules.same_seeds_give_the_same_bytes,
    rules.noise_follows_its_seed,
    rules.noise_differs_between_releases,
    rules.nothing_is_mutated,
    rules.it_does_something,
    rules.nothing_to_forget_changes_nothing,
    rules.what_it_does_not_need_does_not_matter,
)
OF_CLAIMS = (rules.an_observer_is_not_told, rules.noise_answers_the_target)


@dataclass(frozen=True)
class Outcome:
    """What one rule found.

    Attributes:
        rule: in words.
        on: what it was checked on, such as `softmax`.
        broken: what is wrong and what to do; "" where the rule is kept.
        refused: why the method gives no certificate there, which breaks no rule; "" if it does.
    """

    rule: str
    on: str
    broken: str = ""
    refused: str = ""

    @property
    def kept(self) -> bool:
        return not self.broken


def check_method(method: str | type[Method] | Method) -> list[Outcome]:
    """Hold a method against every rule of the contract, on small problems; some seconds.

    Args:
        method: its name as `lethe list` has it, its class, or an instance of that, whose parameters
            are the defaults' again.

    Raises:
        LetheError: if there is no such method, or it can run on none of the problems.

    Example:
        >>> all(outcome.kept for outcome in check_method("newton-chord"))
        True
    """
    if isinstance(method, str):
        method = registry.find(method).method
    cls = method if isinstance(method, type) else type(method)
    if not kinds(cls):
        raise LetheError(f"{cls.name} needs {', '.join(sorted(cls.needs))}, which no check has")
    return [_outcome(cls, rule, on, check) for rule, on, check in _checks(cls)]


def _checks(cls: type[Method]) -> Iterator[tuple[Callable, str, Callable[[], None]]]:
    """Each rule, what it is checked on, and the check."""
    yield rules.declarations_are_complete, "", partial(rules.declarations_are_complete, cls)
    yield rules.it_claims_what_it_declares, "", partial(rules.it_claims_what_it_declares, cls)
    claims = OF_CLAIMS if cls.evidence else ()
    for kind in kinds(cls):
        yield from ((rule, kind, partial(rule, cls, kind)) for rule in ON_EVERY_PROBLEM + claims)
    goes_on = rules.a_second_request_goes_on
    yield goes_on, head(cls), partial(goes_on, cls, head(cls))
    for parameter in cls.model_fields:
        matters = rules.every_parameter_matters
        yield matters, parameter, partial(matters, cls, parameter)
    if near(cls):
        holds = rules.the_bound_holds
        yield from ((holds, f"problem {seed}", partial(holds, cls, seed)) for seed in range(SEEDS))


def near(cls: type[Method]) -> bool:
    """Whether its weights before noise are claimed to be near those of retraining.

    The floor retrains with another seed, and definition `reference` with noise inside speaks of no
    weights before noise.
    """
    return bool(cls.evidence) and cls.role != "floor" and not cls.control


def _outcome(cls: type[Method], rule: Callable, on: str, check: Callable[[], None]) -> Outcome:
    text = present(rule.__doc__).splitlines()[0].rstrip(".")
    try:
        with settings.kept(cls.name):
            check()
    except AssumptionBroken as error:
        return Outcome(text, on, refused=str(error))
    except Exception as error:  # a method may raise anything
        kind = "" if isinstance(error, LetheError) else f"{type(error).__name__}: "
        return Outcome(text, on, f"{kind}{error}")
    return Outcome(text, on)
