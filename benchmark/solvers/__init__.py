"""Solvers, found by being here; see `benchmark.solvers.solver`."""
