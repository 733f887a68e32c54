"""The contract over every registered method, and what a method's key hashes."""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.salun import SalUn
from benchmark import registry
from benchmark.checks import problems, rules
from benchmark.checks.problems import KINDS, ask
from benchmark.contract.claim import Target
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.errors import LetheError
from benchmark.runner.source import Theory, files_of, hash_by, hash_of, source_hash
from methods.blockwise import Blockwise
from methods.langevin import Langevin
from methods.newton import Newton
from methods.newton_lissa import NewtonLissa
from methods.rewind import Rewind
from tests.problems import quick

# The contract, over every registered method: a new file is covered without an edit here.

__all__ = ["KINDS", "METHODS", "ask", "kinds"]

METHODS = registry.discover()
every_method = pytest.mark.parametrize("name", METHODS)


def kinds(name: str) -> list[str]:
    """The problems that a method can run on."""
    return problems.kinds(METHODS[name].method)


def made(name: str) -> Method:
    """The method, with fewer steps than by default where it takes many.

    No rule but that of the bound is about how many they are.
    """
    return quick(METHODS[name].method)


CERTIFYING = [name for name, found in METHODS.items() if found.method.evidence]
on_every_problem = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in METHODS for kind in kinds(name)]
)
certifying_on_every_problem = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in CERTIFYING for kind in kinds(name)]
)


@on_every_problem
def test_weights_are_finite_and_of_the_right_shape(name: str, kind: str) -> None:
    rules.weights_are_sound(made(name), kind)


@on_every_problem
def test_same_seeds_give_the_same_bytes(name: str, kind: str) -> None:
    rules.same_seeds_give_the_same_bytes(made(name), kind)


@on_every_problem
def test_another_noise_seed_changes_the_noise_and_nothing_else(name: str, kind: str) -> None:
    rules.noise_follows_its_seed(made(name), kind)


@on_every_problem
def test_T7_noise_differs_between_releases(name: str, kind: str) -> None:
    rules.noise_differs_between_releases(made(name), kind)


@on_every_problem
def test_inputs_and_the_global_generator_are_left_alone(name: str, kind: str) -> None:
    rules.nothing_is_mutated(made(name), kind)


@on_every_problem
def test_it_does_something_unless_declared_otherwise(name: str, kind: str) -> None:
    rules.it_does_something(made(name), kind)


@on_every_problem
def test_T13_forgetting_nothing_returns_the_original_up_to_release_noise(
    name: str, kind: str
) -> None:
    rules.nothing_to_forget_changes_nothing(made(name), kind)


@certifying_on_every_problem
def test_an_observer_is_not_told_what_was_forgotten(name: str, kind: str) -> None:
    rules.an_observer_is_not_told(made(name), kind)


@every_method
def test_a_second_request_goes_on_from_the_first(name: str) -> None:
    rules.a_second_request_goes_on(made(name), problems.head(METHODS[name].method))


@on_every_problem
def test_what_it_does_not_need_does_not_matter(name: str, kind: str) -> None:
    rules.what_it_does_not_need_does_not_matter(made(name), kind)


PARAMETERS = [(n, p) for n, found in METHODS.items() for p in found.method.model_fields]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_every_parameter_changes_something(name: str, parameter: str) -> None:
    rules.every_parameter_matters(made(name), parameter)


NEAR = [name for name in CERTIFYING if rules.near(METHODS[name].method)]


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("seed", range(rules.SEEDS))
def test_T2_the_bound_is_at_least_the_measured_distance(name: str, seed: int) -> None:
    rules.the_bound_holds(METHODS[name].method(), seed)


@certifying_on_every_problem
def test_sigma_answers_the_target(name: str, kind: str) -> None:
    rules.noise_answers_the_target(made(name), kind)


@every_method
def test_declarations_are_complete(name: str) -> None:
    rules.declarations_are_complete(made(name))


@every_method
def test_a_method_that_certifies_claims_something(name: str) -> None:
    rules.it_claims_what_it_declares(made(name))


# Of one that keeps no rule, each rule says so.

WRONG: dict[str, tuple[Callable[[Request], object], Callable, str]] = {
    "draws anew": (
        lambda r: torch.randn((), generator=torch.Generator().manual_seed(next(COUNT))),
        rules.same_seeds_give_the_same_bytes,
        "two runs differ",
    ),
    "draws from all": (lambda r: torch.rand(()), rules.nothing_is_mutated, "global generator"),
    "changes a row": (
        lambda r: r.problem.train.x[0].zero_().sum(),
        rules.nothing_is_mutated,
        "it changed training rows in place",
    ),
    "changes the original": (
        lambda r: r.original.weights.add_(1).sum(),
        rules.nothing_is_mutated,
        "it changed the original's weights in place",
    ),
    "looks at rows to keep": (
        lambda r: r.problem.train.x[r.retain].sum(),
        rules.what_it_does_not_need_does_not_matter,
        "it looked at the rows to retain",
    ),
    "looks at their length": (
        lambda r: r.problem.train.x[r.retain].norm(dim=1).max(),
        rules.what_it_does_not_need_does_not_matter,
        "it looked at the rows to retain",
    ),
    "looks at labels to keep": (
        lambda r: r.problem.train.y[r.retain].sum(),
        rules.what_it_does_not_need_does_not_matter,
        "it looked at the rows to retain",
    ),
    "looks at rows to forget": (
        lambda r: r.problem.train.x[r.forget].sum(),
        rules.what_it_does_not_need_does_not_matter,
        "it looked at the rows to forget",
    ),
}
COUNT = itertools.count()


