"""Training algorithms: how a problem's weights come about."""

from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.direct import DirectTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.problem.training.within import ConeTraining

__all__ = ["AdamTraining", "ConeTraining", "DirectTraining", "NewtonTraining"]
