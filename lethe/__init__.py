"""Lethe: certified machine unlearning, measured on data, models and methods of your own.

    import lethe

    problem = lethe.Problem.from_arrays(X, y, ids=ids, ridge=1e-2)
    table = lethe.evaluate(["newton-chord", "retrain"], problem, forget=["u17", "u81"])
    print(table)
    print(lethe.advise(problem, requests=50))

What a plug-in is written with is here too: `Method` and what it is given, `RowAttack`, `Study`,
`ModelSpec`, `Definition`. Each name is looked up when it is first asked for, so that
`import lethe` waits for no numerical library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.checks.rules import Outcome, check_method
    from benchmark.contract.claim import Claim, Constant, Construction, Distance, Target
    from benchmark.contract.clock import Clock
    from benchmark.contract.definition import Definition
    from benchmark.contract.guarantee import Curve, Exact, Gaussian
    from benchmark.contract.method import Method, Source
    from benchmark.contract.request import NoisyStep, Release, Request, State
    from benchmark.contract.seeds import Seeds
    from benchmark.curvature.krylov import Solution, conjugate_gradients
    from benchmark.data.dataset import Dataset
    from benchmark.data.features import ImageFeature, TableFeature
    from benchmark.data.named import NamedSet
    from benchmark.data.own.arrays import from_arrays as dataset_from_arrays
    from benchmark.data.scenarios import Context as ScenarioContext
    from benchmark.data.scenarios import Scenario
    from benchmark.errors import AssumptionBroken, DidNotConverge, LetheError
    from benchmark.metrics.attacks import ModelAttack, ModelCase, RowAttack, RowCase
    from benchmark.metrics.metric import Metric, NumberMetric, Numbers, Predictions
    from benchmark.problem.model import Predictor
    from benchmark.problem.models.convolutional import BatchNorm
    from benchmark.problem.models.factory import Finding
    from benchmark.problem.models.spec import ModelSpec
    from benchmark.problem.objective import Loss
    from benchmark.problem.problem import Problem as LearningProblem
    from benchmark.problem.training.descent import descend
    from benchmark.properties.finding import Finding as PropertyFinding
    from benchmark.properties.property import Property
    from benchmark.rows import Rows
    from benchmark.solvers.solver import Solver, System
    from benchmark.study.executors.executor import Asked as ExecutorSettings
    from benchmark.study.executors.executor import Executor
    from benchmark.study.study import Study, run_unit
    from lethe.evaluation import Advice, Choice, advise, evaluate
    from lethe.problem import Problem, check_model
    from lethe.sklearn import Translation, from_sklearn
    from lethe.table import Row, Table

#: The module of each public name.
_MODULES = {
    "Advice": "lethe.evaluation",
    "AssumptionBroken": "benchmark.errors",
    "BatchNorm": "benchmark.problem.models.convolutional",
    "Choice": "lethe.evaluation",
    "Claim": "benchmark.contract.claim",
    "Clock": "benchmark.contract.clock",
    "Constant": "benchmark.contract.claim",
    "Construction": "benchmark.contract.claim",
    "Curve": "benchmark.contract.guarantee",
    "Dataset": "benchmark.data.dataset",
    "Definition": "benchmark.contract.definition",
    "DidNotConverge": "benchmark.errors",
    "Distance": "benchmark.contract.claim",
    "Exact": "benchmark.contract.guarantee",
    "Executor": "benchmark.study.executors.executor",
    "ExecutorSettings": "benchmark.study.executors.executor:Asked",
    "Finding": "benchmark.problem.models.factory",
    "Gaussian": "benchmark.contract.guarantee",
    "ImageFeature": "benchmark.data.features",
    "LearningProblem": "benchmark.problem.problem:Problem",
    "LetheError": "benchmark.errors",
    "Loss": "benchmark.problem.objective",
    "Method": "benchmark.contract.method",
    "Metric": "benchmark.metrics.metric",
    "ModelAttack": "benchmark.metrics.attacks",
    "ModelCase": "benchmark.metrics.attacks",
    "ModelSpec": "benchmark.problem.models.spec",
    "NamedSet": "benchmark.data.named",
    "NoisyStep": "benchmark.contract.request",
    "NumberMetric": "benchmark.metrics.metric",
    "Numbers": "benchmark.metrics.metric",
    "Outcome": "benchmark.checks.rules",
    "Predictions": "benchmark.metrics.metric",
    "Predictor": "benchmark.problem.model",
    "Problem": "lethe.problem",
    "Property": "benchmark.properties.property",
    "PropertyFinding": "benchmark.properties.finding:Finding",
    "Release": "benchmark.contract.request",
    "Request": "benchmark.contract.request",
    "Row": "lethe.table",
    "RowAttack": "benchmark.metrics.attacks",
    "RowCase": "benchmark.metrics.attacks",
    "Rows": "benchmark.rows",
    "Scenario": "benchmark.data.scenarios",
    "ScenarioContext": "benchmark.data.scenarios:Context",
    "Seeds": "benchmark.contract.seeds",
    "Solution": "benchmark.curvature.krylov",
    "Solver": "benchmark.solvers.solver",
    "Source": "benchmark.contract.method",
    "State": "benchmark.contract.request",
    "Study": "benchmark.study.study",
    "System": "benchmark.solvers.solver",
    "Table": "lethe.table",
    "TableFeature": "benchmark.data.features",
    "Target": "benchmark.contract.claim",
    "Translation": "lethe.sklearn",
    "advise": "lethe.evaluation",
    "check_method": "benchmark.checks.rules",
    "check_model": "lethe.problem",
    "conjugate_gradients": "benchmark.curvature.krylov",
    "dataset_from_arrays": "benchmark.data.own.arrays:from_arrays",
    "descend": "benchmark.problem.training.descent",
    "evaluate": "lethe.evaluation",
    "from_sklearn": "lethe.sklearn",
    "run_unit": "benchmark.study.study",
}

__all__ = [
    "Advice",
    "AssumptionBroken",
    "BatchNorm",
    "Choice",
    "Claim",
    "Clock",
    "Constant",
    "Construction",
    "Curve",
    "Dataset",
    "Definition",
    "DidNotConverge",
    "Distance",
    "Exact",
    "Executor",
    "ExecutorSettings",
    "Finding",
    "Gaussian",
    "ImageFeature",
    "LearningProblem",
    "LetheError",
    "Loss",
    "Method",
    "Metric",
    "ModelAttack",
    "ModelCase",
    "ModelSpec",
    "NamedSet",
    "NoisyStep",
    "NumberMetric",
    "Numbers",
    "Outcome",
    "Predictions",
    "Predictor",
    "Problem",
    "Property",
    "PropertyFinding",
    "Release",
    "Request",
    "Row",
    "RowAttack",
    "RowCase",
    "Rows",
    "Scenario",
    "ScenarioContext",
    "Seeds",
    "Solution",
    "Solver",
    "Source",
    "State",
    "Study",
    "System",
    "Table",
    "TableFeature",
    "Target",
    "Translation",
    "advise",
    "check_method",
    "check_model",
    "conjugate_gradients",
    "dataset_from_arrays",
    "descend",
    "evaluate",
    "from_sklearn",
    "run_unit",
]


def __getattr__(name: str) -> Any:
    """The name out of the module that defines it."""
    if name == "__version__":
        try:
            return version("lethe")
        except PackageNotFoundError:  # run from a copy of the files
            return "unknown"
    if name not in _MODULES:
        raise AttributeError(f"module 'lethe' has no attribute '{name}'")
    module, _, other = _MODULES[name].partition(":")
    return getattr(import_module(module), other or name)


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]