class Bad(Method):
    """Do what no method may."""

    name, title = "bad", "Bad"
    source = Source(paper="None", url="https://example.org")
    needs = frozenset()


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("kind", ["softmax", "squared"])
def test_a_rule_that_is_broken_is_told(fault: str, kind: str) -> None:
    wrong, rule, words = WRONG[fault]

    class Wrong(Bad):
        def unlearn(self, request: Request) -> Release:
            return request.release(request.original.weights * 0.9 + wrong(request))

    with torch.random.fork_rng(), pytest.raises(rules.RuleBroken, match=words):
        rule(Wrong(), kind)


TELLING: dict[str, tuple[Callable[[Request], Target | None], str]] = {
    "a target by the size": (
        lambda r: r.target.model_copy(update={"distance": 1.0 + len(r.forget)}),
        "depends on what is forgotten",
    ),
    "a target by the rows": (
        lambda r: r.target.model_copy(update={"distance": 1.0 + float(r.forget_rows.x.norm())}),
        "depends on what is forgotten",
    ),
    "no claim where much is asked": (
        lambda r: r.target if len(r.forget) < 10 else None,
        "some requests are answered with a claim, some without",
    ),
    "no claim where nothing is asked": (
        lambda r: r.target if len(r.forget) else None,
        "some requests are answered with a claim, some without",
    ),
}


@pytest.mark.parametrize("fault", TELLING)
def test_a_claim_that_tells_what_was_forgotten_is_told(fault: str) -> None:
    target_of, words = TELLING[fault]

    class Telling(Newton):
        """Claim what follows from the request."""

        name = "telling"

        def unlearn(self, request: Request) -> Release:
            target = target_of(request)
            release = super().unlearn(replace(request, target=target or request.target))
            return release if target else replace(release, claim=None)

    rules.an_observer_is_not_told(Newton(), "softmax")
    with pytest.raises(rules.RuleBroken, match=words):
        rules.an_observer_is_not_told(Telling(), "softmax")


