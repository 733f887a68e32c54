"""Distillation: a student that is trained to answer as a teacher does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.problem.model import Model
from benchmark.problem.rows import Rows


@torch.no_grad()
def taught(model: Model, teacher: Tensor, rows: Rows, temperature: float) -> Rows:
    """`rows` with the teacher's answers in place of labels: (n, classes) log-probabilities.

    Args:
        model: of teacher and student.
        teacher: (d,) weights; they are not kept, so a student cannot change them.
        rows: whose inputs are asked about.
        temperature: that logits are divided by (Hinton, Vinyals & Dean 2015).
    """
    answers = [model(teacher, part.x) / temperature for part in rows.split(model.chunk)]
    return Rows(rows.x, torch.cat(answers).log_softmax(dim=1))


def teacher_kl(model: Model, student: Tensor, rows: Rows, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) at temperature T, mean over `rows` as `taught` made them.

    The factor keeps the size of its gradient much the same at every temperature.
    """
    answers = (model(student, rows.x) / temperature).log_softmax(dim=1)
    kl = F.kl_div(answers, rows.y, reduction="batchmean", log_target=True)
    return temperature**2 * kl
