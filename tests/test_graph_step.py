"""Published bounds on graphs, against the numbers that their paper's formulas give by hand."""

from __future__ import annotations

import pytest

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory.graph_step import (
    data_dependent_bound,
    worst_edge_bound,
    worst_feature_bound,
    worst_node_bound,
)

CORA = {"rows": 1208, "ridge": 1e-3}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7 * worst_node_bound(degree=3, hops=2, **CORA), 7.6e9),
        (7 * worst_node_bound(degree=1, hops=2, **CORA), 3.1e8),
        (7 * worst_node_bound(degree=7, hops=2, **CORA), 5.1e10),
        (7 * worst_edge_bound(hops=2, **CORA), 4.8e9),
        (7 * worst_feature_bound(degree=3, **CORA), 6.9e8),
        (7 * worst_feature_bound(degree=7, **CORA), 3.7e9),
    ],
)
def test_the_worst_cases_on_cora(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=0.02)


def test_the_data_dependent_bound() -> None:
    found = data_dependent_bound(
        spectral_norm=4.0, step_norm=0.5, moved_norm=2.0, rows=10, ridge=0.1
    )
    assert found == pytest.approx(0.25 * 4 * 0.5 * 2 / 1.0)


def test_what_is_no_mean_or_has_no_ridge_is_refused() -> None:
    with pytest.raises(LetheError, match="a row that is kept"):
        worst_node_bound(degree=1, hops=1, rows=1, ridge=0.1)
    with pytest.raises(AssumptionBroken, match="ridge must be above 0"):
        worst_edge_bound(hops=1, rows=5, ridge=0.0)
