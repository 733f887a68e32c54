"""Small random problems for tests."""

from benchmark.checks.problems import (
    declared,
    every_row,
    mlp,
    one_vs_rest,
    rows,
    softmax,
    squared,
    tangent,
)

__all__ = ["declared", "every_row", "mlp", "one_vs_rest", "rows", "softmax", "squared", "tangent"]