def test_a_parameter_that_changes_nothing_is_told() -> None:
    class Idle(Bad):
        used: float = 0.5
        unused: float = 0.5
        rounded: int = 3

        def unlearn(self, request: Request) -> Release:
            return request.release(request.original.weights * (self.used + self.rounded // 10))

    rules.every_parameter_matters(Idle(), "used")
    for parameter in ("unused", "rounded"):
        with pytest.raises(rules.RuleBroken, match=f"parameter {parameter} changes nothing"):
            rules.every_parameter_matters(Idle(), parameter)


# A method's key hashes what its code and its theory say, and nothing that says nothing.

PACKAGE = "lethe_of_a_lab"
FILES = {
    "__init__.py": "",
    "base.py": '''
"""A base."""
from benchmark.contract.method import Method, Source
from .steps import longest

class Base(Method):
    """Halve the weights."""
    source = Source(paper="None", url="https://example.org")
    evidence = None
    factor: float = 0.5

    def unlearn(self, request):
        return request.release(self.factor * longest(request.original.weights))
''',
    "steps.py": """
from torch import clamp as cut

LIMIT = 3.0

def longest(weights):
    from lethe_of_a_lab.ends import LEAST
    return cut(weights, LEAST, LIMIT)
""",
    "ends.py": "LEAST = -3.0\n",
    "own.py": '''
from benchmark import Request
from lethe_of_a_lab.base import Base

class Own(Base):
    """One that brings no code but a name."""
    name = "own"
    title = "Own"
''',
    "other.py": "NUMBER = 1\n",
}
Hash = Callable[..., str]


@pytest.fixture
def hash_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hash:
    """The hash of `Own` with some text replaced in a file of its package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]

    def hashed(file: str = "own.py", old: str = "", new: str = "") -> str:
        forget()
        (tmp_path / PACKAGE).mkdir(exist_ok=True)
        for name, text in FILES.items():
            assert name != file or old in text
            changed = text.replace(old, new, 1) if name == file and old else text
            (tmp_path / PACKAGE / name).write_text(changed, encoding="utf-8")
        importlib.invalidate_caches()
        return source_hash(importlib.import_module(f"{PACKAGE}.own").Own)

    yield hashed
    forget()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("base.py", "factor: float = 0.5", "factor: float = 0.25"),
        ("base.py", "self.factor *", "self.factor +"),
        ("base.py", "evidence = None", "evidence = 'distance'"),
        ("steps.py", "LIMIT = 3.0", "LIMIT = 3"),
        ("steps.py", "import clamp as", "import clip as"),
        ("steps.py", "cut(weights, LEAST, LIMIT)", "cut(weights, -LIMIT, LIMIT)"),
        ("ends.py", "-3.0", "-4.0"),
        ("own.py", 'title = "Own"', 'title = "Own"\n    factor: float = 0.1'),
    ],
)
def test_an_edit_of_any_of_its_code_changes_the_hash(
    hash_with: Hash, file: str, old: str, new: str
) -> None:
    assert hash_with(file, old, new) != hash_with()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("base.py", "Halve the weights.", "Halves the weigths."),
        ("base.py", '"""A base."""', ""),
        ("base.py", '"""Halve the weights."""', "# halved"),
        ("base.py", "self.factor * ", "self.factor*"),
        ("base.py", '"None"', "'None'"),
        ("base.py", "benchmark.contract.method import Method,", "benchmark import Method,"),
        ("own.py", "from benchmark import Request\n", ""),
        ("own.py", "from benchmark import", "\n\n# of the contract\nfrom benchmark import"),
        ("other.py", "1", "2"),
    ],
)
def test_words_layout_shared_code_and_other_files_do_not(
    hash_with: Hash, file: str, old: str, new: str
) -> None:
    assert hash_with(file, old, new) == hash_with()


def test_the_solver_of_newton_lissa_is_not_all_its_code() -> None:
    assert [path.name for path in files_of(NewtonLissa)] == ["newton.py", "newton_lissa.py"]
    assert [path.name for path in files_of(SalUn)] == ["random_labels.py", "salun.py"]


def test_a_compiled_module_counts_byte_by_byte() -> None:
    assert len({hash_of([source]) for source in (b"\0ELF", b"\0elf", b"", b"def f(:")}) == 4


def test_a_class_in_no_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = type("Typed", (Method,), {"name": "typed", "__module__": "typed_at_a_prompt"})
    with pytest.raises(LetheError, match="method 'typed' is in no file"):
        source_hash(typed)


ROOT = Path(__file__).parents[1]
HASHED_METHODS = (Newton, NewtonLissa, Langevin, Rewind, Blockwise, SalUn)


def hashes(theory: Theory) -> dict[type[Method], str]:
    return {method: hash_by(method, theory) for method in HASHED_METHODS}


@pytest.fixture(scope="module")
def unedited() -> dict[type[Method], str]:
    return hashes(Theory(ROOT))


@pytest.fixture
def affected(tmp_path: Path, unedited: dict[type[Method], str]) -> Callable[..., set[type[Method]]]:
    """The methods whose hash is another once some text of a theory's file is replaced."""
    for package in ("theory", "claims", "definitions", "contract"):
        shutil.copytree(ROOT / "benchmark" / package, tmp_path / "benchmark" / package)

    def edited(file: str, old: str, new: str) -> set[type[Method]]:
        path = tmp_path / "benchmark" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        after = hashes(Theory(tmp_path))
        return {method for method in HASHED_METHODS if unedited[method] != after[method]}

    return edited


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("theory/rewind.py", "contraction(", "1.0 * contraction(", {Rewind}),
        ("theory/langevin.py", "class Chain:", "class Chain:\n    start: float = 0.0", {Langevin}),
        # two imports away: blockwise_m calls gradient_clipping_m, in a module of many others
        ("theory/noisy_descent.py", "def gradient_clipping_m(", "def gone(", {Blockwise}),
        ("theory/gaussian.py", "MARGIN = 1e-9", "MARGIN = 1e-8", set(HASHED_METHODS) - {SalUn}),
        (
            "contract/guarantee.py",
            "return epsilon_for(",
            "return 1.0 * epsilon_for(",
            set(HASHED_METHODS) - {SalUn},
        ),
        ("theory/spectrum.py", "def kept_spectrum(", "def gone(", {Newton, NewtonLissa}),
        ("claims/uniform.py", "CONTRACTION = 0.5", "CONTRACTION = 0.4", {Newton, NewtonLissa}),
        ("claims/uniform.py", '"""', '"""Words. ', set()),
        ("theory/gaussian.py", "def m_for(", "# as in the paper\n\n\ndef m_for(", set()),
        ("theory/composition.py", "def ", "def other_", set()),
        # a module that is imported whole, of which names are looked up
        ("theory/require.py", "def finite(", "def gone(", set(HASHED_METHODS) - {SalUn}),
        ("theory/require.py", "def finite(", "UNUSED = 1\n\n\ndef finite(", set()),
    ],
)
def test_an_edit_of_a_theorem_concerns_the_methods_that_use_it(
    affected: Callable[..., set[type[Method]]],
    file: str,
    old: str,
    new: str,
    expected: set[type[Method]],
) -> None:
    assert affected(file, old, new) == expected


def test_a_statement_that_defines_nothing_counts_for_all_that_is_used_of_its_module(
    affected: Callable[..., set[type[Method]]],
) -> None:
    at_import = "\n\nif MOST < 0:\n    raise ValueError\n"
    text = "MOST = 100_000"
    assert affected("theory/contraction.py", text, text + at_import) == {Langevin, Rewind}
