"""Times of one pass over the rows: a gradient, Hessian products, a step of the recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmark.bench.contender import ROUNDS, finish
from benchmark.bench.operators import (
    IN_A_ROW,
    OPERATORS,
    OperatorSpec,
    Pass,
    flops,
    least_bytes,
    limits,
    products,
    reference,
)
from benchmark.bench.record import (
    CLOCK,
    Clock,
    ProductInfo,
    ProductRecord,
    Timer,
    kind_for,
    product_path,
    stopwatch,
)
from benchmark.bench.systems import (
    Bench,
    OneSystem,
    SystemSpec,
    Timings,
    inputs_of,
    system_again,
    systems,
)
from benchmark.contract.method import Source
from benchmark.errors import unknown
from benchmark.records import fingerprint
from benchmark.runner.run_cell import measured
from benchmark.study.study import Listener, Unit

#: Processes that share the rows of the first system.
WORLDS = {f"processes-{world}": world for world in (1, 2)}
#: A round of theirs takes a fraction of a second, and neighbours disturb two processes more.
MANY_ROUNDS = 4 * ROUNDS


@dataclass(frozen=True)
class TimedPass:
    """A pass over the rows of a system."""

    spec: SystemSpec
    name: str
    device: str
    threads: int

    @property
    def where(self) -> str:
        """The pass in words."""
        return f"{self.spec.title} on {self.device} · one pass, {self.name}"

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return product_path(self.device, self.spec.name, self.name)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines what is timed, and on what kind of machine."""
        return inputs_of(self.spec, "operator", self.name, self.device, self.threads)

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class ProductTimings(Timings[TimedPass, ProductRecord]):
    """Every pass over the rows of every system; over several processes, of the first one."""

    name: ClassVar[str] = "products"
    title: ClassVar[str] = "Hessian products against the clock"
    source: ClassVar[Source] = Source(
        paper="Pearlmutter: Fast Exact Multiplication by the Hessian, 1994",
        url="https://doi.org/10.1162/neco.1994.6.1.147",
    )
    record: ClassVar[type[ProductRecord]] = ProductRecord

    def planned(self, device: str) -> list[TimedPass]:
        """See `Timings`."""
        return [
            piece for spec in systems(self.size, device, None) for piece in self._of(spec, device)
        ]

    def units(self, device: str) -> list[Unit[TimedPass]]:
        """A unit for each system."""
        specs = systems(self.size, device, self.systems)
        return [Unit(self.name, spec.name, self._of(spec, device)) for spec in specs]

    def _of(self, spec: SystemSpec, device: str) -> list[TimedPass]:
        spread = device == "cpu" and spec == systems(self.size, device, None)[0]
        names = [one.name for one in OPERATORS] + list(WORLDS if spread else ())
        return [TimedPass(spec, name, device, self.threads) for name in names]

    @classmethod
    def open(cls, pieces: Sequence[TimedPass], device: torch.device, folder: Path | None) -> Passes:
        """One system."""
        return Passes(device)

    @classmethod
    def again(cls, record: ProductRecord, device: str) -> tuple[TimedPass, list[str]]:
        """The pass of a record."""
        spec, remarks = system_again(record, record.system.name)
        return TimedPass(spec, record.product.name, device, record.inputs["threads"]), remarks


@dataclass(frozen=True)
class _Opened:
    """A pass that is ready.

    Attributes:
        whole: so many of them, and gives what the last one makes, (d,).
        setup: seconds of it.
        one: a single one, to count its operations.
    """

    whole: Callable[[], Tensor]
    setup: float
    one: Pass
    info: ProductInfo
    clock: Clock
    rounds: int = ROUNDS
    count: int = 1


class Passes(OneSystem):
    """Bench that times passes over rows."""

    def run(self, piece: TimedPass, listener: Listener, timer: Timer = stopwatch) -> ProductRecord:
        """See `benchmark.study.study.Bench`."""
        listener("system")
        bench = self._bench(piece.spec)
        known = {"status": "ok", "system": bench.info}

        def work() -> dict[str, Any]:
            listener("passes")
            with self._opened(piece, bench) as opened:
                return self._found(bench, opened, timer)

        return measured(ProductRecord, piece.inputs, work, self._device, **known)

    def _found(self, bench: Bench, opened: _Opened, timer: Timer) -> dict[str, Any]:
        """The parts of a record."""
        opened.whole()  # warm
        result, seconds = timer(opened.whole, opened.rounds)
        error = None
        if opened.info.role == "product":
            truth = reference(bench, _vector(bench))
            error = float((result.double() - truth).norm() / truth.norm())
        peak, bandwidth = limits(bench.weights.dtype, self._device)
        return {
            "product": opened.info,
            "clock": opened.clock,
            "setup": opened.setup,
            "rounds": tuple(one / opened.count for one in seconds),
            "flops": flops(opened.one, _vector(bench)),
            "bytes": least_bytes(bench, opened.info.rows),
            "error": error,
            "peak_flops": peak,
            "bandwidth": bandwidth,
        }

    @contextmanager
    def _opened(self, piece: TimedPass, bench: Bench) -> Iterator[_Opened]:
        if piece.name in WORLDS:
            with self._over_processes(WORLDS[piece.name], piece, bench) as opened:
                yield opened
            return
        found = {one.name: one for one in OPERATORS}
        if piece.name not in found:
            raise unknown("pass", piece.name, (*found, *WORLDS))
        yield self._alone(found[piece.name], piece, bench)

    def _alone(self, operator: OperatorSpec, piece: TimedPass, bench: Bench) -> _Opened:
        """A pass by this process."""
        CLOCK.kind = kind_for(self._device.type, piece.threads)
        start, vector = CLOCK(), _vector(bench)
        one = operator.build(bench)
        finish(self._device)
        setup = CLOCK() - start

        def whole() -> Tensor:
            result = one(vector)
            finish(self._device)
            return result

        info = ProductInfo(
            name=operator.name,
            title=operator.title,
            role=operator.role,
            rows=operator.rows(len(bench.rows)),
        )
        return _Opened(whole, setup, one, info, CLOCK.kind)

    @contextmanager
    def _over_processes(self, world: int, piece: TimedPass, bench: Bench) -> Iterator[_Opened]:
        """Products by several; as many idle cores are needed for the times to mean something."""
        CLOCK.kind = "wall"
        own = bench.problem.hessian(bench.weights, bench.rows)
        info = ProductInfo(
            name=piece.name,
            title=f"Product, {world} process{'es' if world > 1 else ''}, wall clock",
            role="product",
            rows=len(bench.rows),
            processes=world,
        )
        with products(world, piece.spec, _vector(bench)) as (whole, setup):
            yield _Opened(
                whole, setup, own.__matmul__, info, "wall", rounds=MANY_ROUNDS, count=IN_A_ROW
            )


def _vector(bench: Bench) -> Tensor:
    """Vector that passes multiply with, (d,)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(bench.weights), generator=generator).to(bench.weights)
