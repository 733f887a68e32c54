"""Solvers, found by being here; see `benchmark.curvature.solvers`."""
