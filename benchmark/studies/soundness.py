"""Certified bounds against the truth, on random problems where the truth can be computed."""

from __future__ import annotations

import time
import typing
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark import ends, registry, settings
from benchmark.contract import definition
from benchmark.contract.claim import Claim, Construction, Distance, Target
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import DidNotConverge, LetheError
from benchmark.records import Store, fingerprint
from benchmark.runner.run_cell import measured
from benchmark.runner.source import source_hash
from benchmark.studies.random_problem import (
    draw,
    in_ball,
    in_fixed_point,
    linearised,
    one_vs_rest,
    public_distance,
    squared,
    within_cone,
)
from benchmark.studies.soundness_record import (
    REACHED,
    SCHEMA,
    VARIED,
    Check,
    SoundnessRecord,
    Tally,
    path_of,
    stored,
)
from benchmark.studies.two_sides import World, reference, without
from benchmark.study.study import Listener, Study, Unit

#: Raise this when a change to shared code changes what is found: every record is then out of date.
RECIPE = 1
#: Requests of a stream.
REQUESTS = 10
#: Theorem 6 should be within this factor of the truth in the median, where it ends the steps.
GOAL = 1.2
#: Every so manieth problem is trained in a ball.
BALL = 20
#: Problems of a block.
STRIDE = 40
#: Problems of the methods that need a loss, made from those of the others.
KINDS = {
    "squared": squared,
    "fixed point": in_fixed_point,
    "one against the rest": one_vs_rest,
    "tangent": linearised,
    "cone": within_cone,
}
# A method whose mean over the first PROBES problems of a block is above SLOW seconds a request is
# asked about none of the others.
PROBES, SLOW = 2, 0.05


@dataclass(frozen=True)
class Stream:
    """A random problem, and what is asked of it.

    Attributes:
        seed: that determines it.
        worlds: the one in which all rows are trained on, then those in which the rows of the first
            request never were, of the first two, ...
        requests: (n_u,) rows each, numbered as in the first world.
        target: of every request.
    """

    seed: int
    worlds: tuple[World, ...]
    requests: tuple[Tensor, ...]
    target: Target

    @classmethod
    def of(cls, seed: int, requests: int, kind: str = "any") -> Stream:
        """Problem `seed` with all models trained that its requests ask about.

        Args:
            seed: of the problem.
            requests: of the stream.
            kind: one of `KINDS` for the same rows with that loss; `any` for a softmax's or squared
                loss, and for a ball now and then.

        Raises:
            DidNotConverge: if one of them cannot be trained to the problem's tolerance.
        """
        problem, forget = draw(seed, requests=requests)
        if kind in KINDS:
            problem = KINDS[kind](problem)
        elif seed % BALL == 0:
            problem = in_ball(problem, seed)
        parts = forget.tensor_split(requests)
        gone = [torch.cat(parts[:i]) for i in range(1, requests + 1)]
        worlds = tuple(World(world) for world in (problem, *(without(problem, g) for g in gone)))
        for world in worlds:
            world.weights(seed)
        target = Target(distance=public_distance(problem, len(forget), seed))
        return cls(seed, worlds, parts, target)


@dataclass(frozen=True)
class Answer:
    """What one method said about one problem.

    Attributes:
        checks: a bound each; none if it certifies something else than a distance.
        refusal: why it gave no certificate, or None.
        seconds: of the processor.
    """

    method: str
    checks: tuple[Check, ...]
    refusal: str | None
    seconds: float


def methods() -> list[Method]:
    """Every registered method whose claims rest on a distance or on exact sums, as it is."""
    found = (registered.method for registered in registry.discover().values())
    return [c.build({}) for c in found if c.evidence == "distance" or "exact_sums" in c.needs]


def kind(method: Method) -> str:
    """The problems that the method can be asked about, see `Stream.of`."""
    if "exact_sums" in method.needs:
        return "fixed point"
    if "one_vs_rest" in method.needs:
        return "one against the rest"
    if "tangent" in method.needs:
        return "tangent"
    if "cone" in method.needs:
        return "cone"
    return "squared" if "squared_loss" in method.needs else "any"


