"""A problem's model as an ordinary module, which is what other libraries take."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import vector_to_parameters

from benchmark.curvature.system import System


def as_module(system: System) -> nn.Module:
    """The net with the system's weights, in evaluation mode; no generator is drawn from."""
    problem = system.problem
    with torch.device("meta"):
        module = problem.model.spec.module(problem.model.inputs, problem.model.classes)
    module = module.to(system.b.dtype).to_empty(device=system.b.device)
    vector_to_parameters(system.weights.clone(), module.parameters())
    return module.eval()
