"""Time of one pass over the rows, and of one epoch of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, TensorDataset

from benches.conftest import SESSION, Session, timer
from benchmark.bench.contender import finish
from benchmark.bench.record import CLOCK
from benchmark.problem.model import AllCNNSpec, MLPSpec, Model, ModelSpec
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.rows import Rows
from benchmark.studies.products import TimedPass
from benchmark.study.study import Unit

# One pass over the rows, for every operator: the study `products`.


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a system and pass."""
    if "unit" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[SESSION]
    passes = [
        pytest.param(unit, piece, id=f"{piece.spec.name}-{piece.name}")
        for unit, piece in session.pieces(session.products)
    ]
    metafunc.parametrize(("unit", "piece"), passes)


@pytest.mark.benchmark(timer=CLOCK)
def test_one_pass(
    unit: Unit, piece: TimedPass, session: Session, benchmark: BenchmarkFixture
) -> None:
    """Measure, unless a record is there."""
    benchmark.group = f"{piece.spec.title}, one pass"
    session.begin(session.products)
    if session.is_kept(session.products, piece):
        pytest.skip("kept")
    passes = session.open(session.products, unit)
    record = passes.run(piece, lambda _: None, timer(benchmark))
    session.store.put(piece.path, record)


# One epoch of training, beside the loop that a tutorial shows.


RIDGE, RATE, BATCH, CLASSES = 5e-4, 1e-3, 128, 10


@dataclass(frozen=True)
class Net:
    """An architecture, what it looks at, and enough rows to time."""

    name: str
    spec: ModelSpec
    inputs: int | Shape
    features: int
    rows: int


NETS = (
    Net("MLP", MLPSpec(kind="mlp"), 784, 784, 12_800),
    Net("AllCNN", AllCNNSpec(kind="allcnn", width=16), (32, 32, 3), 3072, 640),
)


def ours(net: Net, rows: Rows) -> Callable[[], object]:
    """The project's training."""
    training = AdamTraining(algorithm="adam", epochs=1, batch=BATCH, learning_rate=RATE)
    model = Model(net.spec, net.inputs, CLASSES)
    problem = Problem(model, Objective(ridge=RIDGE), training, rows, rows, rows)
    every = torch.arange(len(rows))
    return lambda: problem.fit(every, torch.Generator().manual_seed(0))


def plain(net: Net, rows: Rows) -> Callable[[], object]:
    """A DataLoader, a module and torch's Adam with weight decay."""
    module = net.spec.module(net.inputs, CLASSES).to(rows.x.device)
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE, weight_decay=RIDGE)
    loader = DataLoader(TensorDataset(rows.x, rows.y), batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for x, y in loader:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(module(x), y).backward()
            optimiser.step()

    return epoch


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize("loop", [ours, plain], ids=["ours", "DataLoader"])
@pytest.mark.parametrize("net", NETS, ids=[net.name for net in NETS])
def test_one_epoch(
    net: Net,
    loop: Callable[[Net, Rows], Callable[[], object]],
    session: Session,
    benchmark: BenchmarkFixture,
) -> None:
    """On random rows: what they hold makes no difference to the time."""
    benchmark.group = f"{net.name}, one epoch of {net.rows:,} rows"
    draws = torch.Generator().manual_seed(0)
    rows = Rows(
        torch.randn(net.rows, net.features, generator=draws),
        torch.randint(CLASSES, (net.rows,), generator=draws),
    ).to(session.device, torch.float32)
    epoch = loop(net, rows)

    def whole() -> None:
        epoch()
        finish(session.device)

    whole()  # warm
    benchmark.pedantic(whole, rounds=5, iterations=1)
