"""Fine-tuning on what is kept."""

from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend


class FineTune(Method):
    """Train on for some epochs on the retained rows, and hope that the rest is forgotten."""

    name = "fine-tune"
    title = "Fine-tune"
    source = Source(
        paper="Golatkar, Achille, Soatto: Eternal Sunshine of the Spotless Net (CVPR 2020)",
        url="https://arxiv.org/abs/1911.04933",
    )
    needs = frozenset({"retain"})

    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem = request.problem
        with request.clock.phase("descent"):
            weights = descend(
                problem.loss,
                request.original.weights,
                request.retain_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)