def variants(method: Method) -> list[Method]:
    """The method with one parameter off its default: as its fields' examples and choices say."""
    found = []
    for name, info in type(method).model_fields.items():
        values = list(info.examples or ())
        if typing.get_origin(info.annotation) is typing.Literal:
            values += [v for v in typing.get_args(info.annotation) if v != info.default]
        found += [type(method).build({name: value}) for value in values]
    return found


def examine(seed: int, asked: list[Method], requests: int = 1) -> list[Answer]:
    """Compare what `asked` certify on random problem `seed` with the distance of the two sides.

    Each is asked as it is and, of a single request, under "<name>, varied" with one parameter
    changed: which one, the seed decides. The other side is what the claim's definition says, run
    in the world in which no row that was forgotten so far ever was; training there stops at a
    gradient that the bounds charge.

    Args:
        seed: of the problem.
        asked: the methods.
        requests: of a stream, one after the other.

    Raises:
        DidNotConverge: if the problem cannot be trained to its tolerance.
    """
    streams = {which: Stream.of(seed, requests, which) for which in sorted(set(map(kind, asked)))}
    answers = []
    for name, method in _as_is_and_varied(asked, seed, varied=requests == 1):
        start, checks, refusal = time.process_time(), list[Any](), None
        stream = streams[kind(method)]
        try:
            with settings.kept(method.name), ends.kept_alive():
                checks.extend(_checks(name, method, stream))
        except LetheError as error:
            refusal = str(error)
        except Exception as error:  # any error of a method: counted, and the rest goes on
            refusal = f"{type(error).__name__}: {error}"
        answers.append(Answer(name, tuple(checks), refusal, time.process_time() - start))
    return answers


def _checks(name: str, method: Method, stream: Stream) -> Iterator[Check]:
    """Every bound on every release of the stream, beside the distance."""
    seeds = Seeds.all(stream.seed)
    first, *later = stream.worlds
    state = first.original(method, seeds.training)
    for number, (forget, world) in enumerate(zip(stream.requests, later, strict=True)):
        release = method.answer(
            Request.of(
                first.problem, state, forget, target=stream.target, seeds=seeds, number=number
            )
        )
        other = reference(method, world, release, target=stream.target, seeds=seeds, number=number)
        state = release.state
        distance = float((state.weights - other.state.weights).norm())
        for bound, value in proved(release.claim).items():
            yield Check(stream.seed, name, bound, value, distance)


def _as_is_and_varied(
    asked: list[Method], seed: int, *, varied: bool
) -> Iterator[tuple[str, Method]]:
    for method in asked:
        yield method.name, method
        others = variants(method) if varied else []
        if others:
            yield f"{method.name}{VARIED}", others[seed % len(others)]


