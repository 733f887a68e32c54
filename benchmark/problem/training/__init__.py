"""Training algorithms: how a problem's weights come about."""

from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.direct import DirectTraining
from benchmark.problem.training.newton import NewtonTraining

__all__ = ["AdamTraining", "DirectTraining", "NewtonTraining"]
