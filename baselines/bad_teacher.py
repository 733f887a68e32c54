"""Bad teacher: distillation from a competent and an incompetent teacher."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend, taught, teacher_kl
from benchmark.rows import Rows


class BadTeacher(Method):
    """KL(teacher || student), the teacher a net with random weights on the rows to forget.

    On the retained rows the teacher is the original. What the teachers answer is computed once,
    before the student takes a step.
    """

    name = "bad-teacher"
    title = "Bad teacher"
    source = Source(
        paper="Chundawat, Tarun, Mandal, Kankanhalli: Can Bad Teaching Induce Forgetting? "
        "(AAAI 2023)",
        url="https://arxiv.org/abs/2205.08096",
    )
    search: ClassVar = {
        "epochs": (1, 2, 5, 10),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
        "temperature": (1.0, 2.0, 4.0),
    }

    temperature: float = Field(1.0, gt=0)
    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, model = request.problem, request.problem.model
        competent = request.original.weights
        draw = request.generator("training", self.name, "teacher")
        incompetent = model.initial_weights(draw).to(competent)
        with request.clock.phase("teaching"):
            retain = taught(model, competent, request.retain_rows, self.temperature)
            forget = taught(model, incompetent, request.forget_rows, self.temperature)
        with request.clock.phase("descent"):
            weights = descend(
                lambda w, rows: teacher_kl(model, w, rows, self.temperature),
                competent,
                Rows(torch.cat([retain.x, forget.x]), torch.cat([retain.y, forget.y])),
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)