@dataclass(frozen=True)
class Block:
    """Random problems in a row, examined one after the other.

    Attributes:
        first: seed of the first one; the others follow it.
        count: how many.
        requests: of each problem.
        methods: that are asked, with the hashes of their code.
    """

    first: int
    count: int
    requests: int
    methods: dict[str, str]

    @property
    def name(self) -> str:
        """It in a word."""
        what = "problems" if self.requests == 1 else "streams"
        return f"{what}-{self.first}-{self.count}"

    @property
    def where(self) -> str:
        """It in words."""
        what = "problems" if self.requests == 1 else "streams"
        return f"{self.count} {what} from {self.first} on"

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return path_of(self.name)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines what is found, but for how fast the machine is."""
        return {"schema": SCHEMA, "recipe": RECIPE, **asdict(self)}

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class Soundness(Study[Block, SoundnessRecord]):
    """Random problems and streams, in blocks.

    Attributes:
        count: how many problems of one request.
        streams: how many of ten.
        seed: of the first problem, and of the first stream.
    """

    name: ClassVar[str] = "soundness"
    title: ClassVar[str] = "Bounds against the truth"
    source: ClassVar[Source] = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks, 2024",
        url="https://arxiv.org/abs/2408.00920",
    )
    record: ClassVar[type[SoundnessRecord]] = SoundnessRecord

    count: int = Field(2000, ge=0)
    streams: int = Field(200, ge=0)
    seed: int = Field(0, ge=0)

    def units(self, device: str) -> list[Unit[Block]]:
        """A unit for each block."""
        if device != "cpu":
            raise LetheError("random problems are small: use --device cpu")
        sources = {method.name: source_hash(type(method)) for method in methods()}
        plan = ((self.count, 1), (self.streams, REQUESTS))
        if not self.count + self.streams:
            raise LetheError("nothing is asked for: set --count or --streams above 0")
        blocks = [
            Block(self.seed + start, min(STRIDE, number - start), requests, sources)
            for number, requests in plan
            for start in range(0, number, STRIDE)
        ]
        return [Unit("soundness", block.name, [block]) for block in blocks]

    def begin(self, store: Store, units: list[Unit[Block]]) -> None:
        """Add to what the study consists of: other counts and seeds are blocks of the same."""
        known = store.contents(self.name).pieces if self.name in store.studies() else {}
        new = {piece.path: piece.where for unit in units for piece in unit.pieces}
        store.keep_contents(self.name, known | new)

    @classmethod
    def open(cls, pieces: Sequence[Block], device: torch.device, folder: Path | None) -> Examiner:
        """Nothing is shared."""
        return Examiner(device)

    @classmethod
    def again(cls, record: SoundnessRecord, device: str) -> tuple[Block, list[str]]:
        """The block of a record."""
        then = record.inputs["methods"]
        now = {m.name: source_hash(type(m)) for m in methods() if m.name in then}
        changed = [name for name in then if now.get(name) != then[name]]
        remarks = [f"the code of method '{name}' has changed since" for name in changed]
        return Block(record.first, record.count, record.requests, now), remarks


@dataclass(frozen=True)
class Examiner:
    """Examines blocks."""

    device: torch.device

    @property
    def intact(self) -> bool:
        """Nothing is shared that could change."""
        return True

    def run(self, piece: Block, listener: Listener) -> SoundnessRecord:
        """See `benchmark.study.study.Bench`."""
        known = {"first": piece.first, "count": piece.count, "requests": piece.requests}
        return measured(
            SoundnessRecord,
            piece.inputs,
            lambda: stored(examined(piece, listener)),
            self.device,
            status="ok",
            **known,
        )


def examined(block: Block, listener: Listener) -> Tally:
    """What is found on the problems of a block."""
    asked, tally = [m for m in methods() if m.name in block.methods], Tally()
    spent: dict[str, float] = defaultdict(float)
    for i in range(block.count):
        ends.check()
        listener(f"{i + 1} of {block.count}")
        if i == PROBES:
            slow = {
                m.name for m in asked if spent.get(m.name, 0.0) / PROBES > SLOW * block.requests
            }
            tally.slow = {name for name in spent if name.split(",")[0] in slow}
        now = [m for m in asked if i < PROBES or m.name not in tally.slow]
        try:
            answers = examine(block.first + i, now, block.requests)
        except DidNotConverge:
            tally.untrained.append(block.first + i)
            continue
        for answer in answers:
            spent[answer.method] += answer.seconds
            tally.add(answer.method, answer.checks, answer.refusal)
    return tally


def proved(claim: Claim | None) -> dict[str, float]:
    """The bounds of a claim that must hold, by name; of an exact one it is 0.

    Those that are only shown need not, nor do those that rest on what somebody assumed.
    """
    if claim is not None and isinstance(claim.evidence, Construction):
        return {"exact": 0.0}
    if claim is None or not isinstance(claim.evidence, Distance):
        return {}
    evidence = claim.evidence
    bounds = {other.theorem: other.value for other in evidence.alternatives if other.proved}
    if any(c.provenance in ("assumed", "estimated") for c in evidence.constants):
        return bounds
    fixed = definition.find(claim.definition).proves
    name = f"{REACHED}{evidence.theorem}" if fixed else evidence.theorem
    return bounds | {name: evidence.reached, "certified": evidence.bound}
